package ikev2_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
	"flexvpn/ikev2/wire"
)

// FuzzMobilityRequest lets an authenticated peer say anything that MOBIKE has a notify for, from either
// end: nothing panics, lists stay short, and traffic goes only where the peer was or has proven to be.
func FuzzMobilityRequest(f *testing.F) {
	notify := func(t wire.NotifyType, data ...byte) []byte {
		return append(binary.BigEndian.AppendUint16(nil, uint16(t)), append([]byte{byte(len(data))}, data...)...)
	}
	f.Add(true, slices.Concat(notify(wire.UpdateSAAddresses), notify(wire.Cookie2, 1, 2, 3, 4, 5, 6, 7, 8)))
	f.Add(true, slices.Concat(notify(wire.UpdateSAAddresses), notify(wire.NATDetectionSourceIP, make([]byte, 20)...), notify(wire.NATDetectionDestinationIP, make([]byte, 20)...)))
	f.Add(true, slices.Concat(notify(wire.UpdateSAAddresses), notify(wire.NoNATsAllowed, 192, 0, 2, 10, 203, 0, 113, 1, 0x11, 0x94, 0x11, 0x94)))
	f.Add(false, slices.Concat(notify(wire.AdditionalIP4Address, 203, 0, 113, 2), notify(wire.AdditionalIP6Address, make([]byte, 16)...)))
	f.Add(false, notify(wire.NoAdditionalAddresses))
	f.Fuzz(func(t *testing.T, fromSpoke bool, b []byte) {
		var ps []wire.Payload
		for len(b) >= 3 && len(ps) < 40 {
			n := min(int(b[2]), len(b)-3)
			ps = append(ps, &wire.Notify{Type: wire.NotifyType(binary.BigEndian.Uint16(b)), Data: b[3 : 3+n]})
			b = b[3+n:]
		}
		p := iketest.Up(t, iketest.MOBIKE(), iketest.Both(cheap), iketest.HubAddresses(hub1, hub2))
		from, to := p.Hub, p.Spoke
		if fromSpoke {
			from, to = p.Spoke, p.Hub
		}
		from.Do(func(now time.Time, sa *ikev2.SA) { sa.SayInformational(now, ps...) })
		m := p.Link[0]
		m.Path.Local = nowhere
		p.Blocked = iketest.Gone(nowhere.Addr().String())
		p.Link = nil
		p.Arrive(m)
		p.Deliver()
		if to.Closed == nil && to.Data.Remote.Addr() == nowhere.Addr() {
			t.Error("traffic goes to an address that proved nothing")
		}
		if n := len(to.SA.Facts().Additional); n > 8 {
			t.Errorf("%d addresses are kept", n)
		}
	})
}
