package node

import (
	"net/netip"

	"flexvpn/authz/radius"
	"flexvpn/config"
	"flexvpn/hub"
)

// buildAAA makes the client of the configured servers; nothing without any.
func (n *Node) buildAAA() {
	if len(n.cfg.AAA.Groups) == 0 {
		return
	}
	n.aaa = radius.New(n.cfg.AAA, n.cfg.Node, n.log)
}

// hubAAA is what the hub asks; nil without servers, which no profile then names.
func (n *Node) hubAAA() hub.AAA {
	if n.aaa == nil {
		return nil
	}
	return n.aaa
}

// listNetworks are the networks that a list permits: the sources of its entries, as IOS takes them
// from a standard access list.
func listNetworks(cfg *config.Config) func(string) ([]netip.Prefix, bool) {
	return func(name string) ([]netip.Prefix, bool) {
		list := cfg.AccessLists[name]
		if list == nil {
			return nil, false
		}
		var out []netip.Prefix
		for _, e := range list.Entries {
			switch {
			case !e.Permit:
			case e.Source.IsValid():
				out = append(out, e.Source)
			default:
				out = append(out, netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0))
			}
		}
		return out, true
	}
}
