package authz

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	"flexvpn/config"
	"flexvpn/ikev2/wire"
)

// A Named is an identity as a name mangler sees it.
type Named struct {
	Type wire.IDType
	Data string // as in the IDi payload
	EAP  string // the EAP identity; empty: EAP was not used
}

// Mangle derives the name that servers are asked for from an identity. It fails when the mangler
// has no rule for this kind of identity or the part is not there: guessing would hand a peer the
// rights of somebody else.
func Mangle(m *config.NameMangler, of Named) (string, error) {
	name, err := mangled(m, of)
	if err == nil && name == "" {
		err = errors.New("the part it takes is empty")
	}
	if err != nil {
		return "", fmt.Errorf("name-mangler %s: %w", m.Name, err)
	}
	return name, nil
}

func mangled(m *config.NameMangler, of Named) (string, error) {
	if m.Fixed != "" {
		return m.Fixed, nil
	}
	if of.EAP != "" && m.EAP.Part != "" {
		return eapPart(m.EAP, of.EAP)
	}
	switch of.Type {
	case wire.IDFQDN:
		return textPart(m.FQDN, "fqdn", of.Data, ".", false)
	case wire.IDEmail:
		return textPart(m.Email, "email", of.Data, "@", true)
	case wire.IDDN:
		return dnPart(m.DN, of.Data)
	}
	return "", errors.New("an identity of this kind has no parts (use fixed)")
}

// textPart takes all of it, or what stands before or after the separator.
func textPart(part, kind, text, separator string, last bool) (string, error) {
	if part == "" {
		return "", fmt.Errorf("it has no rule for identities of kind %s", kind)
	}
	if part == "all" {
		return text, nil
	}
	i := strings.Index(text, separator)
	if last {
		i = strings.LastIndex(text, separator)
	}
	if i < 0 {
		return "", fmt.Errorf("%q has no %q", text, separator)
	}
	if part == "hostname" || part == "username" {
		return text[:i], nil
	}
	return text[i+1:], nil // domain
}

// eapPart takes all, or what stands before or after the delimiter; a realm's delimiter is the last
// of its kind, a prefix's the first (RFC 7542 section 2.2; "DOMAIN\user").
func eapPart(rule config.EAPNamePart, text string) (string, error) {
	if rule.Part == "dn" {
		return "", errors.New("the EAP identity is no distinguished name")
	}
	if rule.Part == "all" {
		return text, nil
	}
	i := strings.LastIndex(text, rule.Delimiter)
	if rule.Part == "prefix" {
		i = strings.Index(text, rule.Delimiter)
	}
	if i < 0 {
		return "", fmt.Errorf("the EAP identity %q has no %q", text, rule.Delimiter)
	}
	if rule.Part == "prefix" {
		return text[:i], nil
	}
	return text[i+len(rule.Delimiter):], nil
}

// dnParts are the attributes of a distinguished name by the names of IOS.
var dnParts = map[string]asn1.ObjectIdentifier{
	"common-name":       {2, 5, 4, 3},
	"country":           {2, 5, 4, 6},
	"locality":          {2, 5, 4, 7},
	"state":             {2, 5, 4, 8},
	"organization":      {2, 5, 4, 10},
	"organization-unit": {2, 5, 4, 11},
	"domain":            {0, 9, 2342, 19200300, 100, 1, 25},
}

// dnPart takes the first attribute of the kind; domain joins all of them.
func dnPart(part, der string) (string, error) {
	if part == "" {
		return "", errors.New("it has no rule for identities of kind dn")
	}
	var seq pkix.RDNSequence
	if rest, err := asn1.Unmarshal([]byte(der), &seq); err != nil || len(rest) > 0 {
		return "", errors.New("the distinguished name cannot be read")
	}
	if part == "all" {
		return seq.String(), nil
	}
	var found []string
	for _, set := range seq {
		for _, at := range set {
			if at.Type.Equal(dnParts[part]) {
				found = append(found, fmt.Sprint(at.Value))
			}
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("%s has no %s", seq, part)
	}
	if part == "domain" {
		// Written from the top down: DC=net, DC=example.
		for i, j := 0, len(found)-1; i < j; i, j = i+1, j-1 {
			found[i], found[j] = found[j], found[i]
		}
		return strings.Join(found, "."), nil
	}
	return found[0], nil
}
