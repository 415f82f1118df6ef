package ikev2_test

import (
	"net/netip"
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
	"flexvpn/ikev2/wire"
)

// Section 3.5: "If there are outstanding IKEv2 requests ..., continues retransmitting them using the
// addresses in the IKE_SA (the new addresses)", and the update follows "when the window size allows".
func TestMoveWhileRekeying(t *testing.T) {
	for name, rekey := range map[string]func(*iketest.End){"Child SA": (*iketest.End).RekeyChild, "IKE SA": (*iketest.End).RekeyIKE} {
		p := mobile(t)
		rekey(p.Spoke)
		p.Drop("spoke CREATE_CHILD_SA request 2", "the old address is dead")
		p.Blocked = iketest.Gone(spoke1)
		p.Spoke.Migrate(spoke2, "")
		p.DeliverOne("spoke CREATE_CHILD_SA request 2", "repeated at once from the new address")
		p.Hub.WantData(hub1, spoke1, "a rekey does not move")
		p.Deliver()
		p.WantMeet("the " + name + " is rekeyed and the session moved")
		p.Run(2 * time.Minute)
		p.WantConsistent("the " + name + " is rekeyed and the session moved")
	}
}

// The responder's own request is repeated towards the new address, and its check follows it.
func TestMoveWhileTheHubRekeys(t *testing.T) {
	for _, rekey := range []func(*iketest.End){(*iketest.End).RekeyChild, (*iketest.End).RekeyIKE} {
		p := mobile(t)
		rekey(p.Hub)
		p.Blocked = iketest.Gone(spoke1)
		p.Drop("hub CREATE_CHILD_SA request 0", "it was sent to where the spoke is no more")
		p.Spoke.Migrate(spoke2, "")
		p.Deliver()
		p.WantMeet("rekeyed and moved")
		p.Run(2 * time.Minute)
		p.WantConsistent("rekeyed and moved")
	}
}

// "If a new address change occurs while waiting for the response, starts again from the first step (and
// ignores responses to this UPDATE_SA_ADDRESSES request)."
func TestMoveWhileMoving(t *testing.T) {
	p := mobile(t)
	p.Spoke.Migrate(spoke2, "")
	first := p.Hold("spoke INFORMATIONAL request 2", "the first update is late")
	p.Spoke.Migrate("198.51.100.30", "")
	p.DeliverOne("spoke INFORMATIONAL request 2", "the same request, from the second address")
	p.Deliver()
	p.Hub.WantData(hub1, "198.51.100.30", "the last move counts")
	p.Spoke.WantData("198.51.100.30", hub1, "the last move counts")
	p.Arrive(first)
	p.Deliver()
	p.Hub.WantData(hub1, "198.51.100.30", "a late copy of an old update moves nothing")
	p.WantMeet("after both moves")
	p.WantConsistent("after both moves")
}

// The answer to an update that is not the last proves nothing for the last.
func TestLateAnswerProvesNothing(t *testing.T) {
	p := mobile(t)
	p.Spoke.Migrate("", hub2)
	p.DeliverOne("spoke INFORMATIONAL request 2", "the first update")
	answer := p.Hold("hub INFORMATIONAL response 2", "its answer is late")
	p.Spoke.Migrate("", "203.0.113.3")
	p.Arrive(answer)
	p.Spoke.WantData(spoke1, hub1, "nobody has answered at the last address")
	p.Deliver()
	p.Spoke.WantData(spoke1, "203.0.113.3", "now it did")
	p.WantMeet("after both moves")
}

// The check of an address that is no longer the newest proves nothing.
func TestMoveWhileTheHubChecks(t *testing.T) {
	p := mobile(t)
	p.Spoke.Migrate(spoke2, "")
	p.DeliverOne("spoke INFORMATIONAL request 2", "the first update")
	p.DeliverOne("hub INFORMATIONAL response 2", "its answer")
	check := p.Hold("hub INFORMATIONAL request 0", "the check of the first address is on its way")
	p.Spoke.Migrate("198.51.100.30", "")
	p.DeliverOne("spoke INFORMATIONAL request 3", "the second update")
	p.Arrive(check)
	p.DeliverOne("spoke INFORMATIONAL response 0", "it answers the check of the first address")
	p.Hub.WantData(hub1, spoke1, "the second address is not proven by it")
	p.Deliver()
	p.WantMeet("after both moves")
}

// Unauthenticated, repeated or reflected input never moves anything.
func TestNothingForgedMoves(t *testing.T) {
	p := mobile(t)
	p.Spoke.Migrate(spoke2, "")
	update := p.Hold("spoke INFORMATIONAL request 2", "the update")
	update.Datagram = append([]byte(nil), update.Datagram...)
	forged := update
	forged.Datagram = append([]byte(nil), update.Datagram...)
	forged.Datagram[len(forged.Datagram)-1] ^= 1
	p.Arrive(forged)
	p.Deliver()
	p.Hub.WantData(hub1, spoke1, "its integrity check fails")
	p.Release(update)
	p.Deliver()
	p.Hub.WantData(hub1, spoke2, "the true one")
	p.Spoke.Migrate(spoke1, "")
	p.Deliver()
	replayed := update
	replayed.Path.Local = netip.MustParseAddrPort("198.18.66.6:4500")
	p.Arrive(replayed)
	p.Deliver()
	p.Hub.WantData(hub1, spoke1, "a replay of the first update from a stranger's address")
	reflected := update
	reflected.From, reflected.To = p.Hub, p.Spoke
	p.Arrive(reflected)
	p.Deliver()
	p.Spoke.WantData(spoke1, hub1, "its own update thrown back at it")
	p.WantMeet("after all forgeries")
	p.WantConsistent("after all forgeries")
}

