package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// rawBGP mirrors bgp, or one of its vrfs.
type rawBGP struct {
	header
	asn          given[uint32]
	routerID     given[netip.Addr]
	clusterID    given[netip.Addr]
	listen       []rawBGPListen
	listenLimit  given[int]
	groups       []entry[rawBGPPeer]
	neighbors    []entry[rawBGPNeighbor]
	networks     []given[netip.Prefix]
	aggregates   []rawAggregate
	redistribute rawRedistribute
	maxPaths     given[int]
	distance     rawBGPDistance
	vrfs         []entry[rawBGP]
}

const maxASN = "4294967294"

// asNumber is 1 to 4294967294, in asplain.
func asNumber(into *given[uint32]) part {
	p := scalar(into, "AS number", func(s string) (uint32, error) {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil || n == 0 || n == 1<<32-1 || n == 23456 {
			return 0, problem{text: "must be an AS number of 1 to " + maxASN + ", not " + quote(s)}
		}
		return uint32(n), nil
	})
	p.limits = "1 to " + maxASN
	return p
}

func (b *rawBGP) keys() []key {
	return append(b.own(true),
		key{name: "vrfs", part: mapOf(&b.vrfs, "vrf", interfaceName, func(v *rawBGP) part { return object(&rawVRFBGP{v}) }), doc: "Speakers of VRFs, by the name of the VRF's device. Each has its own table and its own neighbors, and its sessions run in the VRF."})
}

// rawVRFBGP is the speaker of a VRF: what it does not say of itself is as in the main one.
type rawVRFBGP struct{ *rawBGP }

func (b *rawVRFBGP) keys() []key { return b.own(false) }

func (b *rawBGP) own(main bool) []key {
	asn := key{name: "asn", part: asNumber(&b.asn), otherwise: "that of `bgp`", example: "65001", doc: "The AS of this node."}
	if main {
		asn.required, asn.otherwise = true, ""
	}
	return []key{
		asn,
		{name: "router-id", part: address4(&b.routerID), otherwise: "that of `bgp`, or the first IPv4 address of a virtual-template or tunnel", example: "10.1.1.1", doc: "BGP identifier (RFC 4271 section 4.2): an IPv4 address that no other speaker has."},
		{name: "cluster-id", part: address4(&b.clusterID), otherwise: "the router-id", example: "10.1.1.1", doc: "Cluster of this route reflector (RFC 4456 section 7)."},
		{name: "listen", part: listOf(&b.listen, func(v *rawBGPListen) part { return object(v) }), otherwise: "none", doc: "Ranges whose spokes become neighbors when their IKEv2 session is up (`bgp listen range`). A neighbor's address must be the one that its session was assigned, or announced for its own tunnel; the longest range wins."},
		{name: "listen-limit", part: integer(&b.listenLimit, 0, 1000000), def: "0", example: "500", doc: "Neighbors of listen ranges at once; 0 is no limit."},
		{name: "peer-groups", part: mapOf(&b.groups, "peer-group", word, func(v *rawBGPPeer) part { return object(v) }), doc: "Settings that neighbors share, by name."},
		{name: "neighbors", part: mapOf(&b.neighbors, "neighbor", addressName, func(v *rawBGPNeighbor) part { return object(v) }), doc: "Neighbors by address."},
		{name: "networks", part: oneOrListOf(&b.networks, network), otherwise: "none", example: "[192.168.0.0/24]", doc: "Prefixes that are announced as long as the RIB has exactly them from elsewhere than BGP: connected, static or by IKEv2."},
		{name: "aggregates", part: listOf(&b.aggregates, func(v *rawAggregate) part { return object(v) }), otherwise: "none", doc: "Summaries (`aggregate-address`). One is announced, and a discard route to it installed, as long as BGP has a longer prefix inside of it."},
		{name: "redistribute", part: object(&b.redistribute), doc: "Routes of other sources that are announced."},
		{name: "maximum-paths", part: integer(&b.maxPaths, 1, 16), def: "1", example: "2", doc: "Equal paths that traffic is divided over."},
		{name: "distance", part: object(&b.distance), doc: "Administrative distances of what BGP learns."},
	}
}

// addressName is the rule for neighbors.
func addressName(s string) string {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return "it is no address"
	case !isUnicast(a) || a.Zone() != "" || a.String() != s:
		return "it is not the plain address of a host"
	}
	return ""
}

