package client

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flexvpn/config"
)

const (
	hubA = "192.0.2.1"
	hubB = "192.0.2.2"
	hubC = "192.0.2.3"
)

// "FlexVPN clients attempt up to four IKEv2 connections when a failure occurs", 2, 4, 8 and 16
// seconds apart; each goes to the next peer, and after the last the first has its turn again.
func TestBackoffGoesRoundThePeers(t *testing.T) {
	w := newSim(t)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA, hubB)}).start()
	w.pass(90 * time.Second)
	// An attempt takes 7.5 s until it is given up.
	want := "0s 192.0.2.1, 10s 192.0.2.2, 21s 192.0.2.1, 37s 192.0.2.2, 1m0s 192.0.2.1, 1m10s 192.0.2.2, 1m21s 192.0.2.1"
	if got := strings.Join(s.dialled, ", "); got != want {
		t.Errorf("the attempts were %s, want %s", got, want)
	}
	w.hub(hubA)
	w.pass(time.Minute)
	s.want(active, hubA, "the first hub came back")
}

// The wait is silent until its last nanosecond.
func TestBackoffIsExact(t *testing.T) {
	w := newSim(t)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA)}).start()
	w.pass(simTimeout + 2*time.Second - time.Nanosecond)
	if len(s.dialled) != 1 || s.m.state != backingOff {
		t.Fatalf("just before its time: %v, %s", s.dialled, s.m.state)
	}
	w.pass(time.Nanosecond)
	if len(s.dialled) != 2 {
		t.Errorf("at its time: %v", s.dialled)
	}
}

// A loss says nothing about the other hubs: the next one is tried at once.
func TestLossGoesToTheNextPeerAtOnce(t *testing.T) {
	w := newSim(t)
	w.hub(hubA)
	w.hub(hubB)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA, hubB)}).start()
	w.pass(time.Minute)
	s.want(active, hubA, "the most preferred peer is tried first")
	w.fail(hubA)
	w.pass(simDead + simHandshake)
	s.want(active, hubB, "as soon as the loss is noticed")
	w.hub(hubA).up = true
	w.pass(time.Hour)
	s.want(active, hubB, "without reactivate it stays on the peer that it reached")
}

// A hub that dies soon after it took the session in is lost like any other.
func TestLossSoonAfterSetup(t *testing.T) {
	w := newSim(t)
	w.hub(hubA)
	w.hub(hubB)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA, hubB)}).start()
	w.pass(time.Second)
	w.fail(hubA)
	w.pass(simDead + simHandshake)
	s.want(active, hubB, "as soon as the silence is noticed")
}

// A hub that throws a session out leaves the turn to the next one, after a wait.
func TestThrownOutGoesToTheNextPeer(t *testing.T) {
	w := newSim(t)
	w.hub(hubA).rejects = true
	w.hub(hubB)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA, hubB)}).start()
	w.pass(simHandshake + time.Second + backoff[0] - 1)
	s.want(backingOff, "", "the first hub threw it out")
	w.pass(1 + simHandshake)
	s.want(active, hubB, "the next one")
}

// A hub that takes sessions in and throws them out again is asked ever more slowly.
func TestThrownOutBacksOff(t *testing.T) {
	w := newSim(t)
	w.hub(hubA).rejects = true
	s := w.spoke("c", config.Client{Peers: peersAt(hubA)}).start()
	w.pass(10 * time.Minute)
	if n := len(s.dialled); n > 60 || n < 5 {
		t.Errorf("%d attempts in ten minutes: %v", n, s.dialled)
	}
}

// A peer is available while its track is in the state it waits for.
func TestPeersFollowTheirTracks(t *testing.T) {
	w := newSim(t)
	w.hub(hubA)
	w.hub(hubB)
	peers := peersAt(hubA, hubB)
	peers[0].Track, peers[1].Track = config.TrackState{Number: 1, Up: true}, config.TrackState{Number: 2, Up: false}
	s := w.spoke("c", config.Client{Peers: peers})
	w.tracks[2] = true
	s.start()
	w.pass(time.Minute)
	s.want(waiting, "", "no peer is available")
	if !strings.Contains(s.m.why, "track 1 up") || !strings.Contains(s.m.why, "track 2 down") || len(s.dialled) != 0 {
		t.Errorf("it waits for %q and dialled %v", s.m.why, s.dialled)
	}
	w.track(2, false)
	w.pass(time.Second)
	s.want(active, hubB, "a peer with state down is available while its track is down")
	w.track(1, true)
	w.pass(time.Hour)
	s.want(active, hubB, "without reactivate a better peer changes nothing")
	w.track(2, true)
	w.pass(simHandshake)
	s.want(active, hubA, "its peer's track changed: the next one is up after one handshake")
	if s.m.failures != 0 {
		t.Error("leaving by a track is no failure")
	}
	w.track(1, false)
	w.pass(time.Minute)
	s.want(waiting, "", "all peers are gone")
}