// An exact copy of the update that a stranger on the way was faster with: the copy's source address is
// taken, fails its check, and the spoke's next update brings the session back.
func TestFasterCopyDoesNotGetTraffic(t *testing.T) {
	p := mobile(t)
	p.Spoke.Migrate(spoke2, "")
	update := p.Hold("spoke INFORMATIONAL request 2", "the update")
	copied := update
	copied.Path.Local = netip.MustParseAddrPort("198.18.66.6:4500")
	p.Blocked = iketest.Gone("198.18.66.6")
	p.Arrive(copied)
	p.Deliver()
	p.Hub.WantData(hub1, spoke1, "the stranger's address is not proven")
}

// A hub's policy says where its spokes may come from. The spoke goes on where it was.
func TestUnacceptableAddresses(t *testing.T) {
	only := func(p *iketest.Pair) { p.Hub.Policy.MoveTo = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }
	p := mobile(t, only)
	p.Spoke.SetAddresses(spoke1, spoke2)
	p.Deliver()
	p.Spoke.Migrate(spoke2, "")
	p.Deliver()
	p.Hub.WantData(hub1, spoke1, "UNACCEPTABLE_ADDRESSES")
	p.WantMeet("back where it was")
	counted(t, p.Hub, 0, 1, 0)

	// The only address left is one that the hub does not take.
	p.Blocked = iketest.Gone(spoke1)
	p.Spoke.SetAddresses(spoke2)
	p.Deliver()
	if c := iketest.Want[ikev2.Closed](p.Spoke, "there is no way to the hub"); c.Notify != wire.UnacceptableAddresses || c.Reason != ikev2.ReasonRefused {
		t.Errorf("closed for %s with %s", c.Reason, c.Notify)
	}
	iketest.Want[ikev2.Closed](p.Hub, "the spoke said good-bye")
}

// A delete that crosses an update, from either side.
func TestDeleteCrossesMove(t *testing.T) {
	p := mobile(t)
	p.Spoke.Migrate(spoke2, "")
	p.Hub.Close()
	p.Deliver()
	iketest.Want[ikev2.Closed](p.Spoke, "the session is over")
	iketest.Want[ikev2.Closed](p.Hub, "the session is over")
	p = mobile(t)
	p.Spoke.Migrate(spoke2, "")
	p.Spoke.Close()
	p.Deliver()
	iketest.Want[ikev2.Closed](p.Spoke, "the session is over")
	iketest.Want[ikev2.Closed](p.Hub, "the session is over")
}

// GRE's transport mode selectors name the two ends: they follow, so that a Child SA can be rekeyed
// after the move, behind a NAT too, by either end.
func TestTransportSelectorsFollow(t *testing.T) {
	const gre = 47
	host := func(a string) []wire.Selector {
		return []wire.Selector{wire.SelectorFromPrefix(netip.PrefixFrom(netip.MustParseAddr(a), netip.MustParseAddr(a).BitLen()), gre)}
	}
	p := mobile(t, iketest.HubAddresses(hub1, hub6), func(p *iketest.Pair) {
		p.Spoke.Policy.Transport, p.Spoke.Policy.TSLocal, p.Spoke.Policy.TSRemote = true, host(spoke1), host(hub1)
		p.Hub.World.Authorize = func(q ikev2.Authorize) ikev2.Answer {
			return ikev2.AuthorizeAnswer{ID: q.ID, TSi: q.TSi, TSr: q.TSr, Transport: true}
		}
		p.NAT = natFor(spoke2, 20000)
	})
	for _, step := range []struct{ local, remote string }{{spoke2, hub1}, {spoke6, hub6}, {spoke1, hub1}} {
		p.Spoke.Migrate(step.local, step.remote)
		p.Deliver()
		for _, e := range []*iketest.End{p.Spoke, p.Hub} {
			before := e.Outbound
			e.RekeyChild()
			p.Deliver()
			p.WantConsistent("the " + e.Name + " rekeyed at " + step.local)
			if e.Outbound == before {
				t.Errorf("at %s the %s could not rekey", step.local, e.Name)
			}
		}
		f := p.Hub.SA.Facts().Children[0]
		if !f.Transport || f.TSRemote[0].Start != p.Hub.Data.Remote.Addr() || f.TSLocal[0].Start.String() != step.remote {
			t.Errorf("at %s the hub's selectors are %v and %v", step.local, f.TSLocal, f.TSRemote)
		}
	}
}

// What a peer lists is bounded, and nonsense in it is left out.
func TestAbsurdAddressesAreLeftOut(t *testing.T) {
	long := []string{"127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", "::1", "ff02::1", "fe80::1"}
	for i := range 30 {
		long = append(long, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}).String())
	}
	p := mobile(t, func(p *iketest.Pair) { p.Hub.Common.Addresses = nil })
	p.Hub.SetAddresses(append(long, hub1)...)
	p.Deliver()
	if got := p.Spoke.SA.Facts().Additional; len(got) != 8 || got[0].String() != "198.51.100.0" {
		t.Errorf("the spoke keeps %v", got)
	}
}
