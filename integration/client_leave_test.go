package integration

import (
	"context"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"flexvpn/netlab"
)

// stateOf is what a machine's network looks like, as its owner sees it: links, addresses, routes of all
// tables, rules, nftables, tc, settings of the interfaces, and what a resolver reads.
func stateOf(t *testing.T, n *netlab.Node) map[string]string {
	t.Helper()
	out := map[string]string{}
	for what, command := range map[string]string{
		"links":     "ip -o link",
		"addresses": "ip -o addr",
		"routes":    "ip route show table all",
		"routes6":   "ip -6 route show table all",
		"rules":     "ip rule; ip -6 rule",
		"nftables":  "nft list ruleset",
		"tc":        "tc qdisc; tc filter show dev wan0; tc filter show dev lan0",
		"settings":  "grep -r . /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf 2>/dev/null | grep -v stable_secret | sort",
		"resolver":  "cat /etc/resolv.conf /etc/hosts",
	} {
		text, err := n.Run(context.Background(), "sh", "-c", command)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		out[what] = settled(text)
	}
	return out
}

// passing are what changes by itself: lifetimes, and numbers that the kernel counts up.
var passing = regexp.MustCompile(`(valid_lft|preferred_lft|expires) \S+|qlen \d+|if\d+`)

// elsewhere is what ip says when a namespace that has nothing to do with the one it looks at vanishes
// meanwhile.
const elsewhere = "Error: Peer netns reference is invalid.\n"

func settled(text string) string {
	text = strings.ReplaceAll(text, elsewhere, "")
	lines := strings.Split(passing.ReplaceAllString(text, ""), "\n")
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// asBefore fails when a machine does not look as it did.
func asBefore(t *testing.T, n *netlab.Node, before map[string]string, when string) {
	t.Helper()
	eventually(t, 10*time.Second, when+": the machine is as it was", func() error {
		for what, now := range stateOf(t, n) {
			if now != before[what] {
				return fmt.Errorf("%s were\n%s\nand are\n%s", what, before[what], now)
			}
		}
		return nil
	})
}

// Done when 4: the machine is exactly as it was found after a stop, a crash and a restart: what filters and
// translates goes with the process that made it, as its tunnels do.
func TestClientLeavesTheMachineAsItWas(t *testing.T) {
	t.Parallel()
	b := newOffice(t, "clea", 2)
	b.hub(1, "10.0.0.0/24]", "10.0.0.0/24, 203.0.113.0/24, 0.0.0.0/1]")
	b.hub(2)
	// Somebody else's things, which must survive, too.
	must(t, b.spoke.IP("rule add pref 4242 from 198.18.9.9 lookup main", "route add 198.18.0.0/15 via 192.0.2.200 proto 99", "route add 198.19.7.0/24 dev lan0 table 77"))
	_, err := b.spoke.Run(context.Background(), "nft", "add table inet theirs; add chain inet theirs c { type filter hook forward priority 0; }; add rule inet theirs c accept")
	must(t, err)
	before := stateOf(t, b.spoke)
	f := b.client(`clients:
  flex1:
    peers: [{sequence: 1, address: 203.0.113.1, track: {object: 1}}, {sequence: 2, address: 203.0.113.2}]
    reactivate: true
    sources: [{sequence: 1, interface: wan0, track: 1}, {sequence: 2, interface: wan1}]
    inside: [lan0]
    profile: hubs
    tunnel: tunnel1
tracks:
  1: {interface: wan0, line-protocol: up}
  2: {icmp-echo: {target: 203.0.113.1, interval: 200ms, timeout: 200ms, source: wan0}}
tunnels: {tunnel1: {mode: ipsec, address: negotiated, mtu: 1400, adjust-mss: 1360, access-group: {in: web, out: web}, service-policy: {input: slow, output: slow}}}
access-lists: {web: [permit icmp any any, permit tcp any any]}
policy-maps: {slow: {police: 50m, shape: 50m}}
dns: {listen: [lan0], default-servers: [9.9.9.9]}
dhcp-pools: {lan: {interface: lan0, network: 172.16.1.0/24, default-router: 172.16.1.1, import: all}}
nat: [{inside: [lan0], outside: tunnel1, overload: true}, {inside: [lan0], outside: wan0}]
`)
	on(f, "flex1", "203.0.113.1")
	b.reaches()
	now := stateOf(t, b.spoke)
	for _, what := range []string{"links", "addresses", "routes", "nftables", "tc"} {
		if now[what] == before[what] {
			t.Errorf("the tunnel stands and %s have not changed: this test looks at the wrong things", what)
		}
	}
	// Through a failover and back, then stop.
	must(t, b.net.IP("link set spoke0 down"))
	on(f, "flex1", "203.0.113.2")
	must(t, b.net.IP("link set spoke0 up"))
	on(f, "flex1", "203.0.113.1")
	must(t, f.proc.Stop(10*time.Second))
	asBefore(t, b.spoke, before, "after a stop")

	f.start()
	on(f, "flex1", "203.0.113.1")
	f.proc.Kill()
	asBefore(t, b.spoke, before, "after a crash")
	f.start()
	on(f, "flex1", "203.0.113.1")
	f.proc.Kill()
	// What a crash may leave is gone when the next run has started, and when it has stopped.
	f.start()
	on(f, "flex1", "203.0.113.1")
	b.reaches()
	must(t, f.proc.Stop(10*time.Second))
	asBefore(t, b.spoke, before, "after a crash and a restart")
}
