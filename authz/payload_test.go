package authz

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"flexvpn/config"
	"flexvpn/ikev2/wire"
)

func request(types ...wire.AttributeType) []wire.Attribute {
	var all []wire.Attribute
	for _, t := range types {
		all = append(all, wire.Attribute{Type: t})
	}
	return all
}

func text(attrs []wire.Attribute) string {
	var lines []string
	for _, a := range attrs {
		lines = append(lines, a.String())
	}
	return strings.Join(lines, "\n")
}

// granted is a spoke's attributes after its leases.
func granted() Attributes {
	a := FromPolicy(&config.AuthorizationPolicy{
		Name: "default", Netmask: netip.MustParseAddr("255.255.255.0"),
		DNS: addrs("192.168.10.5", "2001:db8::5"), WINS: addrs("10.10.210.10"),
		SplitDNS: []string{"example.net", "example.org"}, DefDomain: "example.net",
		BackupGateways: []string{"203.0.113.225", "hub2.example.net"}, Banner: "Hello",
		Routes: config.Routes{SetInterface: true, Set: prefixes("10.0.0.0/8", "2001:db8:a::/48")},
	})
	a.Address = Value[netip.Addr]{netip.MustParseAddr("10.1.1.2"), "pool four"}
	a.Address6 = Value[netip.Addr]{netip.MustParseAddr("fd00::2"), "pool six"}
	return a
}

var own = prefixes("10.1.1.1/24", "fd00::1/128")

func TestAFlexVPNSpokeGetsAllItIsGranted(t *testing.T) {
	reply := Reply(granted(), Request(Wanted{Address: true}), own, "flexvpn/1.0")
	expect(t, "reply", text(reply), strings.TrimSpace(`
INTERNAL_IP4_ADDRESS=10.1.1.2
INTERNAL_IP4_NETMASK=255.255.255.0
INTERNAL_IP6_ADDRESS=fd00::2/128
INTERNAL_IP4_DNS=192.168.10.5
INTERNAL_IP6_DNS=2001:db8::5
INTERNAL_IP4_NBNS=10.10.210.10
INTERNAL_IP4_SUBNET=10.1.1.1/32
INTERNAL_IP6_SUBNET=fd00::1/128
INTERNAL_IP4_SUBNET=10.0.0.0/8
INTERNAL_IP6_SUBNET=2001:db8:a::/48
INTERNAL_DNS_DOMAIN=example.net
INTERNAL_DNS_DOMAIN=example.org
`)+"\n"+cisco+"\nAPPLICATION_VERSION=flexvpn/1.0")
}

const cisco = `CISCO_SPLIT_DNS=example.net
CISCO_SPLIT_DNS=example.org
CISCO_BANNER=Hello
CISCO_BACKUP_SERVERS=203.0.113.225
CISCO_BACKUP_SERVERS=hub2.example.net
CISCO_DEFAULT_DOMAIN=example.net`

func TestAnIOSSpokeWithAStaticAddressGetsNone(t *testing.T) {
	// What IOS-XE 16.7.1 asks for without "ip address negotiated".
	asked := append([]wire.Attribute{wire.AttrText(wire.ApplicationVersion, "Cisco IOS")},
		request(wire.CiscoSplitDNS, wire.CiscoBanner, wire.CiscoConfigURL, wire.CiscoBackupServers, wire.CiscoDefaultDomain)...)
	if v4, v6 := Wants(asked); v4 || v6 {
		t.Errorf("it wants IPv4 %t, IPv6 %t, want neither", v4, v6)
	}
	got := text(Reply(granted(), asked, own, "flexvpn/1.0"))
	if strings.Contains(got, "ADDRESS") || strings.Contains(got, "NETMASK") || strings.Contains(got, "INTERNAL_DNS_DOMAIN") {
		t.Errorf("the reply gives what was not asked for:\n%s", got)
	}
	if !strings.Contains(got, cisco) || !strings.HasSuffix(got, "APPLICATION_VERSION=flexvpn/1.0") {
		t.Errorf("the reply lacks what was asked for:\n%s", got)
	}
}

