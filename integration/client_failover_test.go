package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

// "Peer Reactivation Behavior": a more preferred peer that becomes reachable again takes over, and
// nothing of a stream from the host behind the spoke is lost on the way.
func TestClientReactivation(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"ipsec", "gre"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			reactivates(t, newOffice(t, "cre"+mode[:1], 2), mode)
		})
	}
}

func reactivates(t *testing.T, b *office, mode string) *flexvpn {
	t.Helper()
	b.hub(1)
	b.hub(2)
	must(t, b.net.IP("link set hub1a down"), b.net.IP("link set hub1b down"))
	f := b.client(`clients:
  flex1:
    peers: [{sequence: 1, address: 203.0.113.1, track: {object: 10}}, {sequence: 2, address: 203.0.113.2}]
    reactivate: true
    profile: hubs
    tunnel: tunnel1
tracks: {10: {icmp-echo: {target: 203.0.113.1, interval: 200ms, timeout: 200ms, up: 3, down: 3}}}
`+tunnelOne, "mode: ipsec", "mode: "+mode, "interval: 200ms, timeout: 200ms", b.echo())
	on(f, "flex1", "203.0.113.2")
	s := b.stream()
	why := watchDrops(t, f, b.daemons[1], b.daemons[2])
	must(t, b.net.IP("link set hub1a up", "link set hub1b up"))
	v := on(f, "flex1", "203.0.113.1")
	b.daemons[2].none() // the old session is over, too
	if lost := s.end(100); lost != 0 {
		t.Errorf("%d packets were lost on the way from one hub to the other; there were\n%s", lost, why.since(t))
	}
	if fmt.Sprint(v.Addresses) != "[10.1.1.2]" {
		t.Errorf("the tunnel has the addresses %v", v.Addresses)
	}
	if log := f.log.String(); strings.Count(log, "LINEPROTO-5-UPDOWN") != 1 {
		t.Errorf("the line protocol did not stay up:\n%s", log)
	}
	return f
}

// "Peer Reactivation Behavior": by default it stays on the peer that it reached.
func TestClientStaysWithoutReactivate(t *testing.T) {
	t.Parallel()
	b := newOffice(t, "csta", 2)
	b.hub(1)
	b.hub(2)
	must(t, b.net.IP("link set hub1a down", "link set hub1b down"))
	f := b.client(`clients:
  flex1:
    peers: [{sequence: 1, address: 203.0.113.1, track: {object: 10}}, {sequence: 2, address: 203.0.113.2}]
    profile: hubs
    tunnel: tunnel1
tracks: {10: {icmp-echo: {target: 203.0.113.1, interval: 200ms, timeout: 200ms, up: 3, down: 3}}}
` + tunnelOne)
	on(f, "flex1", "203.0.113.2")
	must(t, b.net.IP("link set hub1a up", "link set hub1b up"))
	trackIs(f, 10, "up")
	s := b.stream()
	if lost := s.end(100); lost != 0 {
		t.Errorf("%d packets were lost", lost)
	}
	on(f, "flex1", "203.0.113.2")
}

// trackIs waits until an object is in a state.
func trackIs(f *flexvpn, number int, state string) view.Track {
	f.t.Helper()
	var v view.Track
	eventually(f.t, 30*time.Second, fmt.Sprintf("track %d is %s", number, state), func() error {
		for _, v = range show[[]view.Track](f, "track") {
			if v.Number == number && v.State == state {
				return nil
			}
		}
		return fmt.Errorf("it is %s: %s", v.State, v.Reason)
	})
	return v
}

// "Dynamic Tunnel Destination", "Track-Based Tunnel Activation": the link under a peer's track goes
// down, and the next peer is used; a session that is lost goes to the next peer, too.
func TestClientPeersFollowTracks(t *testing.T) {
	t.Parallel()
	b := newOffice(t, "cfol", 3)
	// A line without a carrier is no way: without sources, Linux must be told so (docs/client.md).
	must(t, b.spoke.Sysctl("net.ipv4.conf.all.ignore_routes_with_linkdown", "1"))
	for n := 1; n <= 3; n++ {
		b.hub(n)
	}
	f := b.client(`clients:
  flex1:
    peers:
      - {sequence: 1, address: 203.0.113.1, track: {object: 1}}
      - {sequence: 2, address: 203.0.113.2, track: {object: 2, state: down}}
      - {sequence: 3, address: 203.0.113.3}
    profile: hubs
    tunnel: tunnel1
tracks:
  1: {interface: wan0, line-protocol: up}
  2: {route: {prefix: 192.0.2.0/24}}
` + tunnelOne)
	on(f, "flex1", "203.0.113.1")
	b.reaches()
	// The far end of the line goes: the spoke loses its carrier, and the route that goes with it.
	must(t, b.net.IP("link set spoke0 down"))
	v := on(f, "flex1", "203.0.113.2")
	b.reaches()
	if !strings.Contains(fmt.Sprint(v.Peers), "track 1 up") || v.Peers[0].Available {
		t.Errorf("show client tells of the peers %+v", v.Peers)
	}
	trackIs(f, 1, "down")
	if v := trackIs(f, 2, "down"); v.UsedBy[0] != "client flex1 peer 2" {
		t.Errorf("show track tells %+v", v)
	}
	// The hub is killed: dead peer detection finds out.
	b.daemons[2].proc.Kill()
	on(f, "flex1", "203.0.113.3")
	b.reaches()
}

