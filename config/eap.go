package config

import (
	"strings"
	"time"

	"flexvpn/secret"
)

// EAP is how a profile authenticates by EAP: its peers, where authentication remote is eap, or this
// node, where local is.
type EAP struct {
	Timeout time.Duration // for a person to type; default 2m

	// Towards peers.
	List          string    // "local" or "radius"
	Servers       *AAAGroup // of the radius list
	QueryIdentity bool      // ask for the EAP identity; else the IKE identity is it
	Methods       []EAPMethod
	Users         map[string]EAPUser // of the local list

	// Of this node.
	Method     EAPMethod // the only one it uses; empty: mschapv2, gtc or md5, as the hub wishes
	Username   string
	Password   secret.Bytes // empty: asked for when the client connects
	ServerName string       // of the authentication server's certificate; tls only

	hasPassword bool // one is given, though perhaps none that can be read
}

// EAPMethod is a method by its name.
type EAPMethod string

// The methods.
const (
	EAPMSCHAPv2 EAPMethod = "mschapv2"
	EAPGTC      EAPMethod = "gtc"
	EAPMD5      EAPMethod = "md5"
	EAPTLS      EAPMethod = "tls"
)

// EAPUser is one user of the local list; one field is set.
type EAPUser struct {
	Password secret.Bytes // in clear
	NTHash   secret.Bytes
	Bcrypt   secret.Bytes // the hash as text
}

// rawEAP mirrors the eap section of a profile.
type rawEAP struct {
	header
	timeout given[time.Duration]

	list    given[string]
	query   given[bool]
	methods []given[EAPMethod]
	users   rawUsers
	servers given[string]

	method     given[EAPMethod]
	username   given[string]
	password   rawSecret
	serverName given[string]
}

func (e *rawEAP) keys() []key {
	ofServer := func(v *given[EAPMethod]) part { return choice(v, EAPMSCHAPv2, EAPGTC, EAPMD5) }
	return []key{
		{name: "list", part: choice(&e.list, "local", "radius"), otherwise: "none", example: "local", doc: "Hub: who judges the peers: `local` users of this node, or `radius`, to which the EAP packets are passed through. Required with `remote: eap`."},
		{name: "query-identity", part: boolean(&e.query), def: "false", example: "true", doc: "Hub: ask the peer for its EAP identity. Else its IKE identity is the user name, and must not be an address."},
		{name: "methods", part: listOf(&e.methods, ofServer), def: "[mschapv2]", example: "[mschapv2, gtc]", doc: "Hub with `list: local`: methods offered, best first; a peer may refuse one and get the next. `md5` and `gtc` make no key; both, like all methods, run inside the IKE SA after the hub has proven itself."},
		{name: "users", part: object(&e.users), doc: "Hub with `list: local`: its users."},
		{name: "servers", part: named(&e.servers, word), otherwise: "the only server group", example: "radius", doc: "Hub with `list: radius`: the server group that judges."},
		{name: "method", part: choice(&e.method, EAPMSCHAPv2, EAPGTC, EAPMD5, EAPTLS), otherwise: "`mschapv2`, `gtc` or `md5`, as the hub wishes", example: "mschapv2", doc: "Client: the only method it uses. `tls` needs `chain` and `key` in `certificate`."},
		{name: "username", part: text(&e.username, 253), otherwise: "asked for on the terminal of `flexvpn connect`, if the hub queries the identity; else the IKE identity", example: "spoke1", doc: "Client: the user name."},
		{name: "password", part: passwordPart{&e.password}, otherwise: "asked for on the terminal of `flexvpn connect`", example: "{file: /etc/flexvpn/eap.password}", doc: "Client: the password, as text or `{file: PATH}`; a file's last newline does not count. A file must belong to root or the user of the process, and only the owner may read it."},
		{name: "server-name", part: named(&e.serverName, host), otherwise: "any name, if one of `certificate.ca` signed it", example: "radius.example.net", doc: "Client with `tls`: name in the certificate of the authentication server."},
		{name: "timeout", part: duration(&e.timeout, 5*time.Second, 15*time.Minute), def: "2m", example: "5m", doc: "How long a login may take on a hub, and one answer of a person on a client."},
	}
}

type rawUsers struct {
	header
	file given[string]
}

