package hub

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"flexvpn/authz"
	"flexvpn/dataplane"
	"flexvpn/ops/view"
	"flexvpn/profile"
)

func sessionName(id uint64) string { return fmt.Sprintf("h%d", id) }

func spiText(spi uint32) string { return fmt.Sprintf("%08x", spi) }

// Sessions lists every session that has been authorized, oldest first.
func (h *Hub) Sessions() []view.Session {
	all := h.snapshot()
	out := make([]view.Session, 0, len(all))
	for _, s := range all {
		out = append(out, s.view())
	}
	return out
}

func (h *Hub) snapshot() []*session {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*session, 0, len(h.sessions))
	for _, s := range h.sessions {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *session) int { return cmp.Compare(a.id, b.id) })
	return all
}

func (s *session) view() view.Session {
	v := s.known()
	if c, ok := s.hub.cfg.Plane.Counters(v.Interface); ok {
		v.InBytes, v.OutBytes, v.InPackets, v.OutPackets = c.InBytes, c.OutBytes, c.InPackets, c.OutPackets
		if !c.LastIn.IsZero() {
			v.LastIn = &c.LastIn
		}
	}
	return v
}

// known is what the session knows without the plane.
func (s *session) known() view.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := view.Session{
		ID: sessionName(s.id), Role: "hub", State: s.state.String(),
		Identity: s.identity(), Profile: s.profile.Config.Name,
		Local: s.path.Local.String(), Remote: s.path.Remote.String(), Encap: s.path.Encap,
		Interface: s.spec.Name, Mode: s.granted.decision.Mode.String(),
		Addresses: assigned(s.granted.attributes()), Since: s.since, Version: s.version,
	}
	if name := s.eap.identity.Load(); name != nil {
		v.EAPMethod, v.EAPName = s.eapMethod(), *name
	}
	return v
}

// Session is everything about one session; id is its id, its identity or its interface. ok is
// false when there is none.
func (h *Hub) Session(ctx context.Context, id string) (v view.Session, ok bool, err error) {
	s := h.find(id)
	if s == nil {
		return view.Session{}, false, nil
	}
	v = s.view()
	s.mu.Lock()
	v.Attributes = s.granted.attributes().List()
	s.mu.Unlock()
	d := s.profile.Config.DPD
	v.DPD = fmt.Sprintf("%s/%s %s (profile %s)", d.Interval, d.Retry, d.Mode, s.profile.Config.Name)
	for _, r := range h.cfg.Routes.Routes() {
		if r.Interface == v.Interface && v.Interface != "" {
			v.Routes = append(v.Routes, r)
		}
	}
	facts, err := s.conn.Facts(ctx)
	if err != nil {
		return v, true, fmt.Errorf("session %s: %w", v.ID, err)
	}
	sa := profile.ViewSA(v.ID, "hub", facts)
	s.countersInto(&sa)
	v.SA, v.NAT = &sa, facts.NATLocal || facts.NATRemote
	return v, true, nil
}

func (s *session) countersInto(sa *view.SA) {
	s.mu.Lock()
	name := s.spec.Name
	s.mu.Unlock()
	if c, ok := s.hub.cfg.Plane.Counters(name); ok {
		profile.AddCounters(sa, c)
	}
}

// SAs lists the IKE SAs of all sessions.
func (h *Hub) SAs(ctx context.Context) ([]view.SA, error) {
	var out []view.SA
	for _, s := range h.snapshot() {
		facts, err := s.conn.Facts(ctx)
		if err != nil {
			continue // it ended in between
		}
		sa := profile.ViewSA(sessionName(s.id), "hub", facts)
		s.countersInto(&sa)
		out = append(out, sa)
	}
	return out, ctx.Err()
}

// Interfaces lists the virtual-access interfaces.
func (h *Hub) Interfaces() []view.Interface {
	var out []view.Interface
	for _, s := range h.snapshot() {
		s.mu.Lock()
		spec := s.spec
		s.mu.Unlock()
		if spec.Name != "" {
			out = append(out, profile.ViewInterface(sessionName(s.id), s.identity(), spec, h.cfg.Plane))
		}
	}
	return out
}

// Failed lists the latest refused and lost peers, newest first.
func (h *Hub) Failed() []view.Failed {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed.newestFirst()
}

// find looks a session up by id, identity or interface.
func (h *Hub) find(id string) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.byName[id]; s != nil {
		return s
	}
	for _, s := range h.sessions {
		if sessionName(s.id) == id {
			return s
		}
	}
	for _, s := range h.sessions {
		if s.identity() == id && h.byIdentity[s.key()] == s {
			return s
		}
	}
	return nil
}

// Clear ends one session, named as in Session; false when there is none.
func (h *Hub) Clear(id string) bool {
	s := h.find(id)
	if s == nil {
		return false
	}
	h.jobs.push(&s.queue, func() { s.close("cleared by the operator", authz.CauseAdminReset) })
	return true
}

// Rekey begins rekeying one session, named as in Session; false when there is none.
func (h *Hub) Rekey(id string, kind view.RekeyKind) bool {
	s := h.find(id)
	if s == nil {
		return false
	}
	s.mu.Lock()
	outbound := s.spec.Outbound
	s.mu.Unlock()
	profile.Rekey(s.conn, kind, outbound)
	return true
}

// ClearAll ends every session and says how many.
func (h *Hub) ClearAll() int {
	all := h.snapshot()
	for _, s := range all {
		h.jobs.push(&s.queue, func() { s.close("cleared by the operator", authz.CauseAdminReset) })
	}
	return len(all)
}

// PlaneEvent follows an event of the data plane that concerns one of the hub's interfaces; false
// when the interface is not the hub's.
func (h *Hub) PlaneEvent(e dataplane.Event) bool {
	h.mu.Lock()
	s := h.byName[e.Interface]
	h.mu.Unlock()
	if s == nil {
		return false
	}
	profile.OnPlaneEvent(s.conn, e, func(why string) {
		h.jobs.push(&s.queue, func() { s.close(why, authz.CauseNASError) })
	})
	return true
}

// Stop ends every session and waits until each peer has been told, or ctx ends.
func (h *Hub) Stop(ctx context.Context) {
	h.mu.Lock()
	h.stopping = true
	h.mu.Unlock()
	for _, s := range h.snapshot() {
		h.jobs.push(&s.queue, func() { s.close("the hub is shutting down", authz.CauseAdminReboot) })
	}
	stop := context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.idle.Broadcast()
	})
	defer stop()
	h.mu.Lock()
	for len(h.sessions) > 0 && ctx.Err() == nil {
		h.idle.Wait()
	}
	h.mu.Unlock()
	h.deadlines.stop()
	h.jobs.close()
}
