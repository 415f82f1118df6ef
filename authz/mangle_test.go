package authz

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"

	"flexvpn/config"
	"flexvpn/ikev2/wire"
)

func der(t *testing.T, n pkix.Name, extra ...pkix.AttributeTypeAndValue) string {
	t.Helper()
	n.ExtraNames = extra
	b, err := asn1.Marshal(n.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestMangle(t *testing.T) {
	dc := func(v string) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: dnParts["domain"], Value: v}
	}
	dn := Named{Type: wire.IDDN, Data: der(t, pkix.Name{
		CommonName: "spoke1", Organization: []string{"Example"}, OrganizationalUnit: []string{"branches"}, Country: []string{"DE"}, Locality: []string{"Ulm"}, Province: []string{"BW"},
	}, dc("net"), dc("example"))}
	fqdn := Named{Type: wire.IDFQDN, Data: "spoke1.branch.example.net"}
	email := Named{Type: wire.IDEmail, Data: "alice@example.net"}
	eap := Named{Type: wire.IDFQDN, Data: "x.example.net", EAP: `EXAMPLE\alice@example.net`}
	for _, c := range []struct {
		m    config.NameMangler
		of   Named
		want string // begins with ! for a part of the error
	}{
		{config.NameMangler{Fixed: "all"}, Named{Type: wire.IDIPv4, Data: "\x0a\x00\x00\x01"}, "all"},
		{config.NameMangler{FQDN: "all"}, fqdn, "spoke1.branch.example.net"},
		{config.NameMangler{FQDN: "hostname"}, fqdn, "spoke1"},
		{config.NameMangler{FQDN: "domain"}, fqdn, "branch.example.net"},
		{config.NameMangler{FQDN: "domain"}, Named{Type: wire.IDFQDN, Data: "spoke1"}, `!has no "."`},
		{config.NameMangler{FQDN: "domain"}, Named{Type: wire.IDFQDN, Data: "spoke1."}, "!empty"},
		{config.NameMangler{Email: "all"}, email, "alice@example.net"},
		{config.NameMangler{Email: "username"}, email, "alice"},
		{config.NameMangler{Email: "domain"}, email, "example.net"},
		{config.NameMangler{FQDN: "domain"}, email, "!no rule for identities of kind email"},
		{config.NameMangler{DN: "common-name"}, dn, "spoke1"},
		{config.NameMangler{DN: "organization"}, dn, "Example"},
		{config.NameMangler{DN: "organization-unit"}, dn, "branches"},
		{config.NameMangler{DN: "country"}, dn, "DE"},
		{config.NameMangler{DN: "locality"}, dn, "Ulm"},
		{config.NameMangler{DN: "state"}, dn, "BW"},
		{config.NameMangler{DN: "domain"}, dn, "example.net"},
		{config.NameMangler{DN: "common-name"}, Named{Type: wire.IDDN, Data: der(t, pkix.Name{Country: []string{"DE"}})}, "!has no common-name"},
		{config.NameMangler{DN: "common-name"}, Named{Type: wire.IDDN, Data: "junk"}, "!cannot be read"},
		{config.NameMangler{FQDN: "all"}, Named{Type: wire.IDIPv6, Data: strings.Repeat("\x01", 16)}, "!has no parts"},
		{config.NameMangler{EAP: config.EAPNamePart{Part: "suffix", Delimiter: "@"}}, eap, "example.net"},
		{config.NameMangler{EAP: config.EAPNamePart{Part: "prefix", Delimiter: `\`}}, eap, "EXAMPLE"},
		{config.NameMangler{EAP: config.EAPNamePart{Part: "all", Delimiter: "@"}}, eap, eap.EAP},
		{config.NameMangler{EAP: config.EAPNamePart{Part: "suffix", Delimiter: "@"}}, Named{EAP: "alice"}, `!no "@"`},
		{config.NameMangler{FQDN: "hostname"}, eap, "x"}, // no rule for EAP: the IKE identity's
	} {
		c.m.Name = "m"
		got, err := Mangle(&c.m, c.of)
		part, fails := strings.CutPrefix(c.want, "!")
		switch {
		case fails && (err == nil || !strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), "name-mangler m")):
			t.Errorf("%+v of %q: %q, %v, want an error with %q", c.m, c.of.Data, got, err, part)
		case !fails && (err != nil || got != c.want):
			t.Errorf("%+v of %q: %q, %v, want %q", c.m, c.of.Data, got, err, c.want)
		}
	}
}
