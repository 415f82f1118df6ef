package hub

import (
	"fmt"
	"math/rand/v2"
	"time"

	"flexvpn/authz"
	"flexvpn/ikev2"
)

// An accountPart is what a session has of accounting and time limits. Guarded by session.mu.
type accountPart struct {
	interim     time.Duration // between Interim-Updates; 0: none
	nextInterim time.Time
	cause       authz.TerminateCause // why this end closes the session; 0: the engine's reason says it
	final       counted              // read before the interface went
	device      string               // the interface, for the records after it went
}

// counted is what a session carried, from the network's point of view.
type counted struct {
	inOctets, outOctets, inPackets, outPackets uint64
	last                                       time.Time // when anything passed; zero: never
}

// count reads the session's counters; s.mu is held. After the interface has gone it is what was read
// before.
func (s *session) count() counted {
	if s.spec.Name == "" {
		return s.account.final
	}
	c, ok := s.hub.cfg.Plane.Counters(s.spec.Name)
	if !ok {
		return s.account.final
	}
	last := c.LastIn
	if c.LastOut.After(last) {
		last = c.LastOut
	}
	return counted{c.InBytes, c.OutBytes, c.InPackets, c.OutPackets, last}
}

// record hands one accounting record to the servers; nothing when the profile does not account.
func (s *session) record(kind authz.RecordKind, cause authz.TerminateCause) {
	group := s.profile.Config.Accounting.Group
	if group == nil || s.hub.cfg.AAA == nil {
		return
	}
	facts := s.facts()
	s.mu.Lock()
	if facts.Interface == "" {
		facts.Interface = s.account.device
	}
	n, attrs, since := s.count(), s.granted.attributes(), s.since
	s.mu.Unlock()
	user := s.identity()
	if attrs.UserName.IsSet() {
		user = attrs.UserName.V
	}
	s.hub.cfg.AAA.Account(authz.Record{
		Group: group.Name, Kind: kind, At: time.Now(), User: user, Session: facts, Attributes: attrs, Duration: time.Since(since),
		Local:       s.implied == nil && s.profile.Config.EAP.List != "radius",
		InputOctets: n.inOctets, OutputOctets: n.outOctets, InputPackets: n.inPackets, OutputPackets: n.outPackets, Cause: cause,
	})
}

// begin starts accounting and the session's limits.
func (s *session) begin() {
	s.record(authz.RecordStart, 0)
	s.mu.Lock()
	s.plan(time.Now())
	s.mu.Unlock()
	s.watch()
}

// plan takes the interval of Interim-Updates from what the session was given now; s.mu is held.
func (s *session) plan(now time.Time) {
	s.account.interim = 0
	if s.profile.Config.Accounting.Group == nil {
		return
	}
	every := s.profile.Config.Accounting.Interim
	if given := s.granted.attributes().Interim; given.IsSet() {
		every = max(given.V, time.Minute) // RFC 2869 section 2.1: never below 60 seconds
	}
	s.account.interim, s.account.nextInterim = every, now.Add(spread(every))
}

// spread is d within a tenth more or less, so that ten thousand sessions that came up at once do not
// report at once for ever.
func spread(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d - d/10 + rand.N(d/5+1)
}

// watch sets the session's next deadline: a limit or an Interim-Update.
func (s *session) watch() {
	s.mu.Lock()
	at := s.deadline()
	over := s.state != up
	s.mu.Unlock()
	if over {
		at = time.Time{}
	}
	s.hub.deadlines.set(s, at)
}

// deadline is when to look next, zero for never; s.mu is held.
func (s *session) deadline() time.Time {
	a := s.granted.attributes()
	var at time.Time
	earlier := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if a.SessionTimeout.IsSet() {
		earlier(s.since.Add(a.SessionTimeout.V))
	}
	if a.IdleTimeout.IsSet() {
		earlier(s.lastUse().Add(a.IdleTimeout.V))
	}
	if s.account.interim > 0 {
		earlier(s.account.nextInterim)
	}
	return at
}

func (s *session) lastUse() time.Time {
	if last := s.count().last; last.After(s.since) {
		return last
	}
	return s.since
}

// due is the job of a deadline: it ends the session or reports, and sets the next one.
func (s *session) due() {
	now := time.Now()
	s.mu.Lock()
	a, report := s.granted.attributes(), false
	switch {
	case s.state != up:
		s.mu.Unlock()
		return
	case a.SessionTimeout.IsSet() && !now.Before(s.since.Add(a.SessionTimeout.V)):
		s.mu.Unlock()
		s.close(fmt.Sprintf("session-timeout %s is over (%s)", a.SessionTimeout.V, a.SessionTimeout.Origin), authz.CauseSessionTimeout)
		return
	case a.IdleTimeout.IsSet() && !now.Before(s.lastUse().Add(a.IdleTimeout.V)):
		s.mu.Unlock()
		s.close(fmt.Sprintf("nothing passed for idle-timeout %s (%s)", a.IdleTimeout.V, a.IdleTimeout.Origin), authz.CauseIdleTimeout)
		return
	}
	if s.account.interim > 0 && !now.Before(s.account.nextInterim) {
		s.account.nextInterim, report = now.Add(spread(s.account.interim)), true
	}
	s.mu.Unlock()
	if report {
		s.record(authz.RecordInterim, 0)
	}
	s.watch()
}

// causeOf maps why a session ended to RFC 2866 section 5.10.
func (s *session) causeOf(r ikev2.CloseReason) authz.TerminateCause {
	s.mu.Lock()
	cause := s.account.cause
	s.mu.Unlock()
	switch {
	case cause != 0:
		return cause
	case r == ikev2.ReasonPeerDelete:
		return authz.CauseUserRequest
	case r == ikev2.ReasonPeerDead, r == ikev2.ReasonTimeout:
		return authz.CauseLostCarrier
	case r == ikev2.ReasonLocal, r == ikev2.ReasonReplaced:
		return authz.CauseNASRequest
	case r == ikev2.ReasonExpired:
		return authz.CauseLostService
	}
	return authz.CauseNASError
}