type rawBGPDistance struct {
	header
	external, internal given[int]
}

func (d *rawBGPDistance) keys() []key {
	return []key{
		{name: "external", part: integer(&d.external, 1, 255), def: "20", example: "20", doc: "Of eBGP."},
		{name: "internal", part: integer(&d.internal, 1, 255), def: "200", example: "200", doc: "Of iBGP."},
	}
}

type rawBGPListen struct {
	header
	prefix given[netip.Prefix]
	group  given[string]
}

func (l *rawBGPListen) keys() []key {
	return []key{
		{name: "range", part: network(&l.prefix), required: true, example: "10.1.1.0/24", doc: "Overlay addresses of spokes."},
		{name: "peer-group", part: named(&l.group, word), required: true, example: "spokes", doc: "How they are treated."},
	}
}

type rawAggregate struct {
	header
	prefix      given[netip.Prefix]
	summaryOnly given[bool]
}

func (a *rawAggregate) keys() []key {
	return []key{
		{name: "prefix", part: network(&a.prefix), required: true, example: "10.0.0.0/8", doc: "The summary."},
		{name: "summary-only", part: boolean(&a.summaryOnly), def: "false", example: "true", doc: "Longer prefixes inside of it are not announced, except to peer-groups that `unsuppress` them."},
	}
}

type rawRedistribute struct {
	header
	connected, static, ikev2 given[string]
}

func (d *rawRedistribute) keys() []key {
	of := func(what string) string { return what + ": `any`, or the prefix list they must pass." }
	return []key{
		{name: "connected", part: filter(&d.connected), def: "none", example: "any", doc: of("Prefixes of this node's interfaces")},
		{name: "static", part: filter(&d.static), def: "none", example: "any", doc: of("Static routes")},
		{name: "ikev2", part: filter(&d.ikev2), def: "none", example: "spokes-only", doc: of("Routes of IKEv2 sessions, assigned addresses included")},
	}
}

// rawBGPPeer mirrors a peer-group.
type rawBGPPeer struct {
	header
	asns        []rawASN
	description given[string]
	password    rawPassword
	ttl         given[int]
	multihop    given[int]
	client      given[bool]
	self        given[NextHopSelf]
	unsuppress  given[string]
	in, out     given[string]
	maxPrefixes given[int]
	onlyOwn     given[bool]
	restart     given[time.Duration]
	keepalive   given[time.Duration]
	hold        given[time.Duration]
	source      given[netip.Addr]
	passive     given[bool]
	defaultOut  given[bool]
	families    []given[string]
}

