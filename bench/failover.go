package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// failover measures what a host behind a spoke notices when its hub goes away, by a stream of 50
// packets a second to a server that both hubs have behind them: the longest gap when the link under a
// track goes down, when the hub's process is killed, and when all its packets are dropped (found out by
// the fastest dead peer detection); and the packets lost when the better hub takes over again.
func failover(ctx context.Context, dir, binary string) (err error) {
	f := &failoverLab{dir: dir, binary: binary}
	if f.lab, err = netlab.New("fvbfo"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.lab.Close()) }()
	if err := f.build(); err != nil {
		return err
	}
	if err := f.start(ctx); err != nil {
		return err
	}
	var lost int
	for _, c := range []struct {
		name        string
		away, again func() error
	}{
		{"failover_tracked_seconds", f.ip("link set spoke0 down"), f.ip("link set spoke0 up")},
		{"failover_killed_seconds", f.kill, func() error { return f.daemon(f.hubs[0], "hub", "hub1") }},
		{"failover_blackhole_seconds", f.drop(ctx), f.pass(ctx)},
	} {
		gap, _, err := f.during(ctx, c.away, secondHub)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		say(c.name, gap.Seconds())
		_, n, err := f.during(ctx, c.again, firstHub)
		if err != nil {
			return fmt.Errorf("return after %s: %w", c.name, err)
		}
		lost += n
	}
	say("reactivation_lost_packets", float64(lost))
	return nil
}

const (
	firstHub  = "203.0.113.1"
	secondHub = "203.0.113.2"
	// pace is the time between two packets of the stream.
	pace = 20 * time.Millisecond
)

type failoverLab struct {
	dir, binary    string
	lab            *netlab.Lab
	net, pc, spoke *netlab.Node
	hubs           [2]*netlab.Node
	first          *netlab.Proc // of the first hub
	stream         lockedBuffer
}

// lockedBuffer is written by a process and read meanwhile.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// build makes a spoke with two lines, two hubs on both, and a host behind the spoke.
func (f *failoverLab) build() error {
	var errs []error
	node := func(name string) *netlab.Node {
		n, err := f.lab.Node(name)
		errs = append(errs, err)
		return n
	}
	f.net, f.pc, f.spoke, f.hubs[0], f.hubs[1] = node("net"), node("pc"), node("spoke"), node("hub1"), node("hub2")
	if err := errors.Join(errs...); err != nil {
		return err
	}
	errs = append(errs, f.net.IP("link add br0 type bridge", "link set br0 up", "link add br1 type bridge", "link set br1 up"))
	line := func(n *netlab.Node, dev, port, bridge string) {
		errs = append(errs, f.lab.Link(n, dev, f.net, port), f.net.IP("link set "+port+" master "+bridge))
	}
	line(f.spoke, "wan0", "spoke0", "br0")
	line(f.spoke, "wan1", "spoke1", "br1")
	errs = append(errs, f.lab.Link(f.pc, "eth0", f.spoke, "lan0"),
		f.spoke.IP("addr add 192.0.2.9/24 dev wan0", "addr add 198.51.100.9/24 dev wan1", "addr add 172.16.1.1/24 dev lan0"),
		f.spoke.Sysctl("net.ipv4.ip_forward", "1"), f.spoke.Sysctl("net.ipv4.conf.all.ignore_routes_with_linkdown", "1"),
		f.pc.IP("addr add 172.16.1.10/24 dev eth0", "route add default via 172.16.1.1"))
	for i, h := range f.hubs {
		n := i + 1
		line(h, "eth0", fmt.Sprintf("hub%da", n), "br0")
		line(h, "eth1", fmt.Sprintf("hub%db", n), "br1")
		errs = append(errs, h.IP(fmt.Sprintf("addr add 192.0.2.%d/24 dev eth0", n), fmt.Sprintf("addr add 198.51.100.%d/24 dev eth1", n),
			fmt.Sprintf("addr add 203.0.113.%d/32 dev lo", n), "addr add 10.0.0.1/32 dev lo"),
			f.spoke.IP(fmt.Sprintf("route add 203.0.113.%d via 192.0.2.%d dev wan0 metric 100", n, n),
				fmt.Sprintf("route add 203.0.113.%d via 198.51.100.%d dev wan1 metric 200", n, n)))
	}
	return errors.Join(errs...)
}

// start starts the daemons and the stream, and waits until it flows by the first hub.
func (f *failoverLab) start(ctx context.Context) error {
	for i, h := range f.hubs {
		if err := f.daemon(h, "hub", fmt.Sprintf("hub%d", i+1)); err != nil {
			return err
		}
	}
	if err := f.daemon(f.spoke, "client", "spoke"); err != nil {
		return err
	}
	if err := f.reached(ctx, firstHub); err != nil {
		return err
	}
	if err := reachable(ctx, f.pc, "10.0.0.1"); err != nil {
		return err
	}
	_, err := f.pc.Start(&f.stream, nil, "ping", "-n", "-i", "0.02", "10.0.0.1")
	return err
}

