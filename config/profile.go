package config

import (
	"fmt"
	"strconv"
	"time"
)

// rawProfile mirrors one profile.
type rawProfile struct {
	header
	match          rawMatch
	identity       given[Identity]
	authentication rawAuthentication
	keyring        given[string]
	certificate    rawCertificate
	authorization  rawAuthorizations
	accounting     rawAccounting
	template       given[int]
	dpd            rawDPD
	routes         rawRoutes
	lifetime       given[time.Duration]
	proposals      []given[string]
	ipsec          rawProfileIPsec
	replace        given[string]
	eap            rawEAP
	mobility       rawMobility
}

func (p *rawProfile) keys() []key {
	return append([]key{
		{name: "match", part: object(&p.match), doc: "Which peers a profile answers. Required with `virtual-template`."},
		{name: "identity", part: localIdentity(&p.identity), otherwise: "with a pre-shared key the local address, with a certificate its subject", example: "{fqdn: hub1.example.net}", doc: "What this node calls itself."},
		{name: "authentication", part: object(&p.authentication), required: true, example: "{local: psk, remote: psk}", doc: "How both ends prove who they are."},
		{name: "keyring", part: named(&p.keyring, word), otherwise: "none", example: "spokes", doc: "The keyring with the pre-shared keys. Required with `psk`."},
		{name: "certificate", part: object(&p.certificate), doc: "Certificate, private key and trusted authorities. Required with `certificate`."},
		{name: "eap", part: object(&p.eap), doc: "Who judges a hub's peers, or what a client logs in with. Used with `eap` in `authentication`."},
		{name: "authorization", part: object(&p.authorization), doc: "Where a spoke's attributes come from; the user's win over the group's."},
		{name: "accounting", part: object(&p.accounting), doc: "Start, Interim-Update and Stop records of the profile's sessions (RFC 2866)."},
		{name: "virtual-template", part: integer(&p.template, 1, maxTemplate), otherwise: "the profile does not answer: it serves clients only", example: "1", doc: "The template that is cloned for each peer that this profile answers."},
		{name: "dpd", part: object(&p.dpd), doc: "Dead peer detection (RFC 7296 section 2.4)."},
		{name: "routes", part: object(&p.routes), doc: "Clients only: the routes this node pushes to its hub and accepts from it. A hub has them in its authorization policies."},
		{name: "lifetime", part: duration(&p.lifetime, 5*time.Minute, 30*24*time.Hour), def: "24h", example: "8h", doc: "Age at which the IKE SA is rekeyed; it begins a little before."},
		{name: "proposals", part: listOf(&p.proposals, func(v *given[string]) part { return named(v, word) }), otherwise: "all of `ikev2.proposals`", example: "[strong]", doc: "Names of the IKE proposals that a client offers, best first."},
		{name: "ipsec", part: object(&p.ipsec), doc: "What the Child SAs of this profile use instead of the `ipsec` section."},
		{name: "replace-session", part: choice(&p.replace, "identity", "never"), def: "identity", example: "never", doc: "`identity`: a peer that connects again ends its older session; `never`: one identity may have several, whether or not its peers say INITIAL_CONTACT."},
	}, p.mobility.keys()...)
}

type rawMatch struct {
	header
	identity []given[Identity]
}

func (m *rawMatch) keys() []key {
	return []key{
		{name: "identity", part: oneOrListOf(&m.identity, identityPattern), required: true, example: "[{fqdn-domain: branch.example.net}, {address: any}]", doc: "Identities of peers; one that fits is enough. A domain stands for the names inside it."},
	}
}

type rawAuthentication struct {
	header
	local, remote given[AuthMethod]
}

func (a *rawAuthentication) keys() []key {
	method := func(v *given[AuthMethod]) part { return choice(v, AuthPSK, AuthCertificate, AuthEAP) }
	return []key{
		{name: "local", part: method(&a.local), required: true, example: "psk", doc: "How this node proves itself. `eap` is a client's, towards a hub with a certificate (`remote: certificate`)."},
		{name: "remote", part: method(&a.remote), required: true, example: "certificate", doc: "How the peer must prove itself. `eap` is a hub's, which proves itself by certificate (`local: certificate`)."},
	}
}

type rawAuthorizations struct {
	header
	group, user rawAuthorization
}

func (a *rawAuthorizations) keys() []key {
	return []key{
		{name: "group", part: object(groupAuthorization{&a.group}), doc: "What all peers of the profile get."},
		{name: "user", part: object(&a.user), doc: "What wins over the group."},
	}
}