func (u *rawUsers) keys() []key {
	return []key{
		{name: "file", part: file(&u.file), required: true, example: "/etc/flexvpn/users", doc: "One user a line: `NAME:text:PASSWORD` (any method), `NAME:nt:HASH` (NT hash in hexadecimal: mschapv2 and gtc), or `NAME:$2y$…` (bcrypt, as `htpasswd -nB NAME` prints it: gtc only). Lines that begin with `#` are comments. It must belong to root or the user of the process, and only the owner may read it."},
	}
}

// passwordPart reads a password, which is taken as it is.
type passwordPart struct{ into *rawSecret }

func (p passwordPart) read(r *reader, f field)              { p.into.read(r, f) }
func (p passwordPart) absent(_ *reader, at place, _ string) { p.into.at = at }
func (p passwordPart) shape() shape {
	return shape{kind: "text or `{file: PATH}`", limits: "1 to 256 characters"}
}

// maxPassword is the longest password of RFC 2759 section 4, in characters.
const maxPassword = 256

// resolvePassword fetches a password; its octets are its UTF-8 text.
func (r *reader) resolvePassword(s rawSecret, in string) secret.Bytes {
	octets, ok := r.secretOctets(s, "password")
	if !ok {
		return secret.Bytes{}
	}
	switch n := len([]rune(string(octets))); {
	case n == 0:
		r.fail(s.at, "", "the password in %s is empty", in)
	case n > maxPassword:
		r.fail(s.at, "is this the right file?", "the password in %s has more than %d characters", in, maxPassword)
	}
	return secret.New(octets)
}

// eap checks the eap section against the methods of authentication.
func (r *reader) eap(raw *rawProfile, p *Profile, cfg *Config, in string) {
	e, auth := &raw.eap, &raw.authentication
	hub, client := p.Remote == AuthEAP, p.Local == AuthEAP
	if hub && p.Local != AuthCertificate {
		r.fail(auth.local.at, "local: certificate", "eap in %s needs a certificate for this node: an EAP peer must know its server first (RFC 7296 section 2.16)", in)
	}
	if client && p.Remote != AuthCertificate {
		r.fail(auth.remote.at, "remote: certificate", "local eap in %s needs a hub that proves itself by certificate: else the password goes to whoever answers (RFC 7296 section 2.16)", in)
	}
	if client && raw.template.typed {
		r.fail(raw.template.at, "remove it, or use local: certificate", "%s answers peers, and only who initiates can prove itself by eap", in)
	}
	if hub && !raw.template.typed {
		r.fail(auth.remote.at, "add virtual-template, or use remote: certificate", "%s initiates only, and a hub cannot prove itself by eap", in)
	}
	switch {
	case hub:
		p.EAP.Timeout = e.timeout.v
		r.eapServer(raw, p, cfg, in)
	case client:
		p.EAP.Timeout = e.timeout.v
		r.eapClient(raw, p, in)
	case e.seen:
		r.warn(e.at, "remove it, or use eap in authentication", "%s has an eap section but no eap authentication", in)
	}
}

// A keyUse is a key of the eap section that stands in the file.
type keyUse struct {
	name  string
	at    place
	typed bool
}

func (e *rawEAP) serverKeys() []keyUse {
	uses := []keyUse{{"list", e.list.at, e.list.typed}, {"query-identity", e.query.at, e.query.typed}, {"users", e.users.at, e.users.seen}, {"servers", e.servers.at, e.servers.typed}}
	if len(e.methods) > 0 {
		uses = append(uses, keyUse{"methods", e.methods[0].at, e.methods[0].typed})
	}
	return uses
}

func (e *rawEAP) clientKeys() []keyUse {
	return []keyUse{
		{"method", e.method.at, e.method.typed},
		{"username", e.username.at, e.username.typed},
		{"password", e.password.at, e.password.ok},
		{"server-name", e.serverName.at, e.serverName.typed},
	}
}

func (r *reader) foreignKeys(uses []keyUse, whose, in string) {
	for _, u := range uses {
		if u.typed {
			r.fail(u.at, "remove it", "%s in eap of %s acts %s", u.name, in, whose)
		}
	}
}

