package radiusdict

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestPairGrammar(t *testing.T) {
	for _, c := range []struct {
		text string
		want Pair
	}{
		{"ipsec:dns-servers=192.168.10.5", Pair{"ipsec", "dns-servers", -1, true, "192.168.10.5"}},
		{"ip:ipsec:ipv6-dns-servers=addr=2001:db8::5", Pair{"ip:ipsec", "ipv6-dns-servers", -1, true, "addr=2001:db8::5"}},
		{"IPSec:Banner*Hello = all", Pair{"ipsec", "banner", -1, false, "Hello = all"}},
		{"def-domain=example.net", Pair{"", "def-domain", -1, true, "example.net"}},
		{"ip:inacl#10=permit ip any any", Pair{"ip", "inacl", 10, true, "permit ip any any"}},
		{"ipv6:outacl#2=deny ipv6 any any", Pair{"ipv6", "outacl", 2, true, "deny ipv6 any any"}},
		{" ip:route-set = interface ", Pair{"ip", "route-set", -1, true, "interface"}},
		{"a=", Pair{"", "a", -1, true, ""}},
	} {
		got, err := ParsePair(c.text)
		if err != nil || got != c.want {
			t.Errorf("%q is %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "nothing", "=x", "ip:=x", "ip:inacl#x=permit", "ip:inacl#-1=permit", "banner=\x1b[2J", "ba\x00nner=x", ":=", "#1=a"} {
		if p, err := ParsePair(bad); err == nil {
			t.Errorf("%q passes as %+v", bad, p)
		}
	}
}

// reply takes pairs that must all be good.
func reply(t *testing.T, pairs ...string) *Reply {
	t.Helper()
	var r Reply
	for _, p := range pairs {
		if err := r.AddPair(p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
	return &r
}

// Every way in which the seeds and the field write one thing means that thing.
func TestSpellings(t *testing.T) {
	for what, spellings := range map[string][]string{
		"DNS [192.168.10.5 192.168.10.6]": {
			"ip:ipsec:dns-servers=192.168.10.5 192.168.10.6", "ipsec:dns-servers=192.168.10.5 192.168.10.6",
			"ipsec:dns-servers=192.168.10.5,192.168.10.6", "ip:dns-servers*192.168.10.5 192.168.10.6",
		},
		"DNS [2001:db8::5 2001:db8::6]": {
			"ip:ipsec:ipv6-dns-servers=addr=2001:db8::5 2001:db8::6", "ipsec:ipv6-dns-servers-addr=2001:db8::5 2001:db8::6",
			"ip:ipsec:ipv6-dns-servers-addr=2001:db8::5 2001:db8::6", "ipsec:ipv6-dns-servers=2001:db8::5 2001:db8::6",
			"ipv6:dns-servers=2001:db8::5 2001:db8::6",
		},
		"SplitDNS [example.net]": {"ip:ipsec:split-dns=example.net", "ipsec:split-dns=Example.NET."},
		"WINS [10.10.210.10]":    {"ip:ipsec:wins-servers=10.10.210.10", "ipsec:wins-servers=10.10.210.10"},
		"DefDomain example.net":  {"ip:ipsec:def-domain=example.net", "ipsec:default-domain=example.net", "def-domain=example.net"},
		"BackupGateways [203.0.113.225]": {
			"ipsec:ipsec-backup-gateway=203.0.113.225", "ip:ipsec:ipsec-backup-gateway=203.0.113.225", "ipsec:backup-gateway=203.0.113.225",
		},
		"Pool flex":                     {"ipsec:addr-pool=flex", "ip:addr-pool=flex"},
		"Pool6 flex6":                   {"ipsec:ipv6-addr-pool=flex6"},
		"Address 10.1.1.7":              {"ip:addr=10.1.1.7", "ipsec:addr=10.1.1.7"},
		"Address6 2001:db8::7":          {"ipsec:addrv6=2001:db8::7"},
		"Netmask 255.255.255.0":         {"ipsec:netmask=255.255.255.0"},
		"Banner Welcome":                {"ipsec:banner=Welcome"},
		"RouteInterface true":           {"ipsec:route-set=interface", "ipsec:route-set=interface Loopback0", "ipsec:route-set-interface=1"},
		"RoutesSet [10.0.0.0/8]":        {"ipsec:route-set=prefix 10.0.0.0/8", "ipsec:route-set=prefix 10.0.0.0 255.0.0.0", "ipsec:route-set=local ipv4 10.0.0.0 255.0.0.0", "ipsec:route-set=10.0.0.0/8"},
		"RoutesSet [2001:db8::/32]":     {"ipsec:route-set=prefix ipv6 2001:db8::/32", "ipsec:route-set=prefix 2001:db8::/32"},
		"RouteLists [inside]":           {"ipsec:route-set=access-list inside", "ipsec:route-set=access-list ipv6 inside", "ipsec:inacl=inside", "ipsec:subnet-acl=inside"},
		"Accept {true 10 100}":          {"ipsec:route-accept=any tag 100 distance 10", "ipsec:route-accept=any tag:100 distance:10"},
		"Accept {true 0 0}":             {"ipsec:route-accept=any"},
		"Accept {false 0 0}":            {"ipsec:route-accept=none"},
		"FilterIn guests":               {"ip:inacl=guests"},
		"FilterOut guests":              {"ip:outacl=guests"},
		"QoSIn gold":                    {"ip:sub-qos-policy-in=gold"},
		"QoSOut gold":                   {"ip:sub-qos-policy-out=gold"},
		"VRF red":                       {"ip:vrf-id=red"},
		"InterfaceConfig [ip mtu 1300]": {"ip:interface-config=ip mtu 1300", "interface-config=ip  mtu 1300", "ip:interface-config#1=ip mtu 1300", `ip:interface-config=ip mtu 1300\n`},
		"Routes [{172.16.9.0/24 0}]":    {"ip:route=172.16.9.0 255.255.255.0", "ip:route=172.16.9.0/24 0.0.0.0"},
		"AuditSessionID L2L4":           {"audit-session-id=L2L4"},
	} {
		for _, s := range spellings {
			r := reply(t, s)
			field, want, _ := strings.Cut(what, " ")
			v := reflect.Indirect(reflect.Indirect(reflect.ValueOf(r)).FieldByName(field))
			if got := fmt.Sprint(v.Interface()); got != want {
				t.Errorf("%q: %s is %s, want %s", s, field, got, want)
			}
		}
	}
}

func TestInterfaceLinesKeepTheirOrder(t *testing.T) {
	r := reply(t, "ip:interface-config=vrf forwarding red", `ip:interface-config=ip mtu 1300\nip tcp adjust-mss 1260`)
	if got := strings.Join(r.InterfaceConfig, "|"); got != "vrf forwarding red|ip mtu 1300|ip tcp adjust-mss 1260" {
		t.Errorf("the lines are %s", got)
	}
}

func TestFilterLinesAreSortedByNumber(t *testing.T) {
	r := reply(t, "ip:inacl#20=deny ip any any", "ip:inacl#3=permit tcp any any", "ip:outacl#1=permit ip any any")
	if got := fmt.Sprint(r.EntriesIn, r.EntriesOut); got != "[{3 false permit tcp any any} {20 false deny ip any any}] [{1 false permit ip any any}]" {
		t.Errorf("the entries are %s", got)
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	r := reply(t, "ipsec:tunnel-password=hush", "ipsec:ikev2-password-local=hush", "ipsec:ikev2-password-remote=hush")
	if string(r.Password.Reveal()) != "hush" || string(r.PasswordLocal.Reveal()) != "hush" || string(r.PasswordRemote.Reveal()) != "hush" {
		t.Error("a key is missing")
	}
	if text := fmt.Sprintf("%+v", r); strings.Contains(text, "hush") {
		t.Error("a key is printed")
	}
	if err := new(Reply).AddPair("ipsec:ikev2-password-local="); err == nil {
		t.Error("an empty key passes")
	}
	// Nor are those of pairs that cannot be read: the message says which pair it is.
	for _, bad := range []string{
		"ipsec:ikev2-password-local hush", "ipsec:tunnel-password=hush\x01", "ipsec:tunnel-Password#x=hush", "ipsec:tunnel-password#hush=x", "vendor:my-password-2=hush\x02",
	} {
		err := new(Reply).AddPair(bad)
		if err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(strings.ToLower(err.Error()), "password") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// What the operator demands and nobody understands refuses; what is optional is noted.
func TestUnknownPairs(t *testing.T) {
	for _, demanded := range []string{
		"ipsec:colour=blue", "ip:inacl-typo#1=permit ip any any", "ipsec:dns-servers=example.net", "ipsec:dns-servers=2001:db8::5",
		"ipsec:ipv6-dns-servers-addr=10.0.0.1", "ipsec:addr-pool=two words", "ipsec:split-dns=", "ipsec:split-dns=exa_m ple..net",
		"ipsec:ipsec-backup-gateway=0.0.0.0", "ipsec:route-set=", "ipsec:route-set=prefix 10.0.0.0/99", "ipsec:route-set=prefix 10.0.0.0/8 more",
		"ipsec:route-accept=some", "ipsec:route-accept=any tag x", "ipsec:route-accept=any distance 999", "ipsec:netmask=255.0.255.0",
		"ip:addr=255.255.255.255", "ip:addr=10.0.0.1/8", "ip:route=somewhere", "ip:route=10.0.0.0/8 10.1.1.1 x", "nonsense", "ip:vrf-id=",
		"ipsec:addrv6=10.0.0.1", "ipsec:wins-servers=2001:db8::1", "ip:inacl#1=",
	} {
		var r Reply
		if err := r.AddPair(demanded); err == nil {
			t.Errorf("%q passes: %+v", demanded, r)
		}
		optional := strings.Replace(demanded, "=", "*", 1)
		if optional == demanded {
			continue
		}
		r = Reply{}
		if err := r.AddPair(optional); err != nil || len(r.Notes) != 1 {
			t.Errorf("%q: %v, noted %q", optional, err, r.Notes)
		}
	}
}

// Accounts are shared with other services: their pairs are not for us.
func TestPairsOfOtherServices(t *testing.T) {
	r := reply(t, "shell:priv-lvl=15", "vpdn:tunnel-id=x", "profile-name=Windows10-Workstation", "ipsec:pfs=1")
	if len(r.Notes) != 4 {
		t.Errorf("noted %q", r.Notes)
	}
}

func TestLimits(t *testing.T) {
	r := reply(t, "ipsec:dns-servers=10.0.0.1 10.0.0.2 10.0.0.3", "ipsec:ipv6-dns-servers-addr=2001:db8::1 2001:db8::2 2001:db8::3",
		"ipsec:wins-servers=10.0.0.1 10.0.0.2 10.0.0.3")
	for i := range 11 {
		if err := r.AddPair(fmt.Sprintf("ipsec:split-dns=d%d.example.net", i)); err != nil {
			t.Error(err)
		}
		if err := r.AddPair(fmt.Sprintf("ipsec:ipsec-backup-gateway=h%d.example.net", i)); err != nil {
			t.Error(err)
		}
	}
	if len(r.DNS) != 4 || len(r.WINS) != 2 || len(r.SplitDNS) != 10 || len(r.BackupGateways) != 10 {
		t.Errorf("%d DNS, %d WINS, %d domains, %d gateways", len(r.DNS), len(r.WINS), len(r.SplitDNS), len(r.BackupGateways))
	}
	if len(r.Notes) != 5 || !strings.Contains(r.Notes[0], "10.0.0.3 left out: a spoke gets at most 2 IPv4 servers") {
		t.Errorf("the limits are not explained: %q", r.Notes)
	}
}

func FuzzPair(f *testing.F) {
	for _, s := range []string{
		"ip:ipsec:ipv6-dns-servers=addr=2001:db8::5", "ip:inacl#10=permit ip any any", "ipsec:route-accept=any tag:1 distance:2",
		"ipsec:route-set=prefix 10.0.0.0 255.0.0.0", `ip:interface-config=ip mtu 1300\nvrf forwarding red`, "ip:route=10.0.0.0/8 0.0.0.0 1", "shell:x*y",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var r Reply
		for range 3 {
			_ = r.AddPair(s)
		}
		if shown := Redact(s); len(shown) > len(s)+len("[redacted]") {
			t.Errorf("%q is shown as %q", s, shown)
		}
		if len(r.DNS) > 2*MaxServers || len(r.SplitDNS) > MaxDomains || len(r.BackupGateways) > MaxGateways || len(r.InterfaceConfig) > maxLines {
			t.Errorf("a limit is exceeded: %+v", r)
		}
	})
}
