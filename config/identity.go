package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// localKinds are what this node may call itself (RFC 7296 section 3.5); patternKinds are what a
// peer may be matched by.
var (
	localKinds   = []IdentityKind{IDFQDN, IDEmail, IDAddress, IDKeyID}
	patternKinds = []IdentityKind{IDFQDN, MatchFQDNDomain, IDEmail, MatchEmailDomain, IDAddress, IDKeyID, IDDN}
)

const (
	localIdentityKind   = "one of `{fqdn: NAME}`, `{email: NAME@DOMAIN}`, `{address: IP}`, `{key-id: TEXT}`"
	patternIdentityKind = "`any`, or one of `{fqdn: NAME}`, `{fqdn-domain: DOMAIN}`, `{email: NAME@DOMAIN}`, `{email-domain: DOMAIN}`, `{address: IP or PREFIX}`, `{key-id: TEXT}`, `{dn: NAME}`; `any` stands for every name, address or text of a kind"
)

// localIdentity reads what this node calls itself.
func localIdentity(into *given[Identity]) part {
	return identityPart{into: into, kinds: localKinds, text: localIdentityKind}
}

// identityPattern reads what a peer is matched by.
func identityPattern(into *given[Identity]) part {
	return identityPart{into: into, kinds: patternKinds, pattern: true, text: patternIdentityKind}
}

type identityPart struct {
	into    *given[Identity]
	kinds   []IdentityKind
	pattern bool
	text    string
}

func (p identityPart) absent(_ *reader, at place, _ string) { *p.into = given[Identity]{at: at} }

func (p identityPart) shape() shape { return shape{kind: p.text} }

func (p identityPart) read(r *reader, f field) {
	*p.into = given[Identity]{at: placeOf(f.node), typed: true}
	if word, ok := scalarText(f.node); ok && p.pattern && word == string(MatchAny) {
		p.into.v, p.into.ok = Identity{Kind: MatchAny}, true
		return
	}
	pairs, ok := pairsOf(f.node)
	if !ok || len(pairs) != 1 {
		r.fail(placeOf(f.node), "for example {fqdn: hub1.example.net}", "%s must be one kind with its value", f.label)
		return
	}
	name, at, ok := r.keyName(pairs[0], f.label, map[string]place{})
	if !ok {
		return
	}
	kind := IdentityKind(name)
	if !slices.Contains(p.kinds, kind) {
		p.unknownKind(r, at, name, f.label)
		return
	}
	if _, null := pairs[0].Value.(*ast.NullNode); null {
		r.fail(at, "", "%s has no value", name)
		return
	}
	text, ok := scalarText(pairs[0].Value)
	if !ok {
		r.wrongKind(field{name, at, pairs[0].Value}, "text")
		return
	}
	id, wrong := parseIdentity(kind, text, p.pattern)
	if wrong != "" {
		r.fail(placeOf(pairs[0].Value), "", "%s %s", name, wrong)
		return
	}
	p.into.v, p.into.ok = id, true
}

func (p identityPart) unknownKind(r *reader, at place, name, in string) {
	if slices.Contains(patternKinds, IdentityKind(name)) {
		remedy := "for example {fqdn: spoke1.example.net}"
		if IdentityKind(name) == IDDN {
			remedy = "leave identity out: with a certificate its subject is the identity"
		}
		r.fail(at, remedy, "a node cannot call itself by %s", name)
		return
	}
	keys := make([]key, len(p.kinds))
	for i, k := range p.kinds {
		keys[i].name = string(k)
	}
	r.unknownKey(at, name, in, keys)
}

// parseIdentity checks text and brings it into one form; wrong continues the name of the kind.
func parseIdentity(kind IdentityKind, text string, pattern bool) (id Identity, wrong string) {
	if pattern && text == string(MatchAny) && !strings.HasSuffix(string(kind), "-domain") {
		return Identity{MatchAny, string(kind)}, ""
	}
	switch kind {
	case IDFQDN:
		wrong = host(text)
	case MatchFQDNDomain:
		text = strings.TrimPrefix(text, ".")
		wrong = host(text)
	case IDEmail:
		user, domain, ok := strings.Cut(text, "@")
		if wrong = host(domain); !ok || user == "" || !printableText(user) {
			wrong = "an e-mail address is NAME@DOMAIN"
		}
	case MatchEmailDomain:
		text = strings.TrimPrefix(text, "@")
		wrong = host(text)
	case IDAddress:
		return addressIdentity(text, pattern)
	case IDKeyID:
		if text == "" || len(text) > 255 || !printableText(text) {
			wrong = "it must have 1 to 255 octets without control characters"
		}
	case IDDN:
		if !strings.Contains(text, "=") || len(text) > 1024 {
			wrong = "a distinguished name is like CN=spoke1,O=Example"
		}
	}
	if wrong != "" {
		return id, fmt.Sprintf("cannot be %s: %s", quote(text), wrong)
	}
	return Identity{kind, text}, ""
}

func addressIdentity(text string, pattern bool) (Identity, string) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" && !a.Is4In6() {
		return Identity{IDAddress, a.String()}, ""
	}
	if !pattern {
		return Identity{}, fmt.Sprintf("must be an IP address, not %s", quote(text))
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return Identity{}, fmt.Sprintf("must be an IP address, a prefix or any, not %s", quote(text))
	}
	if p != p.Masked() {
		return Identity{}, fmt.Sprintf("%s has bits set outside its prefix length: write %s", quote(text), p.Masked())
	}
	return Identity{IDAddress, p.String()}, ""
}

func printableText(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}
