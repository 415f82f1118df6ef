package integration

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

// aaaHubText is a hub whose groups and users are in RADIUS; servers are names of nodes with their
// addresses, in order. changes replace parts of it, old and new in turn.
func aaaHubText(servers []string, changes ...string) string {
	var list, names []string
	for i, addr := range servers {
		list = append(list, fmt.Sprintf("    r%d: {address: %q, secret: {file: DIR/radius.secret}, timeout: 500ms, tries: 2}", i+1, addr))
		names = append(names, fmt.Sprintf("r%d", i+1))
	}
	text := `node: hub
aaa:
  servers:
` + strings.Join(list, "\n") + `
  groups: {radius: {servers: [` + strings.Join(names, ", ") + `], dead-time: 1m}}
ikev2:
  name-manglers: {domains: {fqdn: domain}}
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]}
  profiles:
    spokes:
      match: {identity: [{fqdn-domain: branch.example.net}]}
      identity: {fqdn: hub.example.net}
      authentication: {local: psk, remote: psk}
      keyring: peers
      authorization:
        group: {list: radius, name-mangler: domains}
        user: {list: radius}
      virtual-template: 1
      dpd: {interval: 10s, retry: 2s, mode: on-demand}
pools:
  flexspokes: {range: 10.1.1.2-10.1.1.99}
  flexspokes6: {range: "2001:db8:fff::2-2001:db8:fff::ff"}
virtual-templates:
  1: {mode: auto, address: [10.1.1.1/32, "2001:db8:fff::1/128"], mtu: 1400, adjust-mss: 1360}
metrics: {listen: "127.0.0.1:9464"}
`
	return strings.NewReplacer(changes...).Replace(text)
}

func aaaFiles() map[string][]byte {
	return map[string][]byte{"psk": []byte(starPSK), "radius.secret": []byte(radiusSecret + "\n")}
}

func attributeLines(f *flexvpn, id string) string {
	f.t.Helper()
	var lines []string
	for _, a := range show[view.Session](f, "session", id).Attributes {
		lines = append(lines, fmt.Sprintf("%s=%s (%s)", a.Name, a.Value, a.Origin))
	}
	return strings.Join(lines, "\n")
}

func pushedLines(f *flexvpn) string {
	f.t.Helper()
	var lines []string
	for _, a := range show[[]view.Client](f, "client")[0].Pushed {
		lines = append(lines, a.Name+"="+a.Value)
	}
	return strings.Join(lines, "\n")
}

func wantLines(t *testing.T, what, got string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.Contains("\n"+got+"\n", "\n"+line+"\n") && !strings.Contains(got, line) {
			t.Errorf("%s lacks %q:\n%s", what, line, got)
		}
	}
}

// Every attribute of the seeds comes from FreeRADIUS to a spoke, the user's over the group's, and
// show session says which gave what.
func TestAAAGroupAndUser(t *testing.T) {
	t.Parallel()
	s := newStar(t, "aaa1", "hub", "radius", "spoke1", "spoke2")
	startFreeradius(t, s.nodes["radius"], newCA(t), nil)
	hub := startFlexvpn(t, s.nodes["hub"], "hub", aaaHubText([]string{"192.0.2.2"}), aaaFiles())
	one, two := s.spoke("spoke1", "ipsec", firstHub), s.spoke("spoke2", "gre", firstHub)
	one.up()
	two.up()
	wantLines(t, "the second spoke, with its group's attributes", pushedLines(two),
		"dns=192.168.10.5 192.168.10.6 2001:db8:10::5 2001:db8:10::6", "wins=10.10.210.10 10.10.210.11", "split-dns=example.net example.org",
		"def-domain=example.net", "backup-gateways=203.0.113.225 hub2.example.net", "banner=Welcome to the branch network")
	wantLines(t, "the first spoke, whose user has a name server", pushedLines(one), "dns=192.168.10.99", "def-domain=example.net")
	got := attributeLines(hub, "spoke1.branch.example.net")
	wantLines(t, "show session", got,
		"address=10.1.1.77 (radius user spoke1.branch.example.net)", "dns=192.168.10.99 (radius user spoke1.branch.example.net)",
		"wins=10.10.210.10 10.10.210.11 (radius group branch.example.net)", "ipv6-pool=flexspokes6 (radius group branch.example.net)",
		"class=branch-gold (radius user spoke1.branch.example.net)", "session-timeout=24h0m0s (radius user spoke1.branch.example.net)",
		"routes accept=any tag 1 distance 5 (radius group branch.example.net)", "interim-interval=10m0s (radius group branch.example.net)")
	ping(t, one.node, "10.1.1.1", 3, 200)
	out, err := hub.node.Run(t.Context(), "ip", "route", "show", "172.20.1.0/24")
	if err != nil || !strings.Contains(out, "dev va") {
		t.Errorf("Framed-Route is no route to the session: %q, %v", out, err)
	}
}

