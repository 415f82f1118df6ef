package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// rawPolicy mirrors one authorization policy.
type rawPolicy struct {
	header
	pool, pool6    given[string]
	netmask        given[netip.Addr]
	dns, wins      []given[netip.Addr]
	splitDNS       []given[string]
	defDomain      given[string]
	backupGateways []given[string]
	banner         given[string]
	routes         rawRoutes
	lines          []given[string]
	session, idle  given[time.Duration]
}

func (p *rawPolicy) keys() []key {
	domain := func(v *given[string]) part { return named(v, host) }
	return []key{
		{name: "pool", part: named(&p.pool, word), otherwise: "no IPv4 address is assigned", example: "flexspokes", doc: "Pool of IPv4 addresses. A pool of IPv6 addresses may stand here too when there is no `ipv6-pool`."},
		{name: "ipv6-pool", part: named(&p.pool6, word), otherwise: "no IPv6 address is assigned", example: "flexspokes6", doc: "Pool of IPv6 addresses."},
		{name: "netmask", part: netmask(&p.netmask), otherwise: "none is sent", example: "255.255.255.255", doc: "INTERNAL_IP4_NETMASK (RFC 7296 section 3.15.1)."},
		{name: "dns", part: oneOrListOf(&p.dns, unicast), otherwise: "none", example: "[192.168.10.5, 2001:db8::5]", doc: "Name servers, at most two of each family."},
		{name: "wins", part: oneOrListOf(&p.wins, address4), otherwise: "none", example: "[10.10.210.10]", doc: "WINS servers, at most two."},
		{name: "split-dns", part: oneOrListOf(&p.splitDNS, domain), otherwise: "none", example: "[example.net]", doc: "Domains that the spoke asks the pushed name servers for, at most ten."},
		{name: "def-domain", part: domain(&p.defDomain), otherwise: "none", example: "example.net", doc: "Default domain."},
		{name: "backup-gateways", part: oneOrListOf(&p.backupGateways, domain), otherwise: "none", example: "[203.0.113.225, hub2.example.net]", doc: "Hubs that a spoke may try when this one is gone: addresses or names, at most ten."},
		{name: "banner", part: prose(&p.banner, 1024), otherwise: "none", example: "Authorized use only", doc: "Text that the spoke logs when it has connected."},
		{name: "routes", part: object(&p.routes), doc: "Routes by IKEv2: what is pushed to the spoke and accepted from it."},
		{name: "interface-config", part: oneOrListOf(&p.lines, func(v *given[string]) part { return text(v, 512) }), otherwise: "the virtual-template alone", example: "[ip mtu 1300, ip access-group from-spokes in]", doc: "Lines of IOS that stand in place of what the virtual-template says, as RADIUS servers send them: `vrf forwarding`, `tunnel vrf`, `ip unnumbered`, `ip address`, `ip mtu`, `ip tcp adjust-mss`, `ip access-group`, `ipv6 traffic-filter`, `service-policy`, `traffic-shape rate`, `rate-limit input`, `tunnel path-mtu-discovery`, `description`, `bandwidth`, each also with `no`."},
		{name: "session-timeout", part: duration(&p.session, time.Minute, maxTimeout), otherwise: "none", example: "24h", doc: "The session ends when it has lasted so long, as RADIUS has Session-Timeout; the spoke may come back at once."},
		{name: "idle-timeout", part: duration(&p.idle, time.Minute, maxTimeout), otherwise: "none", example: "30m", doc: "The session ends when nothing passed its interface for so long, in neither direction, as RADIUS has Idle-Timeout."},
	}
}

// maxTimeout bounds a session's limits.
const maxTimeout = 366 * 24 * time.Hour

func netmask(into *given[netip.Addr]) part {
	return scalar(into, "IPv4 netmask", func(s string) (netip.Addr, error) {
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is4() {
			return a, fmt.Errorf("no netmask")
		}
		b := a.As4()
		n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		if n == 0 || ^n&(^n+1) != 0 { // ones, then zeros
			return a, fmt.Errorf("no netmask")
		}
		return a, nil
	})
}

