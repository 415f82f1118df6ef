package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf16"

	"flexvpn/ikev2/wire"
)

// checkIdentity asks that a certificate proves a claimed identity, RFC 4945 section 3.1. Names count
// in the subjectAltName only: the common name of a subject never does.
func checkIdentity(c *x509.Certificate, t wire.IDType, id string) error {
	if id != "" && proves(c, t, id) {
		return nil
	}
	return fmt.Errorf("the peer claims the identity %s, which its certificate %s does not prove: it proves %s. Issue the certificate with that identity%s, or let the peer use one of these",
		identityText(t, id), describe(c), proven(c), where(t))
}

func proves(c *x509.Certificate, t wire.IDType, id string) bool {
	switch t {
	case wire.IDFQDN:
		// No wildcards: the certificate names one host (RFC 4945 section 3.1.2).
		return slices.ContainsFunc(c.DNSNames, func(n string) bool { return sameFold(n, id) })
	case wire.IDEmail:
		return slices.ContainsFunc(c.EmailAddresses, func(n string) bool { return sameMailbox(n, id) })
	case wire.IDIPv4, wire.IDIPv6:
		if want := map[wire.IDType]int{wire.IDIPv4: 4, wire.IDIPv6: 16}; len(id) != want[t] {
			return false
		}
		return slices.ContainsFunc(addresses(c), func(a netip.Addr) bool { return string(a.AsSlice()) == id })
	case wire.IDDN:
		return sameDN(c.RawSubject, []byte(id))
	case wire.IDKeyID:
		return len(c.SubjectKeyId) > 0 && string(c.SubjectKeyId) == id
	}
	return false
}

// addresses are the iPAddress names. crypto/x509 hands IPv4 ones out in 4 octets as they stand in
// the certificate, so an IPv4-mapped IPv6 address stays what it is.
func addresses(c *x509.Certificate) []netip.Addr {
	var out []netip.Addr
	for _, ip := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			out = append(out, a)
		}
	}
	return out
}

// sameFold compares without regard to the case of ASCII letters, and to nothing else: Unicode
// folding would make the Kelvin sign a k.
func sameFold(a, b string) bool {
	return len(a) == len(b) && lower(a) == lower(b)
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// sameMailbox leaves case aside in the domain only, RFC 5280 section 7.5.
func sameMailbox(a, b string) bool {
	i, j := strings.LastIndexByte(a, '@'), strings.LastIndexByte(b, '@')
	return i > 0 && i == j && a[:i] == b[:j] && sameFold(a[i:], b[j:])
}

// sameDN reports whether two encoded distinguished names are the same: octet for octet, or RDN by
// RDN as sets of attributes, whatever kind of string the values are encoded in. Attributes that
// stand together in one RDN and those in two are different names, as IOS writes them. The empty
// name is nobody's.
func sameDN(a, b []byte) bool {
	x, ok := parseDN(a)
	if !ok {
		return false
	}
	if bytes.Equal(a, b) {
		return true
	}
	y, ok := parseDN(b)
	return ok && slices.EqualFunc(x, y, slices.Equal[[]string])
}

// attribute is AttributeTypeAndValue, RFC 5280 section 4.1.2.4.
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type attributeSET []attribute

// parseDN makes each RDN a sorted list of its attributes; a name without any is refused.
func parseDN(der []byte) ([][]string, bool) {
	var raw []attributeSET
	if rest, err := asn1.Unmarshal(der, &raw); err != nil || len(rest) > 0 || len(raw) == 0 {
		return nil, false
	}
	out := make([][]string, 0, len(raw))
	for _, rdn := range raw {
		var set []string
		for _, a := range rdn {
			set = append(set, a.Type.String()+"="+value(a.Value))
		}
		slices.Sort(set)
		out = append(out, set)
	}
	return out, true
}

// value is a string's characters as UTF-8, or the encoding of what is no string.
func value(v asn1.RawValue) string {
	if v.Class == asn1.ClassUniversal && !v.IsCompound {
		switch v.Tag {
		case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagNumericString:
			return "s" + string(v.Bytes)
		case asn1.TagBMPString:
			if len(v.Bytes)%2 == 0 {
				return "s" + utf16Text(v.Bytes)
			}
		}
	}
	return "x" + string(v.FullBytes)
}

func utf16Text(b []byte) string {
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		units = append(units, uint16(b[i])<<8|uint16(b[i+1]))
	}
	return string(utf16.Decode(units))
}

// proven lists what a certificate proves, for people.
func proven(c *x509.Certificate) string {
	var all []string
	for _, n := range slices.Concat(c.DNSNames, c.EmailAddresses) {
		all = append(all, fmt.Sprintf("%.100q", n))
	}
	for _, a := range addresses(c) {
		all = append(all, a.String())
	}
	if c.Subject.String() != "" {
		all = append(all, "the subject "+describe(c))
	}
	if len(c.SubjectKeyId) > 0 {
		all = append(all, "the key id "+hex.EncodeToString(c.SubjectKeyId[:min(len(c.SubjectKeyId), 32)]))
	}
	const most = 6
	if len(all) > most {
		all = append(all[:most], fmt.Sprintf("%d more", len(all)-most))
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, ", ")
}

// where says into what field of a certificate an identity belongs.
func where(t wire.IDType) string {
	switch t {
	case wire.IDFQDN, wire.IDEmail, wire.IDIPv4, wire.IDIPv6:
		return " as a subjectAltName (the common name does not count)"
	}
	return ""
}

func identityText(t wire.IDType, id string) string {
	switch t {
	case wire.IDFQDN, wire.IDEmail:
		return fmt.Sprintf("%.100q", id)
	case wire.IDIPv4, wire.IDIPv6:
		if a, ok := netip.AddrFromSlice([]byte(id)); ok {
			return a.String()
		}
	}
	return fmt.Sprintf("of type %d, %.100x", uint8(t), id)
}
