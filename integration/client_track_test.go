package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

// "Tracking can be applied to": interface line protocol, IP routing on an interface, prefixes in the
// routing table, hosts by probes; and lists of them.
func TestClientTrackObjects(t *testing.T) {
	t.Parallel()
	b := newOffice(t, "ctrk", 1)
	f := b.client(`clients:
  flex1: {peers: [{sequence: 1, address: 203.0.113.1}], connect: {track: 9}, profile: hubs, tunnel: tunnel1}
tracks:
  1: {interface: wan1, line-protocol: up}
  2: {interface: wan1, ip-routing: up}
  3: {route: {prefix: 10.99.0.0/16}}
  4: {route: {prefix: "2001:db8:99::/48", table: 77}}
  5: {icmp-echo: {target: 203.0.113.1, source: wan0, interval: 200ms, timeout: 200ms, up: 1, down: 2}}
  6: {tcp-connect: {target: 192.0.2.1, port: 8080, interval: 200ms, timeout: 200ms, up: 1, down: 1}}
  7: {list: {and: [1, 2, {not: 3}]}}
  8: {list: {threshold: {objects: [{track: 1, weight: 10}, {track: 5, weight: 20}], up: 30, down: 10}}}
  9: {list: {and: [3, 4]}}
  10: {http-get: {url: "http://192.0.2.1:8080/metrics", source: 192.0.2.9, interval: 200ms, timeout: 200ms, up: 1, down: 1}}
` + tunnelOne)
	trackIs(f, 1, "up")
	trackIs(f, 2, "up")
	trackIs(f, 5, "up")
	trackIs(f, 7, "up")
	trackIs(f, 8, "up")
	if v := trackIs(f, 6, "down"); !strings.Contains(v.Reason, "refused") {
		t.Errorf("track 6 is down because %q", v.Reason)
	}
	// Somebody listens, and speaks HTTP.
	b.hub(1, "node: hub1\n", "node: hub1\nmetrics: {listen: \"192.0.2.1:8080\"}\n")
	trackIs(f, 6, "up")
	trackIs(f, 10, "up")
	// Routes come and go by the kernel's news.
	must(t, b.spoke.IP("route add 10.99.0.0/16 via 192.0.2.1", "-6 route add 2001:db8:99::/48 dev wan0 table 77"))
	trackIs(f, 3, "up")
	trackIs(f, 4, "up")
	trackIs(f, 7, "down")
	if v := trackIs(f, 9, "up"); fmt.Sprint(v.UsedBy) != "[client flex1 connect]" {
		t.Errorf("track 9 is used by %v", v.UsedBy)
	}
	must(t, b.spoke.IP("route del 10.99.0.0/16"))
	trackIs(f, 3, "down")
	// Forwarding, address, carrier.
	must(t, b.spoke.Sysctl("net.ipv4.conf.wan1.forwarding", "0"))
	if v := trackIs(f, 2, "down"); !strings.Contains(v.Reason, "forwarding") {
		t.Errorf("track 2 is down because %q", v.Reason)
	}
	must(t, b.spoke.Sysctl("net.ipv4.conf.wan1.forwarding", "1"))
	trackIs(f, 2, "up")
	must(t, b.spoke.IP("addr del 198.51.100.9/24 dev wan1"))
	if v := trackIs(f, 2, "down"); !strings.Contains(v.Reason, "no IPv4 address") {
		t.Errorf("track 2 is down because %q", v.Reason)
	}
	must(t, b.net.IP("link set spoke1 down"))
	trackIs(f, 1, "down")
	must(t, b.net.IP("link set hub1a down"))
	trackIs(f, 5, "down")
	trackIs(f, 8, "down")
	text, err := f.run("show", "track", "1")
	must(t, err)
	if !regexp.MustCompile(`(?m)^Track 1\n  Interface wan1 line-protocol\n  Line protocol is Down \(the interface has no carrier\)\n    \d+ changes?, last change 00:\d\d:\d\d$`).MatchString(text) {
		t.Errorf("show track 1 prints\n%s", text)
	}
	metrics, err := b.spoke.Run(context.Background(), "curl", "-s", "http://127.0.0.1:9465/metrics")
	must(t, err)
	for _, line := range []string{`flexvpn_track_up{track="1"} 0`, `flexvpn_track_up{track="4"} 1`, `flexvpn_client_failovers_total{reason="track"} `} {
		if !strings.Contains(metrics, line) {
			t.Errorf("the metrics lack %q", line)
		}
	}
}

