package routing

import (
	"net/netip"
	"strings"
	"testing"

	"flexvpn/authz"
	"flexvpn/config"
)

func TestAcceptTakesWhatThePolicyAllowsAndWhatAPeerCanBeTheWayTo(t *testing.T) {
	any := authz.Accept{Any: true}
	rule := func(permit bool, text string, least, most int) config.PrefixRule {
		return config.PrefixRule{Permit: permit, Prefix: netip.MustParsePrefix(text), Least: least, Most: most}
	}
	list := func(rules ...config.PrefixRule) authz.Accept {
		return authz.Accept{List: &config.PrefixList{Name: "l", Rules: rules}}
	}
	lists := func(texts ...string) authz.Accept { return authz.Accept{Prefixes: prefixes(texts...)} }
	for name, c := range map[string]struct {
		policy      authz.Accept
		transport   string
		ok, refused string
	}{
		"any takes ordinary prefixes": {any, "203.0.113.9", "172.16.1.0/24 10.0.0.0/8 2001:db8:1::/48 fd00::/8 10.1.1.1/32 2000::/3", ""},
		"nobody accepts by default":   {authz.Accept{}, "203.0.113.9", "", "172.16.1.0/24 2001:db8:1::/48"},
		"a default route needs to be listed, and so do its halves": {
			any, "203.0.113.9", "", "0.0.0.0/0 ::/0 0.0.0.0/1 128.0.0.0/1 64.0.0.0/2 ::/1 8000::/1",
		},
		"a listed default route is accepted, in halves too": {
			lists("0.0.0.0/0", "::/0"), "203.0.113.9", "0.0.0.0/0 ::/0 0.0.0.0/1 128.0.0.0/1 203.0.113.0/24 10.1.0.0/16", "203.0.113.9/32",
		},
		"a listed default route counts for its own family": {lists("0.0.0.0/0"), "203.0.113.9", "0.0.0.0/0", "::/0 2001:db8::/32"},
		"no peer is the way to these, whatever is listed": {
			lists("0.0.0.0/0", "::/0"), "", "",
			"127.0.0.1/32 127.0.0.0/8 0.0.0.0/8 0.0.0.0/32 169.254.1.0/24 224.0.0.5/32 224.0.0.0/4 240.0.0.0/4 255.255.255.255/32 " +
				"::/128 ::1/128 fe80::/10 fe80::1/128 ff02::/16 ::ffff:10.0.0.0/104",
		},
		"inside of a listed prefix, never around it": {
			lists("172.16.0.0/16", "2001:db8::/32"), "203.0.113.9",
			"172.16.0.0/16 172.16.1.0/24 172.16.1.1/32 2001:db8:7::/48", "172.16.0.0/15 172.17.0.0/24 2001:db8::/31 10.0.0.0/8",
		},
		"a prefix list decides by the first rule that fits, and by lengths": {
			list(rule(false, "172.16.9.0/24", 24, 32), rule(true, "172.16.0.0/12", 24, 24)), "203.0.113.9",
			"172.16.1.0/24 172.31.0.0/24", "172.16.9.0/24 172.16.9.1/32 172.16.0.0/12 172.16.1.1/32 10.0.0.0/24 2001:db8::/32 0.0.0.0/0",
		},
		"a rule without lengths fits its prefix, not what lies inside": {
			list(rule(true, "10.0.0.0/8", 8, 8)), "203.0.113.9", "10.0.0.0/8", "10.1.0.0/16",
		},
		"a prefix list that permits a default route lists it, for its own family": {
			list(rule(true, "0.0.0.0/0", 0, 32)), "203.0.113.9", "0.0.0.0/0 0.0.0.0/1", "::/0 127.0.0.0/8 203.0.113.9/32",
		},
		"what covers the peer's own transport address would swallow its packets": {
			any, "203.0.113.9", "203.0.113.8/32 203.0.112.0/24", "203.0.113.0/24 203.0.113.9/32 200.0.0.0/6",
		},
		"so over IPv6": {any, "2001:db8::9", "2001:db8:1::/48 203.0.113.0/24", "2001:db8::/32 2001:db8::9/128"},
		"a mapped transport address is one of IPv4":  {any, "::ffff:203.0.113.9", "", "203.0.113.0/24"},
		"a client that pins the way need not refuse": {any, "", "203.0.113.0/24 203.0.113.9/32", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var transport netip.Addr
			if c.transport != "" {
				transport = netip.MustParseAddr(c.transport)
			}
			var ok, refused []string
			gotOK, gotRefused := Accept(c.policy, append(prefixes(strings.Fields(c.ok)...), prefixes(strings.Fields(c.refused)...)...), transport)
			for _, p := range gotOK {
				ok = append(ok, p.String())
			}
			for _, p := range gotRefused {
				refused = append(refused, p.String())
			}
			if got := strings.Join(ok, " "); got != c.ok {
				t.Errorf("accepted %q, want %q", got, c.ok)
			}
			if got := strings.Join(refused, " "); got != c.refused {
				t.Errorf("refused %q, want %q", got, c.refused)
			}
		})
	}
}

func TestAcceptClearsHostBitsAndRefusesNonsense(t *testing.T) {
	ok, refused := Accept(authz.Accept{Any: true}, []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8"), {}}, netip.Addr{})
	if len(ok) != 1 || ok[0].String() != "10.0.0.0/8" || len(refused) != 1 {
		t.Errorf("accepted %v, refused %v", ok, refused)
	}
}
