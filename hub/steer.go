package hub

import (
	"slices"
	"sync"
	"time"

	"flexvpn/authz"
	"flexvpn/radiusdict"
	"flexvpn/vtemplate"
)

// Disconnect implements authz.Steered: it ends the sessions that a server names.
func (h *Hub) Disconnect(k authz.SessionKeys, done func(authz.ErrorCause)) {
	h.steer(k, done, func(s *session) authz.ErrorCause {
		s.close("disconnected by a RADIUS server", authz.CauseAdminReset)
		return 0
	})
}

// Change implements authz.Steered: a CoA-Request.
func (h *Hub) Change(k authz.SessionKeys, change *radiusdict.Reply, done func(authz.ErrorCause)) {
	h.noteOnce(h.cfg.Log, "coa", change.Notes)
	given, err := authz.FromRADIUS(change, "radius coa", h.cfg.Lists)
	if err != nil {
		h.cfg.Log.Warn("change of authorization refused", "err", err)
		done(authz.ErrorInvalidValue)
		return
	}
	part, rest := authz.Changeable(given)
	switch {
	case rest:
		done(authz.ErrorUnsupportedAttribute)
		return
	case len(part.List()) == 0:
		done(authz.ErrorMissingAttribute)
		return
	}
	h.steer(k, done, func(s *session) authz.ErrorCause { return s.change(part) })
}

// steer runs act as a job of each session that k names, and tells the first cause that is none.
func (h *Hub) steer(k authz.SessionKeys, done func(authz.ErrorCause), act func(*session) authz.ErrorCause) {
	all := h.sought(k)
	if len(all) == 0 {
		done(authz.ErrorSessionNotFound)
		return
	}
	var mu sync.Mutex
	open, result := len(all), authz.ErrorCause(0)
	for _, s := range all {
		h.jobs.push(&s.queue, func() {
			cause := act(s)
			mu.Lock()
			if result == 0 {
				result = cause
			}
			open--
			last := open == 0
			mu.Unlock()
			if last {
				done(result)
			}
		})
	}
}

// change lays attributes over those of a live session: interface, routes and limits follow. On error
// the session is as it was.
func (s *session) change(part attributes) authz.ErrorCause {
	s.mu.Lock()
	if s.state != up || s.spec.Name == "" {
		s.mu.Unlock()
		return authz.ErrorSessionNotFound
	}
	before := s.granted
	next := authz.Merge(s.granted.attributes(), part, false)
	next.InterfaceConfig = lastOfEach(next.InterfaceConfig)
	template, err := s.hub.cfg.Catalog.Customize(s.profile.Config.VirtualTemplate, &next)
	if err != nil {
		s.mu.Unlock()
		s.log().Warn("change of authorization refused", "err", err)
		return authz.ErrorInvalidValue
	}
	s.hub.give(&s.granted, s.profile, &next)
	spec := vtemplate.Build(template, vtemplate.Clone{
		Name: s.spec.Name, Decision: s.granted.decision, Path: vtemplate.Path(s.path), FrontVRF: s.path.VRF, Identity: s.identity(), Node: s.hub.cfg.Node,
	})
	spec.Children, spec.Outbound = s.spec.Children, s.spec.Outbound
	if err := s.apply(spec); err != nil {
		s.granted = before
		s.mu.Unlock()
		s.log().Warn("change of authorization not applied", "err", err)
		return authz.ErrorResources
	}
	s.routesFromServer(s.spec.Name, s.spec.VRF)
	s.plan(time.Now())
	s.mu.Unlock()
	var words []string
	for _, a := range part.List() {
		words = append(words, a.Name+"="+a.Value)
	}
	s.log().Info("change of authorization", "attributes", words)
	s.watch()
	return 0
}

// lastOfEach leaves of equal lines the last, so that a change that comes every day does not grow the
// session.
func lastOfEach(lines []authz.Value[string]) (out []authz.Value[string]) {
	for i, line := range lines {
		again := slices.ContainsFunc(lines[i+1:], func(l authz.Value[string]) bool { return l.V == line.V })
		if !again {
			out = append(out, line)
		}
	}
	return out
}
