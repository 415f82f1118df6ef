package hub

import (
	"flexvpn/authz"
	"flexvpn/config"
	"flexvpn/ops/view"
	"flexvpn/profile"
)

// PolicyUsers are the sessions that stand, by the local authorization policies that they use: those
// that their profile names, and those of which they have something.
func (h *Hub) PolicyUsers() map[string][]view.PolicyUser {
	out := map[string][]view.PolicyUser{}
	known := map[policyGrant][]string{} // most sessions share both
	for _, s := range h.snapshot() {
		s.mu.Lock()
		g := policyGrant{s.profile, s.granted.shared}
		s.mu.Unlock()
		names, ok := known[g]
		if !ok {
			names = h.policiesOf(g)
			known[g] = names
		}
		for _, name := range names {
			out[name] = append(out[name], view.PolicyUser{Session: sessionName(s.id), Identity: s.identity(), Profile: s.profile.Config.Name})
		}
	}
	return out
}

// policyGrant is what decides which policies a session uses.
type policyGrant struct {
	profile *profile.Profile
	given   *attributes // nil: nothing yet
}

func (h *Hub) policiesOf(g policyGrant) (names []string) {
	from := map[string]bool{}
	if g.given != nil {
		for _, a := range g.given.List() {
			from[a.Origin] = true
		}
	}
	c := g.profile.Config
	for name := range h.policies {
		if namesLocal(c.Group, name) || namesLocal(c.User, name) || from[string(authz.LocalPolicy(name))] {
			names = append(names, name)
		}
	}
	return names
}

func namesLocal(a config.Authorization, name string) bool {
	return a.List == "local" && a.Policy == name
}
