package node

import (
	"flexvpn/client"
	"flexvpn/client/dhcp"
	"flexvpn/config"
	"flexvpn/ops/view"
)

func (in *inside) buildDHCP() (err error) {
	if len(in.n.cfg.DHCPPools) == 0 {
		return nil
	}
	c := dhcp.Config{
		Store: in.n.store, Addresses: in.n.rtnl.Addresses, Log: in.n.log,
		Trace: func(host string, line func() string) { in.n.debug.Say(view.TopicDHCP, host, line) },
	}
	if c.Changed, err = in.n.rtnl.NoticeLinks(in.n.stopped); err != nil {
		return err
	}
	for _, p := range in.n.cfg.DHCPPools {
		c.Pools = append(c.Pools, dhcpPool(p))
	}
	in.dhcp, err = dhcp.New(c)
	return err
}

func dhcpPool(p *config.DHCPPool) dhcp.Pool {
	out := dhcp.Pool{
		Name: p.Name, Interface: p.Interface, Network: p.Network, Lease: p.Lease,
		Routers: p.Routers, DNS: p.DNS, WINS: p.WINS, Domain: p.Domain,
		ImportDNS: p.ImportDNS, ImportWINS: p.ImportWINS, ImportDomain: p.ImportDomain,
	}
	for _, r := range p.Ranges {
		out.Ranges = append(out.Ranges, dhcp.Range{First: r.First, Last: r.Last})
	}
	for _, h := range p.Hosts {
		out.Hosts = append(out.Hosts, dhcp.Host{Name: h.Name, Hardware: h.Hardware, Address: h.Address})
	}
	return out
}

func (in *inside) dhcpUp(u client.TunnelUp) {
	if in.dhcp != nil {
		in.dhcp.Up(dhcp.Import{Client: u.Client, Inside: u.Inside, DNS: u.Pushed.DNS, WINS: u.Pushed.WINS, Domain: u.Pushed.DefDomain})
	}
}

// DHCP implements ops.Node.
func (n *Node) DHCP() view.DHCP {
	if n.inside == nil || n.inside.dhcp == nil {
		return view.DHCP{}
	}
	return n.inside.dhcp.View()
}