// A track that flaps during a back-off brings the attempt forward, but causes no storm.
func TestFlappingTrackCausesNoStorm(t *testing.T) {
	w := newSim(t)
	peers := peersAt(hubA, hubB)
	peers[0].Track = config.TrackState{Number: 1, Up: true}
	s := w.spoke("c", config.Client{Peers: peers}).start()
	for range 1000 {
		w.track(1, true)
		w.pass(50 * time.Millisecond)
		w.track(1, false)
		w.pass(50 * time.Millisecond)
	}
	if n := len(s.dialled); n > 60 {
		t.Errorf("%d attempts in 100 s", n)
	}
	if len(w.queue) > 10 {
		t.Errorf("%d events are pending", len(w.queue))
	}
}

// With reactivate a better peer that is available again takes over: its tunnel is up before the old
// one is given up.
func TestReactivate(t *testing.T) {
	w := newSim(t)
	w.hub(hubA)
	w.hub(hubB)
	peers := peersAt(hubA, hubB)
	peers[0].Track = config.TrackState{Number: 1, Up: true}
	s := w.spoke("c", config.Client{Peers: peers, Reactivate: true})
	s.start()
	w.pass(time.Minute)
	s.want(active, hubB, "the better peer's track is down")
	w.track(1, true)
	w.pass(simHandshake - 1)
	s.want(active, hubB, "the present tunnel stands while the better one is on its way")
	w.pass(1)
	s.want(active, hubA, "the better peer has taken over")
	if s.carrying != s.m.main.id || s.mostLegs != 2 || len(s.gaveUp) != 0 {
		t.Errorf("carrying %d, at most %d legs, gave up %v: both must stand for a while", s.carrying, s.mostLegs, s.gaveUp)
	}
	w.pass(drain - 1)
	if len(s.gaveUp) != 0 {
		t.Error("the old session was given up before what was on its way could arrive")
	}
	w.pass(1)
	if len(s.gaveUp) != 1 {
		t.Errorf("the old session was not given up: %v", s.gaveUp)
	}
}

// A better peer without a track is tried again and again beside the present tunnel, which it does
// not touch until it answers.
func TestReactivateWithoutTrack(t *testing.T) {
	w := newSim(t)
	w.hub(hubB)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA, hubB), Reactivate: true}).start()
	w.pass(10 * time.Minute)
	s.want(active, hubB, "the first hub does not answer")
	if n := len(s.dialled); n > 25 || n < 10 {
		t.Errorf("%d attempts in ten minutes: %v", n, s.dialled)
	}
	if s.carrying != s.m.main.id || len(s.gaveUp) != 0 {
		t.Errorf("the tunnel was touched: %v", s.gaveUp)
	}
	w.hub(hubA)
	w.pass(time.Minute)
	s.want(active, hubA, "it answers again")
	w.pass(time.Hour)
	if n := s.m.lastID; n > 30 {
		t.Errorf("on the best peer nothing is tried any more, but there were %d legs", n)
	}
}

// The present hub is lost while a better one is on its way: that one goes on in its place.
func TestLossDuringReactivation(t *testing.T) {
	w := newSim(t)
	w.hub(hubB)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA, hubB), Reactivate: true}).start()
	w.pass(15 * time.Second)
	s.want(active, hubB, "before")
	for s.m.next == nil {
		w.pass(100 * time.Millisecond)
	}
	s.end(s.m.main.id, ending{reason: byHub, detail: "deleted", deleted: true})
	if s.m.state != connecting || s.m.main == nil || s.m.next != nil {
		t.Fatalf("state %s, main %v", s.m.state, s.m.main)
	}
	w.pass(30 * time.Second)
	s.want(active, hubB, "the better one did not answer, so it is the other's turn")
}

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