// Peers by name: static and dynamic, IPv4 and IPv6, all addresses of an answer, and one that never
// resolves.
func TestClientNames(t *testing.T) {
	t.Parallel()
	b := newOffice(t, "cnam", 1)
	b.hub(1)
	hosts(t, b.spoke.Name, "203.0.113.66 hub.example.net\n203.0.113.1 hub.example.net\n2001:db8:113::1 hub6.example.net\n203.0.113.1 hub6.example.net\n")
	must(t, b.spoke.IP("route add 203.0.113.66 via 192.0.2.66 dev wan0")) // where nobody is
	f := b.client(`clients:
  flex1: {peers: [{sequence: 1, fqdn: nowhere.example.invalid}, {sequence: 2, fqdn: hub.example.net, resolve: dynamic}], profile: hubs, tunnel: tunnel1}
  flex2: {peers: [{sequence: 1, fqdn: hub6.example.net, family: ipv6}], profile: other, tunnel: tunnel2}
tunnels: {tunnel1: {mode: ipsec}, tunnel2: {mode: ipsec}}
`, "metrics:", `    other:
      identity: {fqdn: spoke2.branch.example.net}
      authentication: {local: psk, remote: psk}
      keyring: peers
metrics:`)
	v := on(f, "flex1", "hub.example.net")
	if p := v.Peers[0]; p.Failures == 0 || !strings.Contains(p.LastError, "resolve nowhere.example.invalid") {
		t.Errorf("the name that never resolves shows %+v", p)
	}
	if p := v.Peers[1]; fmt.Sprint(p.Addresses) != "[203.0.113.66 203.0.113.1]" || p.Failures == 0 {
		t.Errorf("the name with two addresses shows %+v", p)
	}
	on(f, "flex2", "hub6.example.net")
	all := show[[]view.Session](f, "sessions")
	if len(all) != 2 || !strings.HasPrefix(all[0].Remote+all[1].Remote, "[2001:db8:113::1]") && !strings.Contains(all[0].Remote+all[1].Remote, "[2001:db8:113::1]") {
		t.Errorf("the sessions are %+v", all)
	}
}

// hosts gives a namespace an /etc/hosts of its own.
func hosts(t *testing.T, namespace, text string) { t.Helper(); etc(t, namespace, "hosts", text) }

// etc gives a namespace a file in /etc of its own (ip-netns(8)).
func etc(t *testing.T, namespace, file, text string) {
	t.Helper()
	dir := filepath.Join("/etc/netns", namespace)
	must(t, os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
	t.Cleanup(func() {
		_ = os.RemoveAll(dir)
		_ = os.Remove("/etc/netns") // if nobody else uses it
	})
}

// "debug crypto ikev2 client flexvpn", with a filter.
func TestClientDebug(t *testing.T) {
	t.Parallel()
	b := newOffice(t, "cdbg", 1)
	f := b.client("clients:\n  flex1: {peers: [{sequence: 1, address: 203.0.113.1}], profile: hubs, tunnel: tunnel1}\n" + tunnelOne)
	out, silent, packets := &syncBuffer{}, &syncBuffer{}, &syncBuffer{}
	socket := []string{"--socket", filepath.Join(f.dir, "control.sock")}
	for _, d := range []struct {
		to    *syncBuffer
		words string
	}{
		{out, "debug crypto ikev2 client flexvpn --peer flex"}, {silent, "debug client --peer nobody"}, {packets, "debug crypto ikev2 packet hexdump --peer 203.0.113.1"},
	} {
		_, err := f.node.Start(d.to, nil, binary, append(socket, strings.Fields(d.words)...)...)
		must(t, err)
		eventually(t, 10*time.Second, d.words+" waits", func() error {
			if !strings.Contains(d.to.String(), "waiting") {
				return fmt.Errorf("it says %q", d.to)
			}
			return nil
		})
	}
	b.hub(1)
	on(f, "flex1", "203.0.113.1")
	eventually(t, 10*time.Second, "debug tells of it", func() error {
		if !strings.Contains(out.String(), "flex1 CONNECTING -> ACTIVE") {
			return fmt.Errorf("it says %q", out)
		}
		if p := packets.String(); !strings.Contains(p, "IKE_AUTH request") || !strings.Contains(p, "00000000  ") {
			return fmt.Errorf("the packets are %q", p)
		}
		return nil
	})
	if strings.Contains(silent.String(), "ACTIVE") {
		t.Errorf("the filter let pass %q", silent)
	}
}

var testName = regexp.MustCompile("`(Test[A-Za-z0-9]+)(\\*?)`")

// Every test that docs/client.md names is there.
func TestClientPageNamesTests(t *testing.T) {
	page, err := os.ReadFile("../docs/client.md")
	must(t, err)
	var code strings.Builder
	for _, pattern := range []string{"*_test.go", "../*/*_test.go", "../*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		must(t, err)
		for _, f := range files {
			text, err := os.ReadFile(f)
			must(t, err)
			code.Write(text)
		}
	}
	names := testName.FindAllStringSubmatch(string(page), -1)
	if len(names) < 20 {
		t.Fatalf("the page names only %d tests", len(names))
	}
	for _, n := range names {
		end := "("
		if n[2] == "*" {
			end = ""
		}
		if !strings.Contains(code.String(), "func "+n[1]+end) {
			t.Errorf("docs/client.md names %s, which is not there", n[1])
		}
	}
}
