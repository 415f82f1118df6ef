package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
)

const maxTrack = 1000

// rawTrack mirrors one tracked object.
type rawTrack struct {
	header
	iface        given[string]
	lineProtocol given[string]
	ipRouting    given[string]
	family       given[Family]
	route        rawRouteTrack
	icmp         rawICMPEcho
	tcp          rawTCPConnect
	http         rawHTTPGet
	dns          rawDNSQuery
	list         rawTrackList
	delay        rawDelay
}

func (t *rawTrack) keys() []key {
	return []key{
		{name: "interface", part: named(&t.iface, deviceName), otherwise: "none", example: "eth0", doc: "The interface of `line-protocol` or `ip-routing`."},
		{name: "line-protocol", part: choice(&t.lineProtocol, "up"), otherwise: "not watched", example: "up", doc: "Up while the interface is there, is set up and has a carrier."},
		{name: "ip-routing", part: choice(&t.ipRouting, "up"), otherwise: "not watched", example: "up", doc: "Up while the interface's line protocol is, it has an address of the `family`, and the kernel forwards packets that come in on it."},
		{name: "family", part: choice(&t.family, FamilyIPv4, FamilyIPv6), otherwise: "`ipv4`", example: "ipv6", doc: "Family of `ip-routing`."},
		{name: "route", part: object(&t.route), doc: "Up while a route with exactly this prefix is in the table, and its interface has a carrier."},
		{name: "icmp-echo", part: object(&t.icmp), doc: "Up while a target answers pings."},
		{name: "tcp-connect", part: object(&t.tcp), doc: "Up while a target accepts TCP connections."},
		{name: "http-get", part: object(&t.http), doc: "Up while a server answers GET with a status of 200 to 399."},
		{name: "dns-query", part: object(&t.dns), doc: "Up while a name server gives an answer."},
		{name: "list", part: object(&t.list), doc: "Made of other objects: exactly one of `and`, `or` and `threshold`."},
		{name: "delay", part: object(&t.delay), doc: "How long a change must last before it counts."},
	}
}

type rawRouteTrack struct {
	header
	prefix given[netip.Prefix]
	table  given[int]
	vrf    given[string]
}

func (t *rawRouteTrack) keys() []key {
	return []key{
		{name: "prefix", part: network(&t.prefix), required: true, example: "10.0.0.0/8", doc: "The route's prefix."},
		{name: "table", part: integer(&t.table, 1, 1<<31-1), otherwise: "the main table, or the VRF's", example: "100", doc: "Number of the routing table."},
		{name: "vrf", part: named(&t.vrf, interfaceName), otherwise: "none", example: "internet", doc: "VRF device whose table is looked at."},
	}
}

// rawProbe are the keys that all probes share.
type rawProbe struct {
	source            given[string]
	interval, timeout given[time.Duration]
	up, down          given[int]
}

func (p *rawProbe) keys() []key {
	return []key{
		{name: "source", part: named(&p.source, sourceName), otherwise: "the routing table's choice", example: "eth0", doc: "Interface or address to ask from."},
		{name: "interval", part: duration(&p.interval, 100*time.Millisecond, time.Hour), def: "5s", example: "1s", doc: "Time between two questions."},
		{name: "timeout", part: duration(&p.timeout, 10*time.Millisecond, time.Minute), def: "1s", example: "300ms", doc: "Silence after which a question has failed; at most the interval."},
		{name: "up", part: integer(&p.up, 1, 100), def: "3", example: "1", doc: "Successes in a row after which it is up. The first question of all decides alone."},
		{name: "down", part: integer(&p.down, 1, 100), def: "3", example: "2", doc: "Failures in a row after which it is down."},
	}
}

type rawICMPEcho struct {
	header
	rawProbe
	target given[string]
}

func targetKey(into *given[string], doc string) key {
	return key{name: "target", part: named(into, hostOrAddress), required: true, example: "203.0.113.1", doc: doc}
}

func (p *rawICMPEcho) keys() []key {
	return append([]key{targetKey(&p.target, "Address or name to ping.")}, p.rawProbe.keys()...)
}

type rawTCPConnect struct {
	header
	rawProbe
	target given[string]
	port   given[int]
}

func (p *rawTCPConnect) keys() []key {
	return append([]key{
		targetKey(&p.target, "Address or name to connect to."),
		{name: "port", part: integer(&p.port, 1, 65535), required: true, example: "443", doc: "TCP port."},
	}, p.rawProbe.keys()...)
}

