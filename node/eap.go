package node

import (
	"fmt"

	"flexvpn/authz"
	"flexvpn/authz/eaplocal"
	"flexvpn/config"
)

// eapAuthenticators are who judges the peers of each profile that authenticates by EAP.
func (n *Node) eapAuthenticators() (map[string]authz.EAPAuthenticator, error) {
	out := map[string]authz.EAPAuthenticator{}
	for _, p := range n.cfg.IKEv2.Profiles {
		if p.Remote != config.AuthEAP || p.VirtualTemplate == nil {
			continue
		}
		if p.EAP.List == "radius" {
			out[p.Name] = n.aaa.EAP(p.EAP.Servers.Name, listNetworks(n.cfg))
			continue
		}
		s, err := eaplocal.New(p.EAP, n.cfg.Node)
		if err != nil {
			return nil, fmt.Errorf("profile %s: %w", p.Name, err)
		}
		out[p.Name] = s
	}
	return out, nil
}