// "Using Backup Gateway Lists from the Server": pushed gateways stand right behind the peer that
// pushed them, and are used when it is lost.
func TestClientBackupGateways(t *testing.T) {
	t.Parallel()
	b := newOffice(t, "cgw", 3)
	b.hub(1, "pool: v4,", "pool: v4, backup-gateways: [203.0.113.3, gw.example.net],")
	b.hub(2)
	b.hub(3)
	f := b.client(`clients:
  flex1:
    peers: [{sequence: 1, address: 203.0.113.1}, {sequence: 2, address: 203.0.113.2}]
    profile: hubs
    tunnel: tunnel1
` + tunnelOne)
	peers := func() string {
		var list []string
		for _, p := range on(f, "flex1", "203.0.113.1").Peers {
			list = append(list, p.Peer+"<"+p.PushedBy)
		}
		return strings.Join(list, " ")
	}
	if got := peers(); got != "203.0.113.1< 203.0.113.3<203.0.113.1 gw.example.net<203.0.113.1 203.0.113.2<" {
		t.Errorf("the peers are %s", got)
	}
	must(t, b.daemons[1].proc.Stop(10*time.Second))
	on(f, "flex1", "203.0.113.3")
	b.reaches()
	// The hub comes back with others.
	b.hub(1, "pool: v4,", "pool: v4, backup-gateways: [203.0.113.9],")
	mustRun(f, "clear", "client", "flex1")
	if got := peers(); got != "203.0.113.1< 203.0.113.9<203.0.113.1 203.0.113.2<" {
		t.Errorf("after the hub pushed others the peers are %s", got)
	}
}

// "Dynamic Tunnel Source Configuration": the interface in the up state with the lowest sequence is
// the source; when that changes, the tunnel moves.
func TestClientSources(t *testing.T) {
	t.Parallel()
	for _, mobility := range []string{"mobike", "reconnect"} {
		t.Run(mobility, func(t *testing.T) {
			t.Parallel()
			b := newOffice(t, "csr"+mobility[:1], 1)
			var off []string
			if mobility == "reconnect" {
				off = []string{"      keyring: peers\n", "      keyring: peers\n      mobike: false\n"}
			}
			b.hub(1)
			f := b.client(`clients:
  flex1:
    peers: [{sequence: 1, address: 203.0.113.1}]
    sources: [{sequence: 1, interface: wan0, track: 1}, {sequence: 2, interface: wan1}]
    profile: hubs
    tunnel: tunnel1
tracks: {1: {interface: wan0, line-protocol: up}}
`+tunnelOne, off...)
			from := func(dev, addr string) {
				t.Helper()
				eventually(t, 40*time.Second, "the source is "+dev, func() error {
					v := clientNamed(f, "flex1")
					if v.State != "ACTIVE" || v.SourceInterface != dev || v.Source != addr {
						return fmt.Errorf("it is %s from %s %s: %s", v.State, v.SourceInterface, v.Source, v.LastError)
					}
					return nil
				})
				b.reaches()
				got := b.daemons[1].up()
				if !strings.HasPrefix(got.Remote, addr+":") || fmt.Sprint(got.Addresses) != "[10.1.1.2]" {
					t.Errorf("the hub sees the spoke at %s with %v", got.Remote, got.Addresses)
				}
			}
			from("wan0", "192.0.2.9")
			must(t, b.net.IP("link set spoke0 down"))
			from("wan1", "198.51.100.9")
			must(t, b.net.IP("link set spoke0 up"))
			from("wan0", "192.0.2.9")
		})
	}
}

// lossy drops a tenth of what a hub receives and of what it sends, at random.
const lossy = `table inet loss {
  chain in {
    type filter hook input priority 0;
    udp dport { 500, 4500 } numgen random mod 10 0 counter drop
  }
  chain out {
    type filter hook output priority 0;
    udp sport { 500, 4500 } numgen random mod 10 0 counter drop
  }
}
`

// With every tenth packet lost each way the tunnel comes up, stands, and renews its keys; hosts notice
// what was lost of theirs and no more.
func TestClientUnderLoss(t *testing.T) {
	t.Parallel()
	b := newOffice(t, "clos", 1)
	nft(t, b.hubs[1], lossy)
	b.hub(1)
	f := b.client("clients:\n  flex1: {peers: [{sequence: 1, address: 203.0.113.1}], profile: hubs, tunnel: tunnel1}\n" + tunnelOne)
	on(f, "flex1", "203.0.113.1")
	b.reaches()
	before := children(t, f)
	mustRun(f, "rekey", "child", f.up().ID)
	eventually(t, 60*time.Second, "the Child SA is renewed", func() error {
		if now := children(t, f); len(now) != 1 || now[0] == before[0] {
			return fmt.Errorf("SPIs %v, before %v", now, before)
		}
		return nil
	})
	out, _ := b.pc.Run(context.Background(), "ping", "-n", "-c", "60", "-i", "0.1", "-W", "2", "10.0.0.1") // some are lost
	answers := len(sequenceOf.FindAllString(out, -1))
	if answers < 30 || answers == 60 {
		t.Errorf("%d of 60 pings were answered:\n%s", answers, lastLines(out, 3))
	}
	on(f, "flex1", "203.0.113.1")
	if v := clientNamed(f, "flex1"); v.Peers[0].Failures > 1 {
		t.Errorf("the client lost its hub %d times", v.Peers[0].Failures)
	}
}