func TestAPlainClientGetsNothingOfCiscos(t *testing.T) {
	got := text(Reply(granted(), request(wire.InternalIP4Address, wire.InternalIP4DNS), own, "flexvpn/1.0"))
	expect(t, "reply", got, strings.TrimSpace(`
INTERNAL_IP4_ADDRESS=10.1.1.2
INTERNAL_IP4_NETMASK=255.255.255.0
INTERNAL_IP4_DNS=192.168.10.5
INTERNAL_IP6_DNS=2001:db8::5
INTERNAL_IP4_NBNS=10.10.210.10
INTERNAL_IP4_SUBNET=10.1.1.1/32
INTERNAL_IP6_SUBNET=fd00::1/128
INTERNAL_IP4_SUBNET=10.0.0.0/8
INTERNAL_IP6_SUBNET=2001:db8:a::/48`))
}

func TestOnlyWhatIsConfiguredIsSent(t *testing.T) {
	a := Attributes{Address: Value[netip.Addr]{netip.MustParseAddr("10.1.1.2"), "pool four"}}
	expect(t, "reply", text(Reply(a, Request(Wanted{Address: true}), own, "")), "INTERNAL_IP4_ADDRESS=10.1.1.2")
}

func TestTheAddressAPeerHadBeforeIsHeard(t *testing.T) {
	v4, v6 := Asked([]wire.Attribute{
		wire.AttrAddr(wire.InternalIP4DNS, netip.MustParseAddr("192.0.2.1"), 0),
		wire.AttrAddr(wire.InternalIP4Address, netip.MustParseAddr("0.0.0.0"), 0),
		wire.AttrAddr(wire.InternalIP4Address, netip.MustParseAddr("10.1.1.7"), 0),
		wire.AttrAddr(wire.InternalIP6Address, netip.MustParseAddr("fd00::7"), 64),
		wire.AttrAddr(wire.InternalIP4Address, netip.MustParseAddr("10.1.1.8"), 0),
	})
	if v4 != netip.MustParseAddr("10.1.1.7") || v6 != netip.MustParseAddr("fd00::7") {
		t.Errorf("asked for %s and %s", v4, v6)
	}
	if v4, v6 = Asked(Request(Wanted{Address: true})); v4.IsValid() || v6.IsValid() {
		t.Errorf("a request without values asks for %s and %s", v4, v6)
	}
}

func TestARequestAsksForAddressesOnlyWhenTheyAreWanted(t *testing.T) {
	v4, v6 := Wants(Request(Wanted{Address: true}))
	n4, n6 := Wants(Request(Wanted{Version: "flexvpn/1.0"}))
	if !v4 || !v6 || n4 || n6 {
		t.Errorf("wanted: %t %t, not wanted: %t %t", v4, v6, n4, n6)
	}
	if got := text(Request(Wanted{Version: "flexvpn/1.0"})); !strings.Contains(got, "APPLICATION_VERSION=flexvpn/1.0\n") {
		t.Errorf("the request does not tell the version:\n%s", got)
	}
}

func TestWhatAHubRepliesIsWhatTheClientUnderstands(t *testing.T) {
	p := FromReply(Reply(granted(), Request(Wanted{Address: true}), own, "flexvpn/1.0"))
	if !slices.Equal(p.Addresses, addrs("10.1.1.2", "fd00::2")) || !slices.Equal(p.DNS, addrs("192.168.10.5", "2001:db8::5")) ||
		!slices.Equal(p.WINS, addrs("10.10.210.10")) || !slices.Equal(p.SplitDNS, []string{"example.net", "example.org"}) ||
		p.DefDomain != "example.net" || !slices.Equal(p.BackupGateways, []string{"203.0.113.225", "hub2.example.net"}) ||
		p.Banner != "Hello" || p.Version != "flexvpn/1.0" || p.Netmask != netip.MustParseAddr("255.255.255.0") || p.Ignored != 0 ||
		!slices.Equal(p.Routes, prefixes("10.1.1.1/32", "fd00::1/128", "10.0.0.0/8", "2001:db8:a::/48")) {
		t.Errorf("the client understood %+v", p)
	}
}