type rawHTTPGet struct {
	header
	rawProbe
	url    given[string]
	verify given[bool]
}

func (p *rawHTTPGet) keys() []key {
	return append([]key{
		{name: "url", part: webAddress(&p.url), required: true, example: "https://portal.example.net/health", doc: "What to get; a redirect counts as an answer and is not followed."},
		{name: "verify", part: boolean(&p.verify), def: "true", example: "false", doc: "Whether the server's certificate must be good."},
	}, p.rawProbe.keys()...)
}

func webAddress(into *given[string]) part {
	return scalar(into, "URL", func(s string) (string, error) {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || len(s) > 1024 {
			return "", problem{"must be an http or https URL without a user, not " + quote(s), "for example https://portal.example.net/health"}
		}
		return s, nil
	})
}

type rawDNSQuery struct {
	header
	rawProbe
	server given[netip.Addr]
	port   given[int]
	name   given[string]
	kind   given[string]
}

func (p *rawDNSQuery) keys() []key {
	return append([]key{
		{name: "server", part: unicast(&p.server), required: true, example: "192.0.2.53", doc: "Name server to ask."},
		{name: "port", part: integer(&p.port, 1, 65535), def: "53", example: "5353", doc: "Its UDP port."},
		{name: "name", part: named(&p.name, host), required: true, example: "hub1.example.net", doc: "Name to ask for."},
		{name: "type", part: choice(&p.kind, "A", "AAAA"), def: "A", example: "AAAA", doc: "Type to ask for."},
	}, p.rawProbe.keys()...)
}

type rawDelay struct {
	header
	up, down given[time.Duration]
}

func (d *rawDelay) keys() []key {
	return []key{
		{name: "up", part: duration(&d.up, 0, time.Hour), def: "0s", example: "20s", doc: "For a change to up."},
		{name: "down", part: duration(&d.down, 0, time.Hour), def: "0s", example: "10s", doc: "For a change to down."},
	}
}

type rawTrackList struct {
	header
	and, or   []rawMember
	threshold rawThreshold
}

func (l *rawTrackList) keys() []key {
	members := func(into *[]rawMember) part { return listOf(into, func(m *rawMember) part { return m }) }
	return []key{
		{name: "and", part: members(&l.and), otherwise: "none", example: "[1, {not: 2}]", doc: "Up while all of these are; `{not: N}` counts as up while N is down."},
		{name: "or", part: members(&l.or), otherwise: "none", example: "[1, 2]", doc: "Up while any of these is."},
		{name: "threshold", part: object(&l.threshold), doc: "Up and down by the weights of those that are up."},
	}
}

type rawThreshold struct {
	header
	objects  []rawWeighted
	up, down given[int]
}

func (t *rawThreshold) keys() []key {
	return []key{
		{name: "objects", part: listOf(&t.objects, func(v *rawWeighted) part { return object(v) }), required: true, example: "[{track: 1, weight: 10}]", doc: "The objects with their weights."},
		{name: "up", part: integer(&t.up, 1, 100000), required: true, example: "20", doc: "Up from this sum of the weights of those that are up on."},
		{name: "down", part: integer(&t.down, 0, 100000), required: true, example: "10", doc: "Down at this sum and below; between the two it stays what it was."},
	}
}

type rawWeighted struct {
	header
	track  given[int]
	weight given[int]
}

func (w *rawWeighted) keys() []key {
	return []key{
		{name: "track", part: integer(&w.track, 1, maxTrack), required: true, example: "1", doc: "Number of the object."},
		{name: "weight", part: integer(&w.weight, 1, 1000), def: "10", example: "20", doc: "What it adds while it is up."},
	}
}

// rawMember is a number, or not: a number.
type rawMember struct {
	number given[int]
	not    bool
}

func (m *rawMember) shape() shape { return shape{kind: "number of an object, or `{not: NUMBER}`"} }

func (m *rawMember) absent(*reader, place, string) {}

func (m *rawMember) read(r *reader, f field) {
	if pairs, ok := pairsOf(f.node); ok && len(pairs) == 1 && keyText(pairs[0]) == "not" {
		m.not = true
		f = field{"not", placeOf(pairs[0].Key), pairs[0].Value}
	} else if _, isMap := f.node.(*ast.MappingNode); isMap {
		r.wrongKind(f, "the number of an object, or {not: NUMBER}")
		return
	}
	integer(&m.number, 1, maxTrack).read(r, f)
}

