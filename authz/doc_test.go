package authz

import (
	"encoding/binary"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"flexvpn/config"
	"flexvpn/ikev2/wire"
	"flexvpn/ops/view"
	"flexvpn/radiusdict"
)

var update = flag.Bool("update", false, "write the table of docs/aaa.md")

// A row is one attribute of docs/aaa.md: how RADIUS spells it, the key of a local policy, and what a
// spoke notices. What the configuration payload carries is computed from the samples.
type row struct {
	shown  string   // its name in show session; empty: it is not shown
	pairs  []string // AV-pairs that say the same; the first is the canonical one
	number []octetsOf
	policy string // YAML of a local policy that gives it; empty: there is no key
	effect string
}

type octetsOf struct {
	name   string
	vendor uint32
	n      byte
	value  string
}

func four(v uint32) string { return string(binary.BigEndian.AppendUint32(nil, v)) }

var rows = []row{
	{"address", []string{"ip:addr=10.1.1.7"}, []octetsOf{{"Framed-IP-Address", 0, 8, "\x0a\x01\x01\x07"}}, "", "IPv4 address of the tunnel; 255.255.255.254 leaves it to the pool"},
	{"pool", []string{"ipsec:addr-pool=flexspokes", "ip:addr-pool=flexspokes"}, []octetsOf{{"Framed-Pool", 0, 88, "flexspokes"}}, "pool: flexspokes", "an IPv4 address from a pool of this file"},
	{"ipv6-pool", []string{"ipsec:ipv6-addr-pool=flexspokes6"}, []octetsOf{{"Framed-IPv6-Pool", 0, 100, "flexspokes6"}}, "ipv6-pool: flexspokes6", "an IPv6 address from a pool of this file"},
	{"ipv6-address", []string{"ipsec:addrv6=2001:db8::7"}, []octetsOf{{"Framed-IPv6-Address", 0, 168, "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07"}}, "", "IPv6 address of the tunnel"},
	{"ipv6-prefix", nil, []octetsOf{{"Framed-IPv6-Prefix", 0, 97, "\x00\x40\x20\x01\x0d\xb8\x00\x01\x00\x00"}}, "", "IPv6 address of the tunnel from this prefix (Framed-Interface-Id says which); the hub routes the prefix to the spoke"},
	{"delegated-ipv6-prefix", nil, []octetsOf{{"Delegated-IPv6-Prefix", 0, 123, "\x00\x30\x20\x01\x0d\xb8\x00\x09"}}, "", "none; the hub routes the prefix to the spoke"},
	{"netmask", []string{"ipsec:netmask=255.255.255.0"}, []octetsOf{{"Framed-IP-Netmask", 0, 9, "\xff\xff\xff\x00"}}, "netmask: 255.255.255.0", "mask of the tunnel's address"},
	{
		"dns",
		[]string{"ipsec:dns-servers=192.168.10.5 192.168.10.6", "ip:ipsec:dns-servers=192.168.10.5 192.168.10.6"},
		[]octetsOf{{"MS-Primary-DNS-Server", 311, 28, "\xc0\xa8\x0a\x05"}, {"MS-Secondary-DNS-Server", 311, 29, "\xc0\xa8\x0a\x06"}, {"Ascend-Client-Primary-DNS", 0, 135, "\xc0\xa8\x0a\x05"}, {"Ascend-Client-Secondary-DNS", 0, 136, "\xc0\xa8\x0a\x06"}},
		"dns: 192.168.10.5", "IPv4 name servers, at most two",
	},
	{
		"dns",
		[]string{"ipsec:ipv6-dns-servers-addr=2001:db8:10::5", "ip:ipsec:ipv6-dns-servers=addr=2001:db8:10::5", "ipsec:ipv6-dns-servers=2001:db8:10::5"},
		[]octetsOf{{"DNS-Server-IPv6-Address", 0, 169, "\x20\x01\x0d\xb8\x00\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05"}},
		"dns: 2001:db8:10::5", "IPv6 name servers, at most two",
	},
	{
		"wins",
		[]string{"ipsec:wins-servers=10.10.210.10", "ip:ipsec:wins-servers=10.10.210.10"},
		[]octetsOf{{"MS-Primary-NBNS-Server", 311, 30, "\x0a\x0a\xd2\x0a"}, {"MS-Secondary-NBNS-Server", 311, 31, "\x0a\x0a\xd2\x0a"}},
		"wins: 10.10.210.10", "WINS servers for the hosts behind it, at most two",
	},
	{"split-dns", []string{"ipsec:split-dns=example.net", "ip:ipsec:split-dns=example.net"}, nil, "split-dns: example.net", "domains whose names go through the tunnel, at most ten"},
	{"def-domain", []string{"ipsec:default-domain=example.net", "ip:ipsec:def-domain=example.net", "ipsec:def-domain=example.net"}, nil, "def-domain: example.net", "default domain"},
	{"backup-gateways", []string{"ipsec:ipsec-backup-gateway=203.0.113.225", "ipsec:backup-gateway=203.0.113.225"}, nil, "backup-gateways: 203.0.113.225", "hubs to try when this one is gone, at most ten"},
	{"banner", []string{"ipsec:banner=Welcome"}, nil, "banner: Welcome", "text that it shows"},
	{"routes set", []string{"ipsec:route-set=interface", "ipsec:route-set-interface=1"}, nil, "routes: {set: interface}", "routes to the hub's tunnel addresses"},
	{"routes set", []string{"ipsec:route-set=prefix 10.0.0.0/8", "ipsec:route-set=prefix 10.0.0.0 255.0.0.0"}, nil, "routes: {set: 10.0.0.0/8}", "a route through the tunnel"},
	{"routes set", []string{"ipsec:route-set=prefix ipv6 2001:db8::/32"}, nil, `routes: {set: "2001:db8::/32"}`, "an IPv6 route through the tunnel"},
	{"routes set", []string{"ipsec:route-set=access-list inside", "ipsec:inacl=inside", "ipsec:subnet-acl=inside"}, nil, "", "routes to the sources that an access list of this file permits"},
	{"routes accept", []string{"ipsec:route-accept=any distance:5"}, nil, "routes: {accept: any, distance: 5}", "none; the hub installs the routes it announces"},
	{"framed-routes", []string{"ip:route=172.20.1.0 255.255.255.0"}, []octetsOf{{"Framed-Route", 0, 22, "172.20.1.0/24"}, {"Framed-IPv6-Route", 0, 99, "2001:db8:20::/48"}}, "", "none; the hub routes the network to the spoke"},
	{"interface-config", []string{"ip:interface-config=ip mtu 1300"}, nil, "interface-config: ip mtu 1300", "none; lines of IOS for its virtual-access, see [templates.md](templates.md)"},
	{"vrf", []string{"ip:vrf-id=red"}, nil, "", "none; its virtual-access is a port of the VRF"},
	{"access-group in", []string{"ip:inacl=guests"}, []octetsOf{{"Filter-Id", 0, 11, "guests.in"}, {"Cisco-In-ACL", 9, 57, "guests"}}, "", "only what an access list of this file permits passes from it"},
	{"access-group out", []string{"ip:outacl=guests"}, []octetsOf{{"Filter-Id", 0, 11, "guests.out"}, {"Cisco-Out-ACL", 9, 58, "guests"}}, "", "only what an access list of this file permits passes to it"},
	{"access-group in", []string{"ip:inacl#1=permit tcp any any eq 443", "ipv6:inacl#2=permit tcp any any eq 443"}, nil, "", "only what these lines permit passes from it"},
	{"access-group out", []string{"ip:outacl#1=permit tcp any any eq 443", "ipv6:outacl#2=permit tcp any any eq 443"}, nil, "", "only what these lines permit passes to it"},
	{"service-policy input", []string{"ip:sub-qos-policy-in=gold"}, []octetsOf{{"Cisco-Sub-QoS-Pol-In", 9, 55, "gold"}}, "", "what it sends is policed"},
	{"service-policy output", []string{"ip:sub-qos-policy-out=gold"}, []octetsOf{{"Cisco-Sub-QoS-Pol-Out", 9, 56, "gold"}}, "", "what it gets is shaped"},
	{"session-timeout", nil, []octetsOf{{"Session-Timeout", 0, 27, four(3600)}}, "session-timeout: 1h", "its session ends after so many seconds"},
	{"idle-timeout", nil, []octetsOf{{"Idle-Timeout", 0, 28, four(600)}}, "idle-timeout: 10m", "its session ends when nothing passed for so many seconds"},
	{"interim-interval", nil, []octetsOf{{"Acct-Interim-Interval", 0, 85, four(600)}}, "", "none; seconds between accounting updates, at least 60"},
	{"class", nil, []octetsOf{{"Class", 0, 25, "gold"}}, "", "none; stands in its accounting records"},
	{"user-name", nil, []octetsOf{{"User-Name", 0, 1, "alice"}}, "", "none; who it is in accounting"},
	{"", []string{"ipsec:tunnel-password=KEY"}, []octetsOf{{"Tunnel-Password", 0, 69, "KEY"}}, "", "its pre-shared key for both directions, for a keyring `{aaa: …}`"},
	{"", []string{"ipsec:ikev2-password-local=KEY"}, nil, "", "the key with which the hub proves itself"},
	{"", []string{"ipsec:ikev2-password-remote=KEY"}, nil, "", "the key with which the spoke proves itself"},
}

