package config

import (
	"errors"
	"net/netip"
	"strconv"
	"time"

	"flexvpn/secret"
)

// rawAAA mirrors the aaa section.
type rawAAA struct {
	header
	servers       []entry[rawAAAServer]
	groups        []entry[rawAAAGroup]
	nasIdentifier given[string]
	nasAddress    given[netip.Addr]
	dynamic       rawAAADynamic
}

func (a *rawAAA) keys() []key {
	return []key{
		{name: "servers", part: mapOf(&a.servers, "server", word, func(v *rawAAAServer) part { return object(v) }), doc: "RADIUS servers by name."},
		{name: "groups", part: mapOf(&a.groups, "server group", word, func(v *rawAAAGroup) part { return object(v) }), doc: "Servers that stand in for each other. Profiles, keyrings and accounting name groups."},
		{name: "nas-identifier", part: text(&a.nasIdentifier, 253), otherwise: "the node's name", example: "hub1", doc: "NAS-Identifier in every request (RFC 2865 section 5.32)."},
		{name: "nas-address", part: unicast(&a.nasAddress), otherwise: "the address that requests come from", example: "192.0.2.1", doc: "NAS-IP-Address or NAS-IPv6-Address in every request."},
		{name: "dynamic-authorization", part: object(&a.dynamic), doc: "Who may end and change sessions: Disconnect-Request and CoA-Request (RFC 5176)."},
	}
}

type rawAAAServer struct {
	header
	address     given[netip.Addr]
	transport   given[AAATransport]
	authPort    given[int]
	acctPort    given[int]
	secret      rawSecretValue
	timeout     given[time.Duration]
	tries       given[int]
	source      given[netip.Addr]
	vrf         given[string]
	signed      given[string]
	certificate rawCertificate
	serverName  given[string]
}

func (s *rawAAAServer) keys() []key {
	return []key{
		{name: "address", part: unicast(&s.address), required: true, example: "192.0.2.10", doc: "Address of the server."},
		{name: "transport", part: choice(&s.transport, AAAOverUDP, AAAOverTLS), def: "udp", example: "tls", doc: "`udp` is RADIUS as ever; `tls` is RadSec (RFC 6614) over TLS 1.2 or later, which needs a certificate on both sides."},
		{name: "auth-port", part: integer(&s.authPort, 1, 65535), otherwise: "1812; 2083 over TLS", example: "1645", doc: "Port for Access-Requests; over TLS for everything."},
		{name: "acct-port", part: integer(&s.acctPort, 1, 65535), otherwise: "1813; the auth-port over TLS", example: "1646", doc: "Port for Accounting-Requests."},
		{name: "secret", part: &s.secret, otherwise: "none over UDP: required; `radsec` over TLS (RFC 6614 section 2.3)", example: "{file: /etc/flexvpn/radius.secret}", doc: "The shared secret, in the notation of `pre-shared-key`."},
		{name: "timeout", part: duration(&s.timeout, 100*time.Millisecond, 30*time.Second), def: "2s", example: "1s", doc: "Time to wait for an answer before the request is sent again, spread by up to a tenth."},
		{name: "tries", part: integer(&s.tries, 1, 10), def: "3", example: "2", doc: "How often a request is sent; a server that answered none of them is dead for the group's `dead-time`, and the next one is asked."},
		{name: "source", part: unicast(&s.source), otherwise: "chosen by the routing table", example: "192.0.2.1", doc: "Address that requests come from."},
		{name: "vrf", part: named(&s.vrf, interfaceName), otherwise: "the default routing domain", example: "mgmt", doc: "VRF device through which the server is reached."},
		{name: "message-authenticator", part: choice(&s.signed, "required", "optional"), def: "required", example: "optional", doc: "Whether an answer must carry Message-Authenticator; requests always do. `optional` lets whoever sits on the path turn a reject into an accept (Blast-RADIUS, CVE-2024-3596): only for a server that cannot do better, on a path that is safe by itself."},
		{name: "certificate", part: object(&s.certificate), doc: "Over TLS: this node's certificate and key, and the authorities of the server's."},
		{name: "server-name", part: named(&s.serverName, host), otherwise: "its address", example: "radius.example.net", doc: "Over TLS: the name that the server's certificate must have."},
	}
}

