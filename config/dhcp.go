package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// DHCPPool is what the DHCP server gives to the hosts behind one interface.
type DHCPPool struct {
	Name      string
	Interface string
	Network   netip.Prefix // IPv4
	Ranges    []Range      // inside Network; what may be leased
	Routers   []netip.Addr
	DNS       []netip.Addr
	WINS      []netip.Addr
	Domain    string
	Lease     time.Duration // default 24h
	// ImportDNS, ImportWINS and ImportDomain say what of a hub's pushes hosts get, where this pool gives
	// nothing itself.
	ImportDNS, ImportWINS, ImportDomain bool
	Hosts                               []DHCPHost
}

// DHCPHost is a host that always gets one address.
type DHCPHost struct {
	Name     string
	Hardware string // the MAC address in lower case with colons
	Address  netip.Addr
}

// The least network has two hosts; the greatest keeps the table of its leases small.
const (
	minDHCPBits = 16
	maxDHCPBits = 30
	maxOptions  = 8 // addresses in one option
)

// rawDHCPPool mirrors one DHCP pool.
type rawDHCPPool struct {
	header
	iface    given[string]
	network  given[netip.Prefix]
	ranges   []given[Range]
	excluded []given[Range]
	routers  []given[netip.Addr]
	dns      []given[netip.Addr]
	wins     []given[netip.Addr]
	domain   given[string]
	lease    given[time.Duration]
	imports  []given[string]
	hosts    []entry[rawDHCPHost]
}

func (p *rawDHCPPool) keys() []key {
	return []key{
		{name: "interface", part: named(&p.iface, interfaceName), required: true, example: "eth1", doc: "The interface of the hosts; it must have an address of the network."},
		{name: "network", part: network(&p.network), required: true, example: "172.16.1.0/24", doc: "The IPv4 network of the hosts, /16 to /30."},
		{name: "range", part: oneOrListOf(&p.ranges, addressRange), otherwise: "the whole network", example: "172.16.1.100-172.16.1.200", doc: "Addresses that may be leased."},
		{name: "excluded", part: oneOrListOf(&p.excluded, addressRange), otherwise: "none", example: "[172.16.1.1-172.16.1.9]", doc: "Addresses that are never leased, besides those of the interface and the default routers."},
		{name: "default-router", part: oneOrListOf(&p.routers, address4), otherwise: "none is told", example: "172.16.1.1", doc: "Routers of the hosts (option 3)."},
		{name: "dns-server", part: oneOrListOf(&p.dns, address4), otherwise: "what is imported", example: "172.16.1.1", doc: "Name servers of the hosts (option 6)."},
		{name: "netbios-name-server", part: oneOrListOf(&p.wins, address4), otherwise: "what is imported", example: "10.10.210.10", doc: "WINS servers of the hosts (option 44)."},
		{name: "domain-name", part: domainPart(&p.domain), otherwise: "what is imported", example: "branch.example.net", doc: "Domain of the hosts (option 15)."},
		{name: "lease", part: duration(&p.lease, time.Minute, 366*24*time.Hour), def: "24h", example: "8h", doc: "How long a host may keep its address without asking again; it asks after half of it."},
		{name: "import", part: oneOrListOf(&p.imports, importPart), otherwise: "nothing", example: "all", doc: "What hosts get of what hubs push, where the pool says nothing itself: `all`, or a list of `dns-server`, `netbios-name-server` and `domain-name`. A change reaches a host when it next renews its lease."},
		{name: "hosts", part: mapOf(&p.hosts, "host", word, func(v *rawDHCPHost) part { return object(v) }), doc: "Hosts that always get the same address."},
	}
}

func importPart(v *given[string]) part {
	return choice(v, "all", "dns-server", "netbios-name-server", "domain-name")
}

// rawDHCPHost mirrors one reservation.
type rawDHCPHost struct {
	header
	hardware given[string]
	address  given[netip.Addr]
}

func (h *rawDHCPHost) keys() []key {
	return []key{
		{name: "hardware-address", part: hardware(&h.hardware), required: true, example: "52:54:00:12:34:56", doc: "MAC address of the host."},
		{name: "address", part: address4(&h.address), required: true, example: "172.16.1.50", doc: "Its address, inside the network of the pool; it need not be in the range."},
	}
}

func hardware(into *given[string]) part {
	return scalar(into, "MAC address", func(s string) (string, error) {
		m, err := net.ParseMAC(s)
		if err != nil || len(m) != 6 || m[0]&1 != 0 {
			return "", problem{fmt.Sprintf("must be the MAC address of a host, not %s", quote(s)), "for example 52:54:00:12:34:56"}
		}
		return m.String(), nil
	})
}