type rawAuthorization struct {
	header
	list        given[string]
	policy      given[string]
	servers     given[string]
	name        given[string]
	mangler     given[string]
	password    rawSecretValue
	unreachable given[string]
	override    given[bool]
}

func (a *rawAuthorization) keys() []key {
	return append([]key{
		{name: "list", part: choice(&a.list, "local", "radius", "cached"), otherwise: "none", example: "radius", doc: "`local` is an authorization policy of this file; `radius` asks servers; `cached` are the attributes that came with the authentication by RADIUS (EAP, or a key from RADIUS), which only a list here takes into account."},
	}, a.shared()...)
}

// shared are the keys that group and user have in common.
func (a *rawAuthorization) shared() []key {
	return []key{
		{name: "policy", part: named(&a.policy, word), otherwise: "none", example: "default", doc: "Name of the policy. Required with `local` and with `unreachable: local`."},
		{name: "servers", part: named(&a.servers, word), otherwise: "the only server group", example: "radius", doc: "With `radius`: the server group to ask."},
		{name: "name", part: text(&a.name, 253), otherwise: "the peer's identity", example: "branches", doc: "With `radius`: the name to ask for (User-Name)."},
		{name: "name-mangler", part: named(&a.mangler, word), otherwise: "the peer's identity", example: "domains", doc: "With `radius`: how the name to ask for is made from the peer's identity. A peer that it has no rule for is refused."},
		{name: "password", part: &a.password, otherwise: "`cisco`, as IOS sends", example: "{file: /etc/flexvpn/aaa.password}", doc: "With `radius`: User-Password of the request, which only shows that a hub asks. It proves nothing of the peer."},
		{name: "unreachable", part: choice(&a.unreachable, "refuse", "local"), def: "refuse", example: "local", doc: "With `radius`, while no server answers: refuse peers, or give them `policy`. Sessions that are up live on in any case."},
	}
}

// groupAuthorization is authorization of a group: it may win over the user's, but nothing cached is
// a group's.
type groupAuthorization struct{ *rawAuthorization }

func (g groupAuthorization) keys() []key {
	return append([]key{
		{name: "list", part: choice(&g.list, "local", "radius"), otherwise: "none", example: "local", doc: "`local` is an authorization policy of this file; `radius` asks servers."},
		{name: "override", part: boolean(&g.override), def: "false", example: "true", doc: "`true`: what the group says wins over the user, attribute by attribute (IOS: `aaa authorization group override`)."},
	}, g.shared()...)
}

type rawDPD struct {
	header
	interval, retry given[time.Duration]
	mode            given[string]
}

func (d *rawDPD) keys() []key {
	return []key{
		{name: "interval", part: duration(&d.interval, time.Second, time.Hour), def: "30s", example: "10s", doc: "Silence after which the peer is probed."},
		{name: "retry", part: duration(&d.retry, 500*time.Millisecond, 10*time.Minute), def: "5s", example: "2s", doc: "Time between probes of a peer that does not answer; after five it is dead."},
		{name: "mode", part: choice(&d.mode, "on-demand", "periodic", "off"), def: "on-demand", example: "periodic", doc: "`on-demand` probes only when packets were sent and none came back, `periodic` whenever nothing was heard, `off` never."},
	}
}

type rawProfileIPsec struct {
	header
	proposals []given[string]
	lifetime  rawLifetime
}

func (i *rawProfileIPsec) keys() []key {
	return []key{
		{name: "proposals", part: listOf(&i.proposals, func(v *given[string]) part { return named(v, word) }), otherwise: "all of `ipsec.proposals`", example: "[suite-b]", doc: "Names of the proposals for Child SAs, best first."},
		{name: "lifetime", part: object(profileLifetime{&i.lifetime}), doc: "When a Child SA of this profile is replaced; each missing key is that of `ipsec.lifetime`."},
	}
}

// profileLifetime is a lifetime whose missing keys come from the ipsec section.
type profileLifetime struct{ *rawLifetime }

func (l profileLifetime) keys() []key {
	keys := l.rawLifetime.keys()
	for i := range keys {
		keys[i].def, keys[i].otherwise = "", "that of `ipsec.lifetime."+keys[i].name+"`"
	}
	return keys
}

// profiles resolves every profile against the rest of cfg, which is resolved already.
func (r *reader) profiles(raw []entry[rawProfile], cfg *Config) []*Profile {
	out := make([]*Profile, 0, len(raw))
	for i := range raw {
		out = append(out, r.profile(raw[i].name, &raw[i].v, cfg))
	}
	return out
}