type rawAAAGroup struct {
	header
	servers  []given[string]
	deadTime given[time.Duration]
}

func (g *rawAAAGroup) keys() []key {
	return []key{
		{name: "servers", part: oneOrListOf(&g.servers, func(v *given[string]) part { return named(v, word) }), required: true, example: "[radius1, radius2]", doc: "Names of servers in the order in which they are asked."},
		{name: "dead-time", part: duration(&g.deadTime, time.Second, 24*time.Hour), def: "1m", example: "5m", doc: "How long a server that did not answer is passed over. It is asked for its status meanwhile (RFC 5997) and used again as soon as it answers."},
	}
}

type rawAAADynamic struct {
	header
	listen  []given[netip.Addr]
	ports   []given[int]
	clients []rawAAAClient
}

func (d *rawAAADynamic) keys() []key {
	return []key{
		{name: "listen", part: oneOrListOf(&d.listen, address), def: "[::, 0.0.0.0]", example: "[192.0.2.1]", doc: "Addresses of this host that requests come to."},
		{name: "ports", part: oneOrListOf(&d.ports, func(v *given[int]) part { return integer(v, 1, 65535) }), def: "[3799, 1700]", example: "[3799]", doc: "UDP ports: 3799 is RFC 5176's, 1700 what IOS listens on."},
		{name: "clients", part: listOf(&d.clients, func(v *rawAAAClient) part { return object(v) }), otherwise: "none: nothing listens", doc: "Who may send; requests from anybody else are dropped and counted."},
	}
}

type rawAAAClient struct {
	header
	address given[netip.Prefix]
	secret  rawSecretValue
	signed  given[string]
}

func (c *rawAAAClient) keys() []key {
	return []key{
		{name: "address", part: network(&c.address), required: true, example: "192.0.2.10", doc: "Address or prefix that the requests come from."},
		{name: "secret", part: &c.secret, required: true, example: "{file: /etc/flexvpn/coa.secret}", doc: "The shared secret, in the notation of `pre-shared-key`."},
		{name: "message-authenticator", part: choice(&c.signed, "required", "optional"), def: "optional", example: "required", doc: "Whether a request must carry Message-Authenticator; one that is there must be right in any case."},
	}
}

// rawSecretValue is a shared secret or password.
type rawSecretValue struct{ rawSecret }

func (s *rawSecretValue) absent(_ *reader, at place, _ string) { s.at = at }
func (s *rawSecretValue) shape() shape {
	return shape{kind: "secret: text or `{file: PATH}`", limits: "1 to 128 octets"}
}

// maxSecret is what User-Password can carry (RFC 2865 section 5.2).
const maxSecret = 128

// resolveSecret fetches and decodes a shared secret or password.
func (r *reader) resolveSecret(s rawSecret, noun string) secret.Bytes {
	if !s.ok {
		return secret.Bytes{}
	}
	b, err := r.secretText(s, noun)
	switch {
	case err != nil:
		return secret.Bytes{}
	case len(b) == 0:
		r.fail(s.at, "", "the %s is empty", noun)
	case len(b) > maxSecret:
		r.fail(s.at, "is this the right file?", "the %s has more than %d octets", noun, maxSecret)
	}
	return secret.New(b)
}

var errTold = errors.New("told already")

// secretText is what the file says, or the file that it names.
func (r *reader) secretText(s rawSecret, noun string) ([]byte, error) {
	text, ok := r.secretOctets(s, noun)
	if !ok {
		return nil, errTold
	}
	b, err := decodeKey(string(text))
	if err != nil {
		r.fail(s.at, "", "the %s %v", noun, err)
		return nil, errTold
	}
	return b, nil
}

func (r *reader) aaa(raw *rawAAA) AAA {
	a := AAA{
		Servers: map[string]*AAAServer{}, Groups: map[string]*AAAGroup{},
		NASIdentifier: raw.nasIdentifier.v, NASAddress: raw.nasAddress.v,
		Dynamic: r.aaaDynamic(&raw.dynamic),
	}
	for i := range raw.servers {
		s := r.aaaServer(raw.servers[i].name, &raw.servers[i].v)
		a.Servers[s.Name] = s
	}
	for i := range raw.groups {
		g := r.aaaGroup(raw.groups[i].name, &raw.groups[i].v, a.Servers)
		a.Groups[g.Name] = g
	}
	return a
}

