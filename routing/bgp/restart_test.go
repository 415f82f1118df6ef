package bgp

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"

	"flexvpn/routing"
)

// RFC 4724 section 2: the End-of-RIB marker comes behind the initial update. The library sends it when a
// session is up, so what the neighbor is to know must be there before, on each session.
func TestWhatANeighborIsToKnowIsThereBeforeItsSessionIsUp(t *testing.T) {
	inLab(t, summaryHub, func(l *lab) {
		l.spoke(2, "172.16.0.0/12").says("172.16.1.0/24")
		hub := netip.MustParseAddr("192.0.2.2")
		for range 2 {
			one, _ := pipe(t)
			var k *link
			l.s.do(func() {
				k = l.links[hub]
				l.s.peers[hub].take(one)
			})
			synctest.Wait()
			if k.early != 2 {
				t.Fatalf("%d prefixes were there when the connection came, want the summary and the specific", k.early)
			}
			l.up(hub, 65001)
			if got := k.hears(); got != "172.16.0.0/12 172.16.1.0/24" {
				t.Fatalf("the other hub hears %q", got)
			}
			k.Down("Peer closed the session")
			if got := k.hears(); got != "" {
				t.Fatalf("the library would tell %q again by itself", got)
			}
		}
	})
}

// Whether a neighbor is told the rules of its own AS or of another is known before its OPEN only where the
// configuration has one AS.
func TestNothingIsPreparedForANeighborOfAnAnyAS(t *testing.T) {
	inLab(t, `bgp: {asn: 65001, router-id: 10.1.1.1, neighbors: {192.0.2.2: {remote-asn: any}}, aggregates: [{prefix: 172.16.0.0/12}], listen: [{range: 10.1.1.0/24, peer-group: s}], peer-groups: {s: {}}}
`, func(l *lab) {
		l.spoke(2).says("172.16.1.0/24")
		one, _ := pipe(t)
		hub := netip.MustParseAddr("192.0.2.2")
		l.s.do(func() { l.s.peers[hub].take(one) })
		synctest.Wait()
		if k := l.up(hub, 65010); k.early != 0 || k.hears() != "172.16.0.0/12 172.16.1.0/24" {
			t.Errorf("before its session it was told %d prefixes, then %q", k.early, k.hears())
		}
	})
}

// hub --keep: packets pass until the next start, so routes stay, and neighbors are told nothing.
func TestASpeakerThatLeavesTellsNobodyAndKeepsItsRoutes(t *testing.T) {
	for _, leave := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, summaryHub, leave)
			ctx, cancel := context.WithCancel(context.Background())
			var ended sync.WaitGroup
			ended.Go(func() { _ = l.s.Run(ctx) })
			synctest.Wait()
			one := l.spoke(2, "172.16.0.0/12")
			one.says("172.16.1.0/24")
			cancel()
			ended.Wait()
			synctest.Wait()
			l.has("172.16.1.0/24 via 10.1.1.2 dev va2 metric 200 proto 179", leave)
			if one.closed == leave {
				t.Errorf("leave %v: its session is closed: %v", leave, one.closed)
			}
		})
	}
}

// A spoke may call in the moment it has its address: the RIB's news of it is looked at before its
// connection is judged.
func TestASpokeThatCallsAtOnceIsNoStranger(t *testing.T) {
	l := newLab(t, `bgp: {asn: 65001, router-id: 10.1.1.1, listen: [{range: 127.0.0.0/8, peer-group: s}], peer-groups: {s: {}}}
`, false)
	l.table.OnChange(l.s.changes.add)
	home := netip.MustParsePrefix("127.0.0.1/32")
	if err := l.table.Set("h1/address", routing.Announcement{Interface: "va1", Source: routing.SourceAddress, Prefixes: []netip.Prefix{home}}); err != nil {
		t.Fatal(err)
	}
	_, theirs := pipe(t)
	l.s.accepted(theirs)
	if n := l.s.counters.refused["stranger"]; n != 0 {
		t.Errorf("%d strangers", n)
	}
	if p := l.s.peers[home.Addr()]; p == nil || p.early != theirs {
		t.Errorf("the connection does not wait for the library: %+v", p)
	}
}
