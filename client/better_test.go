package client

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"flexvpn/config"
)

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
	w.pass(15 * time.Second)
	s.want(active, hubB, "the first hub does not answer")
	before := len(s.dialled)
	w.pass(s.m.main.since.Add(steady).Sub(w.now) - 1)
	if len(s.dialled) != before {
		t.Errorf("a better peer was tried before the present tunnel was %s old: %v", steady, s.dialled)
	}
	w.pass(1)
	if len(s.dialled) != before+1 {
		t.Errorf("no better peer was tried when the present tunnel was %s old: %v", steady, s.dialled)
	}
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
