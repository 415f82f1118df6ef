package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Limits of interfaces. 576 is the least an IPv4 host must take (RFC 791 section 3.1), 1280 the
// least MTU of IPv6 (RFC 8200 section 5).
const (
	maxTemplate = 4095
	minMTU      = 576
	minMTU6     = 1280
	maxMTU      = 9000
	maxMSS      = maxMTU - 40
)

// rawTemplate mirrors one virtual-template.
type rawTemplate struct {
	header
	mode        given[string]
	addresses   []given[netip.Prefix]
	mtu         given[int]
	adjustMSS   given[int]
	description given[string]
	attach      rawAttach
}

func (t *rawTemplate) keys() []key {
	return append([]key{
		{name: "mode", part: choice(&t.mode, "auto", "gre", "ipsec"), def: "auto", example: "ipsec", doc: "What spokes may ask for: `gre` is GRE, in transport mode or, for a spoke that does not ask for that, in tunnel mode; `ipsec` is native tunnel mode, `auto` takes what the spoke proposes."},
		{name: "address", part: oneOrListOf(&t.addresses, hostPrefix), otherwise: "`unnumbered` says whose", example: "[10.1.1.1/32, 2001:db8:1::1/128]", doc: "The hub's addresses on each virtual-access interface, at most one of each family; all spokes see the same. Addresses of hosts, without a network: every interface would own it."},
		unnumberedKey(&t.attach.unnumbered),
		mtuKey(&t.mtu), mssKey(&t.adjustMSS), descriptionKey(&t.description),
	}, t.attach.keys()...)
}

func mtuKey(into *given[int]) key {
	return key{name: "mtu", part: integer(into, minMTU, maxMTU), def: "1400", example: "1400", doc: "MTU of the interface; at least 1280 with IPv6."}
}

func mssKey(into *given[int]) key {
	return key{name: "adjust-mss", part: integer(into, 0, maxMSS), def: "0", example: "1360", doc: "Greatest segment size of TCP connections through the interface, both directions; 0 leaves it alone. At most the MTU less 40."}
}

func descriptionKey(into *given[string]) key {
	return key{name: "description", part: text(into, 255), otherwise: "none", example: "branches in the north", doc: "For people: it stands in the alias of the interface (`ip link`), after the peer's name."}
}

// rawTunnel mirrors one tunnel.
type rawTunnel struct {
	header
	nat         given[string]
	mode        given[string]
	address     rawTunnelAddress
	source      given[string]
	destination given[netip.Addr]
	mtu         given[int]
	adjustMSS   given[int]
	description given[string]
	attach      rawAttach
}

func (t *rawTunnel) keys() []key {
	return append([]key{
		{name: "mode", part: choice(&t.mode, "gre", "ipsec"), def: "gre", example: "ipsec", doc: "`gre` is GRE in transport mode, or in tunnel mode where the hub declines transport; `ipsec` is native tunnel mode."},
		{name: "address", part: &t.address, def: "negotiated", example: "negotiated", doc: "`negotiated` takes the addresses that the hub assigns; otherwise the tunnel's own, at most one of each family."},
		{name: "source", part: tunnelSource(&t.source), def: "dynamic", example: "eth0", doc: "Where the tunnel's packets leave from: an interface, or an address of this host. `dynamic`: the client's `sources` decide, or without them the routing table."},
		{name: "destination", part: dynamicOr(&t.destination), def: "dynamic", example: "203.0.113.1", doc: "The hub. `dynamic`: the peer that the client connects to; with an address the client has no `peers`."},
		unnumberedKey(&t.attach.unnumbered),
		mtuKey(&t.mtu), mssKey(&t.adjustMSS), descriptionKey(&t.description),
		natSideKey(&t.nat),
	}, t.attach.keys()...)
}

// dynamicOr is an address, or the zero one for dynamic.
func dynamicOr(into *given[netip.Addr]) part {
	p := unicast(into).(scalarPart[netip.Addr])
	parse := p.parse
	p.kind = "`dynamic` or an IP address"
	p.parse = func(s string) (netip.Addr, error) {
		if s == "dynamic" {
			return netip.Addr{}, nil
		}
		return parse(s)
	}
	return p
}

// tunnelSource is an interface or an address, or "" for dynamic.
func tunnelSource(into *given[string]) part {
	var a given[netip.Addr]
	address := unicast(&a).(scalarPart[netip.Addr]).parse
	return scalarPart[string]{into: into, kind: "`dynamic`, an IP address or an interface", parse: func(s string) (string, error) {
		if s == "dynamic" {
			return "", nil
		}
		if _, err := netip.ParseAddr(s); err == nil {
			_, err := address(s)
			return s, err
		}
		if deviceName(s) != "" {
			return "", problem{text: "must be `dynamic`, an IP address or an interface, not " + quote(s)}
		}
		return s, nil
	}}
}

// rawTunnelAddress is negotiated, or addresses with prefix lengths.
type rawTunnelAddress struct {
	typed      bool
	negotiated bool
	list       []given[netip.Prefix]
}

func (a *rawTunnelAddress) shape() shape {
	return shape{kind: "`negotiated`, an address with prefix length, or a list of them"}
}

func (a *rawTunnelAddress) absent(_ *reader, _ place, def string) { a.negotiated = def == "negotiated" }

func (a *rawTunnelAddress) read(r *reader, f field) {
	a.typed = true
	if word, ok := scalarText(f.node); ok && word == "negotiated" {
		a.negotiated = true
		return
	}
	oneOrListOf(&a.list, hostPrefix).read(r, f)
}

