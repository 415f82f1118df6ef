package ikev2_test

import (
	"net/netip"
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
)

// The addresses of these tests.
const (
	spoke1  = "192.0.2.10" // what a pair begins with
	spoke2  = "198.51.100.20"
	spoke6  = "2001:db8:2::20"
	hub1    = "203.0.113.1"
	hub2    = "203.0.113.2"
	hub6    = "2001:db8:ff::1"
	outside = "198.18.0.1" // of a NAT
)

func mobile(t *testing.T, opts ...iketest.Option) *iketest.Pair {
	t.Helper()
	return iketest.Up(t, append([]iketest.Option{iketest.MOBIKE()}, opts...)...)
}

// counted reads a counter of the engine.
func counted(t *testing.T, e *iketest.End, done, refused, forged uint64) {
	t.Helper()
	c := e.Common.Counters
	if d, r, f := c.MovesDone.Load(), c.MovesRefused.Load(), c.MovesForged.Load(); d != done || r != refused || f != forged {
		t.Errorf("the %s counts %d moves done, %d refused, %d forged, want %d, %d, %d", e.Name, d, r, f, done, refused, forged)
	}
}

// Section 3.3: "implementations that support both this specification and NAT Traversal MUST change to
// port 4500 if the correspondent also supports both, even if no NAT was detected between them". Without
// a NAT the packets stay plain ESP.
func TestMOBIKEFloats(t *testing.T) {
	p := mobile(t)
	for _, e := range []*iketest.End{p.Spoke, p.Hub} {
		f := e.SA.Facts()
		if !f.MOBIKE || f.Path.Local.Port() != 4500 || f.Path.Remote.Port() != 4500 || !f.Path.Encap {
			t.Errorf("the %s runs IKE on %+v, MOBIKE %v", e.Name, f.Path, f.MOBIKE)
		}
		if e.Data.Encap {
			t.Errorf("the %s puts ESP in UDP although there is no NAT", e.Name)
		}
	}
}

// One end that does not know it, or may not, leaves the session where it is.
func TestMOBIKENeedsBothEnds(t *testing.T) {
	for name, off := range map[string]iketest.Option{
		"spoke": func(p *iketest.Pair) { p.Spoke.Policy.MOBIKE = false },
		"hub":   func(p *iketest.Pair) { p.Hub.Policy.MOBIKE = false },
	} {
		p := mobile(t, off)
		if p.Spoke.Migrate(spoke2, "") {
			t.Errorf("%s without MOBIKE: the session moved", name)
		}
		p.Deliver()
		iketest.WantNone[ikev2.Moved](p.Spoke, "nothing moves")
		if p.Spoke.SA.Facts().MOBIKE || p.Hub.SA.Facts().MOBIKE {
			t.Errorf("%s without MOBIKE: an end believes in it", name)
		}
	}
}

// Section 3.5: the initiator's packets run on the new path at once, the responder's when the address
// has been checked.
func TestSpokeMoves(t *testing.T) {
	p := mobile(t)
	if !p.Spoke.Migrate(spoke2, "") {
		t.Fatal("the spoke may not move")
	}
	p.Spoke.WantData(spoke2, hub1, "the hub's address is the same: nothing to check")
	p.DeliverOne("spoke INFORMATIONAL request 2", "UPDATE_SA_ADDRESSES")
	p.Hub.WantData(hub1, spoke1, "the new address is not proven")
	p.DeliverOne("hub INFORMATIONAL response 2", "the update is answered")
	p.DeliverOne("hub INFORMATIONAL request 0", "return routability check")
	p.Hub.WantData(hub1, spoke1, "the new address is not proven yet")
	p.Deliver()
	p.Hub.WantData(hub1, spoke2, "the spoke repeated the COOKIE2")
	p.WantMeet("after the move")
	p.WantConsistent("after the move")
	counted(t, p.Spoke, 1, 0, 0)
	counted(t, p.Hub, 1, 0, 0)
}