// The example of the seed: flex2 skips the hub that flex1 has.
func TestBackupGroupSkipsTheOthersHub(t *testing.T) {
	w := newSim(t)
	first := w.spoke("flex1", config.Client{Peers: peersAt("172.16.1.1"), BackupGroup: 10}).start()
	w.hub("172.16.1.1")
	w.hub("172.16.2.1")
	w.hub("172.16.3.1")
	w.pass(10 * time.Second)
	second := w.spoke("flex2", config.Client{Peers: peersAt("172.16.2.1", "172.16.1.1", "172.16.3.1"), BackupGroup: 10}).start()
	w.pass(time.Minute)
	first.want(active, "172.16.1.1", "its only hub")
	second.want(active, "172.16.2.1", "its best hub")
	w.fail("172.16.2.1")
	w.pass(simDead + simHandshake)
	second.want(active, "172.16.3.1", "172.16.1.1 is in use by flex1")
	w.fail("172.16.3.1")
	w.pass(time.Minute)
	if on := second.on(); on != "" {
		t.Fatalf("flex2 sits on %s beside flex1", on)
	}
	first.step(func(now time.Time) { first.m.disconnect(now, "test") })
	w.pass(30 * time.Second)
	second.want(active, "172.16.1.1", "flex1 has left it")
}

// A profile whose every hub is another's waits, and is woken when one becomes free.
func TestBackupGroupWaits(t *testing.T) {
	w := newSim(t)
	w.hub(hubA)
	first := w.spoke("flex1", config.Client{Peers: peersAt(hubA), BackupGroup: 1}).start()
	second := w.spoke("flex2", config.Client{Peers: peersAt(hubA), BackupGroup: 1}).start()
	w.pass(time.Minute)
	second.want(waiting, "", "the only hub is in use")
	if !strings.Contains(second.m.why, "backup group 1") || len(second.dialled) != 0 {
		t.Errorf("it waits for %q and dialled %v", second.m.why, second.dialled)
	}
	first.step(func(now time.Time) { first.m.disconnect(now, "test") })
	w.pass(simHandshake)
	second.want(active, hubA, "it is free")
}

// The source is the first that is up; a change of source moves the tunnel.
func TestSources(t *testing.T) {
	w := newSim(t)
	w.hub(hubA)
	sources := []config.Source{{Sequence: 1, Interface: "eth0", Track: 1}, {Sequence: 2, Interface: "wwan0"}}
	s := w.spoke("c", config.Client{Peers: peersAt(hubA), Sources: sources}).start()
	w.pass(time.Minute)
	s.want(waiting, "", "no source is up")
	w.links["wwan0"] = netip.MustParseAddr("198.51.100.2")
	w.tellAll()
	w.pass(time.Second)
	s.want(active, hubA, "the second source is up")
	if s.m.main.from.iface != "wwan0" {
		t.Errorf("the source is %s", s.m.main.from)
	}
	w.links["eth0"] = netip.MustParseAddr("198.51.100.1")
	w.tellAll()
	w.pass(time.Second)
	if s.m.main.from.iface != "wwan0" {
		t.Error("the first source's track is not up yet")
	}
	w.track(1, true)
	w.pass(simHandshake)
	s.want(active, hubA, "the first source is up")
	if s.m.main.from.iface != "eth0" || s.mostLegs != 2 {
		t.Errorf("the source is %s, at most %d legs: the new session stands before the old one goes", s.m.main.from, s.mostLegs)
	}
	w.pass(time.Minute)
	delete(w.links, "eth0")
	w.tellAll()
	w.pass(simHandshake)
	s.want(active, hubA, "the second source takes over at once")
	if s.m.main.from.iface != "wwan0" || s.m.failures != 0 {
		t.Errorf("the source is %s, %d failures", s.m.main.from, s.m.failures)
	}
	delete(w.links, "wwan0")
	w.tellAll()
	s.want(waiting, "", "no source is left")
}

