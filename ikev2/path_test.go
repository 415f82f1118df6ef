package ikev2_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
)

// nowhere is an address that nobody has.
var nowhere = netip.MustParseAddrPort("198.18.66.6:4500")

// RFC 7296 section 2.23: without MOBIKE a responder follows the mapping of a peer behind a NAT, after an
// authentic message, and only then.
func TestMappingIsFollowedAfterAnAuthenticMessage(t *testing.T) {
	p := iketest.Up(t, iketest.BehindNAT(outside))
	if f := p.Hub.SA.Facts(); !f.NATRemote || f.Path.Remote.Addr().String() != outside {
		t.Fatalf("the hub sees %+v", f)
	}
	p.SetNAT("198.18.0.2", 30000)
	p.Spoke.Do(func(now time.Time, sa *ikev2.SA) { sa.Probe(now) })
	m := p.Hold("spoke INFORMATIONAL request 2", "from the new mapping")
	forged := altered(m, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	p.Arrive(forged)
	iketest.WantNone[ikev2.Moved](p.Hub, "the message is forged")
	p.Arrive(m)
	if got := iketest.Want[ikev2.Moved](p.Hub, "the message is authentic"); got.Path.Remote.Addr().String() != "198.18.0.2" {
		t.Errorf("moved to %s", got.Path.Remote)
	}
	p.Deliver()
	p.Arrive(m) // a repeat from anywhere is answered there and moves nothing
	iketest.WantNone[ikev2.Moved](p.Hub, "it is a repeat")
}

// "... and not to a peer without NAT": the way to it never moves.
func TestPathWithoutNATStays(t *testing.T) {
	p := iketest.Up(t)
	p.Spoke.Do(func(now time.Time, sa *ikev2.SA) { sa.Probe(now) })
	m := p.Hold("spoke INFORMATIONAL request 2", "it arrives from elsewhere")
	m.Path.Local = nowhere
	p.Arrive(m)
	iketest.WantNone[ikev2.Moved](p.Hub, "there is no NAT")
	if f := p.Hub.SA.Facts(); f.Path.Remote.Addr().String() != spoke1 {
		t.Errorf("the hub sends to %s", f.Path.Remote)
	}
}

// Only the end behind the NAT keeps the mapping open (RFC 3948 section 4).
func TestKeepalivesComeFromBehindTheNAT(t *testing.T) {
	p := iketest.Up(t, iketest.BehindNAT(outside))
	p.Run(61 * time.Second)
	if p.Spoke.Keepalives != 3 || p.Hub.Keepalives != 0 {
		t.Errorf("in a minute the spoke sent %d keepalives, the hub %d", p.Spoke.Keepalives, p.Hub.Keepalives)
	}
}

// Section 2.4: on demand a peer is probed when packets were sent and none came back; periodically
// whenever nothing was heard. Both give up after as many tries as configured.
func TestLiveness(t *testing.T) {
	only := func(mode ikev2.LivenessMode) iketest.Option {
		return func(p *iketest.Pair) {
			q := p.Hub.Policy
			q.Liveness, q.LivenessInterval, q.LivenessRetry, q.LivenessTries = mode, 10*time.Second, 2*time.Second, 3
		}
	}
	t.Run("silence means nothing on demand", func(t *testing.T) {
		p := iketest.Up(t, only(ikev2.LivenessOnDemand))
		before := p.Hub.Sent
		p.Run(time.Hour / 2)
		if p.Hub.Sent != before {
			t.Error("an idle peer is probed")
		}
	})
	t.Run("unanswered packets are asked about", func(t *testing.T) {
		p := iketest.Up(t, only(ikev2.LivenessOnDemand))
		p.Blocked = func(ikev2.Path) bool { return true }
		p.Hub.LastOut = p.Now.Add(time.Second)
		p.Run(10*time.Second + 6*time.Second - 1)
		iketest.WantNone[ikev2.Closed](p.Hub, "three tries, two seconds apart")
		p.Run(1)
		if c := iketest.Want[ikev2.Closed](p.Hub, "the peer is dead"); c.Reason != ikev2.ReasonPeerDead {
			t.Errorf("closed for %s", c.Reason)
		}
	})
	t.Run("packets that come are proof enough", func(t *testing.T) {
		p := iketest.Up(t, only(ikev2.LivenessPeriodic))
		before := p.Hub.Sent
		p.Hub.World.Traffic = func(q ikev2.Traffic) ikev2.Answer {
			return ikev2.TrafficAnswer{ID: q.ID, LastIn: p.Now, LastOut: p.Now}
		}
		p.Run(10 * time.Minute)
		if p.Hub.Sent != before {
			t.Error("a peer that is heard is probed")
		}
	})
	t.Run("periodic", func(t *testing.T) {
		p := iketest.Up(t, only(ikev2.LivenessPeriodic))
		before := p.Hub.Sent
		p.Run(65 * time.Second)
		if got := p.Hub.Sent - before; got != 6 {
			t.Errorf("%d probes in 65 s of silence, want one every 10 s", got)
		}
	})
}

// RFC 7383: a message that is too long leaves in fragments of the configured size, in any order and with
// repeats it is one message, and one that misses a fragment is given up after a while.
func TestFragments(t *testing.T) {
	long := strings.Repeat("a long name.", 150)
	opts := []iketest.Option{iketest.Both(func(q *ikev2.Policy) { q.FragmentSize = 600 }), func(p *iketest.Pair) {
		p.Spoke.Policy.Local = iketest.FQDN(long)
	}}
	fragments := func(p *iketest.Pair) (list []iketest.Flight) {
		p.Spoke.Initiate()
		p.Step()
		p.Step()
		list = append(list, p.Link...)
		p.Link = nil
		if len(list) < 4 {
			t.Fatalf("%d octets of identity left in %d pieces", len(long), len(list))
		}
		for _, f := range list {
			if len(f.Datagram) > 600 {
				t.Errorf("a fragment has %d octets", len(f.Datagram))
			}
		}
		return list
	}
	t.Run("in any order, twice", func(t *testing.T) {
		p := iketest.NewPair(t, opts...)
		list := fragments(p)
		for i := len(list) - 1; i >= 0; i-- {
			p.Arrive(list[i])
			if i > 0 {
				p.Arrive(list[i])
			}
		}
		p.Deliver()
		iketest.Want[ikev2.Established](p.Hub, "all pieces are there")
		iketest.Want[ikev2.Established](p.Spoke, "all pieces are there")
		if p.Hub.Common.Counters.BadFragments.Load() == 0 {
			t.Error("repeated fragments are not counted")
		}
	})
	t.Run("one forged, one missing", func(t *testing.T) {
		p := iketest.NewPair(t, opts...)
		list := fragments(p)
		p.Arrive(altered(list[0], func(b []byte) []byte { b[len(b)-1] ^= 1; return b }))
		for _, f := range list[1:] {
			p.Arrive(f)
		}
		iketest.WantNone[ikev2.Established](p.Hub, "the first piece is missing")
		if len(p.Link) != 0 {
			t.Error("an answer to half a message")
		}
		p.Arrive(list[0])
		p.Deliver()
		iketest.Want[ikev2.Established](p.Hub, "the true first piece came")
	})
}

// A person types for longer than a NAT remembers a mapping: the login has keepalives, too.
func TestKeepalivesWhileAPersonTypes(t *testing.T) {
	p := iketest.NewPair(t, iketest.ByEAP(), iketest.BehindNAT(outside))
	var asked ikev2.EAP
	p.Spoke.World.EAP = func(q ikev2.EAP) ikev2.Answer { asked = q; return nil } // thinks
	p.Spoke.Initiate()
	p.Run(61 * time.Second)
	if p.Spoke.Keepalives != 3 || p.Hub.Keepalives != 0 {
		t.Errorf("in a minute of a login the spoke sent %d keepalives, the hub %d", p.Spoke.Keepalives, p.Hub.Keepalives)
	}
	p.Spoke.World.EAP = p.Spoke.Knock
	p.Spoke.Answer(p.Spoke.Knock(asked))
	p.Deliver()
	iketest.Want[ikev2.Established](p.Spoke, "the person has typed")
	p.Run(61 * time.Second)
	if p.Spoke.Keepalives < 6 {
		t.Errorf("in two minutes the spoke sent %d keepalives", p.Spoke.Keepalives)
	}
}
