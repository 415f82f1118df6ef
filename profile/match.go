package profile

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"net/netip"
	"strings"

	"flexvpn/config"
	"flexvpn/ikev2"
	"flexvpn/ikev2/wire"
)

// A Set is the profiles of one configuration in the order of the file.
type Set []*Profile

// NewSet prepares every profile of cfg.
func NewSet(cfg *config.Config) (Set, error) {
	var s Set
	for _, c := range cfg.IKEv2.Profiles {
		p, err := New(cfg, c)
		if err != nil {
			return nil, err
		}
		s = append(s, p)
	}
	return s, nil
}

// Match finds the first profile that answers and whose match list knows the claimed identity.
// wanted is the identity the peer expects of us, zero when it did not say: a profile with another
// identity is then passed over (RFC 7296 section 3.5, "IDr" in the request).
func (s Set) Match(remote, wanted ikev2.Identity) *Profile {
	for _, p := range s {
		if p.Config.VirtualTemplate == nil || !p.knows(remote) {
			continue
		}
		if wanted != (ikev2.Identity{}) && p.local != nil && *p.local != wanted {
			continue
		}
		return p
	}
	return nil
}

func (p *Profile) knows(remote ikev2.Identity) bool {
	for _, m := range p.Config.Match {
		if Matches(m, remote) {
			return true
		}
	}
	return false
}

// Matches reports whether the pattern m covers the identity id. Domain names and mail addresses
// compare without regard to case; a domain pattern covers the names inside it, not itself.
func Matches(m config.Identity, id ikev2.Identity) bool {
	switch m.Kind {
	case config.IDFQDN:
		return id.Type == wire.IDFQDN && strings.EqualFold(m.Value, id.Data)
	case config.MatchFQDNDomain:
		return id.Type == wire.IDFQDN && hasSuffixFold(id.Data, "."+strings.TrimPrefix(m.Value, "."))
	case config.IDEmail:
		return id.Type == wire.IDEmail && strings.EqualFold(m.Value, id.Data)
	case config.MatchEmailDomain:
		return id.Type == wire.IDEmail && hasSuffixFold(id.Data, "@"+strings.TrimPrefix(m.Value, "@"))
	case config.IDKeyID:
		return id.Type == wire.IDKeyID && m.Value == id.Data
	case config.IDAddress:
		return matchesAddress(m.Value, id)
	case config.IDDN:
		return id.Type == wire.IDDN && sameDN(m.Value, id.Data)
	case config.MatchAny:
		return matchesAny(m.Value, id)
	}
	return false
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) > len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

func matchesAddress(pattern string, id ikev2.Identity) bool {
	addr, ok := identityAddr(id)
	if !ok {
		return false
	}
	if pattern == "any" {
		return true
	}
	if p, err := netip.ParsePrefix(pattern); err == nil {
		return p.Contains(addr)
	}
	a, err := netip.ParseAddr(pattern)
	return err == nil && a == addr
}

func identityAddr(id ikev2.Identity) (netip.Addr, bool) {
	if id.Type != wire.IDIPv4 && id.Type != wire.IDIPv6 {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice([]byte(id.Data))
}

func matchesAny(kind string, id ikev2.Identity) bool {
	switch config.IdentityKind(kind) {
	case "":
		return true
	case config.IDAddress:
		return id.Type == wire.IDIPv4 || id.Type == wire.IDIPv6
	case config.IDFQDN:
		return id.Type == wire.IDFQDN
	case config.IDEmail:
		return id.Type == wire.IDEmail
	case config.IDKeyID:
		return id.Type == wire.IDKeyID
	case config.IDDN:
		return id.Type == wire.IDDN
	}
	return false
}

// sameDN compares the text of a distinguished name with an encoded one, attribute by attribute
// and in any order: peers encode the same name as one RDN or as several.
func sameDN(pattern, der string) bool {
	want, got := splitDN(pattern), splitDN(dnText([]byte(der)))
	if len(want) == 0 || len(want) != len(got) {
		return false
	}
	for attribute := range want {
		if !got[attribute] {
			return false
		}
	}
	return true
}

func splitDN(s string) map[string]bool {
	out := map[string]bool{}
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == '+' }) {
		name, value, ok := strings.Cut(part, "=")
		if ok {
			out[strings.ToUpper(strings.TrimSpace(name))+"="+strings.TrimSpace(value)] = true
		}
	}
	return out
}

func dnText(der []byte) string {
	var seq pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &seq); err != nil || len(rest) > 0 {
		return hex.EncodeToString(der)
	}
	return seq.String()
}

// IdentityText is an identity as people read it: "spoke1.branch.example.net", "192.0.2.1",
// "CN=spoke1,O=Example", "key-id:3fa0". Octets that cannot be printed are escaped.
func IdentityText(id ikev2.Identity) string {
	switch id.Type {
	case 0:
		return ""
	case wire.IDFQDN, wire.IDEmail:
		return Printable(id.Data)
	case wire.IDIPv4, wire.IDIPv6:
		if a, ok := identityAddr(id); ok {
			return a.String()
		}
	case wire.IDDN:
		return Printable(dnText([]byte(id.Data)))
	case wire.IDKeyID:
		return "key-id:" + Printable(id.Data)
	}
	return "0x" + hex.EncodeToString([]byte(id.Data))
}

// Printable keeps a hostile identity from drawing on an operator's terminal.
func Printable(s string) string {
	if len(s) > 255 {
		s = s[:255]
	}
	clean := func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == '�' {
			return '?'
		}
		return r
	}
	return strings.Map(clean, s)
}
