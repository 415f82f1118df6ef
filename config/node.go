package config

import (
	"net/netip"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// rawConfig mirrors the whole file.
type rawConfig struct {
	header
	node      given[string]
	stateDir  given[string]
	control   rawControl
	dataPlane given[DataPlane]
	kernel    rawKernel
	log       rawLog
	aaa       rawAAA
	ikev2     rawIKEv2
	ipsec     rawIPsec
	pools     []entry[rawPool]
	templates []entry[rawTemplate]
	clients   []entry[rawClient]
	tunnels   []entry[rawTunnel]
	tracks    []entry[rawTrack]
	metrics   rawMetrics
	dns       rawDNS
	dhcpPools []entry[rawDHCPPool]
	nat       []rawNAT

	prefixLists []entry[[]given[PrefixRule]]
	statics     []rawStatic
	bgp         rawBGP

	accessLists []entry[rawAccessList]
	policyMaps  []entry[rawPolicyMap]
}

func (c *rawConfig) keys() []key {
	return []key{
		{name: "node", part: named(&c.node, word), required: true, example: "hub1", doc: "Name of this node, as logs and `show` print it."},
		{name: "dataplane", part: choice(&c.dataPlane, PlaneAuto, PlaneKernel, PlaneUserspace, PlaneNone), def: string(PlaneAuto), example: "userspace", doc: "Who encrypts packets. `kernel` is the kernel's own ESP, XFRM interfaces and GRE, for a headend; `userspace` is ESP and GRE in this process over TUN devices, which works in containers and on stripped kernels; `auto` takes the kernel where it has all that is needed, else userspace, and says in the log why. `none` carries no packets, for tests of the control plane. See [dataplane.md](dataplane.md)."},
		{name: "kernel", part: object(&c.kernel), doc: "How the kernel's data plane is used."},
		{name: "state-dir", part: absolute(&c.stateDir, 4096), def: "/var/lib/flexvpn", example: "/var/lib/flexvpn", doc: "Folder of what must survive a restart: the leases of the pools."},
		{name: "control", part: object(&c.control), doc: "The control socket, through which `flexvpn show`, `clear` and `debug` talk to the running process."},
		{name: "log", part: object(&c.log), doc: "What is logged, and how."},
		{name: "ikev2", part: object(&c.ikev2), required: true, example: "{keyrings: {…}, profiles: {…}}", doc: "Keys, profiles and policies of IKEv2."},
		{name: "aaa", part: object(&c.aaa), doc: "RADIUS servers: who authenticates peers, says what they get, is told what they used, and steers them. See [aaa.md](aaa.md)."},
		{name: "ipsec", part: object(&c.ipsec), doc: "What Child SAs use, unless a profile says otherwise."},
		{name: "pools", part: mapOf(&c.pools, "pool", word, func(v *rawPool) part { return object(v) }), doc: "Address pools that authorization policies name. No two may overlap, and none may contain an address of a virtual-template or tunnel."},
		{name: "virtual-templates", part: mapOf(&c.templates, "virtual-template", templateNumber, func(v *rawTemplate) part { return object(v) }), doc: "Templates by number. For each spoke the hub clones one of them into a virtual-access interface."},
		{name: "clients", part: mapOf(&c.clients, "client", word, func(v *rawClient) part { return object(v) }), doc: "Client profiles: which hubs this node connects to, and over which tunnel."},
		{name: "tunnels", part: mapOf(&c.tunnels, "tunnel", interfaceName, func(v *rawTunnel) part { return object(v) }), doc: "Tunnel interfaces of clients. The name is the name of the interface: at most 15 octets."},
		{name: "access-lists", part: mapOf(&c.accessLists, "access-list", listName, accessList), otherwise: "none", example: `{from-spokes: ["permit tcp 10.0.0.0/8 any eq 443", permit icmp any any]}`, doc: accessListDoc},
		{name: "policy-maps", part: mapOf(&c.policyMaps, "policy-map", word, func(v *rawPolicyMap) part { return object(v) }), doc: "Rates by name, for `service-policy` of templates and tunnels."},
		{name: "metrics", part: object(&c.metrics), doc: "The Prometheus listener."},
		{name: "tracks", part: mapOf(&c.tracks, "track", trackNumber, func(v *rawTrack) part { return object(v) }), doc: "Tracked objects by number: what clients, their peers and their sources wait for."},
		{name: "dhcp-pools", part: mapOf(&c.dhcpPools, "dhcp-pool", word, func(v *rawDHCPPool) part { return object(v) }), doc: "DHCP for the hosts behind a spoke: a server for each interface that is named here. Leases survive a restart."},
		{name: "prefix-lists", part: mapOf(&c.prefixLists, "prefix-list", filterName, prefixList), otherwise: "none", example: `{from-spokes: [permit 172.16.0.0/12 ge 24 le 24]}`, doc: prefixRuleDoc},
		{name: "static-routes", part: listOf(&c.statics, func(v *rawStatic) part { return object(v) }), otherwise: "none", doc: "Static routes, in the same RIB as everything else."},
		{name: "bgp", part: object(&c.bgp), doc: "The embedded BGP speaker."},
		{name: "dns", part: object(&c.dns), doc: "Split DNS for the hosts behind a spoke: names in domains that a hub pushes are resolved by the servers it pushes, through its tunnel, all others by the default servers. Without this section names are not served."},
		{name: "nat", part: listOf(&c.nat, func(v *rawNAT) part { return object(v) }), otherwise: "nothing is translated", doc: "NAT for the hosts behind a spoke. What leaves by an interface that no entry names keeps its addresses."},
	}
}

type rawControl struct {
	header
	socket given[string]
}

func (c *rawControl) keys() []key {
	return []key{
		// sun_path of unix(7) has 108 octets with the final NUL.
		{name: "socket", part: absolute(&c.socket, 107), def: "/run/flexvpn/control.sock", example: "/run/flexvpn/control.sock", doc: "Path of the unix socket."},
	}
}

type rawLog struct {
	header
	level  given[string]
	format given[string]
}

func (l *rawLog) keys() []key {
	return []key{
		{name: "level", part: choice(&l.level, "debug", "info", "warn", "error"), def: "info", example: "warn", doc: "The least important level that is logged. `info` is one line per session event."},
		{name: "format", part: choice(&l.format, "auto", "text", "json"), def: "auto", example: "json", doc: "`auto` is text on a terminal and JSON otherwise."},
	}
}

type rawMetrics struct {
	header
	listen given[netip.AddrPort]
}

func (m *rawMetrics) keys() []key {
	return []key{
		{name: "listen", part: addressPort(&m.listen), otherwise: "no listener", example: "127.0.0.1:9464", doc: "Address and port that serve `/metrics` over plain HTTP, without authentication: keep it on a loopback or management address."},
	}
}

// rawIKEv2 mirrors the ikev2 section.
type rawIKEv2 struct {
	header
	listen       []rawListen
	addresses    []given[netip.Addr]
	port         given[int]
	natPort      given[int]
	maxHalfOpen  given[int]
	cookie       given[string]
	halfOpenLife given[time.Duration]
	fragmentSize given[int]
	natKeepalive given[time.Duration]
	maxSessions  given[int]
	proposals    []entry[rawProposal]
	keyrings     []entry[rawKeyring]
	manglers     []entry[rawMangler]
	profiles     []entry[rawProfile]
	policies     []entry[rawPolicy]
}

func (i *rawIKEv2) keys() []key {
	return []key{
		{name: "listen", part: listOf(&i.listen, func(v *rawListen) part { return v }), def: "[::, 0.0.0.0]", example: "[203.0.113.1, 2001:db8::1, {address: 0.0.0.0, vrf: internet}]", doc: "Addresses of this host that IKE uses: addresses, or `{address, vrf}` for one in a VRF (front-door VRF)."},
		{name: "addresses", part: listOf(&i.addresses, unicast), otherwise: "those of `listen`; none when that is every address", example: "[203.0.113.1, 2001:db8::1]", doc: "Addresses at which peers reach this node, best first. With MOBIKE they are told to peers, as far as this host has them at the moment: a peer goes to another one when the one it uses is dead or gone."},
		{name: "port", part: integer(&i.port, 1, 65535), def: "500", example: "500", doc: "UDP port of IKE (RFC 7296 section 2)."},
		{name: "nat-port", part: integer(&i.natPort, 1, 65535), def: "4500", example: "4500", doc: "UDP port of IKE and ESP when a NAT is between the peers, or when the data plane has ESP in UDP only (RFC 3948)."},
		{name: "max-half-open", part: integer(&i.maxHalfOpen, 1, 1000000), def: "100", example: "500", doc: "Handshakes under way at once, EAP logins apart; above it a peer must return a cookie first (RFC 7296 section 2.6)."},
		{name: "cookie-challenge", part: choice(&i.cookie, "auto", "always"), def: "auto", example: "always", doc: "`auto` asks for cookies above `max-half-open`, `always` asks every peer."},
		{name: "half-open-timeout", part: duration(&i.halfOpenLife, time.Second, 5*time.Minute), def: "30s", example: "20s", doc: "A handshake that takes longer is forgotten."},
		{name: "fragment-size", part: integer(&i.fragmentSize, 576, 9000), def: "1280", example: "1400", doc: "Octets of the longest IP packet that carries IKE; longer messages are fragmented (RFC 7383)."},
		{name: "nat-keepalive", part: duration(&i.natKeepalive, 5*time.Second, time.Hour), def: "20s", example: "10s", doc: "A node behind a NAT sends a keepalive when it sent nothing for so long (RFC 3948 section 4)."},
		{name: "max-sessions", part: integer(&i.maxSessions, 0, 10000000), def: "0", example: "5000", doc: "Sessions at once; further peers are refused. 0 is no limit."},
		{name: "proposals", part: mapOf(&i.proposals, "proposal", word, func(v *rawProposal) part { return object(ikeProposal{v}) }), otherwise: "the strong algorithms of this version, best first", doc: "Proposals for IKE SAs. What stands here replaces the built-in ones, in the order of the file."},
		{name: "name-manglers", part: mapOf(&i.manglers, "name-mangler", word, func(v *rawMangler) part { return object(v) }), doc: "Rules that make the name of a group or user, which RADIUS is asked for, from a peer's identity."},
		{name: "keyrings", part: mapOf(&i.keyrings, "keyring", word, func(v *rawKeyring) part { return v }), doc: "Pre-shared keys. Of the entries that fit a peer the most specific wins: an identity before an address, a longer prefix before a shorter one."},
		{name: "profiles", part: mapOf(&i.profiles, "profile", word, func(v *rawProfile) part { return object(v) }), required: true, example: "{spokes: {…}}", doc: "IKEv2 profiles. The first in the file that answers (has a `virtual-template`) and matches a peer's identity is used."},
		{name: "authorization-policies", part: mapOf(&i.policies, "authorization-policy", word, func(v *rawPolicy) part { return object(v) }), doc: "What a spoke gets. Profiles name them."},
	}
}

func (r *reader) readRoot(body ast.Node, raw *rawConfig) {
	object(raw).read(r, field{"the file", place{1, 1}, body})
}
