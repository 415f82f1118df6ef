package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// A star is our hub and our spokes around a switch: every node has one line, of both families.
type star struct {
	t      *testing.T
	lab    *netlab.Lab
	plane  string       // of hubs and spokes; empty: userspace
	centre *netlab.Node // the switch's node: lines are cut here
	nodes  map[string]*netlab.Node
}

// newStar joins nodes to a bridge; node i has 192.0.2.i and 2001:db8:1::i, from 1 on.
func newStar(t *testing.T, lab string, names ...string) *star {
	t.Helper()
	s := &star{t: t, lab: newLab(t, lab), nodes: map[string]*netlab.Node{}}
	s.centre = node(t, s.lab, "net")
	must(t, s.centre.IP("link add br0 type bridge", "link set br0 up"))
	for i, name := range names {
		n := node(t, s.lab, name)
		must(t, s.lab.Link(n, "eth0", s.centre, name), s.centre.IP("link set "+name+" master br0"),
			n.IP(fmt.Sprintf("addr add 192.0.2.%d/24 dev eth0", i+1), fmt.Sprintf("addr add 2001:db8:1::%d/64 dev eth0", i+1)))
		s.nodes[name] = n
	}
	return s
}

const starPSK = "a test secret, not for use\n"

func (s *star) hub(name, pools string) *flexvpn {
	s.t.Helper()
	return s.hubWith(name, pools, "")
}

// hubWith starts a hub with more in its configuration.
func (s *star) hubWith(name, pools, more string) *flexvpn {
	s.t.Helper()
	return startFlexvpn(s.t, s.nodes[name], "hub", s.dataplane()+`node: `+name+`
ikev2:
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]}
  profiles:
    spokes:
      match: {identity: [{fqdn-domain: branch.example.net}]}
      identity: {fqdn: `+name+`.example.net}
      authentication: {local: psk, remote: psk}
      keyring: peers
      authorization: {group: {list: local, policy: default}}
      virtual-template: 1
      dpd: {interval: 10s, retry: 2s, mode: on-demand}
  authorization-policies:
    default: {pool: v4, ipv6-pool: v6, routes: {set: [interface, 172.16.0.0/16], accept: any}}
pools:
  v4: {range: `+pools+`}
  v6: {range: "2001:db8:fff::2-2001:db8:fff::ff"}
virtual-templates:
  1: {mode: auto, address: [10.1.1.1/32, "2001:db8:fff::1/128"], mtu: 1400, adjust-mss: 1360}
metrics: {listen: "127.0.0.1:9464"}
`+more, map[string][]byte{"psk": []byte(starPSK)})
}

func (s *star) dataplane() string { return planeLine(s.plane) }

// planeLine chooses a plane in a configuration; none: startFlexvpn does.
func planeLine(plane string) string {
	if plane == "" {
		return ""
	}
	return "dataplane: " + plane + "\n"
}

func (s *star) spoke(name, mode, peers string) *flexvpn {
	s.t.Helper()
	return startFlexvpn(s.t, s.nodes[name], "client", s.dataplane()+spokeText(name, mode, peers), map[string][]byte{"psk": []byte(starPSK)})
}

func spokeText(name, mode, peers string) string {
	n := name[len(name)-1:]
	return `node: ` + name + `
ikev2:
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]}
  profiles:
    hubs:
      identity: {fqdn: ` + name + `.branch.example.net}
      authentication: {local: psk, remote: psk}
      keyring: peers
      routes: {set: [interface, 172.16.` + n + `.0/24], accept: any}
      dpd: {interval: 2s, retry: 1s, mode: periodic}
clients:
  flex1: {peers: ` + peers + `, profile: hubs, tunnel: tunnel1}
tunnels:
  tunnel1: {mode: ` + mode + `, address: negotiated, source: dynamic, destination: dynamic, mtu: 1400, adjust-mss: 1360}
`
}

const firstHub = `[{sequence: 1, address: 192.0.2.1}]`

// ours lists what a node has of ours: interfaces va*, tunnel*, and routes of our protocol number.
func ours(t *testing.T, n *netlab.Node) (links, routes []string) {
	t.Helper()
	out, err := n.Run(context.Background(), "ip", "-j", "link")
	must(t, err)
	var all []struct {
		Name string `json:"ifname"`
	}
	must(t, json.Unmarshal([]byte(out), &all))
	for _, l := range all {
		if strings.HasPrefix(l.Name, "va") || strings.HasPrefix(l.Name, "tunnel") {
			links = append(links, l.Name)
		}
	}
	for _, family := range []string{"-4", "-6"} {
		out, err := n.Run(context.Background(), "ip", family, "route", "show", "table", "all", "proto", "178")
		must(t, err)
		for line := range strings.Lines(out) {
			routes = append(routes, strings.TrimSpace(line))
		}
	}
	return links, routes
}