// everything asks for all that a configuration payload can carry.
var everything = append(Request(Wanted{Address: true, Version: "test"}), wire.Attribute{Type: wire.InternalDNSDomain})

func (n octetsOf) reply(t *testing.T) *radiusdict.Reply {
	t.Helper()
	var r radiusdict.Reply
	err := r.AddVendor(n.vendor, n.n, []byte(n.value))
	if n.vendor == 0 {
		err = r.Add(n.n, []byte(n.value))
	}
	if err != nil {
		t.Errorf("%s: %v", n.name, err)
	}
	return &r
}

func inside(string) ([]netip.Prefix, bool) {
	return []netip.Prefix{netip.MustParsePrefix("172.16.0.0/12")}, true
}

// attributesOf checks that a reply gives what the row says, and nothing else.
func (w row) attributesOf(t *testing.T, spelled string, r *radiusdict.Reply) Attributes {
	t.Helper()
	a, err := FromRADIUS(r, "radius user u", inside)
	if err != nil {
		t.Errorf("%s: %v", spelled, err)
		return a
	}
	if w.shown == "" {
		if r.Password.IsEmpty() && r.PasswordLocal.IsEmpty() && r.PasswordRemote.IsEmpty() {
			t.Errorf("%s gives no key", spelled)
		}
		return a
	}
	found := slices.ContainsFunc(a.List(), func(v view.Attribute) bool { return v.Name == w.shown })
	if !found {
		t.Errorf("%s does not give %s but %v", spelled, w.shown, a.List())
	}
	return a
}