// templateNumber is the rule for the number of a virtual-template.
func templateNumber(s string) string {
	n, err := strconv.Atoi(s)
	if err != nil || strconv.Itoa(n) != s || n < 1 || n > maxTemplate {
		return "it must be a number from 1 to " + strconv.Itoa(maxTemplate)
	}
	return ""
}

// interfaceName is the rule for a name that becomes an interface's: what Linux takes
// (dev_valid_name), and none that exists on every machine.
func interfaceName(s string) string {
	switch {
	case s == "" || len(s) > 15:
		return "an interface's name has 1 to 15 octets"
	case s == "." || s == ".." || strings.ContainsAny(s, "/:%\" \t\n") || word(s) != "":
		return "use letters, digits, '-', '_' and '.'"
	case s == "lo" || s == "all" || s == "default":
		return "the system has this name for itself"
	}
	return ""
}

func (r *reader) templates(raw []entry[rawTemplate], cfg *Config) map[int]*VirtualTemplate {
	out := make(map[int]*VirtualTemplate, len(raw))
	for i := range raw {
		t := &raw[i].v
		n, err := strconv.Atoi(raw[i].name)
		if err != nil {
			continue // the name was refused already
		}
		in := "virtual-template " + raw[i].name
		out[n] = &VirtualTemplate{
			Number: n, Mode: t.mode.v, Addresses: r.numbering(t.addresses, t.attach.unnumbered, raw[i].at, in),
			MTU: t.mtu.v, AdjustMSS: t.adjustMSS.v, Description: t.description.v, Attach: r.attach(&t.attach, cfg, in),
		}
		r.checkInterface(in, t.addresses, t.mtu, t.adjustMSS)
		r.checkShared(in, t.addresses)
	}
	return out
}

// checkShared refuses a network on a template: every clone would own it, and the first alone get it.
func (r *reader) checkShared(in string, addresses []given[netip.Prefix]) {
	for _, a := range addresses {
		if a.ok && !a.v.IsSingleIP() {
			r.fail(a.at, fmt.Sprintf("write %s", netip.PrefixFrom(a.v.Addr(), a.v.Addr().BitLen())),
				"address %s of %s has a network, which every virtual-access would own", a.v, in)
		}
	}
}

func (r *reader) tunnels(raw []entry[rawTunnel], cfg *Config) map[string]*Tunnel {
	out := make(map[string]*Tunnel, len(raw))
	folded := map[string]string{}
	for i := range raw {
		t, name := &raw[i].v, raw[i].name
		in, from := "tunnel "+name, t.attach.unnumbered
		out[name] = &Tunnel{
			Name: name, Mode: t.mode.v, Negotiated: t.address.negotiated && !from.typed, Addresses: valid(t.address.list),
			Destination: t.destination.v, MTU: t.mtu.v, AdjustMSS: t.adjustMSS.v, Description: t.description.v, Attach: r.attach(&t.attach, cfg, in),
		}
		r.tunnelEnds(out[name], t, in)
		switch {
		case from.typed && t.address.typed:
			r.fail(from.at, "remove one of them", "%s has both address and unnumbered", in)
		case from.ok && r.host != nil:
			out[name].Addresses = r.shared(from, in)
		}
		short := name[:min(len(name), 15)]
		if other, again := folded[short]; again {
			r.fail(raw[i].at, "", "tunnels %s and %s would have the same interface name %s", other, name, short)
		}
		folded[short] = name
		r.checkInterface("tunnel "+name, t.address.list, t.mtu, t.adjustMSS)
	}
	return out
}

// tunnelEnds takes a fixed source, which may be an interface, and holds it against a fixed destination.
func (r *reader) tunnelEnds(made *Tunnel, t *rawTunnel, in string) {
	if a, err := netip.ParseAddr(t.source.v); err == nil {
		made.Source = a.Unmap()
	} else {
		made.SourceInterface = t.source.v
	}
	switch {
	case made.Source.IsValid() && made.Destination.IsValid() && made.Source.Is4() != made.Destination.Is4():
		r.fail(t.destination.at, "", "%s goes from %s to %s, which are of two families", in, made.Source, made.Destination)
	case made.SourceInterface != "" && made.SourceInterface == made.Name:
		r.fail(t.source.at, "name the interface towards the hub", "the source of %s is the tunnel itself", in)
	}
}

func (r *reader) checkInterface(in string, addresses []given[netip.Prefix], mtu, mss given[int]) {
	var four, six bool
	for _, a := range addresses {
		seen := &four
		if a.v.Addr().Is6() {
			seen = &six
		}
		if a.ok && *seen {
			r.fail(a.at, "", "%s has a second address of one family", in)
		}
		*seen = *seen || a.ok
	}
	if six && mtu.ok && mtu.v < minMTU6 {
		r.fail(mtu.at, "", "mtu %d of %s is too small for its IPv6 address: the least is %d (RFC 8200 section 5)", mtu.v, in, minMTU6)
	}
	if mtu.ok && mss.ok && mss.v > mtu.v-40 {
		r.fail(mss.at, "", "adjust-mss %d of %s is greater than its mtu %d less 40", mss.v, in, mtu.v)
	}
}

// interfaceClaims are the addresses that the interfaces of the file have themselves.
func interfaceClaims(raw *rawConfig) []claim {
	var out []claim
	add := func(owner string, list []given[netip.Prefix]) {
		for _, a := range list {
			if a.ok {
				out = append(out, claim{Range{a.v.Addr(), a.v.Addr()}, owner, a.at})
			}
		}
	}
	for i := range raw.templates {
		add("virtual-template "+raw.templates[i].name, raw.templates[i].v.addresses)
	}
	for i := range raw.tunnels {
		add("tunnel "+raw.tunnels[i].name, raw.tunnels[i].v.address.list)
	}
	return out
}
