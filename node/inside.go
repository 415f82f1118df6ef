package node

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"flexvpn/client"
	"flexvpn/client/dhcp"
	"flexvpn/client/dns"
	"flexvpn/client/nat"
	"flexvpn/dataplane/rtnl"
	"flexvpn/ops/view"
	"flexvpn/vtemplate"
)

// inside is what this node serves to the hosts behind its clients. It hands what a session says of its
// tunnel to each service in that service's own words.
type inside struct {
	n    *Node
	dns  *dns.Proxy   // nil without a dns section
	nat  *nat.NAT     // nil without a nat section
	dhcp *dhcp.Server // nil without DHCP pools

	mu      sync.Mutex
	sources map[string]string // by client: the interface its tunnel leaves by
	last    []string          // what allButOutside found last
}

var _ client.Inside = (*inside)(nil)

// buildInside makes the services; they serve nobody until runInside.
func (n *Node) buildInside() error {
	in := &inside{n: n, sources: map[string]string{}}
	if n.cfg.DNS.Enabled {
		if err := in.buildDNS(); err != nil {
			return err
		}
	}
	n.inside = in
	if err := in.buildDHCP(); err != nil {
		return err
	}
	return in.buildNAT()
}

// closeInside gives back what the services made in the kernel.
func (n *Node) closeInside() error {
	if n.inside == nil || n.inside.nat == nil {
		return nil
	}
	return n.inside.nat.Close()
}

// runInside adds the services' tasks to g; they end with ctx.
func (n *Node) runInside(ctx context.Context, g *errgroup.Group) {
	if n.inside.dns != nil {
		g.Go(func() error { return n.inside.dns.Run(ctx) })
	}
	if n.inside.dhcp != nil {
		g.Go(func() error { return n.inside.dhcp.Run(ctx) })
	}
	if n.inside.nat != nil {
		g.Go(func() error { return n.inside.nat.Run(ctx) })
	}
}

// Up implements client.Inside.
func (in *inside) Up(u client.TunnelUp) {
	in.setSource(u)
	in.natUp(u)
	in.dhcpUp(u)
	if in.dns != nil {
		in.dns.Up(dns.Tunnel{
			Client: u.Client, Device: u.Tunnel, Inside: u.Inside, Servers: u.Pushed.DNS,
			Domains: u.Pushed.SplitDNS, DefaultDomain: u.Pushed.DefDomain,
		})
	}
}

// Down implements client.Inside.
func (in *inside) Down(d client.TunnelDown) {
	if in.dhcp != nil {
		in.dhcp.Down(d.Client, d.Wanted)
	}
	if in.dns != nil {
		in.dns.Down(d.Client, d.Wanted)
	}
}

func (in *inside) setSource(u client.TunnelUp) {
	source := u.Source
	if source == "" {
		source = in.interfaceOf(u.Local)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.sources[u.Client] = source
}

// interfaceOf is the interface that has an address.
func (in *inside) interfaceOf(a netip.Addr) string {
	links, err := in.n.rtnl.Links()
	if err != nil {
		return ""
	}
	for _, l := range links {
		addrs, _ := in.n.rtnl.Addresses(l.Name)
		for _, p := range addrs {
			if p.Addr() == a {
				return l.Name
			}
		}
	}
	return ""
}

// interfaces are those that hosts are on: the ones that the configuration names, else those that the
// clients name, and if one names none all but the loopback, the tunnels, the hub's virtual-access
// interfaces, the interfaces that tunnels leave by, and what belongs to a VRF.
func (in *inside) interfaces(configured []string) []string {
	if len(configured) > 0 {
		return configured
	}
	var named []string
	open := false
	for _, c := range in.n.cfg.Clients {
		named = append(named, c.Inside...)
		open = open || len(c.Inside) == 0
	}
	if open {
		named = append(named, in.allButOutside()...)
	}
	slices.Sort(named)
	return slices.Compact(named)
}

func (in *inside) allButOutside() (out []string) {
	links, err := in.n.rtnl.Links()
	outside := in.outside()
	in.mu.Lock()
	defer in.mu.Unlock()
	if err != nil {
		return in.last // a list that could not be had closes no listener
	}
	vrfs := map[int]bool{}
	for _, l := range links {
		vrfs[l.Index] = l.Kind == "vrf"
	}
	for _, l := range links {
		if vrfs[l.Index] || vrfs[l.Master] || isOurs(l) || l.Name == "lo" || slices.Contains(outside, l.Name) {
			continue
		}
		out = append(out, l.Name)
	}
	in.last = out
	return out
}

// isOurs reports whether a plane of ours made a link.
func isOurs(l rtnl.Link) bool { return strings.HasPrefix(l.Alias, vtemplate.AliasPrefix) }

// outside are the tunnels and their sources. The source of a tunnel that has not been up yet is where
// its peers' packets would leave.
func (in *inside) outside() (out []string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, c := range in.n.cfg.Clients {
		out = append(out, c.Tunnel.Name)
		if source, known := in.sources[c.Name]; known {
			out = append(out, source)
			continue
		}
		for _, p := range c.Peers {
			to := p.Address
			if !to.IsValid() {
				to = somewhere // its name may not be resolvable yet
			}
			if r, err := in.n.rtnl.RouteInVRF(to, c.Tunnel.FrontVRF); err == nil {
				out = append(out, r.Interface)
			}
		}
	}
	return out
}

// somewhere is an address that is on no network of ours: the route to it is the default route.
var somewhere = netip.AddrFrom4([4]byte{192, 0, 0, 8}) // the IPv4 dummy address, RFC 7600

// DNS implements ops.Node.
func (n *Node) DNS() view.DNS {
	if n.inside == nil || n.inside.dns == nil {
		return view.DNS{}
	}
	return n.inside.dns.View()
}

// addInside adds the services' counters to v.
func (n *Node) addInside(v *view.Stats) {
	if n.inside == nil {
		return
	}
	if n.inside.dns != nil {
		v.DNS = n.inside.dns.Stats()
	}
	if n.inside.dhcp != nil {
		v.DHCP = n.inside.dhcp.Stats()
	}
	if n.inside.nat != nil {
		v.NAT = n.inside.nat.Stats()
	}
}