// trackNumber is the rule for the number of a tracked object.
func trackNumber(s string) string {
	n, err := strconv.Atoi(s)
	if err != nil || strconv.Itoa(n) != s || n < 1 || n > maxTrack {
		return "it must be a number from 1 to " + strconv.Itoa(maxTrack)
	}
	return ""
}

func hostOrAddress(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		if !isUnicast(a) || a.Zone() != "" {
			return "it must be the address of a host"
		}
		return ""
	}
	return host(s)
}

func sourceName(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		if !isUnicast(a) || a.Zone() != "" {
			return "it must be an address of this host"
		}
		return ""
	}
	return deviceName(s)
}

func (r *reader) tracks(raw []entry[rawTrack]) map[int]*Track {
	out := make(map[int]*Track, len(raw))
	for i := range raw {
		n, err := strconv.Atoi(raw[i].name)
		if err != nil {
			continue // the name was refused already
		}
		out[n] = r.track(n, &raw[i].v)
	}
	for i := range raw {
		r.listMembers(&raw[i].v, "track "+raw[i].name, out)
	}
	r.noLoops(raw, out)
	return out
}

func (r *reader) track(n int, t *rawTrack) *Track {
	in := fmt.Sprintf("track %d", n)
	made := &Track{Number: n, Interface: t.iface.v, Family: FamilyIPv4, DelayUp: t.delay.up.v, DelayDown: t.delay.down.v}
	if t.family.typed {
		made.Family = t.family.v
	}
	kinds := map[TrackKind]bool{
		TrackLineProtocol: t.lineProtocol.typed, TrackIPRouting: t.ipRouting.typed, TrackRoute: t.route.seen, TrackICMPEcho: t.icmp.seen,
		TrackTCPConnect: t.tcp.seen, TrackHTTPGet: t.http.seen, TrackDNSQuery: t.dns.seen, TrackList: t.list.seen,
	}
	count := 0
	for kind, given := range kinds {
		if given {
			made.Kind = kind
			count++
		}
	}
	if count != 1 {
		r.fail(t.at, "for example interface: eth0 with line-protocol: up, or icmp-echo: {…}", "%s must watch exactly one thing, not %d", in, count)
		return made
	}
	r.trackInterface(t, made.Kind, in)
	made.Route = RouteTrack{Prefix: t.route.prefix.v, Table: t.route.table.v, VRF: t.route.vrf.v}
	if t.route.table.typed && t.route.vrf.typed {
		r.fail(t.route.vrf.at, "remove one of them", "route of %s has both a table and a vrf", in)
	}
	made.Probe = r.probe(t, made.Kind, in)
	return made
}

func (r *reader) trackInterface(t *rawTrack, kind TrackKind, in string) {
	wants := kind == TrackLineProtocol || kind == TrackIPRouting
	switch {
	case wants && !t.iface.typed:
		r.fail(t.at, "for example interface: eth0", "%s of %s needs an interface", kind, in)
	case !wants && t.iface.typed:
		r.fail(t.iface.at, "remove it", "interface of %s has no meaning with %s", in, kind)
	}
	if t.family.typed && kind != TrackIPRouting {
		r.fail(t.family.at, "remove it", "family of %s has no meaning with %s", in, kind)
	}
}

func (r *reader) probe(t *rawTrack, kind TrackKind, in string) Probe {
	var p Probe
	var raw *rawProbe
	switch kind {
	case TrackICMPEcho:
		raw, p.Target = &t.icmp.rawProbe, t.icmp.target.v
	case TrackTCPConnect:
		raw, p.Target, p.Port = &t.tcp.rawProbe, t.tcp.target.v, t.tcp.port.v
	case TrackHTTPGet:
		raw, p.Target, p.Verify = &t.http.rawProbe, t.http.url.v, t.http.verify.v
	case TrackDNSQuery:
		raw, p.Port, p.Name, p.Type = &t.dns.rawProbe, t.dns.port.v, t.dns.name.v, t.dns.kind.v
		p.Target = t.dns.server.v.String()
	default:
		return p
	}
	p.Source, p.Interval, p.Timeout, p.Up, p.Down = raw.source.v, raw.interval.v, raw.timeout.v, raw.up.v, raw.down.v
	if raw.timeout.ok && raw.interval.ok && p.Timeout > p.Interval {
		at := raw.timeout.at
		if !raw.timeout.typed {
			at = raw.interval.at
		}
		r.fail(at, "make the interval longer or the timeout shorter", "timeout %s of %s is longer than its interval %s", span(p.Timeout), in, span(p.Interval))
	}
	r.oneFamily(raw.source, p.Target, in)
	return p
}