func (p *rawBGPPeer) keys() []key {
	return []key{
		{name: "remote-asn", part: oneOrListOf(&p.asns, func(v *rawASN) part { return v }), otherwise: "the AS of this node", example: "65001", doc: "The neighbor's AS; several that may come, or `any`. The own AS makes it iBGP."},
		descriptionKey(&p.description),
		{name: "password", part: &p.password, otherwise: "none", example: "{file: /etc/flexvpn/bgp.key}", doc: "Key of TCP MD5 signatures (RFC 2385), at most 80 octets, text in the file itself or `{file: PATH}`."},
		{name: "ttl-security", part: integer(&p.ttl, 1, 254), otherwise: "off", example: "1", doc: "Hops to the neighbor at most (RFC 5082): packets from farther away are dropped."},
		{name: "ebgp-multihop", part: integer(&p.multihop, 1, 255), otherwise: "1", example: "2", doc: "TTL of packets to a neighbor in another AS."},
		{name: "route-reflector-client", part: boolean(&p.client), def: "false", example: "true", doc: "iBGP paths are passed on to it, and its own to all (RFC 4456)."},
		{name: "next-hop-self", part: choice(&p.self, NextHopUnchanged, NextHopOwn, NextHopAll), def: "false", example: "all", doc: "This node is the next hop of what it passes on: `true` for paths that are not iBGP's, `all` for reflected ones, too. Its own paths and those to another AS always have it."},
		{name: "unsuppress", part: filter(&p.unsuppress), def: "none", example: "any", doc: "Prefixes that a summary-only aggregate does not hide from these neighbors (`unsuppress-map`): `any`, or those of a prefix list."},
		{name: "import", part: filter(&p.in), def: "any", example: "from-spokes", doc: "Prefixes that are believed."},
		{name: "export", part: filter(&p.out), def: "any", example: "to-spokes", doc: "Prefixes that are announced."},
		{name: "maximum-prefix", part: integer(&p.maxPrefixes, 0, 10000000), def: "0", example: "100", doc: "A neighbor that announces more is shut until it is cleared, or until its spoke's session ends. 0 is no limit."},
		{name: "only-own-prefixes", part: boolean(&p.onlyOwn), def: "false", example: "true", doc: "A spoke is believed for its own address and for what `routes.accept` of its authorization, local or by RADIUS, lets it be the way to, and what RADIUS routes to it (Framed-Route)."},
		{name: "graceful-restart", part: duration(&p.restart, time.Second, 4095*time.Second), otherwise: "off", example: "120s", doc: "A neighbor's paths are kept while its process restarts, for as long as it says (RFC 4724). The time here is for how long it keeps this node's, which is told only in the kernel's data plane: in user space packets stop with the process. A spoke whose IKEv2 session ends is gone at once all the same."},
		{name: "keepalive", part: duration(&p.keepalive, time.Second, 21845*time.Second), def: "60s", example: "10s", doc: "Time between keepalives."},
		{name: "hold", part: duration(&p.hold, 3*time.Second, 65535*time.Second), def: "180s", example: "30s", doc: "A neighbor that says nothing for so long is gone."},
		{name: "update-source", part: unicast(&p.source), otherwise: "what the routing table chooses", example: "10.1.1.2", doc: "Address to call from."},
		{name: "passive", part: boolean(&p.passive), def: "false", example: "true", doc: "The neighbor is not called; it calls. Neighbors of listen ranges always do."},
		{name: "default-originate", part: boolean(&p.defaultOut), def: "false", example: "true", doc: "A default route is announced to these neighbors."},
		{name: "families", part: oneOrListOf(&p.families, func(v *given[string]) part { return choice(v, "ipv4", "ipv6") }), otherwise: "that of the neighbor's address", example: "[ipv4, ipv6]", doc: "Address families, unicast."},
	}
}

// rawASN is an AS number or any.
type rawASN struct {
	any bool
	asn given[uint32]
}

func (a *rawASN) shape() shape { return shape{kind: "AS number, or `any`", limits: "1 to " + maxASN} }

func (a *rawASN) absent(_ *reader, at place, _ string) { a.asn.at = at }

func (a *rawASN) read(r *reader, f field) {
	if text, ok := scalarText(f.node); ok && text == "any" {
		a.any = true
		return
	}
	asNumber(&a.asn).read(r, f)
}

// rawBGPNeighbor is a neighbor: one of a peer-group, or with settings of its own.
type rawBGPNeighbor struct {
	rawBGPPeer
	group given[string]
}

func (n *rawBGPNeighbor) keys() []key {
	group := key{name: "peer-group", part: named(&n.group, word), otherwise: "settings of its own", example: "hubs", doc: "All its settings are those of the group, and none may stand beside it but `description`."}
	return append([]key{group}, n.rawBGPPeer.keys()...)
}

// rawPassword is a password in the file itself or in one of its own.
type rawPassword struct{ rawSecret }

func (p *rawPassword) absent(*reader, place, string) {}

func (p *rawPassword) shape() shape { return shape{kind: "text, or `{file: PATH}`"} }

// bgp resolves the main speaker and those of VRFs, the main one first.
func (r *reader) bgp(raw *rawBGP, cfg *Config) []*BGP {
	if !raw.seen {
		return nil
	}
	main := r.speaker(raw, cfg, "bgp", nil)
	out := []*BGP{main}
	for i := range raw.vrfs {
		s := r.speaker(&raw.vrfs[i].v, cfg, "vrf "+raw.vrfs[i].name, main)
		s.VRF = raw.vrfs[i].name
		out = append(out, s)
	}
	return out
}