// With override the group's attributes win over the user's, attribute by attribute.
func TestAAAOverride(t *testing.T) {
	t.Parallel()
	s := newStar(t, "aaa2", "hub", "radius", "spoke1")
	startFreeradius(t, s.nodes["radius"], newCA(t), nil)
	hub := startFlexvpn(t, s.nodes["hub"], "hub", aaaHubText([]string{"2001:db8:1::2"}, "name-mangler: domains}", "name-mangler: domains, override: true}"), aaaFiles())
	one := s.spoke("spoke1", "gre", firstHub)
	one.up()
	wantLines(t, "the spoke", pushedLines(one), "dns=192.168.10.5 192.168.10.6 2001:db8:10::5 2001:db8:10::6")
	wantLines(t, "show session", attributeLines(hub, "spoke1.branch.example.net"),
		"dns=192.168.10.5 192.168.10.6 2001:db8:10::5 2001:db8:10::6 (radius group branch.example.net)",
		"address=10.1.1.77 (radius user spoke1.branch.example.net)")
}

// A server that is killed loses its requests to the next one; when all are dead peers are refused
// with the reason, sessions that are up live on, and a server that is back serves again.
func TestAAAFailover(t *testing.T) {
	t.Parallel()
	s := newStar(t, "aaa3", "hub", "radius1", "radius2", "spoke1", "spoke2")
	authority := newCA(t)
	first, second := startFreeradius(t, s.nodes["radius1"], authority, nil), startFreeradius(t, s.nodes["radius2"], authority, nil)
	hub := startFlexvpn(t, s.nodes["hub"], "hub", aaaHubText([]string{"192.0.2.2", "192.0.2.3"}), aaaFiles())
	one := s.spoke("spoke1", "ipsec", firstHub)
	one.up()
	if !strings.Contains(first.log.String(), "Access-Accept") || strings.Contains(second.log.String(), "Access-Request") {
		t.Error("the second server was asked while the first answers")
	}
	first.stop()
	two := s.spoke("spoke2", "ipsec", firstHub)
	two.up()
	if !strings.Contains(second.log.String(), "Access-Accept") {
		t.Error("the second server was not asked")
	}
	second.stop()
	mustRun(two, "disconnect", "flex1")
	two.none()
	mustRun(two, "connect", "flex1")
	eventually(t, 30*time.Second, "the spoke is refused, with the reason", func() error {
		failed := show[[]view.Failed](hub, "sessions", "--failed")
		if len(failed) == 0 || !strings.Contains(failed[0].Detail, "no AAA server answers") {
			return fmt.Errorf("the hub lists %+v", failed)
		}
		return nil
	})
	ping(t, one.node, "10.1.1.1", 3, 200)
	page := scrape(t, hub)
	wantLines(t, "the metrics", page, `flexvpn_aaa_server_up{port="auth",server="r1"} 0`, `flexvpn_aaa_server_up{port="auth",server="r2"} 0`,
		`flexvpn_aaa_answers_total{answer="accept",port="auth",server="r1"} 2`, `flexvpn_aaa_latency_seconds_count{port="auth",server="r1"} 2`)
	for _, metric := range []string{"requests", "timeouts", "retransmissions"} {
		if line := fmt.Sprintf(`flexvpn_aaa_%s_total{port="auth",server="r2"} `, metric); !strings.Contains(page, line) || strings.Contains(page, line+"0\n") {
			t.Errorf("the metrics have no %s", line)
		}
	}
	if text, err := hub.run("show", "aaa", "servers"); err != nil || strings.Count(text, "  dead  ") != 2 || !strings.Contains(text, "is dead: no answer to 2 requests") {
		t.Errorf("show aaa servers says (%v)\n%s", err, text)
	}
	first.start()
	eventually(t, 60*time.Second, "the hub sees that the server is back", func() error {
		if !strings.Contains(hub.log.String(), "radius server back") {
			return errors.New("the log does not say so")
		}
		return nil
	})
	mustRun(two, "disconnect", "flex1") // its back-off after a refusal is long
	mustRun(two, "connect", "flex1")
	two.up()
}

