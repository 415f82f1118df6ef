package node

import (
	"fmt"
	"maps"
	"slices"

	"flexvpn/authz"
	"flexvpn/config"
	"flexvpn/ops"
	"flexvpn/ops/view"
)

// Policies implements ops.Node.
func (n *Node) Policies(name string) ([]view.Policy, error) {
	if name != "" && n.cfg.Policies[name] == nil {
		return nil, ops.NotFound(fmt.Sprintf("there is no authorization policy %q", name), "flexvpn show policy lists them")
	}
	var users map[string][]view.PolicyUser
	if n.hub != nil {
		users = n.hub.PolicyUsers()
	}
	var out []view.Policy
	for _, p := range slices.Sorted(maps.Keys(n.cfg.Policies)) {
		v := view.Policy{
			Name: p, Attributes: authz.FromPolicy(n.cfg.Policies[p]).List(), Profiles: policyProfiles(n.cfg, p), Sessions: len(users[p]),
		}
		switch name {
		case "":
			out = append(out, v)
		case p:
			v.Users = users[p]
			return []view.Policy{v}, nil
		}
	}
	return out, nil
}

// policyProfiles are the profiles that name a policy, in the order in which they are tried.
func policyProfiles(cfg *config.Config, policy string) []view.PolicyProfile {
	out := []view.PolicyProfile{}
	for _, p := range cfg.IKEv2.Profiles {
		for _, one := range []struct {
			role string
			a    config.Authorization
		}{{"group", p.Group}, {"user", p.User}} {
			if one.a.Policy == policy && (one.a.List == "local" || one.a.Local) {
				out = append(out, view.PolicyProfile{Profile: p.Name, Role: one.role, Backup: one.a.Local})
			}
		}
	}
	return out
}