// payload names what a configuration payload carries of a.
func payload(a Attributes) string {
	own := []netip.Prefix{netip.MustParsePrefix("10.1.1.1/32")}
	if a.Netmask.IsSet() { // it goes with the address
		a.Address = Value[netip.Addr]{netip.MustParseAddr("10.1.1.7"), "test"}
	}
	var names []string
	for _, at := range Reply(a, everything, own, "") {
		if name := at.Type.String(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "–"
	}
	return strings.Join(names, ", ")
}

func (w row) line(t *testing.T) string {
	var spelled []string
	carried := ""
	for _, p := range w.pairs {
		var r radiusdict.Reply
		if err := r.AddPair(p); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		carried = payload(w.attributesOf(t, p, &r))
		spelled = append(spelled, "`"+p+"`")
	}
	for _, n := range w.number {
		a := w.attributesOf(t, n.name, n.reply(t))
		if carried == "" {
			carried = payload(a)
		}
		spelled = append(spelled, n.name)
	}
	if a := w.shown; a == "pool" || a == "ipv6-pool" { // the address comes with the lease
		carried = map[string]string{"pool": wire.InternalIP4Address.String(), "ipv6-pool": wire.InternalIP6Address.String()}[a]
	}
	policy := "–"
	if w.policy != "" {
		policy = "`" + w.policy + "`"
		w.checkPolicy(t)
	}
	return fmt.Sprintf("| %s | %s | %s | %s |\n", strings.Join(spelled, "<br>"), policy, carried, w.effect)
}

// checkPolicy gives the row's key to a local policy: it must give the same attribute.
func (w row) checkPolicy(t *testing.T) {
	t.Helper()
	text := "node: n\nikev2:\n  keyrings: {k: [{peer: any, pre-shared-key: 0123456789abcdef}]}\n" +
		"  profiles: {p: {match: {identity: any}, authentication: {local: psk, remote: psk}, keyring: k, virtual-template: 1, authorization: {group: {list: local, policy: x}}}}\n" +
		"  authorization-policies:\n    x:\n      " + w.policy + "\npools: {flexspokes: {range: 10.1.1.2-10.1.1.9}, flexspokes6: {range: \"2001:db8::2-2001:db8::9\"}}\nvirtual-templates: {1: {address: 10.1.1.1/32}}\n"
	cfg, err := config.Parse("x.yaml", []byte(text))
	if err != nil {
		t.Errorf("%s: %v", w.policy, err)
		return
	}
	list := FromPolicy(cfg.Policies["x"]).List()
	if !slices.ContainsFunc(list, func(v view.Attribute) bool { return v.Name == w.shown }) {
		t.Errorf("the policy %s does not give %s but %v", w.policy, w.shown, list)
	}
}

const (
	tableBegin = "<!-- The table is written by: go test ./authz -run TestAttributeTable -update -->\n"
	tableEnd   = "<!-- end of the table -->\n"
	tableHead  = "| RADIUS | local policy | configuration payload | on a spoke |\n|---|---|---|---|\n"
)

// docs/aaa.md tells every attribute, in every spelling that it gives, and what it becomes.
func TestAttributeTable(t *testing.T) {
	table := tableHead
	told := map[string]bool{}
	for _, w := range rows {
		table += w.line(t)
		for _, p := range w.pairs {
			parsed, _ := radiusdict.ParsePair(p)
			told[parsed.Attribute] = true
		}
	}
	page, err := os.ReadFile("../docs/aaa.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"dhcp-server", "group-dhcp-server", "dhcp-giaddr", "dhcp-timeout"} {
		table += fmt.Sprintf("| `ipsec:%s=…` | – | – | refuses it: the hub has pools and no DHCP server to ask; `ipsec:%s*…` is left out and logged |\n", p, p)
		told[p] = true
		var r radiusdict.Reply
		if err := r.AddPair("ipsec:" + p + "=10.0.0.1"); err == nil || !strings.Contains(err.Error(), "DHCP") {
			t.Errorf("%s: %v", p, err)
		}
		if err := r.AddPair("ipsec:" + p + "*10.0.0.1"); err != nil || len(r.Notes) != 1 {
			t.Errorf("optional %s: %v, noted %q", p, err, r.Notes)
		}
	}
	before, rest, ok1 := strings.Cut(string(page), tableBegin)
	had, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok1 || !ok2 {
		t.Fatal("docs/aaa.md has lost the marks of its table")
	}
	if had != table {
		if *update {
			if err := os.WriteFile("../docs/aaa.md", []byte(before+tableBegin+table+tableEnd+after), 0o644); err != nil {
				t.Fatal(err)
			}
		} else {
			t.Error("the table of docs/aaa.md is not what the code does: run go test ./authz -run TestAttributeTable -update")
		}
	}
	for _, name := range radiusdict.Names() {
		if !told[name] && !strings.Contains(before+after, "`"+name+"`") {
			t.Errorf("docs/aaa.md does not mention the pair %s", name)
		}
	}
}
