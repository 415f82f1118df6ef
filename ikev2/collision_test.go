package ikev2_test

import (
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
)

// settled asserts that the session has come to rest with one Child SA, without any help of timers.
func settled(t *testing.T, p *iketest.Pair, why string) {
	t.Helper()
	p.WantConsistent(why)
	iketest.WantNone[ikev2.Closed](p.Spoke, why)
	iketest.WantNone[ikev2.Closed](p.Hub, why)
	if r := p.Spoke.Common.Counters.Retransmitted.Load() + p.Hub.Common.Counters.Retransmitted.Load(); r != 0 {
		t.Errorf("%s: %d requests had to be sent again", why, r)
	}
}

// both runs a crossing many times, so that the nonces decide both ways.
func both(t *testing.T, f func(t *testing.T, p *iketest.Pair)) {
	for range 12 {
		f(t, iketest.Up(t, iketest.Both(cheap)))
	}
}

// RFC 7296 section 2.8.1: "If redundant SAs are created through such a collision, the SA created with
// the lowest of the four nonces used in the two exchanges SHOULD be closed by the endpoint that
// created it", and the maker of the one that stays deletes the old one.
func TestChildRekeysCross(t *testing.T) {
	both(t, func(t *testing.T, p *iketest.Pair) {
		before := p.Spoke.Outbound
		p.Spoke.RekeyChild()
		p.Hub.RekeyChild()
		p.Deliver()
		settled(t, p, "both ends rekeyed the Child SA at once")
		if p.Spoke.Outbound == before {
			t.Error("the old Child SA is still in use")
		}
		if p.Spoke.Common.Counters.RekeyCollisions.Load() != 1 || p.Hub.Common.Counters.RekeyCollisions.Load() != 1 {
			t.Error("both ends noticed the collision")
		}
	})
}

// The answer of one end overtakes everything: it finishes, and deletes what it must, while the other
// still waits for its own answer.
func TestChildRekeysCrossOneAnswerLate(t *testing.T) {
	for _, late := range []string{"spoke", "hub"} {
		both(t, func(t *testing.T, p *iketest.Pair) {
			p.Spoke.RekeyChild()
			p.Hub.RekeyChild()
			p.Step()
			p.Step()
			id := map[string]string{"spoke": "0", "hub": "2"}[late]
			held := p.Hold(late+" CREATE_CHILD_SA response "+id, "the answer is late")
			p.Deliver()
			p.Release(held)
			p.Deliver()
			settled(t, p, "the late answer changes nothing")
		})
	}
}

// Section 2.25.1: "If a peer receives a request to rekey a Child SA that it is currently trying to
// close, it SHOULD reply with TEMPORARY_FAILURE." Here only one end notices the collision.
func TestChildRekeyCrossesDelete(t *testing.T) {
	p := iketest.Up(t)
	p.Hub.RekeyChild()
	held := p.Hold("hub CREATE_CHILD_SA request 0", "the hub's rekeying is late")
	p.Spoke.RekeyChild()
	p.DeliverOne("spoke CREATE_CHILD_SA request 2", "the hub answers although it rekeys too")
	p.DeliverOne("hub CREATE_CHILD_SA response 2", "the spoke is done and deletes the old one")
	p.Arrive(held)
	p.DeliverOne("spoke CREATE_CHILD_SA response 0", "the spoke is closing it: TEMPORARY_FAILURE")
	p.Deliver()
	settled(t, p, "the hub forgot its own rekeying")
}

// Section 2.25.1: "If a peer receives a request to rekey a Child SA that does not exist, it SHOULD
// reply with CHILD_SA_NOT_FOUND."
func TestChildRekeyAfterDelete(t *testing.T) {
	p := iketest.Up(t)
	p.Hub.RekeyChild()
	held := p.Hold("hub CREATE_CHILD_SA request 0", "the hub's rekeying is late")
	p.Spoke.RekeyChild()
	p.Deliver()
	if got := len(p.Hub.Children); got != 1 {
		t.Fatalf("the old Child SA is gone while the hub's rekeying is under way, %d left", got)
	}
	p.Arrive(held)
	p.Deliver()
	settled(t, p, "the hub's rekeying found nothing to rekey")
}

