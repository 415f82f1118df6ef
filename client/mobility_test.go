package client

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"flexvpn/config"
)

func at(a string) netip.Addr { return netip.MustParseAddr(a) }

// roaming is a spoke without configured sources whose session stands; its packets leave from first.
func roaming(t *testing.T, mobile bool) (*sim, *simSpoke) {
	w := newSim(t)
	w.hub(hubA)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA)})
	s.mobile, s.routes, s.gone = mobile, map[netip.Addr]netip.Addr{at(hubA): at("198.51.100.1")}, map[netip.Addr]bool{}
	s.start()
	w.pass(time.Minute)
	s.want(active, hubA, "the session stands")
	return w, s
}

// A routing table that chooses another source takes a session with MOBIKE along, once for each change.
func TestRoutingTableMovesTheSession(t *testing.T) {
	w, s := roaming(t, true)
	s.routes[at(hubA)] = at("198.51.100.2")
	w.tellAll()
	w.tellAll()
	s.routes[at(hubA)] = at("198.51.100.3")
	w.tellAll()
	s.want(active, hubA, "the session stands")
	if fmt.Sprint(s.moved) != "[198.51.100.2 198.51.100.3]" || len(s.dialled) != 1 {
		t.Errorf("moved %v, dialled %v", s.moved, s.dialled)
	}
}

// Without a way to the hub's address one of its others is taken, perhaps of the other family, and left
// again when the way is back.
func TestHubsOtherAddressIsTaken(t *testing.T) {
	w, s := roaming(t, true)
	s.others = []netip.Addr{at("203.0.113.77"), at("2001:db8::77")}
	s.routes = map[netip.Addr]netip.Addr{at("2001:db8::77"): at("2001:db8:1::1")}
	w.tellAll()
	s.routes[at(hubA)] = at("198.51.100.1")
	w.tellAll()
	if fmt.Sprint(s.moved, s.movedTo) != "[2001:db8:1::1 198.51.100.1] [2001:db8::77 "+hubA+"]" || len(s.dialled) != 1 {
		t.Errorf("moved %v to %v, dialled %v", s.moved, s.movedTo, s.dialled)
	}
	s.routes = map[netip.Addr]netip.Addr{}
	w.tellAll()
	s.want(active, hubA, "no way at all: dead peer detection decides")
}

// A hub without MOBIKE keeps its session for as long as the source is there, and gets another one at
// once when it is not.
func TestSessionIsBuiltAnewWithoutMOBIKE(t *testing.T) {
	w, s := roaming(t, false)
	s.routes[at(hubA)] = at("198.51.100.2")
	w.tellAll()
	if len(s.dialled) != 1 || len(s.moved) != 0 {
		t.Fatalf("dialled %v, moved %v although the source is still there", s.dialled, s.moved)
	}
	s.gone[at("198.51.100.1")] = true
	w.tellAll()
	w.pass(time.Second)
	s.want(active, hubA, "built anew")
	if len(s.dialled) != 2 || len(s.moved) != 0 || s.m.main.from.addr != at("198.51.100.2") {
		t.Errorf("dialled %v, moved %v, from %s", s.dialled, s.moved, s.m.main.from)
	}
}

// Configured sources do the same: none is left towards the hub's address, one is towards another of its.
func TestSourceTowardsTheHubsOtherAddress(t *testing.T) {
	w := newSim(t)
	w.hub(hubA)
	w.links["eth0"] = at("198.51.100.1")
	s := w.spoke("c", config.Client{Peers: peersAt(hubA), Sources: []config.Source{{Sequence: 1, Interface: "eth0"}}})
	s.mobile, s.others = true, []netip.Addr{at("2001:db8::77")}
	s.start()
	w.pass(time.Minute)
	w.links["eth0"] = at("2001:db8:1::1")
	w.tellAll()
	s.want(active, hubA, "the session stands")
	w.links["eth0"] = at("198.51.100.1")
	w.tellAll()
	w.pass(time.Minute)
	s.want(active, hubA, "the session stands")
	if fmt.Sprint(s.movedTo) != "[2001:db8::77 "+hubA+"]" || len(s.dialled) != 1 {
		t.Errorf("moved to %v, dialled %v", s.movedTo, s.dialled)
	}
}