func (r *reader) policies(raw []entry[rawPolicy], cfg *Config) map[string]*AuthorizationPolicy {
	out := make(map[string]*AuthorizationPolicy, len(raw))
	for i := range raw {
		p, in := &raw[i].v, "authorization-policy "+raw[i].name
		made := &AuthorizationPolicy{
			Name: raw[i].name, Netmask: p.netmask.v, DNS: valid(p.dns), WINS: valid(p.wins),
			SplitDNS: valid(p.splitDNS), DefDomain: p.defDomain.v, BackupGateways: valid(p.backupGateways),
			Banner: p.banner.v, Routes: r.routes(&p.routes, cfg, in), InterfaceConfig: valid(p.lines),
			SessionTimeout: p.session.v, IdleTimeout: p.idle.v,
		}
		for _, l := range p.lines {
			if r.checkLine == nil || !l.ok {
				continue
			}
			if err := r.checkLine(l.v); err != nil {
				r.fail(l.at, "", "%v", err)
			}
		}
		made.Pool = r.poolRef(p.pool, cfg, in)
		made.Pool6 = r.poolRef(p.pool6, cfg, in)
		r.poolFamilies(p, made, in)
		r.atMost(p.dns, 2, "dns", netip.Addr.Is4, "IPv4 address")
		r.atMost(p.dns, 2, "dns", netip.Addr.Is6, "IPv6 address")
		r.atMost(p.wins, 2, "wins", netip.Addr.Is4, "address")
		tooMany(r, p.splitDNS, 10, "split-dns")
		tooMany(r, p.backupGateways, 10, "backup-gateways")
		if p.session.ok && p.idle.ok && p.session.v > 0 && p.session.v <= p.idle.v {
			r.warn(p.idle.at, "remove it, or make it shorter than session-timeout", "idle-timeout of %s never acts: session-timeout comes first", in)
		}
		out[made.Name] = made
	}
	return out
}

func valid[T any](list []given[T]) []T {
	var out []T
	for _, g := range list {
		if g.ok {
			out = append(out, g.v)
		}
	}
	return out
}

func (r *reader) atMost(list []given[netip.Addr], most int, in string, is func(netip.Addr) bool, what string) {
	n := 0
	for _, g := range list {
		if g.ok && is(g.v) {
			if n++; n == most+1 {
				r.fail(g.at, "", "%s has a third %s: there may be %d", in, what, most)
			}
		}
	}
}

func tooMany[T any](r *reader, list []given[T], most int, in string) {
	if len(list) > most {
		r.fail(list[most].at, "", "%s has %d entries: there may be %d", in, len(list), most)
	}
}

func (r *reader) poolRef(ref given[string], cfg *Config, in string) *Pool {
	if !ref.ok {
		return nil
	}
	p := cfg.Pools[ref.v]
	if p == nil {
		r.dangling(ref, "pool", in, mapKeys(cfg.Pools))
	}
	return p
}

// poolFamilies holds that Pool is of IPv4 and Pool6 of IPv6: one pool alone may have either family.
func (r *reader) poolFamilies(raw *rawPolicy, p *AuthorizationPolicy, in string) {
	if p.Pool6 != nil && !p.Pool6.is6() {
		r.fail(raw.pool6.at, "pool: "+p.Pool6.Name, "ipv6-pool of %s is a pool of IPv4 addresses", in)
	}
	if p.Pool == nil || !p.Pool.is6() {
		return
	}
	if raw.pool6.typed {
		r.fail(raw.pool.at, "", "pool and ipv6-pool of %s are both pools of IPv6 addresses", in)
		return
	}
	p.Pool, p.Pool6 = nil, p.Pool
}

// rawRoutes mirrors the routes of a policy or profile.
type rawRoutes struct {
	header
	set      []rawRouteSet
	accept   rawAccept
	distance given[int]
	tag      given[int]
}

func (r *rawRoutes) keys() []key {
	return []key{
		{name: "set", part: oneOrListOf(&r.set, func(v *rawRouteSet) part { return v }), def: "[interface]", example: "[interface, 10.0.0.0/8, our-networks]", doc: "Routes pushed to the peer: prefixes, the name of a prefix list for what it permits, and `interface` for the addresses of the tunnel itself. A rule that permits with `ge` or `le` stands for many prefixes and cannot be pushed. `none` pushes nothing."},
		{name: "accept", part: &r.accept, def: "none", example: "any", doc: "Routes of the peer that are installed: `any`, `none`, the name of a prefix list, or a list of prefixes, which stand for themselves and what lies inside them. A prefix list decides by its rules in their order. IOS accepts any by default; here a peer must be trusted with that."},
		{name: "distance", part: integer(&r.distance, 1, 255), def: "2", example: "10", doc: "Metric of the routes accepted."},
		{name: "tag", part: integer(&r.tag, 1, 497777), def: "1", example: "100", doc: "Tag of the routes accepted, for display."},
	}
}