func (r *reader) aaaServer(name string, raw *rawAAAServer) *AAAServer {
	s := &AAAServer{
		Name: name, Address: raw.address.v, Transport: raw.transport.v,
		Secret: r.resolveSecret(raw.secret.rawSecret, "secret"), Timeout: raw.timeout.v, Tries: raw.tries.v,
		Source: raw.source.v, VRF: raw.vrf.v, Unsigned: raw.signed.v == "optional", ServerName: raw.serverName.v,
	}
	if s.Transport == AAAOverTLS {
		r.aaaOverTLS(raw, s)
	} else {
		r.aaaOverUDP(raw, s)
	}
	if s.Source.IsValid() && s.Address.IsValid() && s.Source.Is4() != s.Address.Is4() {
		r.fail(raw.source.at, "", "source and address of server %s are of different families", name)
	}
	if s.Unsigned {
		r.warn(raw.signed.at, "update the server and remove it", "server %s may answer without Message-Authenticator: who sits on the path can forge an accept (CVE-2024-3596)", name)
	}
	return s
}

func (r *reader) aaaOverTLS(raw *rawAAAServer, s *AAAServer) {
	s.AuthPort = uint16(or(raw.authPort, 2083))
	s.AcctPort = s.AuthPort
	if raw.acctPort.typed {
		r.fail(raw.acctPort.at, "remove it", "acct-port of server %s: over TLS one connection carries everything", s.Name)
	}
	if !raw.secret.ok {
		s.Secret = secret.FromString("radsec")
	}
	if !raw.certificate.seen {
		r.fail(raw.transport.at, "certificate: {chain: FILE, key: FILE, ca: [FILE]}", "certificate is missing in server %s: RadSec needs one on both sides", s.Name)
		return
	}
	s.Certificate = r.certificate(&raw.certificate, "server "+s.Name, true, true)
}

func (r *reader) aaaOverUDP(raw *rawAAAServer, s *AAAServer) {
	s.AuthPort, s.AcctPort = uint16(or(raw.authPort, 1812)), uint16(or(raw.acctPort, 1813))
	if !raw.secret.ok && raw.address.ok && raw.secret.at == raw.head().at {
		r.fail(raw.head().at, "secret: {file: PATH}", "secret is missing in server %s", s.Name)
	}
	for _, extra := range []struct {
		name string
		at   place
		seen bool
	}{{"certificate", raw.certificate.at, raw.certificate.seen}, {"server-name", raw.serverName.at, raw.serverName.typed}} {
		if extra.seen {
			r.fail(extra.at, "add transport: tls, or remove it", "%s of server %s acts over TLS only", extra.name, s.Name)
		}
	}
}

func or(g given[int], def int) int {
	if g.ok {
		return g.v
	}
	return def
}

func (r *reader) aaaGroup(name string, raw *rawAAAGroup, servers map[string]*AAAServer) *AAAGroup {
	g := &AAAGroup{Name: name, DeadTime: raw.deadTime.v}
	seen := map[string]bool{}
	for _, ref := range raw.servers {
		switch s := servers[ref.v]; {
		case !ref.ok:
		case s == nil:
			r.dangling(ref, "server", "server group "+name, mapKeys(servers))
		case seen[ref.v]:
			r.fail(ref.at, "", "server %s stands twice in server group %s", ref.v, name)
		default:
			g.Servers = append(g.Servers, s)
		}
		seen[ref.v] = true
	}
	return g
}

func (r *reader) aaaDynamic(raw *rawAAADynamic) AAADynamic {
	if !raw.seen {
		return AAADynamic{}
	}
	d := AAADynamic{Listen: valid(raw.listen)}
	for _, p := range raw.ports {
		if p.ok {
			d.Ports = append(d.Ports, uint16(p.v))
		}
	}
	seen := map[netip.Prefix]bool{}
	for i := range raw.clients {
		c := &raw.clients[i]
		if c.address.ok && seen[c.address.v] {
			r.fail(c.address.at, "", "%s stands twice in clients of dynamic-authorization", c.address.v)
		}
		seen[c.address.v] = true
		d.Clients = append(d.Clients, AAAClient{
			Address: c.address.v, Secret: r.resolveSecret(c.secret.rawSecret, "secret"), Unsigned: c.signed.v == "optional",
		})
	}
	if len(raw.clients) == 0 {
		r.fail(raw.at, "clients: [{address: 192.0.2.10, secret: {file: PATH}}]", "dynamic-authorization has no clients: nobody could use it")
	}
	return d
}

