package config

import (
	"net/netip"
	"slices"
	"testing"
)

// A policy and a client's profile name lists: set takes what one permits, accept keeps the list itself.
func TestRoutesNamePrefixLists(t *testing.T) {
	cfg, err := Parse("f.yaml", []byte(`node: n
ikev2:
  keyrings: {keys: [{peer: any, address: 0.0.0.0/0, pre-shared-key: the key of a test}]}
  profiles:
    hubs: {authentication: {local: psk, remote: psk}, keyring: keys, routes: {set: [172.16.1.0/24, ours], accept: theirs, distance: 9, tag: 7}}
  authorization-policies: {default: {routes: {set: [interface, ours], accept: theirs}}}
prefix-lists:
  ours: [deny 10.9.0.0/16, permit 10.0.0.0/8, permit 10.9.0.0/16, permit 2001:db8::/32]
  theirs: [deny 172.16.9.0/24, permit 172.16.0.0/12 ge 24 le 24]
`))
	if err != nil {
		t.Fatal(err)
	}
	hub, client := cfg.Policies["default"].Routes, cfg.IKEv2.Profiles[0].Routes
	theirs := cfg.PrefixLists["theirs"]
	if want := prefixes("10.0.0.0/8", "2001:db8::/32"); !slices.Equal(hub.Set, want) || !hub.SetInterface {
		t.Errorf("the hub pushes %v, interface %v", hub.Set, hub.SetInterface)
	}
	if want := prefixes("172.16.1.0/24", "10.0.0.0/8", "2001:db8::/32"); !slices.Equal(client.Set, want) || client.SetInterface {
		t.Errorf("the client announces %v, interface %v", client.Set, client.SetInterface)
	}
	if hub.Accept.List != theirs || client.Accept.List != theirs || client.Distance != 9 || client.Tag != 7 {
		t.Errorf("accepted: hub %+v, client %+v", hub, client)
	}
	if p := netip.MustParsePrefix("172.16.9.0/24"); theirs.Permits(p) {
		t.Errorf("%v is denied first", p)
	}
}
