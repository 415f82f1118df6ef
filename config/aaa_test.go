package config

import (
	"net/netip"
	"testing"
	"time"

	"flexvpn/secret"
)

func TestAAA(t *testing.T) {
	cfg := mustParse(t, "hub.yaml", `node: hub1
aaa:
  servers:
    r1: {address: 192.0.2.10, secret: of the first server}
    r2: {address: "2001:db8::10", secret: 0x00ff, auth-port: 1645, acct-port: 1646, timeout: 1s, tries: 2, source: "2001:db8::1", vrf: mgmt}
  groups: {radius: {servers: [r2, r1], dead-time: 5m}}
  nas-address: 192.0.2.1
  dynamic-authorization: {clients: [{address: 192.0.2.0/24, secret: of the steering client}]}
ikev2:
  name-manglers: {domains: {fqdn: domain, eap: {part: suffix}}}
  keyrings: {spokes: {aaa: {name-mangler: domains}}}
  profiles:
    spokes:
      match: {identity: any}
      authentication: {local: psk, remote: psk}
      keyring: spokes
      authorization:
        group: {list: radius, name-mangler: domains, override: true, unreachable: local, policy: default}
        user: {list: cached}
      accounting: {interim: 10m}
      virtual-template: 1
  authorization-policies: {default: {}}
virtual-templates: {1: {mode: auto, address: 10.1.1.1/32}}
`)
	r1, r2 := cfg.AAA.Servers["r1"], cfg.AAA.Servers["r2"]
	if !r1.Secret.Equal(secret.FromString("of the first server")) || !r2.Secret.Equal(secret.New([]byte{0, 0xff})) {
		t.Error("a secret is wrong")
	}
	equal(t, "r1", *r1, AAAServer{Name: "r1", Address: netip.MustParseAddr("192.0.2.10"), Transport: AAAOverUDP, AuthPort: 1812, AcctPort: 1813, Secret: r1.Secret, Timeout: 2 * time.Second, Tries: 3})
	equal(t, "r2", *r2, AAAServer{Name: "r2", Address: netip.MustParseAddr("2001:db8::10"), Transport: AAAOverUDP, AuthPort: 1645, AcctPort: 1646, Secret: r2.Secret, Timeout: time.Second, Tries: 2, Source: netip.MustParseAddr("2001:db8::1"), VRF: "mgmt"})
	group := cfg.AAA.Groups["radius"]
	equal(t, "the group", *group, AAAGroup{Name: "radius", Servers: []*AAAServer{r2, r1}, DeadTime: 5 * time.Minute})
	mangler := cfg.IKEv2.Manglers["domains"]
	equal(t, "the mangler", *mangler, NameMangler{Name: "domains", FQDN: "domain", EAP: EAPNamePart{"suffix", "@"}})
	keys := cfg.IKEv2.Keyrings["spokes"].AAA
	equal(t, "the keyring", *keys, AAAKeys{Group: group, Mangler: mangler, Password: keys.Password})
	p := cfg.IKEv2.Profiles[0]
	if !p.Group.Password.Equal(secret.FromString("cisco")) {
		t.Error("the password is not what IOS sends")
	}
	equal(t, "the group's authorization", p.Group, Authorization{
		List: "radius", Policy: "default", Servers: group, Mangler: mangler, Password: p.Group.Password, Local: true, Override: true,
	})
	equal(t, "the user's authorization", p.User, Authorization{List: "cached"})
	equal(t, "accounting", p.Accounting, ProfileAccounting{group, 10 * time.Minute})
	equal(t, "ports", cfg.AAA.Dynamic.Ports, []uint16{3799, 1700})
}