// groupRef finds the group that ref names; without a name the only group there is.
func (r *reader) groupRef(ref given[string], at place, groups map[string]*AAAGroup, in string) *AAAGroup {
	switch {
	case ref.ok && groups[ref.v] == nil:
		r.dangling(ref, "server group", in, mapKeys(groups))
	case ref.ok:
		return groups[ref.v]
	case ref.typed:
	case len(groups) == 1:
		for _, g := range groups {
			return g
		}
	case len(groups) == 0:
		r.fail(at, "aaa: {servers: …, groups: …}", "%s asks RADIUS, but aaa has no server group", in)
	default:
		r.fail(at, "servers: GROUP", "servers is missing in %s: there are %s", in, strconv.Itoa(len(groups))+" server groups")
	}
	return nil
}

// rawMangler mirrors one name mangler.
type rawMangler struct {
	header
	fixed           given[string]
	fqdn, email, dn given[string]
	eap             rawEAPPart
}

func (m *rawMangler) keys() []key {
	return []key{
		{name: "fixed", part: text(&m.fixed, 253), otherwise: "none", example: "branches", doc: "One name for all, whatever the identity."},
		{name: "fqdn", part: choice(&m.fqdn, "all", "hostname", "domain"), otherwise: "no rule: such peers are refused", example: "domain", doc: "Part of an identity `spoke1.branch.example.net`: hostname is `spoke1`, domain `branch.example.net`."},
		{name: "email", part: choice(&m.email, "all", "username", "domain"), otherwise: "no rule: such peers are refused", example: "username", doc: "Part of an identity `alice@example.net`."},
		{name: "dn", part: choice(&m.dn, "all", "common-name", "country", "domain", "locality", "organization", "organization-unit", "state"), otherwise: "no rule: such peers are refused", example: "organization-unit", doc: "Part of a distinguished name; the first one of its kind, `domain` all DC joined."},
		{name: "eap", part: object(&m.eap), doc: "Part of the EAP identity; wins over the others when the peer used EAP."},
	}
}

type rawEAPPart struct {
	header
	part      given[string]
	delimiter given[string]
}

