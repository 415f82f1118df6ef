package hub

import (
	"time"

	"flexvpn/authz"
	"flexvpn/ikev2"
)

// claim makes s the session of its identity and calls next when the session that it replaces, if
// any, has given back its address and interface. Replacing is what lets a spoke that lost its
// state come back at once, with the address it had.
func (s *session) claim(next func()) {
	h := s.hub
	h.mu.Lock()
	old := h.byIdentity[s.key()]
	// Under never INITIAL_CONTACT is not listened to. RFC 7296 section 2.4 lets a recipient use it and
	// forbids it to an identity that several have; IOS and this daemon's own spokes send it in every first
	// IKE_AUTH all the same, so that who shares an identity would throw the others out with every login.
	// What a crashed peer left goes by dead peer detection.
	if s.profile.Config.Replace == "never" {
		old = nil
	}
	h.byIdentity[s.key()] = s
	h.sessions[s.id] = s
	h.mu.Unlock()
	if old == nil || old == s {
		next()
		return
	}
	h.jobs.push(&old.queue, func() {
		old.giveWay("replaced by a newer session of the same identity")
		s.later(next)
	})
}

// close takes the session down now and lets the engine say good-bye in its own time. It runs as a
// job of s.
func (s *session) close(why string, cause authz.TerminateCause) {
	s.leave(why, cause, (*ikev2.SA).Close)
}

// giveWay is close with a good-bye that says another session has taken the place.
func (s *session) giveWay(why string) { s.leave(why, authz.CauseNASRequest, (*ikev2.SA).Replace) }

func (s *session) leave(why string, cause authz.TerminateCause, goodBye func(*ikev2.SA, time.Time, string)) {
	s.mu.Lock()
	if s.state == gone { // it ended before its turn came: nothing is left to say
		s.mu.Unlock()
		return
	}
	s.closeWhy = why
	if s.account.cause == 0 {
		s.account.cause = cause
	}
	s.state = closing
	s.mu.Unlock()
	s.log().Info("session closing", "detail", why)
	s.teardown()
	s.conn.Do(func(now time.Time, sa *ikev2.SA) { goodBye(sa, now, why) })
}