func (r *reader) speaker(raw *rawBGP, cfg *Config, in string, main *BGP) *BGP {
	s := &BGP{
		ASN: raw.asn.v, RouterID: raw.routerID.v, ClusterID: raw.clusterID.v, ListenLimit: raw.listenLimit.v, Networks: valid(raw.networks),
		MaxPaths: raw.maxPaths.v, External: uint8(raw.distance.external.v), Internal: uint8(raw.distance.internal.v), Groups: map[string]*BGPPeer{},
	}
	if main != nil && !raw.asn.typed {
		s.ASN = main.ASN
	}
	if !s.RouterID.IsValid() && !raw.routerID.typed {
		if main != nil {
			s.RouterID = main.RouterID
		} else {
			s.RouterID = routerID(cfg)
		}
	}
	if !s.RouterID.IsValid() && !raw.routerID.typed {
		r.fail(raw.at, "for example router-id: 10.1.1.1", "%s has no router-id, and no virtual-template or tunnel has an IPv4 address to take", in)
	}
	if !s.ClusterID.IsValid() {
		s.ClusterID = s.RouterID
	}
	for i := range raw.groups {
		g := &raw.groups[i]
		p := r.bgpPeer(&g.v, cfg, "peer-group "+g.name, s.ASN)
		p.Group = g.name
		s.Groups[g.name] = p
	}
	r.bgpListen(raw, s, in)
	r.bgpNeighbors(raw, s, cfg, in)
	r.bgpOrigins(raw, s, cfg, in)
	return s
}

// routerID is the first IPv4 address of this node's overlay.
func routerID(cfg *Config) netip.Addr {
	var all []netip.Addr
	for _, t := range cfg.Templates {
		for _, p := range t.Addresses {
			all = append(all, p.Addr())
		}
	}
	for _, t := range cfg.Tunnels {
		for _, p := range t.Addresses {
			all = append(all, p.Addr())
		}
	}
	all = slices.DeleteFunc(all, netip.Addr.Is6)
	slices.SortFunc(all, netip.Addr.Compare)
	if len(all) == 0 {
		return netip.Addr{}
	}
	return all[0]
}

func (r *reader) bgpListen(raw *rawBGP, s *BGP, in string) {
	seen := map[netip.Prefix]bool{}
	for _, l := range raw.listen {
		g := s.Groups[l.group.v]
		if l.group.ok && g == nil {
			r.dangling(l.group, "peer-group", "listen of "+in, mapKeys(s.Groups))
		}
		if l.prefix.ok && seen[l.prefix.v] {
			r.fail(l.prefix.at, "remove one", "the range %s of %s is given twice", l.prefix.v, in)
		}
		seen[l.prefix.v] = true
		if l.prefix.ok && g != nil {
			s.Listen = append(s.Listen, BGPListen{l.prefix.v, g})
		}
	}
}

func (r *reader) bgpNeighbors(raw *rawBGP, s *BGP, cfg *Config, in string) {
	for i := range raw.neighbors {
		n := &raw.neighbors[i]
		a, err := netip.ParseAddr(n.name)
		if err != nil {
			continue // said already
		}
		p := s.Groups[n.v.group.v]
		switch {
		case !n.v.group.typed:
			p = r.bgpPeer(&n.v.rawBGPPeer, cfg, "neighbor "+n.name, s.ASN)
		case p == nil:
			r.dangling(n.v.group, "peer-group", "neighbor "+n.name, mapKeys(s.Groups))
			continue
		default:
			if at, own := n.v.ownSetting(); own {
				r.fail(at, "put it into the group, or remove peer-group", "neighbor %s has settings beside its peer-group", n.name)
			}
			if n.v.description.ok {
				own := *p
				own.Description = n.v.description.v
				p = &own
			}
		}
		for _, l := range s.Listen {
			if l.Range.Contains(a) {
				r.fail(n.at, "remove it, or make the range smaller", "neighbor %s is inside of the listen range %s of %s", a, l.Range, in)
			}
		}
		s.Neighbors = append(s.Neighbors, BGPNeighbor{a, p})
	}
}

// ownSetting finds a setting that stands in the file beside peer-group.
func (n *rawBGPNeighbor) ownSetting() (place, bool) {
	for _, a := range n.asns {
		if a.any || a.asn.typed {
			return a.asn.at, true
		}
	}
	for _, f := range n.families {
		if f.typed {
			return f.at, true
		}
	}
	typed := []struct {
		is bool
		at place
	}{
		{n.ttl.typed, n.ttl.at},
		{n.multihop.typed, n.multihop.at},
		{n.client.typed, n.client.at},
		{n.self.typed, n.self.at},
		{n.unsuppress.typed, n.unsuppress.at},
		{n.in.typed, n.in.at},
		{n.out.typed, n.out.at},
		{n.maxPrefixes.typed, n.maxPrefixes.at},
		{n.onlyOwn.typed, n.onlyOwn.at},
		{n.restart.typed, n.restart.at},
		{n.keepalive.typed, n.keepalive.at},
		{n.hold.typed, n.hold.at},
		{n.source.typed, n.source.at},
		{n.passive.typed, n.passive.at},
		{n.defaultOut.typed, n.defaultOut.at},
		{n.password.ok, n.password.at},
	}
	for _, t := range typed {
		if t.is {
			return t.at, true
		}
	}
	return place{}, false
}