func (r *reader) eapServer(raw *rawProfile, p *Profile, cfg *Config, in string) {
	e := &raw.eap
	r.foreignKeys(e.clientKeys(), "on a client only, with authentication local: eap", in)
	p.EAP.List, p.EAP.QueryIdentity = e.list.v, e.query.v
	switch {
	case !e.list.typed:
		r.fail(raw.authentication.remote.at, "eap: {list: local, users: {file: FILE}}", "eap.list is missing in %s: somebody has to know the peers' passwords", in)
	case e.list.v == "radius":
		p.EAP.Servers = r.groupRef(e.servers, e.list.at, cfg.AAA.Groups, "eap of "+in)
		r.eapRadius(e, in)
	case e.list.v == "local" && e.servers.typed:
		r.fail(e.servers.at, "use list: radius, or remove it", "servers in eap of %s acts with list: radius only", in)
	case e.list.v == "local" && !e.users.seen:
		r.fail(e.list.at, "users: {file: FILE}", "users is missing in eap of %s: list is local", in)
	case e.list.v == "local":
		for _, m := range e.methods {
			if m.ok {
				p.EAP.Methods = append(p.EAP.Methods, m.v)
			}
		}
		p.EAP.Users = r.eapUsers(e.users.file, p.EAP.Methods)
	}
}

// eapRadius checks what a pass-through cannot have: the server chooses method and user.
func (r *reader) eapRadius(e *rawEAP, in string) {
	for _, u := range e.serverKeys() {
		if u.typed && (u.name == "users" || u.name == "methods") {
			r.fail(u.at, "remove it", "%s in eap of %s acts with list: local only", u.name, in)
		}
	}
}

func (r *reader) eapClient(raw *rawProfile, p *Profile, in string) {
	e := &raw.eap
	r.foreignKeys(e.serverKeys(), "on a hub only, with authentication remote: eap", in)
	p.EAP.Method, p.EAP.Username, p.EAP.ServerName = e.method.v, e.username.v, e.serverName.v
	p.EAP.Password, p.EAP.hasPassword = r.resolvePassword(e.password, in), e.password.ok
	tls := p.EAP.Method == EAPTLS
	if tls && e.password.ok {
		r.fail(e.password.at, "remove it", "password in eap of %s has no use with method tls", in)
	}
	if e.serverName.typed && !tls {
		r.fail(e.serverName.at, "remove it, or use method: tls", "server-name in eap of %s acts with method tls only", in)
	}
	if raw.identity.ok && raw.identity.v.Kind != IDAddress || e.username.ok {
		return
	}
	r.warn(raw.at, "identity: {fqdn: NAME}, or eap: {username: NAME}", "%s has neither an identity other than an address nor an eap username: a hub that does not query the identity refuses it", in)
}

// eapOf refuses a client that would connect by itself and cannot: nobody is there to type.
func (r *reader) eapOf(c *Client, at place, in string) {
	p := c.Profile
	if p == nil || p.Local != AuthEAP || p.EAP.Method == EAPTLS || p.EAP.hasPassword || c.Connect == "" || c.Connect == ConnectManual {
		return
	}
	r.fail(at, "connect: manual, or eap: {password: {file: FILE}} in profile "+p.Name, "%s connects by itself, but its profile has no password for EAP, and nobody is there to type it", in)
}

// eapUsers reads the users of a local list; those who can log in by no method are worth a warning.
func (r *reader) eapUsers(f given[string], methods []EAPMethod) map[string]EAPUser {
	if !f.ok {
		return nil
	}
	octets, err := r.secretFile(r.path(f.v))
	if err != nil {
		r.failSecretFile(f.at, f.v, err)
		return nil
	}
	users := map[string]EAPUser{}
	for i, line := range strings.Split(string(octets), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line == "" || line[0] == '#' {
			continue
		}
		name, u, why := parseUser(line)
		if _, again := users[name]; again && why == "" {
			why = "the user stands above already"
		}
		if why != "" {
			r.fail(f.at, "", "users file %s, line %d: %s", f.v, i+1, why)
			continue
		}
		if !u.serves(methods) {
			r.warn(f.at, "", "users file %s, line %d: this user cannot log in, none of eap.methods works with what is stored", f.v, i+1)
		}
		users[name] = u
	}
	return users
}