// Done when 7: a hub that is killed and started again leaves nothing stale, touches nothing of
// others, and has its spokes back within their dead peer detection.
func TestScenarioHubKilled(t *testing.T) {
	t.Parallel()
	s := newStar(t, "kill", "hub", "spoke1", "spoke2")
	hub := s.hub("hub", "10.1.1.2-10.1.1.9")
	spokes := []*flexvpn{s.spoke("spoke1", "ipsec", firstHub), s.spoke("spoke2", "gre", firstHub)}
	address := map[string]string{}
	for _, f := range spokes {
		got := f.up()
		address[got.Local] = fmt.Sprint(got.Addresses)
	}
	// A stranger's things, some of them where ours are.
	n := s.nodes["hub"]
	must(t, n.IP("link add stranger type bridge", "link set stranger up", "addr add 198.18.0.1/24 dev stranger",
		"route add 172.31.0.0/16 via 192.0.2.200 proto 99", "rule add pref 4242 from 198.18.9.9 lookup main"))

	hub.proc.Kill()
	// TUN devices went with the process; what could remain are routes, so leave one as a crash might.
	must(t, n.IP("route add 172.29.0.0/16 dev stranger proto 178"))
	hub.start()
	if links, routes := ours(t, n); len(links) != 0 || len(routes) != 0 {
		if all := show[[]view.Session](hub, "sessions"); len(all) == 0 {
			t.Errorf("after the restart there are still %v and %v", links, routes)
		}
	}
	for _, p := range show[[]view.Pool](hub, "pools") {
		if p.Used > uint64(len(show[[]view.Session](hub, "sessions"))) {
			t.Errorf("pool %s has %d leases in use that belong to nobody", p.Name, p.Used)
		}
	}
	for _, line := range []struct{ what, command string }{
		{"172.31.0.0/16", "route show proto 99"}, {"stranger", "link show stranger"}, {"4242", "rule show"},
	} {
		out, err := n.Run(context.Background(), "ip", strings.Fields(line.command)...)
		if err != nil || !strings.Contains(out, line.what) {
			t.Errorf("a stranger's %s is gone: %v\n%s", line.what, err, out)
		}
	}
	// Interval 2 s, then probes a second apart: silence is noticed, and the way back is short.
	for i, f := range spokes {
		eventually(t, 40*time.Second, fmt.Sprintf("spoke%d is back", i+1), func() error {
			all := show[[]view.Session](f, "sessions")
			if len(all) != 1 || all[0].State != "UP-ACTIVE" {
				return fmt.Errorf("it has %+v", all)
			}
			_, err := f.node.Run(context.Background(), "ping", "-c", "1", "-W", "1", "10.1.1.1")
			return err
		})
		got := f.up()
		if now := fmt.Sprint(got.Addresses); address[got.Local] != now {
			t.Errorf("spoke%d had %s and now has %s: a returning spoke keeps its address", i+1, address[got.Local], now)
		}
	}
	if _, routes := ours(t, n); strings.Contains(strings.Join(routes, "\n"), "172.29.0.0/16") {
		t.Error("the route of the former run is still there")
	}
	must(t, hub.proc.Stop(10*time.Second))
	if links, routes := ours(t, n); len(links) != 0 || len(routes) != 0 {
		t.Errorf("after a graceful stop there are still %v and %v", links, routes)
	}
}

// A hub whose line is cut loses its spoke to the next hub of the list.
func TestScenarioNextHub(t *testing.T) {
	t.Parallel()
	s := newStar(t, "next", "hub1", "hub2", "spoke3")
	s.hub("hub1", "10.1.1.2-10.1.1.9")
	hub2 := s.hub("hub2", "10.1.2.2-10.1.2.9")
	spoke := s.spoke("spoke3", "ipsec", `[{sequence: 1, address: 192.0.2.1}, {sequence: 2, address: "2001:db8:1::2"}]`)
	if got := spoke.up(); !strings.HasPrefix(got.Identity, "hub1") {
		t.Fatalf("the spoke went to %s first", got.Identity)
	}
	must(t, s.centre.IP("link set hub1 down"))
	eventually(t, 40*time.Second, "the spoke is with the second hub", func() error {
		all := show[[]view.Session](spoke, "sessions")
		if len(all) != 1 || !strings.HasPrefix(all[0].Identity, "hub2") {
			return fmt.Errorf("it has %+v", all)
		}
		return nil
	})
	ping(t, spoke.node, "10.1.1.1", 5, 500)
	if got := hub2.up(); got.Identity != "spoke3.branch.example.net" || got.InPackets == 0 {
		t.Errorf("the second hub shows %+v", got)
	}
}