const maxMD5Key = 80 // TCP_MD5SIG_MAXKEYLEN of tcp(7)

func (r *reader) bgpPeer(raw *rawBGPPeer, cfg *Config, in string, asn uint32) *BGPPeer {
	p := &BGPPeer{
		Description: raw.description.v, TTLSecurity: raw.ttl.v, Multihop: raw.multihop.v, Client: raw.client.v, NextHopSelf: raw.self.v,
		Unsuppress: r.filterOf(raw.unsuppress, cfg, in), Import: r.filterOf(raw.in, cfg, in), Export: r.filterOf(raw.out, cfg, in),
		MaxPrefixes: raw.maxPrefixes.v, OnlyOwn: raw.onlyOwn.v, GracefulRestart: raw.restart.v, Keepalive: raw.keepalive.v, Hold: raw.hold.v,
		Source: raw.source.v, Passive: raw.passive.v, DefaultOriginate: raw.defaultOut.v,
	}
	for _, a := range raw.asns {
		p.AnyASN = p.AnyASN || a.any
		if a.asn.ok {
			p.RemoteASNs = append(p.RemoteASNs, a.asn.v)
		}
	}
	if len(raw.asns) == 0 {
		p.RemoteASNs = []uint32{asn}
	}
	for _, f := range raw.families {
		p.IPv4 = p.IPv4 || f.v == "ipv4"
		p.IPv6 = p.IPv6 || f.v == "ipv6"
	}
	p.Password = r.resolveSecret(raw.password.rawSecret, "BGP password")
	if p.Password.Len() > maxMD5Key {
		r.fail(raw.password.at, "", "the password of %s has more than %d octets", in, maxMD5Key)
	}
	r.bgpPeerRules(raw, p, in, asn)
	return p
}

func (r *reader) bgpPeerRules(raw *rawBGPPeer, p *BGPPeer, in string, asn uint32) {
	if raw.hold.ok && raw.keepalive.ok && p.Hold < 3*p.Keepalive {
		at := raw.hold.at
		if !raw.hold.typed {
			at = raw.keepalive.at
		}
		r.fail(at, "a third of hold, RFC 4271 section 10", "keepalive %s of %s is too long for hold %s", span(p.Keepalive), in, span(p.Hold))
	}
	internal := p.Internal(asn)
	if p.Client && !internal && asn != 0 {
		r.fail(raw.client.at, fmt.Sprintf("remote-asn: %d", asn), "route-reflector-client of %s is for neighbors in the AS of this node", in)
	}
	if internal && raw.multihop.typed {
		r.fail(raw.multihop.at, "remove it", "ebgp-multihop of %s is for neighbors in another AS", in)
	}
	if raw.ttl.typed && raw.multihop.typed {
		r.fail(raw.multihop.at, "remove one of them", "%s has both ttl-security and ebgp-multihop", in)
	}
	if len(p.RemoteASNs) > 1 && slices.Contains(p.RemoteASNs, asn) {
		r.fail(raw.asns[0].asn.at, "make two peer-groups", "remote-asn of %s has the AS of this node beside others: iBGP and eBGP are treated differently", in)
	}
}

func (r *reader) bgpOrigins(raw *rawBGP, s *BGP, cfg *Config, in string) {
	seen := map[netip.Prefix]bool{}
	for _, a := range raw.aggregates {
		if !a.prefix.ok {
			continue
		}
		if seen[a.prefix.v] {
			r.fail(a.prefix.at, "remove one", "the aggregate %s of %s is given twice", a.prefix.v, in)
		}
		seen[a.prefix.v] = true
		s.Aggregates = append(s.Aggregates, BGPAggregate{a.prefix.v, a.summaryOnly.v})
	}
	for _, d := range []struct {
		source string
		from   given[string]
	}{{"connected", raw.redistribute.connected}, {"static", raw.redistribute.static}, {"ikev2", raw.redistribute.ikev2}} {
		f := r.filterOf(d.from, cfg, "redistribute of "+in)
		if f.Any || f.List != nil {
			s.Redistribute = append(s.Redistribute, BGPRedistribute{d.source, f})
		}
	}
}