func TestListsAreReadInEveryFormInWhichPeersSendThem(t *testing.T) {
	p := FromReply([]wire.Attribute{
		wire.AttrText(wire.CiscoSplitDNS, "Example.NET., b.example,c.example\x00"),
		wire.AttrText(wire.InternalDNSDomain, "example.net"),
		wire.AttrText(wire.CiscoSplitDNS, "_sip.d.example\x19e.example"),
		wire.AttrText(wire.CiscoBackupServers, "203.0.113.1 hub2.example.net;2001:DB8::1"),
		wire.AttrText(wire.CiscoDefaultDomain, "example.net\x00"),
	})
	if got := strings.Join(p.SplitDNS, " "); got != "example.net b.example c.example _sip.d.example e.example" {
		t.Errorf("split-dns is %q", got)
	}
	if got := strings.Join(p.BackupGateways, " "); got != "203.0.113.1 hub2.example.net 2001:db8::1" {
		t.Errorf("backup gateways are %q", got)
	}
	if p.DefDomain != "example.net" || p.Ignored != 0 {
		t.Errorf("default domain %q, %d ignored", p.DefDomain, p.Ignored)
	}
}

func TestAHostileReplyIsBoundedAndStrippedOfNonsense(t *testing.T) {
	var attrs []wire.Attribute
	for i := range 2000 {
		b := byte(i)
		attrs = append(attrs,
			wire.AttrPrefix(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), b, 0}), 24)),
			wire.AttrAddr(wire.InternalIP4Address, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), b}), 0),
			wire.AttrAddr(wire.InternalIP4DNS, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), b}), 0),
			wire.AttrText(wire.CiscoSplitDNS, strings.Repeat("a", i%70)+".example"),
			wire.AttrText(wire.CiscoBackupServers, strings.Repeat("b", i%70)+".example"))
	}
	attrs = append(attrs, wire.AttrText(wire.CiscoBanner, strings.Repeat("\x1b[2J\xffWelcome\r\n", 500)),
		wire.AttrText(wire.ApplicationVersion, strings.Repeat("v", 5000)))
	p := FromReply(attrs)
	if len(p.Routes) != 512 || len(p.Addresses) != 8 || len(p.DNS) != 4 || len(p.SplitDNS) != 10 || len(p.BackupGateways) != 10 {
		t.Errorf("%d routes, %d addresses, %d servers, %d domains, %d gateways", len(p.Routes), len(p.Addresses), len(p.DNS), len(p.SplitDNS), len(p.BackupGateways))
	}
	if len(p.Banner) > maxBanner || len(p.Version) != maxVersion || !utf8.ValidString(p.Banner) || strings.ContainsAny(p.Banner, "\x1b\r") || !strings.HasPrefix(p.Banner, "[2JWelcome\n[2J") {
		t.Errorf("banner of %d octets %.30q, version of %d", len(p.Banner), p.Banner, len(p.Version))
	}
	if len(FromRouteSet(attrs)) != 512 {
		t.Errorf("a route set of %d", len(FromRouteSet(attrs)))
	}

	for _, bad := range []wire.Attribute{
		wire.AttrAddr(wire.InternalIP4Address, netip.MustParseAddr("0.0.0.0"), 0),
		wire.AttrAddr(wire.InternalIP4Address, netip.MustParseAddr("127.0.0.1"), 0),
		wire.AttrAddr(wire.InternalIP4Address, netip.MustParseAddr("224.0.0.1"), 0),
		wire.AttrAddr(wire.InternalIP4Address, netip.MustParseAddr("255.255.255.255"), 0),
		wire.AttrAddr(wire.InternalIP6Address, netip.MustParseAddr("::1"), 128),
		wire.AttrAddr(wire.InternalIP6Address, netip.MustParseAddr("fe80::1"), 128),
		wire.AttrAddr(wire.InternalIP6DNS, netip.MustParseAddr("ff02::fb"), 0),
		{Type: wire.InternalIP6DNS, Value: append(make([]byte, 10), 255, 255, 10, 0, 0, 1)}, // IPv4-mapped
		{Type: wire.InternalIP4Address, Value: make([]byte, 3)},
		{Type: wire.InternalIP4Subnet, Value: []byte{10, 0, 0, 0, 255, 0, 255, 0}},
		{Type: wire.InternalIP6Subnet, Value: append(make([]byte, 16), 129)},
		wire.AttrText(wire.CiscoDefaultDomain, "a b"),
		wire.AttrText(wire.CiscoDefaultDomain, "-a.example"),
		wire.AttrText(wire.CiscoSplitDNS, "a..b"),
		wire.AttrText(wire.CiscoSplitDNS, "$(reboot)"),
		wire.AttrText(wire.CiscoSplitDNS, strings.Repeat("a.", 140)+"b"),
		wire.AttrText(wire.CiscoBackupServers, "fe80::1%eth0"),
		wire.AttrText(wire.CiscoBackupServers, "127.0.0.1"),
		wire.AttrText(wire.CiscoBackupServers, "999.1.1.1"),
		wire.AttrText(wire.CiscoBackupServers, "../../etc"),
	} {
		p := FromReply([]wire.Attribute{bad})
		if p.Ignored != 1 || len(p.Addresses)+len(p.DNS)+len(p.Routes)+len(p.SplitDNS)+len(p.BackupGateways)+len(p.DefDomain) > 0 {
			t.Errorf("%s was taken: %+v", bad, p)
		}
	}
}