// A pool of one address serves one spoke; the other is refused with the reason, and not for ever.
func TestScenarioFullPool(t *testing.T) {
	t.Parallel()
	s := newStar(t, "pool", "hub", "spoke1", "spoke2")
	hub := s.hub("hub", "10.1.1.2-10.1.1.2")
	first := s.spoke("spoke1", "ipsec", firstHub)
	first.up()
	second := s.spoke("spoke2", "ipsec", firstHub)
	eventually(t, 20*time.Second, "the second spoke is refused", func() error {
		failed := show[[]view.Failed](hub, "sessions", "--failed")
		if len(failed) == 0 || failed[0].Reason != "address" || !strings.HasPrefix(failed[0].Identity, "spoke2") || !strings.Contains(failed[0].Detail, "v4") {
			return fmt.Errorf("the hub lists %+v", failed)
		}
		c := show[[]view.Client](second, "client")
		if !strings.HasPrefix(c[0].LastError, "address") {
			return fmt.Errorf("the spoke says %+v", c)
		}
		return nil
	})
	mustRun(first, "disconnect", "flex1")
	if got := second.up(); fmt.Sprint(got.Addresses[0]) != "10.1.1.2" {
		t.Errorf("the second spoke got %v", got.Addresses)
	}
}

// Done when 6: two thousand sessions stand on one hub, are shown, and go.
func TestScenarioTwoThousandSessions(t *testing.T) {
	const n = 2000
	s := newStar(t, "many", "hub", "load")
	hub := startFlexvpn(t, s.nodes["hub"], "hub", `node: hub
ikev2:
  max-half-open: 1000
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]}
  profiles:
    spokes:
      match: {identity: [{fqdn-domain: branch.example.net}]}
      identity: {fqdn: hub.example.net}
      authentication: {local: psk, remote: psk}
      keyring: peers
      authorization: {group: {list: local, policy: default}}
      virtual-template: 1
  authorization-policies:
    default: {pool: v4, routes: {set: [interface], accept: any}}
pools:
  v4: {range: 10.1.0.2-10.1.255.254}
virtual-templates:
  1: {mode: auto, address: 10.1.0.1/32}
`, map[string][]byte{"psk": []byte(starPSK)})
	dir := t.TempDir()
	text := strings.ReplaceAll("state-dir: DIR/state\ndataplane: none\n"+spokeText("spoke1", "ipsec", firstHub), "DIR", dir)
	must(t, os.WriteFile(filepath.Join(dir, "psk"), []byte(starPSK), 0o600), os.WriteFile(filepath.Join(dir, "load.yaml"), []byte(text), 0o600))
	out := &syncBuffer{}
	load, err := s.nodes["load"].Start(out, nil, binary, "load", "-c", filepath.Join(dir, "load.yaml"), "-n", fmt.Sprint(n), "--hold", "10m")
	must(t, err)
	count := func() int {
		up := 0
		for _, v := range show[[]view.Session](hub, "sessions") {
			if v.State == "UP-ACTIVE" && v.Interface != "" {
				up++
			}
		}
		return up
	}
	eventually(t, 3*time.Minute, "all sessions stand, each with its interface", func() error {
		select {
		case <-load.Done():
			return fmt.Errorf("load has ended:\n%s", out)
		default:
		}
		if got := count(); got != n {
			return fmt.Errorf("%d of %d stand", got, n)
		}
		return nil
	})
	if links, _ := ours(t, s.nodes["hub"]); len(links) != n {
		t.Errorf("there are %d virtual-access interfaces, want %d", len(links), n)
	}
	mustRun(hub, "clear", "session", "--all")
	eventually(t, time.Minute, "all sessions are gone", func() error {
		if got := len(show[[]view.Session](hub, "sessions")); got != 0 {
			return fmt.Errorf("%d are left", got)
		}
		return nil
	})
	if links, routes := ours(t, s.nodes["hub"]); len(links) != 0 || len(routes) != 0 {
		t.Errorf("%d interfaces and %d routes are left", len(links), len(routes))
	}
	_ = load.Stop(20 * time.Second) // it reports the lost sessions with exit code 1
}
