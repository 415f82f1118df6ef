package authz

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"flexvpn/radiusdict"
)

func fromPairs(t *testing.T, from Origin, pairs ...string) Attributes {
	t.Helper()
	var r radiusdict.Reply
	for _, p := range pairs {
		if err := r.AddPair(p); err != nil {
			t.Fatal(err)
		}
	}
	a, err := FromRADIUS(&r, from, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func listed(a Attributes) string {
	var lines []string
	for _, v := range a.List() {
		lines = append(lines, fmt.Sprintf("%s=%s (%s)", v.Name, v.Value, v.Origin))
	}
	return strings.Join(lines, "\n")
}

// Attribute by attribute: the user's wins over the group's, unless the group overrides; what only
// one of them gives counts; interface lines of both apply, the winner's last.
func TestPrecedence(t *testing.T) {
	group := fromPairs(t, "radius group g", "ipsec:dns-servers=10.0.0.1", "ipsec:default-domain=group.example", "ip:interface-config=ip mtu 1300")
	user := fromPairs(t, "radius user u", "ipsec:dns-servers=10.0.0.2 10.0.0.3", "ipsec:banner=Hi", "ip:interface-config=ip mtu 1200")
	if got, want := listed(Merge(group, user, false)), `dns=10.0.0.2 10.0.0.3 (radius user u)
def-domain=group.example (radius group g)
banner=Hi (radius user u)
interface-config=ip mtu 1300 (radius group g)
interface-config=ip mtu 1200 (radius user u)`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := listed(Merge(group, user, true)), `dns=10.0.0.1 (radius group g)
def-domain=group.example (radius group g)
banner=Hi (radius user u)
interface-config=ip mtu 1200 (radius user u)
interface-config=ip mtu 1300 (radius group g)`; got != want {
		t.Errorf("with override got\n%s\nwant\n%s", got, want)
	}
}

func TestNetworksOfAccessLists(t *testing.T) {
	var r radiusdict.Reply
	for _, p := range []string{"ipsec:route-set=access-list inside", "ipsec:route-set=prefix 10.9.0.0/16"} {
		if err := r.AddPair(p); err != nil {
			t.Fatal(err)
		}
	}
	lists := func(name string) ([]netip.Prefix, bool) {
		return []netip.Prefix{netip.MustParsePrefix("172.16.0.0/12")}, name == "inside"
	}
	a, err := FromRADIUS(&r, "radius user u", lists)
	if err != nil || fmt.Sprint(a.RoutesSet.V) != "[10.9.0.0/16 172.16.0.0/12]" {
		t.Errorf("%v, %v", a.RoutesSet, err)
	}
	for _, none := range []ListNetworks{nil, func(string) ([]netip.Prefix, bool) { return nil, false }} {
		if _, err := FromRADIUS(&r, "radius user u", none); err == nil || !strings.Contains(err.Error(), "access list inside") {
			t.Errorf("a list that is not there: %v", err)
		}
	}
}

func TestIPv6Addresses(t *testing.T) {
	prefix := netip.MustParsePrefix("2001:db8:1::/64")
	for want, r := range map[string]radiusdict.Reply{
		"2001:db8::7":   {Address6: netip.MustParseAddr("2001:db8::7"), Prefix6: prefix},
		"2001:db8:1::1": {Prefix6: prefix},
		"2001:db8:1::9": {Prefix6: prefix, InterfaceID: [8]byte{7: 9}},
		"2001:db8:2::5": {Prefix6: netip.MustParsePrefix("2001:db8:2::5/128")},
	} {
		a, err := FromRADIUS(&r, "radius user u", nil)
		if err != nil || a.Address6.V.String() != want {
			t.Errorf("got %v, %v, want %s", a.Address6, err, want)
		}
	}
}

// What came with the authentication counts only as far as it belongs to the session.
func TestOfSession(t *testing.T) {
	a := Attributes{
		DNS:   Value[[]netip.Addr]{[]netip.Addr{netip.MustParseAddr("10.0.0.1")}, "eap"},
		Class: Value[[]string]{[]string{"gold", "\x00\x01"}, "eap"},
	}
	if got := listed(OfSession(a)); got != "class=gold (eap)\nclass=0x0001 (eap)" {
		t.Errorf("got %s", got)
	}
}
