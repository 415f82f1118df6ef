package profile

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/netip"
	"testing"

	"flexvpn/config"
	"flexvpn/ikev2"
	"flexvpn/ikev2/wire"
	"flexvpn/secret"
)

func dn(t *testing.T, name pkix.Name) string {
	t.Helper()
	der, err := asn1.Marshal(name.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	return string(der)
}

func TestMatches(t *testing.T) {
	spoke := ikev2.Identity{Type: wire.IDFQDN, Data: "Spoke1.Branch.example.net"}
	mail := ikev2.Identity{Type: wire.IDEmail, Data: "ada@example.net"}
	four := AddressIdentity(netip.MustParseAddr("192.0.2.7"))
	six := AddressIdentity(netip.MustParseAddr("2001:db8::7"))
	subject := ikev2.Identity{Type: wire.IDDN, Data: dn(t, pkix.Name{CommonName: "spoke1", Organization: []string{"Example"}})}
	for _, c := range []struct {
		pattern config.Identity
		id      ikev2.Identity
		want    bool
	}{
		{config.Identity{Kind: config.IDFQDN, Value: "spoke1.branch.example.net"}, spoke, true},
		{config.Identity{Kind: config.IDFQDN, Value: "spoke2.branch.example.net"}, spoke, false},
		{config.Identity{Kind: config.IDFQDN, Value: "ada@example.net"}, mail, false},
		{config.Identity{Kind: config.MatchFQDNDomain, Value: "branch.example.net"}, spoke, true},
		{config.Identity{Kind: config.MatchFQDNDomain, Value: ".branch.example.net"}, spoke, true},
		{config.Identity{Kind: config.MatchFQDNDomain, Value: "ranch.example.net"}, spoke, false},
		{config.Identity{Kind: config.MatchFQDNDomain, Value: "branch.example.net"}, ikev2.Identity{Type: wire.IDFQDN, Data: "branch.example.net"}, false},
		{config.Identity{Kind: config.IDEmail, Value: "ADA@example.net"}, mail, true},
		{config.Identity{Kind: config.MatchEmailDomain, Value: "example.net"}, mail, true},
		{config.Identity{Kind: config.MatchEmailDomain, Value: "ample.net"}, mail, false},
		{config.Identity{Kind: config.IDAddress, Value: "192.0.2.7"}, four, true},
		{config.Identity{Kind: config.IDAddress, Value: "192.0.2.0/24"}, four, true},
		{config.Identity{Kind: config.IDAddress, Value: "192.0.3.0/24"}, four, false},
		{config.Identity{Kind: config.IDAddress, Value: "2001:db8::/32"}, six, true},
		{config.Identity{Kind: config.IDAddress, Value: "any"}, six, true},
		{config.Identity{Kind: config.IDAddress, Value: "any"}, spoke, false},
		{config.Identity{Kind: config.IDKeyID, Value: "k"}, ikev2.Identity{Type: wire.IDKeyID, Data: "k"}, true},
		{config.Identity{Kind: config.IDKeyID, Value: "k"}, ikev2.Identity{Type: wire.IDKeyID, Data: "K"}, false},
		{config.Identity{Kind: config.IDDN, Value: "CN=spoke1,O=Example"}, subject, true},
		{config.Identity{Kind: config.IDDN, Value: "o=Example, cn=spoke1"}, subject, true},
		{config.Identity{Kind: config.IDDN, Value: "CN=spoke1"}, subject, false},
		{config.Identity{Kind: config.IDDN, Value: "CN=spoke1,O=Example"}, ikev2.Identity{Type: wire.IDDN, Data: "junk"}, false},
		{config.Identity{Kind: config.MatchAny}, mail, true},
		{config.Identity{Kind: config.MatchAny, Value: "address"}, four, true},
		{config.Identity{Kind: config.MatchAny, Value: "address"}, mail, false},
		{config.Identity{Kind: config.MatchAny, Value: "fqdn"}, spoke, true},
		{config.Identity{Kind: config.MatchAny, Value: "dn"}, subject, true},
		{config.Identity{Kind: config.IDAddress, Value: "any"}, ikev2.Identity{Type: wire.IDIPv4, Data: "abc"}, false},
	} {
		if got := Matches(c.pattern, c.id); got != c.want {
			t.Errorf("%v matches %s: %v, want %v", c.pattern, IdentityText(c.id), got, c.want)
		}
	}
}

func TestMostSpecificKeyWins(t *testing.T) {
	key := func(name string) secret.Bytes { return secret.FromString("the key of " + name) }
	ring := &config.Keyring{Name: "r", Peers: []config.KeyringPeer{
		{Name: "any", Address: netip.MustParsePrefix("0.0.0.0/0"), Local: key("any"), Remote: key("any")},
		{Name: "net", Address: netip.MustParsePrefix("192.0.2.0/24"), Local: key("net"), Remote: key("net")},
		{Name: "host", Address: netip.MustParsePrefix("192.0.2.7/32"), Local: key("host"), Remote: key("host")},
		{Name: "domain", Identity: &config.Identity{Kind: config.MatchFQDNDomain, Value: "example.net"}, Local: key("domain"), Remote: key("domain")},
		{Name: "spoke1", Identity: &config.Identity{Kind: config.IDFQDN, Value: "spoke1.example.net"}, Local: key("spoke1"), Remote: key("spoke1")},
	}}
	p, err := New(&config.Config{}, &config.Profile{Name: "p", Local: config.AuthPSK, Remote: config.AuthPSK, Keyring: ring, Identity: &config.Identity{Kind: config.IDFQDN, Value: "hub"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ id, addr, want string }{
		{"x.example.org", "198.51.100.1", "any"},
		{"x.example.org", "2001:db8::1", "any"},
		{"x.example.org", "192.0.2.1", "net"},
		{"x.example.org", "192.0.2.7", "host"},
		{"x.example.net", "192.0.2.7", "domain"},
		{"spoke1.example.net", "192.0.2.7", "spoke1"},
	} {
		pol, err := p.Policy(ikev2.Identity{Type: wire.IDFQDN, Data: c.id}, netip.MustParseAddr(c.addr), netip.MustParseAddr("192.0.2.99"))
		if err != nil || !pol.Trust.PSK.Equal(key(c.want)) {
			t.Errorf("%s at %s did not get the key of %s: %v", c.id, c.addr, c.want, err)
		}
		again, _ := p.Policy(ikev2.Identity{Type: wire.IDFQDN, Data: c.id}, netip.MustParseAddr(c.addr), netip.MustParseAddr("192.0.2.99"))
		if again != pol {
			t.Error("two sessions of one key do not share their policy")
		}
	}
}

func TestIdentityText(t *testing.T) {
	for want, id := range map[string]ikev2.Identity{
		"":                    {},
		"spoke1":              {Type: wire.IDFQDN, Data: "spoke1"},
		"bad?[2Jname":         {Type: wire.IDFQDN, Data: "bad\x1b[2Jname"},
		"192.0.2.1":           AddressIdentity(netip.MustParseAddr("::ffff:192.0.2.1")),
		"2001:db8::1":         AddressIdentity(netip.MustParseAddr("2001:db8::1")),
		"key-id:k":            {Type: wire.IDKeyID, Data: "k"},
		"CN=spoke1,O=Example": {Type: wire.IDDN, Data: dn(t, pkix.Name{CommonName: "spoke1", Organization: []string{"Example"}})},
		"0x0102":              {Type: wire.IDIPv4, Data: "\x01\x02"},
	} {
		if got := IdentityText(id); got != want {
			t.Errorf("%v reads %q, want %q", id, got, want)
		}
	}
}