// While no server answers the local policy serves, when the profile says so.
func TestAAALocalWhileDead(t *testing.T) {
	t.Parallel()
	s := newStar(t, "aaa4", "hub", "radius", "spoke1")
	hub := startFlexvpn(t, s.nodes["hub"], "hub", aaaHubText([]string{"192.0.2.2"},
		"group: {list: radius, name-mangler: domains}\n        user: {list: radius}", "group: {list: radius, name-mangler: domains, unreachable: local, policy: spare}",
		"pools:\n", "  authorization-policies: {spare: {pool: flexspokes, dns: [192.168.10.1]}}\npools:\n"), aaaFiles())
	one := s.spoke("spoke1", "ipsec", firstHub)
	one.up()
	wantLines(t, "show session", attributeLines(hub, "spoke1.branch.example.net"), "dns=192.168.10.1 (local policy spare)")
}

// A name that the server does not know is refused, and the spoke's own log is not the place to look.
func TestAAAUnknownUser(t *testing.T) {
	t.Parallel()
	s := newStar(t, "aaa5", "hub", "radius", "spoke3")
	startFreeradius(t, s.nodes["radius"], newCA(t), nil)
	hub := startFlexvpn(t, s.nodes["hub"], "hub", aaaHubText([]string{"192.0.2.2"}), aaaFiles())
	s.spoke("spoke3", "ipsec", firstHub)
	eventually(t, 30*time.Second, "the spoke is refused", func() error {
		failed := show[[]view.Failed](hub, "sessions", "--failed")
		if len(failed) == 0 || failed[0].Stage != "authorization" || !strings.Contains(failed[0].Detail, "user spoke3.branch.example.net: rejected") {
			return fmt.Errorf("the hub lists %+v", failed)
		}
		return nil
	})
	if line := `flexvpn_aaa_answers_total{answer="reject",port="auth",server="r1"} `; strings.Contains(scrape(t, hub), line+"0\n") {
		t.Error("the metrics have no rejects")
	}
	if text, err := hub.run("show", "aaa", "attributes", "spoke3.branch.example.net"); err == nil || !strings.Contains(text+err.Error(), "would be refused") {
		t.Errorf("show aaa attributes says %v\n%s", err, text)
	}
}

// Pre-shared keys come from the server: one for both directions, or one for each.
func TestAAAKeys(t *testing.T) {
	t.Parallel()
	s := newStar(t, "aaa6", "hub", "radius", "keys", "directed", "liar")
	startFreeradius(t, s.nodes["radius"], newCA(t), nil)
	hub := startFlexvpn(t, s.nodes["hub"], "hub", aaaHubText([]string{"192.0.2.2"},
		"peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]", "peers: {aaa: {}}",
		"\n        user: {list: radius}", ""), aaaFiles())
	debug := &syncBuffer{}
	proc, err := hub.node.Start(debug, nil, binary, "--socket", hub.socket(), "debug", "radius", "--packet")
	must(t, err)
	defer func() { _ = proc.Stop(5 * time.Second) }()
	eventually(t, 20*time.Second, "debug radius listens", func() error {
		if !strings.Contains(debug.String(), "waiting for RADIUS packets") {
			return errors.New(debug.String())
		}
		return nil
	})
	spoke := func(name, key string) *flexvpn {
		text := strings.ReplaceAll(spokeText("spoke1", "ipsec", firstHub), "spoke1.branch", name+".branch")
		text = strings.ReplaceAll(text, "pre-shared-key: {file: DIR/psk}", "pre-shared-key: "+key)
		return startFlexvpn(t, s.nodes[name], "client", text, aaaFiles())
	}
	spoke("keys", "'a key of both directions, for tests only'").up()
	spoke("directed", "{local: 'a key of the spoke, for tests only', remote: 'a key of the hub, for tests only'}").up()
	s.nodes["directed"], s.nodes["liar"] = s.nodes["liar"], s.nodes["directed"]
	spoke("directed", "'a key of both directions, for tests only'")
	eventually(t, 30*time.Second, "the wrong key is refused", func() error {
		failed := show[[]view.Failed](hub, "sessions", "--failed")
		if len(failed) == 0 || failed[0].Stage != "authentication" || !strings.Contains(failed[0].Detail, "pre-shared key") {
			return fmt.Errorf("the hub lists %+v", failed)
		}
		return nil
	})
	wantLines(t, "debug radius", debug.String(), "Access-Request", "Access-Accept", "User-Name = keys.branch.example.net", "User-Password = [redacted]",
		"Tunnel-Password = [redacted]", "Cisco-AVPair = ipsec:ikev2-password-local=[redacted]", "Cisco-AVPair = ipsec:ikev2-password-remote=[redacted]")
	for what, text := range map[string]string{"the hub's log": hub.log.String(), "debug radius": debug.String()} {
		if strings.Contains(text, "for tests only") || strings.Contains(text, radiusSecret) {
			t.Errorf("a key is in %s", what)
		}
	}
}