func (f *failoverLab) daemon(n *netlab.Node, role, name string) error {
	text := failoverSpoke
	if role == "hub" {
		text = strings.ReplaceAll(failoverHub, "HUB", strings.TrimPrefix(name, "hub"))
	}
	path, err := write(f.dir, "failover-"+name+".yaml", text)
	if err != nil {
		return err
	}
	p, err := n.Start(os.Stderr, nil, f.binary, role, "-c", path)
	if name == "hub1" {
		f.first = p
	}
	return err
}

func (f *failoverLab) ip(line string) func() error { return func() error { return f.net.IP(line) } }

func (f *failoverLab) kill() error { f.first.Kill(); return nil }

// drop has the first hub receive and send nothing but by loopback.
func (f *failoverLab) drop(ctx context.Context) func() error {
	return func() error {
		_, err := f.hubs[0].Run(ctx, "nft", "add table inet hole; add chain inet hole in { type filter hook prerouting priority 0; policy drop; }; "+
			"add chain inet hole out { type filter hook output priority 0; policy drop; }; add rule inet hole in iif lo accept; add rule inet hole out oif lo accept")
		return err
	}
}

func (f *failoverLab) pass(ctx context.Context) func() error {
	return func() error { _, err := f.hubs[0].Run(ctx, "nft", "delete table inet hole"); return err }
}

// during does what moves the spoke to a hub, waits until it is there and traffic has settled, and says
// what the stream lost meanwhile: the longest gap, and how many packets in all.
func (f *failoverLab) during(ctx context.Context, what func() error, hub string) (gap time.Duration, lost int, err error) {
	if err := f.more(ctx, 50); err != nil {
		return 0, 0, err
	}
	before := len(f.received())
	if err := what(); err != nil {
		return 0, 0, err
	}
	if err := f.reached(ctx, hub); err != nil {
		return 0, 0, err
	}
	if err := f.more(ctx, 150); err != nil { // the old session drains within a second
		return 0, 0, err
	}
	got := f.received()[before-1:]
	for i := 1; i < len(got); i++ {
		missing := got[i] - got[i-1] - 1
		lost += missing
		if missing > 0 {
			gap = max(gap, time.Duration(missing+1)*pace)
		}
	}
	return gap, lost, nil
}

var answerLine = regexp.MustCompile(`icmp_seq=(\d+) ttl`)

// received are the numbers of the packets that were answered, in order.
func (f *failoverLab) received() (out []int) {
	for _, m := range answerLine.FindAllStringSubmatch(f.stream.String(), -1) {
		n, _ := strconv.Atoi(m[1])
		out = append(out, n)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// more waits for n more answers.
func (f *failoverLab) more(ctx context.Context, n int) error {
	before := len(f.received())
	return poll(ctx, time.Minute, func() error {
		if got := len(f.received()) - before; got < n {
			return fmt.Errorf("the stream has only %d more answers", got)
		}
		return nil
	})
}

// reached waits until the spoke is active on a hub.
func (f *failoverLab) reached(ctx context.Context, hub string) error {
	return poll(ctx, 2*time.Minute, func() error {
		out, err := f.spoke.Run(ctx, f.binary, "--socket", filepath.Join(f.dir, "failover-spoke.sock"), "show", "client", "--json")
		if err != nil {
			return err
		}
		var list []view.Client
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			return err
		}
		if len(list) != 1 || list[0].State != "ACTIVE" || list[0].Peer != hub {
			return fmt.Errorf("the spoke is not on %s: %s", hub, out)
		}
		return nil
	})
}

// poll asks until f has no error, or returns the last one.
func poll(ctx context.Context, limit time.Duration, f func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

const failoverHub = `node: hubHUB
dataplane: userspace
state-dir: DIR/failover-hubHUB
control: {socket: DIR/failover-hubHUB.sock}
log: {level: error}
ikev2:
` + hubProfile + `  authorization-policies: {default: {pool: p, routes: {set: [10.0.0.0/24], accept: any}}}
pools: {p: {range: 10.1.HUB.2-10.1.HUB.9}}
virtual-templates: {1: {mode: auto, address: 10.1.HUB.1/32, mtu: 1400}}
`

const failoverSpoke = `node: spoke
dataplane: userspace
state-dir: DIR/failover-spoke
control: {socket: DIR/failover-spoke.sock}
log: {level: error}
ikev2:
` + spokeProfile + `      routes: {set: [interface, 172.16.1.0/24], accept: any}
      dpd: {interval: 1s, retry: 500ms, mode: periodic}
clients:
  c:
    peers: [{sequence: 1, address: 203.0.113.1, track: {object: 1}}, {sequence: 2, address: 203.0.113.2}]
    reactivate: true
    profile: any
    tunnel: tunnel1
tunnels: {tunnel1: {mode: ipsec, address: negotiated, source: dynamic, destination: dynamic, mtu: 1400}}
tracks: {1: {interface: wan0, line-protocol: up}}
`