// With MOBIKE the session stays.
func TestSourceByMOBIKE(t *testing.T) {
	w := newSim(t)
	w.hub(hubA)
	sources := []config.Source{{Sequence: 1, Interface: "eth0"}, {Sequence: 2, Interface: "wwan0"}}
	w.links["eth0"], w.links["wwan0"] = netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	s := w.spoke("c", config.Client{Peers: peersAt(hubA), Sources: sources})
	s.mobile = true
	s.start()
	w.pass(time.Minute)
	delete(w.links, "eth0")
	w.tellAll()
	w.pass(time.Minute)
	s.want(active, hubA, "the session stands")
	if fmt.Sprint(s.moved) != "[wwan0 198.51.100.2]" || len(s.dialled) != 1 {
		t.Errorf("moved %v, dialled %v", s.moved, s.dialled)
	}
}

// A better source that turns out not to work costs nothing.
func TestBetterSourceThatDoesNotWork(t *testing.T) {
	w := newSim(t)
	w.hub(hubA)
	sources := []config.Source{{Sequence: 1, Interface: "eth0"}, {Sequence: 2, Interface: "wwan0"}}
	w.links["wwan0"] = netip.MustParseAddr("198.51.100.2")
	s := w.spoke("c", config.Client{Peers: peersAt(hubA), Sources: sources}).start()
	w.pass(time.Minute)
	w.links["eth0"] = netip.MustParseAddr("198.51.100.1")
	w.hub(hubA).up = false // as seen from eth0; the session on wwan0 does not notice
	w.tellAll()
	w.pass(5 * time.Minute)
	s.want(active, hubA, "the session on the second source stands")
	if n := len(s.dialled); s.m.main.from.iface != "wwan0" || n < 3 || n > 20 {
		t.Errorf("the source is %s, %d attempts", s.m.main.from, n)
	}
	w.hub(hubA).up = true
	w.pass(time.Minute)
	if s.m.main.from.iface != "eth0" {
		t.Errorf("the first source works again, but the source is %s", s.m.main.from)
	}
}

// Two spokes with one identity: the hub says so, and it is not asked again for a while.
func TestIdentityClashIsReportedAndDoesNotFlap(t *testing.T) {
	for _, says := range []bool{true, false} {
		w := newSim(t)
		hub := w.hub(hubA)
		hub.rejects, hub.replaces = true, says
		s := w.spoke("c", config.Client{Peers: peersAt(hubA)}).start()
		w.pass(time.Hour)
		if n := len(s.dialled); n > 30 {
			t.Errorf("says %t: %d sessions in an hour", says, n)
		}
		if p := s.m.peers[0]; !strings.Contains(p.lastErr, "identity") {
			t.Errorf("says %t: the reason shown is %q", says, p.lastErr)
		}
		if says && len(s.dialled) > 10 {
			t.Errorf("%d sessions in an hour though the hub said so", len(s.dialled))
		}
		// Another hub is used meanwhile.
		w.hub(hubB)
		s = w.spoke("d", config.Client{Peers: peersAt(hubA, hubB)}).start()
		w.pass(30 * time.Second)
		s.want(active, hubB, "the other hub knows nothing of it")
	}
}

// Clear is a new beginning: from the first peer, grudges forgotten.
func TestClear(t *testing.T) {
	w := newSim(t)
	w.hub(hubB)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA, hubB)}).start()
	w.pass(time.Minute)
	s.want(active, hubB, "the first does not answer")
	w.hub(hubA)
	s.step(func(now time.Time) { s.m.clear(now, "test") })
	w.pass(time.Second)
	s.want(active, hubA, "clear begins from the first peer")
	s.step(func(now time.Time) { s.m.disconnect(now, "test") })
	w.pass(time.Hour)
	s.want(idle, "", "disconnect holds")
	s.step(func(now time.Time) { s.m.clear(now, "test") })
	w.pass(time.Second)
	s.want(active, hubA, "clear of a disconnected profile connects it")
}

// Inputs about legs that are gone are ignored.
func TestLateNews(t *testing.T) {
	w := newSim(t)
	w.hub(hubA)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA)}).start()
	w.pass(time.Minute)
	for id := range uint64(10) {
		if s.m.main.id == id {
			continue
		}
		s.step(func(now time.Time) { s.m.up(now, id, []string{"192.0.2.66"}, false) })
		s.step(func(now time.Time) { s.m.ended(now, id, ending{detail: "late"}) })
		s.step(func(now time.Time) { s.m.resolved(now, id+100, s.m.peers[0], nil, nil) })
	}
	s.want(active, hubA, "nothing happened")
	if len(s.m.peers) != 1 {
		t.Error("a leg that is gone pushed gateways")
	}
}