// Section 2.25.1: "If a peer receives a request to close a Child SA that it is currently trying to
// close, it SHOULD reply without a Delete payload."
func TestChildDeletesCross(t *testing.T) {
	p := iketest.Up(t, iketest.Both(cheap), iketest.Both(func(q *ikev2.Policy) { q.ChildLife = time.Minute; q.Liveness = ikev2.LivenessOff }))
	// Rekeying is refused for good, so that both ends delete at the hard lifetime.
	p.Spoke.World.Install = func(q ikev2.Install) ikev2.Answer {
		return ikev2.InstallAnswer{ID: q.ID, Err: errTest}
	}
	p.Hub.World.Install = p.Spoke.World.Install
	p.Wait(time.Minute)
	p.Spoke.Do(func(now time.Time, sa *ikev2.SA) { sa.Advance(now) })
	p.Hub.Do(func(now time.Time, sa *ikev2.SA) { sa.Advance(now) })
	p.Deliver()
	iketest.Want[ikev2.ChildGone](p.Spoke, "the Child SA is gone")
	iketest.Want[ikev2.ChildGone](p.Hub, "the Child SA is gone")
	if len(p.Spoke.Children)+len(p.Hub.Children) != 0 {
		t.Error("Child SAs are left")
	}
	p.Run(30 * time.Second)
	iketest.Want[ikev2.Closed](p.Spoke, "a session without Child SA is of no use")
	iketest.Want[ikev2.Closed](p.Hub, "a session without Child SA is of no use")
}

// Section 2.25.1: "If a peer receives a request to close a Child SA that it is currently trying to
// rekey, it SHOULD reply as usual, with a Delete payload."
func TestChildDeletedWhileRekeying(t *testing.T) {
	both(t, func(t *testing.T, p *iketest.Pair) {
		p.Spoke.RekeyChild()
		p.Hub.RekeyChild()
		p.Step()
		p.Step()
		p.DeliverOne("hub CREATE_CHILD_SA response 2", "the spoke is done first")
		held := p.Hold("spoke CREATE_CHILD_SA response 0", "the hub waits for its own")
		p.Deliver() // the spoke's deletes, of whatever it has to delete
		p.Release(held)
		p.Deliver()
		settled(t, p, "the old Child SA went while the hub was rekeying it")
	})
}

// Section 2.8.2: two rekeyings of the IKE SA: the one with the lowest nonce is deleted by its maker,
// the other inherits the Child SAs.
func TestIKERekeysCross(t *testing.T) {
	both(t, func(t *testing.T, p *iketest.Pair) {
		p.Spoke.RekeyIKE()
		p.Hub.RekeyIKE()
		p.Deliver()
		iketest.Want[ikev2.IKERekeyed](p.Spoke, "the spoke has new keys")
		iketest.Want[ikev2.IKERekeyed](p.Hub, "the hub has new keys")
		settled(t, p, "both ends rekeyed the IKE SA at once")
	})
}

func TestIKERekeysCrossOneAnswerLate(t *testing.T) {
	both(t, func(t *testing.T, p *iketest.Pair) {
		p.Spoke.RekeyIKE()
		p.Hub.RekeyIKE()
		p.Step()
		p.Step()
		held := p.Hold("spoke CREATE_CHILD_SA response 0", "the hub waits for its answer")
		p.Deliver()
		p.Release(held)
		p.Deliver()
		p.Run(2 * time.Minute) // a generation of the end that forgot is dropped in silence
		settled(t, p, "the spoke was done first")
	})
}

// Section 2.8.2: "when the peer that did not notice the simultaneous rekey gets the request to rekey
// the IKE SA that it has already successfully rekeyed, it SHOULD return TEMPORARY_FAILURE because it
// is an IKE SA that it is currently trying to close".
func TestIKERekeyNotNoticedByOneEnd(t *testing.T) {
	p := iketest.Up(t)
	p.Hub.RekeyIKE()
	held := p.Hold("hub CREATE_CHILD_SA request 0", "the hub's rekeying is late")
	p.Spoke.RekeyIKE()
	p.DeliverOne("spoke CREATE_CHILD_SA request 2", "the hub answers and knows of both")
	p.DeliverOne("hub CREATE_CHILD_SA response 2", "the spoke knows of one, and is done")
	p.Arrive(held)
	p.DeliverOne("spoke CREATE_CHILD_SA response 0", "TEMPORARY_FAILURE")
	p.Deliver()
	settled(t, p, "the hub forgot its own rekeying")
}