func TestARouteSetTravelsBothWays(t *testing.T) {
	sent := append(prefixes("172.16.1.7/24", "2001:db8:1::/48", "172.16.1.0/24", "0.0.0.0/0", "::/0", "10.9.0.1/32"), netip.Prefix{})
	want := prefixes("172.16.1.0/24", "2001:db8:1::/48", "0.0.0.0/0", "::/0", "10.9.0.1/32")
	if got := FromRouteSet(RouteSet(sent)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := FromRouteSet(request(wire.InternalIP4Subnet, wire.InternalIP4Address)); got != nil {
		t.Errorf("an empty set is %v", got)
	}
}

// A reply, as a list of type, length and value, may hold anything at all.
func FuzzFromReply(f *testing.F) {
	var seed []byte
	for _, a := range Reply(granted(), Request(Wanted{Address: true}), own, "flexvpn/1.0") {
		seed = append(append(seed, byte(a.Type>>8), byte(a.Type), byte(len(a.Value))), a.Value...)
	}
	f.Add(seed)
	f.Add([]byte{0, 13, 8, 10, 0, 0, 0, 255, 0, 255, 0})
	f.Add([]byte("\x70\x03\x0d,a;b\x19c\x00 \t\xff-."))
	f.Fuzz(func(t *testing.T, data []byte) {
		var attrs []wire.Attribute
		for len(data) >= 3 {
			n := min(int(data[2]), len(data)-3)
			attrs = append(attrs, wire.Attribute{Type: wire.AttributeType(data[0])<<8 | wire.AttributeType(data[1]), Value: data[3 : 3+n]})
			data = data[3+n:]
		}
		p := FromReply(attrs)
		if len(p.Routes) > maxPrefixes || len(p.Addresses) > maxAddresses || len(p.DNS) > 4 || len(p.WINS) > 2 ||
			len(p.SplitDNS) > maxDomains || len(p.BackupGateways) > maxGateways || len(p.Banner) > maxBanner || len(p.Version) > maxVersion {
			t.Fatalf("a bound is exceeded: %+v", p)
		}
		for _, name := range append(p.SplitDNS, p.BackupGateways...) {
			if strings.ContainsAny(name, " \t\n\x00;,/$%\"'\\\x1b") || name == "" || len(name) > maxName {
				t.Fatalf("%q is no name", name)
			}
		}
		for _, route := range p.Routes {
			if !route.IsValid() || route != route.Masked() {
				t.Fatalf("%s is no prefix", route)
			}
		}
		for _, a := range slices.Concat(p.Addresses, p.DNS, p.WINS) {
			if !a.IsValid() || a.IsMulticast() || a.IsLoopback() || a.IsUnspecified() {
				t.Fatalf("%s is no host", a)
			}
		}
		if bytes.ContainsAny([]byte(p.Banner+p.Version), "\x1b\x00\r\x7f") {
			t.Fatalf("a terminal would obey %q", p.Banner+p.Version)
		}
		if again := FromRouteSet(RouteSet(p.Routes)); !slices.Equal(again, p.Routes) {
			t.Fatalf("routes %v came back as %v", p.Routes, again)
		}
	})
}