func (r *reader) profile(name string, raw *rawProfile, cfg *Config) *Profile {
	in := "profile " + name
	p := &Profile{
		Name:        name,
		Local:       raw.authentication.local.v,
		Remote:      raw.authentication.remote.v,
		DPD:         DPD{raw.dpd.interval.v, raw.dpd.retry.v, raw.dpd.mode.v},
		Routes:      r.routes(&raw.routes, cfg, in),
		IKELifetime: raw.lifetime.v,
		Proposals:   r.pick(raw.proposals, cfg.IKEv2.Proposals, "ikev2 proposal", in),
		IPsec:       r.pick(raw.ipsec.proposals, cfg.IPsec.Proposals, "ipsec proposal", in),
		Lifetime:    inherit(&raw.ipsec.lifetime, cfg.IPsec.Lifetime),
		Replace:     raw.replace.v,
		Mobility:    r.mobility(&raw.mobility, cfg, in),
	}
	if raw.identity.ok {
		p.Identity = &raw.identity.v
	}
	for _, id := range raw.match.identity {
		if id.ok {
			p.Match = append(p.Match, id.v)
		}
	}
	if raw.authentication.local.ok && raw.authentication.remote.ok {
		r.methods(raw, p, cfg, in)
	}
	p.Group = r.authorization(&raw.authorization.group, cfg, "group of "+in)
	p.User = r.authorization(&raw.authorization.user, cfg, "user of "+in)
	if p.User.List == "cached" && p.EAP.List != "radius" && (p.Keyring == nil || p.Keyring.AAA == nil) {
		r.fail(raw.authorization.user.list.at, "use list: radius, or authenticate by RADIUS", "list: cached in user of %s: no RADIUS authenticates its peers, so there is nothing cached", in)
	}
	p.Accounting = r.accounting(&raw.accounting, cfg, in)
	r.answering(raw, p, cfg, in)
	return p
}

// inherit is the profile's own lifetime where it stands in the file, the ipsec section's elsewhere.
func inherit(own *rawLifetime, from Lifetime) Lifetime {
	if own.time.typed {
		from.Time = own.time.v
	}
	if own.bytes.typed {
		from.Bytes = own.bytes.v
	}
	if own.packets.typed {
		from.Packets = own.packets.v
	}
	return from
}

// methods checks that each end has what its method needs.
func (r *reader) methods(raw *rawProfile, p *Profile, cfg *Config, in string) {
	auth := &raw.authentication
	r.eap(raw, p, cfg, in)
	psk := p.Local == AuthPSK || p.Remote == AuthPSK
	switch {
	case raw.keyring.ok:
		p.Keyring = cfg.IKEv2.Keyrings[raw.keyring.v]
		if p.Keyring == nil {
			r.dangling(raw.keyring, "keyring", in, mapKeys(cfg.IKEv2.Keyrings))
		}
		if !psk {
			r.warn(raw.keyring.at, "remove it", "%s has a keyring but no psk authentication", in)
		}
		if p.Keyring != nil && p.Keyring.AAA != nil && !raw.template.typed {
			r.fail(raw.keyring.at, "use a keyring with pre-shared-key entries", "keyring %s of %s asks RADIUS: that is for profiles that answer, and this one has no virtual-template", p.Keyring.Name, in)
		}
	case psk && !raw.keyring.typed:
		r.fail(auth.at, "keyring: NAME", "keyring is missing in %s: psk authentication needs one", in)
	}
	r.profileCertificate(raw, p, in)
}

func (r *reader) profileCertificate(raw *rawProfile, p *Profile, in string) {
	local := p.Local == AuthCertificate || p.EAP.Method == EAPTLS
	remote := p.Remote == AuthCertificate
	switch {
	case !raw.certificate.seen && (local || remote):
		r.fail(raw.authentication.at, "certificate: {chain: FILE, key: FILE, ca: [FILE]}", "certificate is missing in %s: certificate authentication needs one", in)
	case raw.certificate.seen && !local && !remote:
		r.warn(raw.certificate.at, "remove it", "%s has a certificate but no certificate authentication", in)
	case raw.certificate.seen:
		p.Certificate = r.certificate(&raw.certificate, in, local, remote)
		if p.Local == AuthCertificate {
			r.warnForeignIdentity(raw.identity, p.Certificate)
		}
	}
}