// "If the peer that did notice the simultaneous rekey gets the delete request from the other peer
// for the old IKE SA, it knows that the other peer did not detect the simultaneous rekey, and the
// first peer can forget its own rekey attempt."
func TestIKERekeyForgottenOnDelete(t *testing.T) {
	p := iketest.Up(t)
	p.Hub.RekeyIKE()
	p.Drop("hub CREATE_CHILD_SA request 0", "the hub's rekeying is lost")
	p.Spoke.RekeyIKE()
	p.Deliver()
	settled(t, p, "the hub forgot its own rekeying when the old IKE SA was deleted")
}

// Section 2.25.2: "If a peer receives a request to rekey the IKE SA when it is currently creating,
// rekeying, or closing a Child SA of that IKE SA, it SHOULD reply with TEMPORARY_FAILURE", and the
// other way round.
func TestIKERekeyCrossesChildRekey(t *testing.T) {
	p := iketest.Up(t)
	p.Spoke.RekeyIKE()
	p.Hub.RekeyChild()
	p.Deliver()
	settled(t, p, "both requests were refused")
	iketest.WantNone[ikev2.IKERekeyed](p.Spoke, "nothing was rekeyed yet")
	p.Run(15 * time.Second)
	iketest.Want[ikev2.IKERekeyed](p.Spoke, "the IKE SA is rekeyed a few seconds later")
	iketest.Want[ikev2.UseChild](p.Hub, "and so is the Child SA")
	settled(t, p, "after the second attempt")
}

// Section 2.25.2: "If a peer receives a request to close an IKE SA that it is currently rekeying, it
// SHOULD reply as usual, and forget its own rekeying request."
func TestIKEDeletedWhileRekeying(t *testing.T) {
	p := iketest.Up(t)
	p.Spoke.RekeyIKE()
	p.Hub.Close()
	p.DeliverOne("hub INFORMATIONAL request 0", "the hub deletes the session")
	p.Deliver()
	if c := iketest.Want[ikev2.Closed](p.Spoke, "the session is over"); c.Reason != ikev2.ReasonPeerDelete {
		t.Errorf("the spoke says %s", c.Reason)
	}
	if c := iketest.Want[ikev2.Closed](p.Hub, "the session is over"); c.Reason != ikev2.ReasonLocal {
		t.Errorf("the hub says %s", c.Reason)
	}
}

// "If a peer receives a request to rekey an IKE SA that it is currently trying to close, it SHOULD
// reply with TEMPORARY_FAILURE."
func TestIKERekeyWhileClosing(t *testing.T) {
	p := iketest.Up(t)
	p.Spoke.RekeyIKE()
	p.Hub.Close()
	p.DeliverOne("spoke CREATE_CHILD_SA request 2", "the hub is closing")
	p.Deliver()
	iketest.Want[ikev2.Closed](p.Spoke, "the session is over")
	iketest.Want[ikev2.Closed](p.Hub, "the session is over")
	iketest.WantNone[ikev2.IKERekeyed](p.Hub, "nothing was rekeyed")
}

// "If a peer receives a request to close an IKE SA that it is currently trying to close, it SHOULD
// reply as usual, and forget about its own close request."
func TestIKEDeletesCross(t *testing.T) {
	p := iketest.Up(t)
	p.Spoke.Close()
	p.Hub.Close()
	p.Deliver()
	for _, e := range []*iketest.End{p.Spoke, p.Hub} {
		if c := iketest.Want[ikev2.Closed](e, "the session is over"); c.Reason != ikev2.ReasonLocal {
			t.Errorf("the %s says %s", e.Name, c.Reason)
		}
	}
}

// A session that is closed while its IKE SA is rekeyed is closed on the generation that comes of it.
func TestCloseWhileRekeyingIKE(t *testing.T) {
	p := iketest.Up(t)
	p.Spoke.RekeyIKE()
	p.Spoke.Close()
	p.Deliver()
	iketest.Want[ikev2.Closed](p.Spoke, "the session is over")
	iketest.Want[ikev2.Closed](p.Hub, "also at the other end")
}

// What is in flight on an IKE SA that the peer replaces is answered on it; what is not answered
// before it is deleted is asked again on the new one.
func TestProbeCrossesIKERekey(t *testing.T) {
	p := iketest.Up(t)
	p.Hub.Do(func(now time.Time, sa *ikev2.SA) { sa.Probe(now) })
	p.Drop("hub INFORMATIONAL request 0", "the probe is lost")
	p.Spoke.RekeyIKE()
	p.Deliver()
	settled(t, p, "the probe was repeated on the new IKE SA")
}