// rawRouteSet is one entry of set: interface, none, a prefix, or the name of a prefix list.
type rawRouteSet struct {
	word   string
	list   given[string]
	prefix given[netip.Prefix]
}

const routeSetKind = "`interface`, `none`, a prefix or the name of a prefix list"

func (s *rawRouteSet) shape() shape { return shape{kind: routeSetKind} }

func (s *rawRouteSet) absent(_ *reader, at place, def string) {
	s.word, s.prefix.at = def, at
}

func (s *rawRouteSet) read(r *reader, f field) {
	if word, ok := scalarText(f.node); ok && (word == "interface" || word == "none") {
		s.word, s.prefix.at = word, placeOf(f.node)
		return
	}
	if meansList(f.node) {
		named(&s.list, word).read(r, f)
		return
	}
	p := network(&s.prefix).(scalarPart[netip.Prefix])
	p.kind = routeSetKind
	p.read(r, f)
}

// meansList reports whether a value is meant as a name: a prefix has a slash, an address without one is
// a prefix that was written wrong.
func meansList(n ast.Node) bool {
	text, ok := scalarText(n)
	if !ok || word(text) != "" {
		return false
	}
	_, err := netip.ParseAddr(text)
	return err != nil
}

// rawAccept is any, none, the name of a prefix list, or prefixes.
type rawAccept struct {
	list     given[string]
	word     string
	prefixes []given[netip.Prefix]
}

func (a *rawAccept) shape() shape {
	return shape{kind: "`any`, `none`, the name of a prefix list, or a list of prefixes"}
}

func (a *rawAccept) absent(_ *reader, _ place, def string) { a.word = def }

func (a *rawAccept) read(r *reader, f field) {
	if _, ok := f.node.(*ast.SequenceNode); !ok {
		word, ok := scalarText(f.node)
		if ok && (word == "any" || word == "none") {
			a.word = word
			return
		}
		if meansList(f.node) {
			named(&a.list, filterName).read(r, f)
			return
		}
		if !ok || !strings.Contains(word, "/") {
			r.fail(placeOf(f.node), "", "%s must be any, none, the name of a prefix list or a list of prefixes", f.label)
			return
		}
	}
	oneOrListOf(&a.prefixes, network).read(r, f)
}

func (r *reader) routes(raw *rawRoutes, cfg *Config, in string) Routes {
	out := Routes{Distance: uint8(raw.distance.v), Tag: uint32(raw.tag.v)}
	for _, s := range raw.set {
		switch {
		case s.word == "interface":
			out.SetInterface = true
		case s.word == "none" && len(raw.set) > 1:
			r.fail(s.prefix.at, "remove none, or everything else", "none stands beside other routes in set")
		case s.list.ok:
			out.Set = append(out.Set, r.setOf(s.list, cfg, in)...)
		case s.prefix.ok:
			out.Set = append(out.Set, s.prefix.v)
		}
	}
	out.Accept = Accept{Any: raw.accept.word == "any", Prefixes: valid(raw.accept.prefixes)}
	if raw.accept.list.ok {
		out.Accept.List = r.filterOf(raw.accept.list, cfg, "routes.accept of "+in).List
	}
	return out
}

// setOf is what a prefix list permits, prefix by prefix: what is pushed must be told one by one.
func (r *reader) setOf(name given[string], cfg *Config, in string) []netip.Prefix {
	var out []netip.Prefix
	list := r.filterOf(name, cfg, "routes.set of "+in).List
	if list == nil {
		return nil
	}
	for _, rule := range list.Rules {
		switch {
		case !rule.Permit:
		case rule.Most != rule.Prefix.Bits():
			r.fail(name.at, "name a list without ge and le in set; one with them can stand in accept",
				"routes.set of %s names prefix-list %s, which permits many prefixes by its rule for %s", in, list.Name, rule.Prefix)
		case list.Permits(rule.Prefix):
			out = append(out, rule.Prefix)
		}
	}
	return out
}
