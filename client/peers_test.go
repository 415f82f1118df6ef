package client

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flexvpn/config"
)

// "These backup peers are automatically appended to the client's peer list immediately after the
// originating peer from which the list was received."
func TestPushedGateways(t *testing.T) {
	w := newSim(t)
	w.hub(hubA).gateways = []string{"192.0.2.11", hubA, "gw.example.net", hubB}
	w.hub(hubB)
	w.hub("192.0.2.11").gateways = []string{"192.0.2.12"}
	w.names["gw.example.net"] = []netip.Addr{netip.MustParseAddr("192.0.2.13")}
	w.hub("192.0.2.13")
	s := w.spoke("c", config.Client{Peers: peersAt(hubA, hubB)}).start()
	w.pass(time.Minute)
	// Its own address and one that is configured are no news.
	if got, want := s.list(), "192.0.2.1 192.0.2.11<192.0.2.1 gw.example.net<192.0.2.1 192.0.2.2"; got != want {
		t.Fatalf("the list is %s, want %s", got, want)
	}
	w.fail(hubA)
	w.pass(time.Minute)
	s.want(active, "192.0.2.11", "the first pushed gateway is next")
	if got, want := s.list(), "192.0.2.1 192.0.2.11<192.0.2.1 192.0.2.12<192.0.2.11 gw.example.net<192.0.2.1 192.0.2.2"; got != want {
		t.Fatalf("the list is %s, want %s", got, want)
	}
	w.fail("192.0.2.11")
	w.pass(time.Minute)
	s.want(active, "192.0.2.13", "the name is looked up at the attempt")
	// Back at the first hub, which pushes others now.
	hub := w.hub(hubA)
	hub.up, hub.gateways = true, []string{"192.0.2.14"}
	s.step(func(now time.Time) { s.m.clear(now, "test") })
	w.pass(time.Minute)
	if got, want := s.list(), "192.0.2.1 192.0.2.14<192.0.2.1 192.0.2.2"; got != want {
		t.Errorf("the list is %s, want %s: what it pushed before is replaced", got, want)
	}
}

// Hubs that push hubs that push hubs: the list stays bounded.
func TestPushedGatewaysAreBounded(t *testing.T) {
	l := newPeerList(peersAt(hubA))
	for i := range 20 {
		var more []string
		for j := range 10 {
			more = append(more, fmt.Sprintf("198.18.%d.%d", i, j+1))
		}
		l.push(l[len(l)-1], more)
	}
	if len(l) > 1+maxPushed {
		t.Errorf("the list has %d entries", len(l))
	}
}

// All addresses of a name are tried, one an attempt, before the next peer has its turn.
func TestAllAddressesOfANameAreTried(t *testing.T) {
	w := newSim(t)
	w.names["hub.example.net"] = []netip.Addr{
		netip.MustParseAddr("192.0.2.21"), netip.MustParseAddr("2001:db8::22"), netip.MustParseAddr("192.0.2.21"), netip.MustParseAddr("224.0.0.1"),
	}
	s := w.spoke("c", config.Client{Peers: peersAt("hub.example.net", hubB)}).start()
	w.pass(40 * time.Second)
	if got, want := strings.Join(s.dialled, ", "), "0s 192.0.2.21, 10s 2001:db8::22, 21s 192.0.2.2, 37s 192.0.2.21"; got != want {
		t.Errorf("the attempts were %s, want %s", got, want)
	}
}

// A name is resolved once, unless it is dynamic.
func TestStaticAndDynamicNames(t *testing.T) {
	for _, dynamic := range []bool{false, true} {
		w := newSim(t)
		w.names["hub.example.net"] = []netip.Addr{netip.MustParseAddr(hubA)}
		peers := peersAt("hub.example.net")
		peers[0].Dynamic = dynamic
		s := w.spoke("c", config.Client{Peers: peers}).start()
		w.hub(hubB)
		w.pass(5 * time.Second)
		w.names["hub.example.net"] = []netip.Addr{netip.MustParseAddr(hubB)}
		w.pass(3 * time.Minute)
		if moved := s.on() == hubB; moved != dynamic {
			t.Errorf("dynamic %t: it is on %q", dynamic, s.on())
		}
	}
}

// IPv6 as asked.
func TestFamilyOfAName(t *testing.T) {
	w := newSim(t)
	w.names["hub.example.net"] = []netip.Addr{netip.MustParseAddr(hubA), netip.MustParseAddr("2001:db8::1")}
	w.hub(hubA)
	w.hub("2001:db8::1")
	peers := peersAt("hub.example.net")
	peers[0].Family = config.FamilyIPv6
	s := w.spoke("c", config.Client{Peers: peers}).start()
	w.pass(time.Second)
	s.want(active, "2001:db8::1", "only IPv6 was asked for")
}

// A name that never resolves is a failed attempt like any other: it waits, and the next peer has
// its turn.
func TestNameThatNeverResolves(t *testing.T) {
	w := newSim(t)
	w.hub(hubB)
	s := w.spoke("c", config.Client{Peers: peersAt("nowhere.example.net", hubB)}).start()
	w.pass(10 * time.Second)
	s.want(active, hubB, "the second peer")
	if p := s.m.peers[0]; p.failures != 1 || !strings.Contains(p.lastErr, "no such host") {
		t.Errorf("the first peer has %d failures, the last %q", p.failures, p.lastErr)
	}
}

// connect: auto, manual and {track: …}.
func TestConnectModes(t *testing.T) {
	w := newSim(t)
	w.hub(hubA)
	manual := w.spoke("manual", config.Client{Peers: peersAt(hubA), Connect: config.ConnectManual}).start()
	tracked := w.spoke("tracked", config.Client{Peers: peersAt(hubA), Connect: config.ConnectTrack, ConnectTrack: config.TrackState{Number: 7, Up: true}}).start()
	// Dial backup: this one comes up when the track goes down, and yields when it returns.
	backup := w.spoke("backup", config.Client{Peers: peersAt(hubA), Connect: config.ConnectTrack, ConnectTrack: config.TrackState{Number: 7}})
	w.tracks[7] = true
	backup.start()
	w.tellAll()
	w.pass(time.Minute)
	manual.want(idle, "", "it was not told to connect")
	tracked.want(active, hubA, "its track is up")
	backup.want(waiting, "", "the primary path stands")
	w.track(7, false)
	w.pass(time.Second)
	tracked.want(waiting, "", "its track is down")
	backup.want(active, hubA, "the primary path is gone")
	w.track(7, true)
	w.pass(time.Second)
	tracked.want(active, hubA, "the track is back")
	backup.want(waiting, "", "it yields")

	manual.step(manual.m.connect)
	w.pass(time.Second)
	manual.want(active, hubA, "connect")
	manual.step(func(now time.Time) { manual.m.clear(now, "test") })
	w.pass(time.Minute)
	manual.want(idle, "", "clear leaves a manual profile down")
	tracked.step(func(now time.Time) { tracked.m.disconnect(now, "test") })
	w.track(7, false)
	w.track(7, true)
	w.pass(time.Minute)
	tracked.want(idle, "", "disconnect holds until connect")
	tracked.step(tracked.m.connect)
	w.pass(time.Second)
	tracked.want(active, hubA, "connect")
}
