package node

import (
	"context"

	"flexvpn/client"
	"flexvpn/client/nat"
	"flexvpn/ops/view"
)

// buildNAT makes the rules, in place of those that a former run left.
func (in *inside) buildNAT() error {
	if len(in.n.cfg.NAT) == 0 {
		if err := nat.Sweep(); err != nil {
			in.n.log.Warn("nat", "err", err)
		}
		return nil
	}
	// Tunnels of the kernel's plane outlive a crash, and what goes through them must stay translated.
	c := nat.Config{Owned: in.n.kernel == nil, Addresses: in.n.rtnl.Addresses, Log: in.n.log}
	for _, r := range in.n.cfg.NAT {
		c.Rules = append(c.Rules, nat.Rule{Inside: r.Inside, Outside: r.Outside, Source: r.Source})
	}
	in.nat = nat.New(c)
	return in.nat.Apply()
}

func (in *inside) natUp(u client.TunnelUp) {
	if in.nat != nil {
		in.nat.Up(nat.Tunnel{Device: u.Tunnel, Routes: u.Pushed.Routes})
	}
}

// NAT implements ops.Node.
func (n *Node) NAT(context.Context) (view.NAT, error) {
	if n.inside == nil || n.inside.nat == nil {
		return view.NAT{}, nil
	}
	return n.inside.nat.View()
}
