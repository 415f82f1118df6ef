package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

// badUsers are accounts with nonsense, by the name of the spoke that has one, and why it is refused.
var badUsers = []struct{ name, reply, refusal, counted string }{
	{"colour", `Cisco-AVPair = "ipsec:colour=blue"`, "AV-pair ipsec:colour is not known here", "av-pair"},
	{"nameless", `Cisco-AVPair = "ipsec:dns-servers=dns.example.net"`, `"dns.example.net" is no IPv4 address of a host`, "av-pair"},
	{"short", `Attr-27 = 0x01`, "Session-Timeout: it has 1 octets, not 4", "attribute"},
	{"lines", `Cisco-AVPair = "ip:inacl#1=permit nonsense any any"`, "inacl#1", ""},
	{"unlisted", `Filter-Id = "nowhere.in"`, "nowhere", ""},
	{"poolless", `Framed-Pool = "nowhere"`, "pool nowhere: no such pool", ""},
	{"hubs", `Framed-IP-Address = 10.1.1.1`, "10.1.1.1 is this hub's own address", ""},
	{"taken", `Framed-IP-Address = 10.9.9.9`, "first.branch.example.net has 10.9.9.9: the server assigned it twice", ""},
	{"outside", "Framed-IP-Address = 10.9.9.8, Framed-Pool = \"flexspokes\"", "assigns 10.9.9.8 and pool flexspokes, which does not have it", ""},
}

func badAccounts(t *testing.T) []byte {
	text := string(freeradiusFiles(t)["users"])
	account := func(name, reply string) {
		text += fmt.Sprintf("\n%s.branch.example.net\tCleartext-Password := \"cisco\"\n\t%s\n", name, reply)
	}
	account("first", "Framed-IP-Address = 10.9.9.9")
	for _, u := range badUsers {
		account(u.name, u.reply)
	}
	return []byte(text)
}

// manySpokes is one node that connects as each of the names.
func manySpokes(names ...string) string {
	profiles, clients, tunnels := "", "", ""
	for i, name := range names {
		profiles += fmt.Sprintf("    p%d: {identity: {fqdn: %s.branch.example.net}, authentication: {local: psk, remote: psk}, keyring: peers}\n", i, name)
		clients += fmt.Sprintf("  c%d: {peers: %s, profile: p%d, tunnel: tunnel%d}\n", i, firstHub, i, i)
		tunnels += fmt.Sprintf("  tunnel%d: {mode: ipsec, address: negotiated, source: dynamic, destination: dynamic}\n", i)
	}
	return "node: many\nikev2:\n  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]}\n  profiles:\n" + profiles + "clients:\n" + clients + "tunnels:\n" + tunnels
}

// "An Access-Accept whose address is taken or outside the pool, an AV-pair with nonsense", short
// attributes, lists and pools that are not there: FreeRADIUS says them, and each peer is refused with the
// reason in the list of failures and in the log; what is wrong with the answer is counted; no session is
// there, not even half of one.
func TestAAABadAnswers(t *testing.T) {
	t.Parallel()
	s := newStar(t, "aaag", "hub", "radius", "first", "many")
	startFreeradius(t, s.nodes["radius"], newCA(t), map[string][]byte{"users": badAccounts(t)})
	hub := startFlexvpn(t, s.nodes["hub"], "hub", aaaHubText([]string{"192.0.2.2"}), aaaFiles())
	first := startFlexvpn(t, s.nodes["first"], "client", manySpokes("first"), aaaFiles())
	first.up()
	var names []string
	for _, u := range badUsers {
		names = append(names, u.name)
	}
	startFlexvpn(t, s.nodes["many"], "client", manySpokes(names...), aaaFiles())
	eventually(t, 40*time.Second, "all are refused, each with its reason", func() error {
		failed := show[[]view.Failed](hub, "sessions", "--failed")
		for _, u := range badUsers {
			if !listed(failed, u.name+".branch.example.net", u.refusal) {
				return fmt.Errorf("%s is not there with %q: %+v", u.name, u.refusal, failed)
			}
		}
		return nil
	})
	for _, u := range badUsers {
		if !strings.Contains(strings.ReplaceAll(hub.log.String(), `\"`, `"`), u.refusal) {
			t.Errorf("the log does not say %q", u.refusal)
		}
	}
	if got := hub.up(); got.Identity != "first.branch.example.net" {
		t.Errorf("the hub has %+v", got)
	}
	if links, _ := ours(t, hub.node); len(links) != 1 {
		t.Errorf("the interfaces are %v", links)
	}
	v := show[view.AAA](hub, "aaa", "servers").Servers[0]
	if v.Unusable["av-pair"] < 2 || v.Unusable["attribute"] < 1 || v.Unusable["eap"] != 0 {
		t.Errorf("show aaa servers counts %v", v.Unusable)
	}
	page := scrape(t, hub)
	for _, want := range []string{
		`flexvpn_aaa_unusable_answers_total{port="auth",reason="av-pair",server="r1"} `, `flexvpn_session_failures_total{reason="address"} `,
		`flexvpn_session_failures_total{reason="authorization"} `, `flexvpn_aaa_server_up{port="auth",server="r1"} 1`,
	} {
		if !strings.Contains(page, want) || strings.Contains(page, want+"0\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

func listed(failed []view.Failed, identity, detail string) bool {
	for _, f := range failed {
		if f.Identity == identity && strings.Contains(f.Detail, detail) {
			return true
		}
	}
	return false
}

// scrape is the metrics page of a node.
func scrape(t *testing.T, f *flexvpn) string {
	t.Helper()
	out, err := f.node.Run(context.Background(), "curl", "-sS", "http://127.0.0.1:9464/metrics")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}
