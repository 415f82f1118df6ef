package ikev2_test

import (
	"net/netip"
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
	"flexvpn/ikev2/wire"
)

// natFor is a NAT on the way from one address of the spoke only.
func natFor(inside string, base uint16) func(netip.AddrPort) netip.AddrPort {
	return func(a netip.AddrPort) netip.AddrPort {
		if a.Addr() != netip.MustParseAddr(inside) {
			return a
		}
		return netip.AddrPortFrom(netip.MustParseAddr(outside), base+a.Port())
	}
}

// NAT traversal begins and ends with the path: ESP goes in UDP where there is a NAT, and only there.
func TestMoveIntoAndOutOfNAT(t *testing.T) {
	p := mobile(t, func(p *iketest.Pair) { p.NAT = natFor(spoke2, 20000) })
	p.Spoke.Migrate(spoke2, "")
	p.Deliver()
	p.WantMeet("behind the NAT")
	if !p.Spoke.Data.Encap || !p.Spoke.SA.Facts().NATLocal || !p.Hub.SA.Facts().NATRemote {
		t.Fatalf("behind the NAT: %+v", p.Spoke.Data)
	}
	p.Run(time.Minute)
	if p.Spoke.Keepalives < 2 {
		t.Error("nobody keeps the mapping open")
	}
	p.Spoke.Migrate(spoke1, "")
	p.Deliver()
	p.WantMeet("without the NAT")
	if p.Spoke.Data.Encap || p.Hub.Data.Encap {
		t.Error("ESP is still in UDP")
	}
	before := p.Spoke.Keepalives
	p.Run(2 * time.Minute)
	if p.Spoke.Keepalives != before {
		t.Error("keepalives go on without a NAT")
	}
}

// Section 3.8: with MOBIKE the hub does not follow a mapping that changes: the spoke sees in the answer
// to its probe what became of its address, and updates it.
func TestNATMappingChangesWithMOBIKE(t *testing.T) {
	p := mobile(t, iketest.BehindNAT(outside))
	p.SetNAT("198.18.0.2", 30000)
	p.Spoke.Do(func(now time.Time, sa *ikev2.SA) { sa.Probe(now) })
	p.DeliverOne("spoke INFORMATIONAL request 2", "a probe from the new mapping")
	iketest.WantNone[ikev2.Moved](p.Hub, "an INFORMATIONAL exchange without UPDATE_SA_ADDRESSES does not cause any changes")
	p.Deliver()
	p.Hub.WantData(hub1, "198.18.0.2", "the update came from the new mapping")
	p.WantMeet("after the new mapping")
	p.Spoke.Forget()
	p.Spoke.Do(func(now time.Time, sa *ikev2.SA) { sa.Probe(now) })
	before := p.Spoke.Sent
	p.Deliver()
	if p.Spoke.Sent != before {
		t.Error("a probe that finds all as it was is followed by an update")
	}
}

// A NAT that appears on a path without moving anybody, and goes again.
func TestNATAppearsAndDisappears(t *testing.T) {
	p := mobile(t)
	p.SetNAT(outside, 20000)
	p.Spoke.Do(func(now time.Time, sa *ikev2.SA) { sa.Probe(now) })
	p.Deliver()
	p.WantMeet("behind the new NAT")
	if !p.Hub.Data.Encap {
		t.Error("ESP is not in UDP behind the new NAT")
	}
	p.NAT = nil
	p.Spoke.Do(func(now time.Time, sa *ikev2.SA) { sa.Probe(now) })
	p.Deliver()
	p.WantMeet("without the NAT")
	if p.Hub.Data.Encap {
		t.Error("ESP is still in UDP")
	}
}

// A data plane that has ESP in UDP only keeps it over every move.
func TestForcedEncapsulationSurvivesMoves(t *testing.T) {
	for name, force := range map[string]func(*iketest.Pair){
		"spoke": func(p *iketest.Pair) { p.Spoke.Common.ForceEncap = true },
		"hub":   func(p *iketest.Pair) { p.Hub.Common.ForceEncap = true },
	} {
		p := mobile(t, force)
		p.Spoke.Migrate(spoke2, "")
		p.Deliver()
		p.WantMeet("the " + name + " needs ESP in UDP")
		if !p.Spoke.Data.Encap || !p.Hub.Data.Encap {
			t.Errorf("the %s needs ESP in UDP: %+v, %+v", name, p.Spoke.Data, p.Hub.Data)
		}
	}
}

func noNATs(p *iketest.Pair) { p.Spoke.Policy.NoNATs = true }

// Section 3.9: a NAT on the way of the first IKE_AUTH request is refused.
func TestNATRefusedAtFirst(t *testing.T) {
	p := iketest.NewPair(t, iketest.MOBIKE(), noNATs, iketest.BehindNAT(outside))
	p.Spoke.Initiate()
	p.Deliver()
	if c := iketest.Want[ikev2.Closed](p.Spoke, "there is a NAT"); c.Notify != wire.UnexpectedNATDetected {
		t.Errorf("closed with %s", c.Notify)
	}
}

// ... and on the way of an update: the session stays where it was.
func TestNATRefusedOnTheMove(t *testing.T) {
	p := mobile(t, noNATs, func(p *iketest.Pair) { p.NAT = natFor(spoke2, 20000) })
	if f := p.Spoke.SA.Facts(); f.Path.Encap || f.NATLocal {
		t.Fatalf("without NAT traversal IKE runs on %+v", f.Path)
	}
	p.Spoke.SetAddresses(spoke1, spoke2)
	p.Deliver()
	p.Spoke.Migrate(spoke2, "")
	p.Deliver()
	p.Hub.WantData(hub1, spoke1, "UNEXPECTED_NAT_DETECTED")
	p.WantMeet("back on the path without NAT")
	counted(t, p.Hub, 0, 1, 0)
	if p.Spoke.Closed != nil || p.Hub.Closed != nil {
		t.Error("the session is gone")
	}
}
