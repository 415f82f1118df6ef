package integration

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// nft loads a rule set into a node.
func nft(t *testing.T, n *netlab.Node, rules string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := n.Command(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
}

const masquerade = `flush ruleset
table ip nat {
  chain post {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "out" meta l4proto udp masquerade to :%d-%d
    oifname "out" masquerade
  }
}
`

// Two spokes behind one NAT address, whose mappings then change under way: the hub follows each of
// them after its next authenticated packet, and the tunnels carry on.
func TestScenarioNAT(t *testing.T) {
	t.Parallel()
	s := newStar(t, "nat", "hub", "router")
	hub := s.hub("hub", "10.1.1.2-10.1.1.9")
	router := s.nodes["router"]
	must(t, router.IP("link set eth0 down", "link set eth0 name out", "link set out up"), forwardOn(router))
	nft(t, router, fmt.Sprintf(masquerade, 40000, 40999))
	var spokes []*flexvpn
	for i, mode := range []string{"ipsec", "gre"} {
		name := fmt.Sprintf("spoke%d", i+1)
		n := node(t, s.lab, name)
		must(t, s.lab.Link(n, "eth0", router, name),
			n.IP(fmt.Sprintf("addr add 192.168.%d.2/24 dev eth0", i), fmt.Sprintf("route add default via 192.168.%d.1", i)),
			router.IP(fmt.Sprintf("addr add 192.168.%d.1/24 dev %s", i, name)))
		s.nodes[name] = n
		spokes = append(spokes, s.spoke(name, mode, firstHub))
	}
	for _, f := range spokes {
		if got := f.up(); !got.NAT && !session(t, f).NAT {
			t.Errorf("%s does not know that it is behind a NAT: %+v", f.node.Name, got)
		}
		ping(t, f.node, "10.1.1.1", 5, 500)
	}
	before := remotes(t, hub)
	if len(before) != 2 || !strings.HasPrefix(before[0], "192.0.2.2:") || before[0] == before[1] {
		t.Fatalf("the hub sees its spokes at %v, want two ports of 192.0.2.2", before)
	}
	// The router forgets its mappings and makes others.
	nft(t, router, fmt.Sprintf(masquerade, 50000, 50999))
	if out, err := router.Run(context.Background(), "conntrack", "-F"); err != nil {
		t.Fatalf("conntrack -F: %v\n%s", err, out)
	}
	eventually(t, 20*time.Second, "the hub follows both spokes", func() error {
		now := remotes(t, hub)
		for _, r := range now {
			if contains(before, r) {
				return fmt.Errorf("it sees them at %v, as before", now)
			}
		}
		return nil
	})
	for _, f := range spokes {
		ping(t, f.node, "10.1.1.1", 5, 500)
		if got := show[[]view.Session](f, "sessions"); len(got) != 1 || !strings.HasSuffix(got[0].ID, "-1") {
			t.Errorf("%s did not keep its session: %+v", f.node.Name, got)
		}
	}
}

func forwardOn(n *netlab.Node) error { return n.Sysctl("net.ipv4.ip_forward", "1") }

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

func remotes(t *testing.T, hub *flexvpn) (out []string) {
	t.Helper()
	for _, s := range show[[]view.Session](hub, "sessions") {
		out = append(out, s.Remote)
	}
	return out
}

// session is everything about a node's only session.
func session(t *testing.T, f *flexvpn) view.Session {
	t.Helper()
	return show[view.Session](f, "session", f.up().ID)
}

// promtool judges what Prometheus would scrape.
func TestMetricsByPromtool(t *testing.T) {
	t.Parallel()
	s := newStar(t, "prom", "hub", "spoke1")
	s.hub("hub", "10.1.1.2-10.1.1.9")
	s.spoke("spoke1", "ipsec", firstHub).up()
	ping(t, s.nodes["spoke1"], "10.1.1.1", 5, 500)
	out, err := s.nodes["hub"].Run(context.Background(), "curl", "-sS", "http://127.0.0.1:9464/metrics")
	must(t, err)
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(out)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, said)
	}
	for _, want := range []string{`flexvpn_sessions{role="hub"} 1`, "flexvpn_handshake_duration_seconds_count 1"} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("the scrape lacks %q", want)
		}
	}
	if strings.Contains(out, "192.0.2.") || strings.Contains(out, "branch.example.net") {
		t.Error("a metric names a peer or an address")
	}
}
