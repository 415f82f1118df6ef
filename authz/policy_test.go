package authz

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flexvpn/config"
)

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range texts {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range texts {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func numbered(n int, format string) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(format, i+1))
	}
	return all
}

// full gives everything a policy can give, and more than a spoke may get.
func full() *config.AuthorizationPolicy {
	return &config.AuthorizationPolicy{
		Name: "default", Pool: &config.Pool{Name: "four"}, Pool6: &config.Pool{Name: "six"},
		Netmask:  netip.MustParseAddr("255.255.255.255"),
		DNS:      addrs("192.168.10.5", "2001:db8::5", "192.168.10.6", "192.168.10.7", "2001:db8::6", "2001:db8::7"),
		WINS:     addrs("10.10.210.10", "10.10.210.11", "10.10.210.12"),
		SplitDNS: numbered(12, "d%d.example.net"), DefDomain: "example.net",
		BackupGateways: numbered(12, "203.0.113.%d"), Banner: "Authorized use only",
		Routes: config.Routes{
			SetInterface: true, Set: prefixes("10.0.0.0/8", "2001:db8::/32"),
			Accept: config.Accept{Any: true, Prefixes: prefixes("0.0.0.0/0")}, Distance: 2, Tag: 1,
		},
		SessionTimeout: 24 * time.Hour, IdleTimeout: 30 * time.Minute,
	}
}

func shown(a Attributes) string {
	var lines []string
	for _, v := range a.List() {
		lines = append(lines, v.Name+" = "+v.Value+" ("+v.Origin+")")
	}
	return strings.Join(lines, "\n")
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n%s\nwant\n%s", what, got, want)
	}
}

func TestAPolicysAttributesCarryTheirOriginAndStayWithinTheLimits(t *testing.T) {
	expect(t, "attributes", shown(FromPolicy(full())), strings.TrimSpace(`
pool = four (local policy default)
ipv6-pool = six (local policy default)
netmask = 255.255.255.255 (local policy default)
dns = 192.168.10.5 192.168.10.6 2001:db8::5 2001:db8::6 (local policy default)
wins = 10.10.210.10 10.10.210.11 (local policy default)
split-dns = d1.example.net d2.example.net d3.example.net d4.example.net d5.example.net d6.example.net d7.example.net d8.example.net d9.example.net d10.example.net (local policy default)
def-domain = example.net (local policy default)
backup-gateways = 203.0.113.1 203.0.113.2 203.0.113.3 203.0.113.4 203.0.113.5 203.0.113.6 203.0.113.7 203.0.113.8 203.0.113.9 203.0.113.10 (local policy default)
banner = Authorized use only (local policy default)
routes set = 10.0.0.0/8 2001:db8::/32 (local policy default)
routes set = interface (local policy default)
routes accept = any 0.0.0.0/0 tag 1 distance 2 (local policy default)
session-timeout = 24h0m0s (local policy default)
idle-timeout = 30m0s (local policy default)`))
	expect(t, "lines", shown(FromPolicy(&config.AuthorizationPolicy{Name: "p", InterfaceConfig: []string{"ip mtu 1300", "vrf forwarding red"}})), `interface-config = ip mtu 1300 (local policy p)
interface-config = vrf forwarding red (local policy p)`)
}

func TestAnEmptyPolicyGivesNothing(t *testing.T) {
	expect(t, "attributes", shown(FromPolicy(&config.AuthorizationPolicy{Name: "empty", Routes: config.Routes{Distance: 2, Tag: 1}})), "")
}

func TestTheUsersAttributesGoOverTheGroupsUnlessTheGroupOverrides(t *testing.T) {
	group := FromPolicy(&config.AuthorizationPolicy{Name: "group", DNS: addrs("192.0.2.1"), DefDomain: "group.example.net"})
	user := Attributes{
		DNS:     Value[[]netip.Addr]{addrs("192.0.2.8", "192.0.2.9", "192.0.2.10"), "radius user"},
		Address: Value[netip.Addr]{netip.MustParseAddr("10.1.1.9"), "radius user"},
	}
	expect(t, "user over group", shown(Merge(group, user, false)), strings.TrimSpace(`
address = 10.1.1.9 (radius user)
dns = 192.0.2.8 192.0.2.9 (radius user)
def-domain = group.example.net (local policy group)`))
	expect(t, "group overrides", shown(Merge(group, user, true)), strings.TrimSpace(`
address = 10.1.1.9 (radius user)
dns = 192.0.2.1 (local policy group)
def-domain = group.example.net (local policy group)`))
}

// Every attribute must be merged: a field that Merge forgets is lost on its way to the spoke.
func TestMergeForgetsNoAttribute(t *testing.T) {
	a := FromPolicy(full())
	a.Address = Value[netip.Addr]{netip.MustParseAddr("10.1.1.9"), "pool four"}
	a.Address6 = Value[netip.Addr]{netip.MustParseAddr("fd00::9"), "pool six"}
	want := shown(a)
	if n := strings.Count(want, "\n") + 1; n != 16 {
		t.Fatalf("%d attributes are set, this test needs all", n)
	}
	for _, override := range []bool{false, true} {
		expect(t, "over nothing", shown(Merge(Attributes{}, a, override)), want)
		expect(t, "under nothing", shown(Merge(a, Attributes{}, override)), want)
	}
}

// A list of a policy is the spoke's, with the policy's distance and tag.
func TestPolicyGivesItsPrefixList(t *testing.T) {
	list := &config.PrefixList{Name: "spokes"}
	got := FromPolicy(&config.AuthorizationPolicy{Name: "p", Routes: config.Routes{Accept: config.Accept{List: list}, Distance: 9, Tag: 7}}).RoutesAccept
	if !got.IsSet() || got.V.List != list || got.V.Distance != 9 || got.V.Tag != 7 {
		t.Errorf("got %+v", got)
	}
}

func TestAcceptIsShownAsItIsConfigured(t *testing.T) {
	for want, a := range map[string]Accept{
		"any tag 1 distance 2":                   {Any: true, Tag: 1, Distance: 2},
		"10.0.0.0/8 fd00::/8 tag 0 distance 250": {Prefixes: prefixes("10.0.0.0/8", "fd00::/8"), Distance: 250},
		"prefix-list spokes tag 7 distance 9":    {List: &config.PrefixList{Name: "spokes"}, Tag: 7, Distance: 9},
		"none tag 0 distance 0":                  {},
	} {
		expect(t, "accept", a.String(), want)
	}
}