func (r *reader) dhcpPools(raw []entry[rawDHCPPool], cfg *Config) []*DHCPPool {
	var out []*DHCPPool
	byInterface := map[string]string{}
	for i := range raw {
		p, in := &raw[i].v, "dhcp-pool "+raw[i].name
		made := &DHCPPool{
			Name: raw[i].name, Interface: p.iface.v, Network: p.network.v, Lease: p.lease.v, Domain: p.domain.v,
			Routers: r.dhcpAddresses(p.routers, in, "default-router"), DNS: r.dhcpAddresses(p.dns, in, "dns-server"), WINS: r.dhcpAddresses(p.wins, in, "netbios-name-server"),
		}
		if other, again := byInterface[p.iface.v]; again && p.iface.ok {
			r.fail(p.iface.at, "an interface has one pool", "interface %s of %s belongs to %s already", p.iface.v, in, other)
		}
		byInterface[p.iface.v] = in
		for _, o := range out {
			if p.network.ok && o.Network.IsValid() && o.Network.Overlaps(p.network.v) {
				r.fail(p.network.at, "each interface has a network of its own", "network %s of %s overlaps %s of dhcp-pool %s", p.network.v, in, o.Network, o.Name)
			}
		}
		r.insideInterfaces([]given[string]{p.iface}, in, cfg)
		made.setImports(p.imports)
		if r.dhcpNetwork(p, in) {
			made.Ranges = r.dhcpRanges(p, in)
			made.Hosts = r.dhcpHosts(p, in)
		}
		out = append(out, made)
	}
	return out
}

func (p *DHCPPool) setImports(raw []given[string]) {
	for _, v := range raw {
		p.ImportDNS = p.ImportDNS || v.v == "all" || v.v == "dns-server"
		p.ImportWINS = p.ImportWINS || v.v == "all" || v.v == "netbios-name-server"
		p.ImportDomain = p.ImportDomain || v.v == "all" || v.v == "domain-name"
	}
}

func (r *reader) dhcpAddresses(raw []given[netip.Addr], in, name string) []netip.Addr {
	if len(raw) > maxOptions {
		r.fail(raw[maxOptions].at, "", "%s of %s has more than %d addresses", name, in, maxOptions)
	}
	return valid(raw)
}

func (r *reader) dhcpNetwork(p *rawDHCPPool, in string) bool {
	n := p.network
	switch {
	case !n.ok:
		return false
	case !n.v.Addr().Is4():
		r.fail(n.at, "hosts get IPv6 addresses by router advertisements", "network of %s must be IPv4", in)
		return false
	case n.v.Bits() < minDHCPBits || n.v.Bits() > maxDHCPBits:
		r.fail(n.at, "", "network of %s must be /%d to /%d, not /%d", in, minDHCPBits, maxDHCPBits, n.v.Bits())
		return false
	}
	for _, a := range p.routers {
		if a.ok && !n.v.Contains(a.v) {
			r.fail(a.at, "hosts reach a router on their own network only", "default-router %s of %s is outside its network %s", a.v, in, n.v)
		}
	}
	return true
}

// dhcpRanges are the addresses that may be leased: the ranges, or all hosts of the network, without what
// is excluded.
func (r *reader) dhcpRanges(p *rawDHCPPool, in string) []Range {
	left := []Range{usable(p.network.v)}
	if len(p.ranges) > 0 {
		left = r.inNetwork(p.ranges, p.network.v, in, "range")
		r.dhcpOverlaps(p.ranges, in)
	}
	for _, x := range r.inNetwork(p.excluded, p.network.v, in, "excluded") {
		left = without(left, x)
	}
	for _, a := range p.routers {
		if a.ok {
			left = without(left, Range{a.v, a.v})
		}
	}
	if len(left) == 0 {
		r.fail(p.at, "make the range wider, or exclude less", "%s has no address to lease", in)
	}
	return left
}

func (r *reader) inNetwork(raw []given[Range], n netip.Prefix, in, what string) []Range {
	var out []Range
	hosts := usable(n)
	for _, v := range raw {
		switch {
		case !v.ok:
			continue
		case v.v.First.Less(hosts.First) || hosts.Last.Less(v.v.Last):
			r.fail(v.at, "", "%s %s of %s is not inside its network %s", what, v.v, in, n)
			continue
		}
		out = append(out, v.v)
	}
	return out
}

func (r *reader) dhcpOverlaps(raw []given[Range], in string) {
	for i, a := range raw {
		for _, b := range raw[:i] {
			if a.ok && b.ok && !a.v.Last.Less(b.v.First) && !b.v.Last.Less(a.v.First) {
				r.fail(a.at, "", "two ranges of %s overlap", in)
			}
		}
	}
}

func (r *reader) dhcpHosts(p *rawDHCPPool, in string) []DHCPHost {
	var out []DHCPHost
	for i := range p.hosts {
		h, name := &p.hosts[i].v, p.hosts[i].name
		made := DHCPHost{Name: name, Hardware: h.hardware.v, Address: h.address.v}
		if all := usable(p.network.v); h.address.ok && (made.Address.Less(all.First) || all.Last.Less(made.Address)) {
			r.fail(h.address.at, "", "address %s of host %s is not inside the network %s of %s", made.Address, name, p.network.v, in)
		}
		for _, o := range out {
			if h.address.ok && o.Address == made.Address || h.hardware.ok && o.Hardware == made.Hardware {
				r.fail(p.hosts[i].at, "", "hosts %s and %s of %s have the same address", o.Name, name, in)
			}
		}
		out = append(out, made)
	}
	return out
}

// without is what is left of ranges when one is taken out.
func without(list []Range, x Range) []Range {
	var out []Range
	for _, r := range list {
		if x.Last.Less(r.First) || r.Last.Less(x.First) {
			out = append(out, r)
			continue
		}
		if r.First.Less(x.First) {
			out = append(out, Range{r.First, x.First.Prev()})
		}
		if x.Last.Less(r.Last) {
			out = append(out, Range{x.Last.Next(), r.Last})
		}
	}
	return slices.Clip(out)
}