// Section 3.7: the check "MAY be omitted" where the operator says so.
func TestSpokeMovesUnchecked(t *testing.T) {
	p := mobile(t, iketest.Both(func(q *ikev2.Policy) { q.UncheckedMoves = true }))
	p.Spoke.Migrate(spoke2, "")
	p.DeliverOne("spoke INFORMATIONAL request 2", "UPDATE_SA_ADDRESSES")
	p.Hub.WantData(hub1, spoke2, "the authentic update is enough")
	p.DeliverOne("hub INFORMATIONAL response 2", "the only answer")
	p.WantMeet("after the move")
	if len(p.Link) != 0 {
		t.Error("there is more to say")
	}
}

// "Who claims an address must receive there": an authenticated spoke that claims the address of another
// host directs no packet at it.
func TestClaimedAddressIsNotBelieved(t *testing.T) {
	p := mobile(t)
	p.Spoke.Migrate(spoke2, "")
	p.DeliverOne("spoke INFORMATIONAL request 2", "UPDATE_SA_ADDRESSES")
	p.Blocked = iketest.Gone(spoke2)
	for _, name := range []string{"hub INFORMATIONAL response 2", "hub INFORMATIONAL request 0"} {
		p.Drop(name, "nobody receives there")
	}
	p.Run(30 * time.Second)
	p.Hub.WantData(hub1, spoke1, "nobody proved the new address")
	iketest.WantNone[ikev2.Moved](p.Hub, "nobody proved the new address")
}

// A COOKIE2 that is not repeated: "the IKE_SA MUST be closed".
func TestCookie2Mismatch(t *testing.T) {
	p := mobile(t)
	p.Hub.SA.ForgetMOBIKE()
	p.Spoke.Migrate("", hub2)
	p.Deliver()
	if c := iketest.Want[ikev2.Closed](p.Spoke, "the answer lacks its COOKIE2"); c.Reason != ikev2.ReasonSyntax {
		t.Errorf("closed for %s", c.Reason)
	}
	counted(t, p.Spoke, 0, 0, 1)
}

// A new address of the hub is checked before the spoke's packets go there, and the way back is the old
// one until then.
func TestSpokeMovesToHubsOtherAddress(t *testing.T) {
	p := mobile(t, iketest.HubAddresses(hub1, hub2))
	if got := p.Spoke.SA.Facts().Additional; len(got) != 1 || got[0].String() != hub2 {
		t.Fatalf("the spoke knows of %v", got)
	}
	p.Spoke.Migrate("", hub2)
	p.Spoke.WantData(spoke1, hub1, "the hub's other address is not proven")
	p.Deliver()
	p.Spoke.WantData(spoke1, hub2, "the hub answered there")
	p.WantMeet("after the move")
}

// Both families at once: from IPv4 to IPv6 and back.
func TestSpokeMovesBetweenFamilies(t *testing.T) {
	p := mobile(t, iketest.HubAddresses(hub1, hub6))
	p.Spoke.Migrate(spoke6, hub6)
	p.Deliver()
	p.Spoke.WantData(spoke6, hub6, "on IPv6 now")
	p.WantMeet("on IPv6")
	p.Spoke.RekeyChild()
	p.Deliver()
	p.Spoke.RekeyIKE()
	p.Deliver()
	p.WantConsistent("rekeyed on IPv6")
	p.Spoke.Migrate(spoke1, hub1)
	p.Deliver()
	p.Hub.WantData(hub1, spoke1, "back on IPv4")
	p.WantMeet("back on IPv4")
}

// NO MOBIKE message of a responder moves: "the initiator decides what addresses are used".
func TestHubDoesNotDecide(t *testing.T) {
	p := mobile(t, iketest.HubAddresses(hub1, hub2))
	moved := true
	p.Hub.Do(func(now time.Time, sa *ikev2.SA) { moved = sa.Migrate(now, netip.MustParseAddr(hub2), netip.Addr{}) })
	if moved {
		t.Error("the hub moved the session")
	}
	p.Hub.SetAddresses(hub1, hub2, hub6)
	p.Deliver()
	iketest.WantNone[ikev2.Moved](p.Spoke, "the address in use is still there")
	if got := p.Spoke.SA.Facts().Additional; len(got) != 2 {
		t.Errorf("the spoke knows of %v", got)
	}
	p.Hub.SetAddresses(hub1)
	p.Deliver()
	if got := p.Spoke.SA.Facts().Additional; len(got) != 0 {
		t.Errorf("NO_ADDITIONAL_ADDRESSES leaves %v", got)
	}
}