func (e *rawEAPPart) keys() []key {
	return []key{
		{name: "part", part: choice(&e.part, "all", "prefix", "suffix"), required: true, example: "suffix", doc: "All, or what stands before or behind the delimiter."},
		{name: "delimiter", part: choice(&e.delimiter, "@", ".", `\`), def: "@", example: `'\'`, doc: "Where the name is cut."},
	}
}

func (r *reader) manglers(raw []entry[rawMangler]) map[string]*NameMangler {
	out := map[string]*NameMangler{}
	for i := range raw {
		v := &raw[i].v
		m := &NameMangler{Name: raw[i].name, Fixed: v.fixed.v, FQDN: v.fqdn.v, Email: v.email.v, DN: v.dn.v}
		if v.eap.seen {
			m.EAP = EAPNamePart{v.eap.part.v, v.eap.delimiter.v}
		}
		ruled := v.fqdn.typed || v.email.typed || v.dn.typed || v.eap.seen
		switch {
		case v.fixed.typed && ruled:
			r.fail(v.fixed.at, "remove fixed, or the other rules", "name-mangler %s has a fixed name: its other rules never act", m.Name)
		case !v.fixed.typed && !ruled:
			r.fail(raw[i].at, "for example fqdn: domain", "name-mangler %s has no rule", m.Name)
		}
		out[m.Name] = m
	}
	return out
}

// manglerRef finds the mangler that ref names; nil without one.
func (r *reader) manglerRef(ref given[string], manglers map[string]*NameMangler, in string) *NameMangler {
	if !ref.ok {
		return nil
	}
	if manglers[ref.v] == nil {
		r.dangling(ref, "name-mangler", in, mapKeys(manglers))
	}
	return manglers[ref.v]
}

// rawKeyring is a list of peers, or where to ask for each peer's keys.
type rawKeyring struct {
	peers []rawKeyringPeer
	aaa   rawAAAKeys
	byAAA bool
	at    place
}

func (k *rawKeyring) shape() shape {
	s := k.list().shape()
	s.kind += ", or `{aaa: …}`, which asks RADIUS for the keys of each peer"
	return s
}

func (k *rawKeyring) list() part {
	return listOf(&k.peers, func(p *rawKeyringPeer) part { return object(p) })
}

func (k *rawKeyring) absent(*reader, place, string) {}

func (k *rawKeyring) read(r *reader, f field) {
	k.at = f.at
	if pairs, ok := pairsOf(f.node); ok && len(pairs) == 1 && keyText(pairs[0]) == "aaa" {
		k.byAAA = true
		object(&k.aaa).read(r, field{"aaa of " + f.label, placeOf(pairs[0].Key), pairs[0].Value})
		return
	}
	k.list().read(r, f)
}

type rawAAAKeys struct {
	header
	servers  given[string]
	mangler  given[string]
	password rawSecretValue
}

func (a *rawAAAKeys) keys() []key {
	return []key{
		{name: "servers", part: named(&a.servers, word), otherwise: "the only server group", example: "radius", doc: "Server group that has the keys: Tunnel-Password for both directions, or the pairs `ipsec:ikev2-password-local` and `-remote`."},
		{name: "name-mangler", part: named(&a.mangler, word), otherwise: "the peer's IKE identity", example: "hosts", doc: "How the name that is asked for is made from the peer's identity."},
		{name: "password", part: &a.password, otherwise: "`cisco`, as IOS sends", example: "{file: /etc/flexvpn/aaa.password}", doc: "User-Password of the request, which only shows that a hub asks."},
	}
}

func (r *reader) aaaKeys(raw *rawAAAKeys, cfg *Config, in string) *AAAKeys {
	return &AAAKeys{
		Group: r.groupRef(raw.servers, raw.at, cfg.AAA.Groups, in), Mangler: r.manglerRef(raw.mangler, cfg.IKEv2.Manglers, in),
		Password: r.password(raw.password),
	}
}

// password is what authorization requests carry: IOS sends cisco unless told otherwise.
func (r *reader) password(raw rawSecretValue) secret.Bytes {
	if !raw.ok {
		return secret.FromString("cisco")
	}
	return r.resolveSecret(raw.rawSecret, "password")
}

type rawAccounting struct {
	header
	servers given[string]
	interim given[time.Duration]
}

func (a *rawAccounting) keys() []key {
	return []key{
		{name: "servers", part: named(&a.servers, word), otherwise: "the only server group", example: "radius", doc: "Server group that gets the records."},
		{name: "interim", part: duration(&a.interim, time.Minute, 24*time.Hour), otherwise: "none, unless the server asks for them (Acct-Interim-Interval)", example: "10m", doc: "Time between Interim-Updates, spread by up to a tenth; what the server asks for wins."},
	}
}

func (r *reader) accounting(raw *rawAccounting, cfg *Config, in string) ProfileAccounting {
	if !raw.seen {
		return ProfileAccounting{}
	}
	return ProfileAccounting{Group: r.groupRef(raw.servers, raw.at, cfg.AAA.Groups, "accounting of "+in), Interim: raw.interim.v}
}

// usedAAA warns of what nothing uses.
func (r *reader) usedAAA(raw *rawAAA, cfg *Config) {
	used := map[*AAAGroup]bool{}
	for _, k := range cfg.IKEv2.Keyrings {
		if k.AAA != nil {
			used[k.AAA.Group] = true
		}
	}
	for _, p := range cfg.IKEv2.Profiles {
		used[p.Group.Servers], used[p.User.Servers], used[p.Accounting.Group] = true, true, true
		used[p.EAP.Servers] = true
	}
	for i := range raw.groups {
		if !used[cfg.AAA.Groups[raw.groups[i].name]] {
			r.warn(raw.groups[i].at, "name it in a profile or keyring", "server group %s is used by nothing", raw.groups[i].name)
		}
	}
}
