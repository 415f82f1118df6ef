package hub

import (
	"time"

	"flexvpn/authz"
	"flexvpn/ikev2"
	"flexvpn/ops/view"
	"flexvpn/profile"
)

// established marks the session up: the door through which gauges, totals and the log pass.
func (s *session) established(e ikev2.Established) {
	s.loggedIn()
	s.mu.Lock()
	s.state, s.since, s.path = up, time.Now(), e.Path
	name, attrs := s.spec.Name, s.granted.attributes()
	s.mu.Unlock()
	s.hub.stats.up(e.Took)
	s.info("session up", "profile", s.profile.Config.Name, "interface", name, "addresses", assigned(attrs), "took", e.Took.Round(time.Microsecond))
	s.hub.enter(s)
	s.begin()
}

// teardown gives back everything the session holds, in the reverse order of its making. It may be
// called twice.
func (s *session) teardown() {
	h := s.hub
	h.deadlines.set(s, time.Time{})
	h.leave(s)
	s.mu.Lock()
	name, leases := s.spec.Name, s.granted.lease
	if name != "" {
		s.account.final, s.account.device = s.count(), name
	}
	s.spec.Name, s.spec.Children, s.granted.lease = "", nil, nil
	s.mu.Unlock()
	if name != "" {
		h.cfg.Routes.Remove(s.routeKey("ikev2"))
		h.cfg.Routes.Remove(s.routeKey("address"))
		s.dropServerRoutes()
		if err := h.cfg.Plane.Remove(name); err != nil {
			s.log().Error("remove virtual-access", "interface", name, "err", err)
		}
	}
	for _, a := range leases {
		h.cfg.Pools.Release(a)
	}
	h.mu.Lock()
	if name != "" && h.byName[name] == s {
		delete(h.byName, name)
	}
	if h.byIdentity[s.key()] == s {
		delete(h.byIdentity, s.key())
	}
	h.mu.Unlock()
	if name != "" {
		h.cfg.Names.Release(name)
	}
}

// ended follows the engine's last event.
func (s *session) ended(e ikev2.Closed) {
	s.loggedIn()
	s.mu.Lock()
	wasUp, why := !s.since.IsZero(), s.closeWhy
	s.state = gone
	s.mu.Unlock()
	s.teardown()
	detail := s.abandonEAP(e.Detail)
	if why != "" {
		detail = why
	}
	h := s.hub
	if wasUp {
		s.record(authz.RecordStop, s.causeOf(e.Reason))
		h.stats.down(e.Reason)
		s.info("session down", "reason", string(e.Reason), "detail", detail)
	} else {
		h.stats.failedWith(e.Reason)
		s.log().Warn("session refused", "reason", string(e.Reason), "detail", detail)
	}
	if !wasUp || e.Reason != ikev2.ReasonLocal && e.Reason != ikev2.ReasonPeerDelete {
		h.remember(e, s.identity(), stageOf(e.Reason, wasUp), detail)
	}
	h.mu.Lock()
	delete(h.sessions, s.id)
	h.idle.Broadcast()
	h.mu.Unlock()
}

// refusedEarly is a handshake that ended before it named an identity.
func (h *Hub) refusedEarly(e ikev2.Closed) {
	h.stats.failedWith(e.Reason)
	h.remember(e, profile.IdentityText(e.Remote), "init", e.Detail)
	h.cfg.Log.Info("handshake ended", "peer", e.Path.Remote.String(), "reason", string(e.Reason), "detail", e.Detail)
}

func (h *Hub) remember(e ikev2.Closed, identity, stage, detail string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed.add(view.Failed{
		Time: time.Now(), Identity: identity, Remote: e.Path.Remote.String(),
		Stage: stage, Reason: string(e.Reason), Detail: detail,
	})
}

// stageOf says how far a session came before it failed.
func stageOf(r ikev2.CloseReason, wasUp bool) string {
	switch {
	case wasUp:
		return "established"
	case r == ikev2.ReasonAuthentication, r == ikev2.ReasonTimeout:
		return "authentication"
	case r == ikev2.ReasonAddress:
		return "address"
	case r == ikev2.ReasonInstall:
		return "install"
	case r == ikev2.ReasonNoProposal, r == ikev2.ReasonSyntax:
		return "init"
	}
	return "authorization"
}

// failedRing keeps the latest failures; its zero value is ready.
type failedRing struct {
	entries [256]view.Failed
	next    int
	full    bool
}

func (r *failedRing) add(f view.Failed) {
	r.entries[r.next] = f
	r.next = (r.next + 1) % len(r.entries)
	r.full = r.full || r.next == 0
}

// newestFirst copies the entries.
func (r *failedRing) newestFirst() []view.Failed {
	n := r.next
	if r.full {
		n = len(r.entries)
	}
	out := make([]view.Failed, 0, n)
	for i := range n {
		out = append(out, r.entries[(r.next-1-i+2*len(r.entries))%len(r.entries)])
	}
	return out
}