func (r *reader) authorization(raw *rawAuthorization, cfg *Config, in string) Authorization {
	needsPolicy := raw.list.v == "local" || raw.list.v == "radius" && raw.unreachable.v == "local"
	switch {
	case !raw.seen || raw.list.typed && !raw.list.ok:
	case !raw.list.typed:
		r.fail(raw.at, "list: local", "list is missing in authorization %s", in)
	case needsPolicy && !raw.policy.typed:
		r.fail(raw.at, "policy: NAME", "policy is missing in authorization %s", in)
	case raw.policy.ok && !needsPolicy:
		r.fail(raw.policy.at, "add unreachable: local, or remove it", "policy in authorization %s is never used", in)
	case raw.policy.ok && cfg.Policies[raw.policy.v] == nil:
		r.dangling(raw.policy, "authorization-policy", in, mapKeys(cfg.Policies))
	}
	a := Authorization{List: raw.list.v, Policy: raw.policy.v, Override: raw.override.v, Local: raw.unreachable.v == "local"}
	if raw.list.v == "radius" {
		r.askRadius(&a, raw, cfg, in)
	} else {
		r.noRadius(raw, in)
	}
	return a
}

func (r *reader) askRadius(a *Authorization, raw *rawAuthorization, cfg *Config, in string) {
	a.Servers = r.groupRef(raw.servers, raw.list.at, cfg.AAA.Groups, "authorization "+in)
	a.Mangler = r.manglerRef(raw.mangler, cfg.IKEv2.Manglers, "authorization "+in)
	a.Name, a.Password = raw.name.v, r.password(raw.password)
	if raw.name.typed && raw.mangler.typed {
		r.fail(raw.mangler.at, "remove one of them", "authorization %s has both name and name-mangler", in)
	}
}

// noRadius refuses keys that only a question to servers has.
func (r *reader) noRadius(raw *rawAuthorization, in string) {
	for _, extra := range []struct {
		name  string
		at    place
		typed bool
	}{
		{"servers", raw.servers.at, raw.servers.typed},
		{"name", raw.name.at, raw.name.typed},
		{"name-mangler", raw.mangler.at, raw.mangler.typed},
		{"password", raw.password.at, raw.password.ok},
		{"unreachable", raw.unreachable.at, raw.unreachable.typed},
	} {
		if extra.typed {
			r.fail(extra.at, "use list: radius, or remove it", "%s in authorization %s acts with list: radius only", extra.name, in)
		}
	}
}

// answering checks what only a profile that answers has.
func (r *reader) answering(raw *rawProfile, p *Profile, cfg *Config, in string) {
	if raw.template.ok {
		p.VirtualTemplate = cfg.Templates[raw.template.v]
		if p.VirtualTemplate == nil {
			known := make([]string, 0, len(cfg.Templates))
			for n := range cfg.Templates {
				known = append(known, strconv.Itoa(n))
			}
			ref := given[string]{v: strconv.Itoa(raw.template.v), at: raw.template.at}
			r.dangling(ref, "virtual-template", in, known)
		}
		if !raw.match.seen {
			r.fail(raw.template.at, "match: {identity: [{fqdn-domain: branch.example.net}]}", "match is missing in %s: with a virtual-template it must say which peers it answers", in)
		}
	}
	if raw.template.typed {
		return
	}
	for _, extra := range []struct {
		name string
		header
	}{{"match", raw.match.header}, {"authorization", raw.authorization.header}, {"accounting", raw.accounting.header}} {
		if extra.seen {
			r.fail(extra.at, "add virtual-template, or remove "+extra.name, "%s has %s but no virtual-template: it answers nobody", in, extra.name)
		}
	}
}

func mapKeys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	return out
}

// usedBy warns of profiles that nothing uses and of keys that act only in a client.
func (r *reader) usedBy(raw []entry[rawProfile], clients map[string]*Client) {
	used := map[string]bool{}
	for _, c := range clients {
		if c.Profile != nil {
			used[c.Profile.Name] = true
		}
	}
	for i := range raw {
		name, p := raw[i].name, &raw[i].v
		if used[name] {
			continue
		}
		if !p.template.typed {
			r.warn(raw[i].at, "give it a virtual-template, or name it in a client", "profile %s is used by nothing", name)
		} else if p.routes.seen {
			r.fail(p.routes.at, fmt.Sprintf("move them to the authorization policy of profile %s", name), "routes in profile %s act in a client only, and no client uses it", name)
		}
	}
}