// oneFamily refuses a source address of another family than the target's.
func (r *reader) oneFamily(source given[string], target, in string) {
	s, err1 := netip.ParseAddr(source.v)
	t, err2 := netip.ParseAddr(target)
	if err1 == nil && err2 == nil && s.Is4() != t.Is4() {
		r.fail(source.at, "", "source %s of %s is of another family than its target %s", s, in, t)
	}
}

func (r *reader) listMembers(t *rawTrack, in string, all map[int]*Track) {
	if !t.list.seen {
		return
	}
	var made TrackedList
	add := func(number given[int], not bool, weight int) {
		if !number.ok {
			return
		}
		r.trackRef(number, "list of "+in, all)
		made.Members = append(made.Members, ListMember{Number: number.v, Not: not, Weight: weight})
	}
	count := 0
	for _, rule := range []struct {
		name    ListRule
		members []rawMember
	}{{ListAnd, t.list.and}, {ListOr, t.list.or}} {
		if rule.members != nil {
			count++
			made.Rule = rule.name
		}
		for _, m := range rule.members {
			add(m.number, m.not, 0)
		}
	}
	if th := &t.list.threshold; th.seen {
		count++
		made.Rule, made.Up, made.Down = ListThreshold, th.up.v, th.down.v
		sum := 0
		for _, o := range th.objects {
			add(o.track, false, o.weight.v)
			sum += o.weight.v
		}
		switch {
		case th.up.ok && th.down.ok && th.down.v >= th.up.v:
			r.fail(th.down.at, "", "threshold of %s: down %d must be less than up %d", in, th.down.v, th.up.v)
		case th.up.ok && th.up.v > sum:
			r.fail(th.up.at, "", "threshold of %s can never be reached: up is %d, and all weights together are %d", in, th.up.v, sum)
		}
	}
	if count != 1 {
		r.fail(t.list.at, "and: […], or: […], or threshold: {…}", "list of %s must have exactly one of and, or and threshold", in)
	}
	if n, err := strconv.Atoi(in[len("track "):]); err == nil && all[n] != nil {
		all[n].List = made
	}
}

// trackRef refuses the number of an object that is not there.
func (r *reader) trackRef(number given[int], in string, all map[int]*Track) {
	if !number.ok || all[number.v] != nil {
		return
	}
	var known []string
	for n := range all {
		known = append(known, strconv.Itoa(n))
	}
	slices.Sort(known)
	r.dangling(given[string]{v: strconv.Itoa(number.v), at: number.at, ok: true, typed: true}, "track", in, known)
}

// noLoops refuses lists that contain themselves.
func (r *reader) noLoops(raw []entry[rawTrack], all map[int]*Track) {
	for i := range raw {
		n, _ := strconv.Atoi(raw[i].name)
		if t := all[n]; t != nil && reaches(all, t, n, map[int]bool{}) {
			r.fail(raw[i].at, "take it out of the lists below it", "track %d is made of itself", n)
		}
	}
}

func reaches(all map[int]*Track, from *Track, n int, seen map[int]bool) bool {
	for _, m := range from.List.Members {
		if m.Number == n {
			return true
		}
		if next := all[m.Number]; next != nil && !seen[m.Number] {
			seen[m.Number] = true
			if reaches(all, next, n, seen) {
				return true
			}
		}
	}
	return false
}

// unusedTracks warns of objects that nothing refers to.
func (r *reader) unusedTracks(raw []entry[rawTrack], cfg *Config) {
	used := map[int]bool{}
	for _, c := range cfg.Clients {
		used[c.ConnectTrack.Number] = true
		for _, p := range c.Peers {
			used[p.Track.Number] = true
		}
		for _, s := range c.Sources {
			used[s.Track] = true
		}
	}
	for _, t := range cfg.Tracks {
		for _, m := range t.List.Members {
			used[m.Number] = true
		}
	}
	for i := range raw {
		if n, err := strconv.Atoi(raw[i].name); err == nil && !used[n] {
			r.warn(raw[i].at, "name it in a client, or remove it", "track %d is used by nothing", n)
		}
	}
}