// Section 3.6: the hub loses the address in use. It tells so from another one, and the initiator comes
// after it.
func TestHubLosesItsAddress(t *testing.T) {
	p := mobile(t, iketest.HubAddresses(hub1, hub2))
	p.Blocked = iketest.Gone(hub1)
	p.Hub.SetAddresses(hub2)
	p.Deliver()
	p.Hub.WantData(hub2, spoke1, "it speaks from where it is")
	p.Spoke.WantData(spoke1, hub2, "the spoke follows")
	p.WantMeet("at the hub's new address")
	p.WantConsistent("at the hub's new address")
}

// A hub with one family left finds the spoke's address of that family among its additional ones.
func TestHubLosesItsFamily(t *testing.T) {
	p := mobile(t, iketest.HubAddresses(hub1, hub6))
	p.Spoke.SetAddresses(spoke1, spoke6)
	p.Deliver()
	p.Blocked = iketest.Gone(hub1)
	p.Hub.SetAddresses(hub6)
	p.Deliver()
	p.Spoke.WantData(spoke6, hub6, "the spoke follows to IPv6")
	p.WantMeet("on IPv6")
}

// Section 3.5: the local address is gone: the spoke goes on from another one at once.
func TestSpokeLosesItsAddress(t *testing.T) {
	p := mobile(t)
	p.Spoke.SetAddresses(spoke1, spoke2)
	p.Deliver()
	p.Blocked = iketest.Gone(spoke1)
	p.Spoke.SetAddresses(spoke2)
	p.Spoke.WantData(spoke2, hub1, "at once")
	p.Deliver()
	p.WantMeet("after the move")
}

// Sections 3.10 and 3.12: the path is dead, though both addresses are there. The request that is not
// answered goes out on all paths, and the session moves to the one that answers.
func TestDeadPathIsLeft(t *testing.T) {
	p := mobile(t, iketest.HubAddresses(hub1, hub2), iketest.Periodic(30*time.Second, 2*time.Second, 5))
	p.Spoke.SetAddresses(spoke1, spoke2)
	p.Deliver()
	p.Blocked = func(q ikev2.Path) bool {
		return q.Local.Addr() == netip.MustParseAddr(hub1) || q.Remote.Addr() == netip.MustParseAddr(hub1)
	}
	p.Run(40 * time.Second)
	p.Spoke.WantData(spoke1, hub2, "the path that lives")
	p.WantMeet("on the path that lives")
	p.WantConsistent("on the path that lives")
	iketest.WantNone[ikev2.Closed](p.Hub, "nobody gave up")
}

// Nobody can pull an initiator to a path of his own by copying answers: only known addresses count.
func TestStrangePathIsNotTaken(t *testing.T) {
	p := mobile(t, iketest.HubAddresses(hub1, hub2))
	p.Blocked = iketest.Gone(hub1)
	p.Spoke.Do(func(now time.Time, sa *ikev2.SA) { sa.Probe(now) })
	p.Tick() // the repeat, on all paths
	held := p.Hold("spoke INFORMATIONAL request 2", "it reached the hub's other address")
	p.Arrive(held)
	answer := p.Hold("hub INFORMATIONAL response 2", "the answer is on its way")
	answer.Path.Local = netip.MustParseAddrPort("198.18.66.6:4500")
	p.Arrive(answer)
	p.Spoke.WantData(spoke1, hub1, "the answer came from a stranger's address")
	if at := p.Spoke.SA.Facts().Path.Remote.Addr().String(); at != hub1 {
		t.Errorf("the spoke sends IKE to %s", at)
	}
}
