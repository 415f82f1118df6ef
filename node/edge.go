package node

import (
	"cmp"
	"slices"

	"flexvpn/config"
	"flexvpn/dataplane"
	"flexvpn/dataplane/edge"
	"flexvpn/dataplane/rtnl"
	"flexvpn/ops/view"
	"flexvpn/vtemplate"
)

// loadHere reads a configuration that this machine is to run: the VRFs and shared addresses that it
// names must be there.
func loadHere(path string) (*config.Config, error) {
	link, err := rtnl.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = link.Close() }()
	return config.Load(path, append(checks(), config.OnHost(link))...)
}

// attach puts filters, rates and VRFs around a plane that makes devices: the kernel's leaves TCP's segment
// size alone, and its devices outlive a crash, so what filters their packets must, too.
func (n *Node) attach(inner dataplane.Plane, kernel bool) (dataplane.Plane, error) {
	lists := make([]*config.AccessList, 0, len(n.cfg.AccessLists))
	for _, l := range n.cfg.AccessLists {
		lists = append(lists, l)
	}
	slices.SortFunc(lists, func(a, b *config.AccessList) int { return cmp.Compare(a.Name, b.Name) })
	p, err := edge.New(inner, edge.Options{Lists: lists, ClampMSS: kernel, Owned: !kernel, Link: n.rtnl, Noticed: func(what string, err error) {
		n.log.Warn("the kernel's state was changed by somebody else", "what", what, "err", err)
	}})
	if err != nil {
		return nil, err
	}
	n.edge = p
	return p, nil
}

// catalog is what a spoke's attributes may name. A plane that makes no devices has no VRFs to miss.
func (n *Node) catalog() vtemplate.Catalog {
	c := vtemplate.Catalog{AccessLists: n.cfg.AccessLists, PolicyMaps: n.cfg.PolicyMaps}
	if n.cfg.DataPlane != config.PlaneNone {
		c.Host = n.rtnl
	}
	return c
}

// addLost says in each interface what it lost to filters and rates.
func (n *Node) addLost(list []view.Interface) {
	if n.edge == nil || len(list) == 0 {
		return
	}
	lost, err := n.edge.Lost()
	if err != nil {
		n.log.Warn("read the counters of filters and rates", "err", err)
		return
	}
	for i := range list {
		l := lost[list[i].Name]
		list[i].DeniedIn, list[i].DeniedOut, list[i].PolicedPackets, list[i].ShapedPackets = l.FilterIn, l.FilterOut, l.Policed, l.Shaped
	}
}

// AccessLists implements ops.Node.
func (n *Node) AccessLists() ([]view.AccessList, error) {
	out := []view.AccessList{}
	if n.edge == nil {
		return out, nil
	}
	all, err := n.edge.AccessLists()
	for _, l := range all {
		v := view.AccessList{Name: l.List.Name, Unmatched: l.Matches[len(l.List.Entries)]}
		for i, e := range l.List.Entries {
			v.Entries = append(v.Entries, view.AccessEntry{Text: e.Text, Matches: l.Matches[i]})
		}
		out = append(out, v)
	}
	return out, err
}
