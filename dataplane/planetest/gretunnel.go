package planetest

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"flexvpn/dataplane"
)

// greEnds are pairs of ends of GRE in tunnel mode: ours, which the host must have, and one that is not
// the peer's outer address, as behind a NAT.
func greEnds() [][2]netip.Addr {
	return [][2]netip.Addr{
		{hub.Addr(), netip.MustParseAddr("10.7.7.7")},
		{netip.MustParseAddr("2001:db8:f::1"), netip.MustParseAddr("2001:db8:f::7")},
	}
}

// greTunnel is a child of GRE in tunnel mode between two ends.
func greTunnel(spi uint32, ends [2]netip.Addr) dataplane.Child {
	c := gcm(spi)
	c.Local = []netip.Prefix{netip.PrefixFrom(ends[0], ends[0].BitLen())}
	c.Remote = []netip.Prefix{netip.PrefixFrom(ends[1], ends[1].BitLen())}
	return c
}

// delivery wraps GRE in the IP header of tunnel mode.
func delivery(src, dst netip.Addr, protocol uint8, payload []byte) []byte {
	n := len(payload)
	if src.Is4() {
		p := []byte{0x45, 0, byte((20 + n) >> 8), byte(20 + n), 0, 0, 0x40, 0, 64, protocol, 0, 0}
		p = append(append(p, src.AsSlice()...), dst.AsSlice()...)
		sum := checksum(p)
		p[10], p[11] = byte(sum>>8), byte(sum)
		return append(p, payload...)
	}
	p := []byte{0x60, 0, 0, 0, byte(n >> 8), byte(n), protocol, 64}
	return append(append(append(p, src.AsSlice()...), dst.AsSlice()...), payload...)
}

// delivered is what is behind that header, which must be whole and between the ends.
func delivered(t *testing.T, p []byte, src, dst netip.Addr) []byte {
	t.Helper()
	n, protocol, at := 0, 9, 12
	if src.Is6() {
		n, protocol, at = 40, 6, 8
	} else {
		n = 20
	}
	if len(p) < n || src.Is4() != (p[0]>>4 == 4) || p[protocol] != 47 ||
		!bytes.Equal(p[at:n], append(src.AsSlice(), dst.AsSlice()...)) || src.Is4() && (checksum(p[:n]) != 0 || int(p[2])<<8|int(p[3]) != len(p)) ||
		src.Is6() && int(p[4])<<8|int(p[5]) != len(p)-n {
		t.Fatalf("the far end got %x, want GRE from %s to %s", p, src, dst)
	}
	return p[n:]
}

func testGRETunnel(t *testing.T, b *bench) {
	for i, ends := range greEnds() {
		child := greTunnel(0x1001+uint32(i)*16, ends)
		spec := NewInterface("fvt0", child)
		spec.Mode = dataplane.GRE
		// The device stands before its children are known, in whatever VRF it was put.
		bare := NewInterface("fvt0")
		bare.Mode = dataplane.GRE
		b.apply(bare)
		b.apply(spec)
		b.carriesGRETunnel(&End{Child: &child}, ends)
		if c := b.counters("fvt0").Children[0]; c.InPackets == 0 || c.OutPackets != 2 || c.OutBytes != octets(0) {
			t.Errorf("counters %+v: want the %d octets of the inner packets out", c, octets(0))
		}
		// A rekey: the new SA has the same ends.
		fresh := greTunnel(child.SPIIn+1, ends)
		both := NewInterface("fvt0", child, fresh)
		both.Mode = dataplane.GRE
		b.apply(both)
		b.carriesGRETunnel(&End{Child: &fresh}, ends)
		// The next session may be in transport mode.
		plain := gcm(child.SPIIn + 2)
		plain.Transport = true
		next := NewInterface("fvt0", plain)
		next.Mode = dataplane.GRE
		b.apply(next)
		packet := families()[4]
		if o := b.out("fvt0", &End{Child: &plain}, packet[0]); o.Next != 47 {
			t.Errorf("in transport mode the far end got next %d", o.Next)
		}
		if err := b.Plane.Remove("fvt0"); err != nil {
			t.Fatal(err)
		}
	}
	b.refusesSameEnds()
}

func octets(way int) (n uint64) {
	for _, p := range families() {
		n += uint64(len(p[way]))
	}
	return n
}

// carriesGRETunnel sends both families both ways.
func (b *bench) carriesGRETunnel(e *End, ends [2]netip.Addr) {
	b.t.Helper()
	ether := map[uint8][]byte{4: {0x08, 0x00}, 41: {0x86, 0xdd}}
	ipip := map[bool]uint8{true: 4, false: 41}[ends[0].Is4()]
	for next, p := range families() {
		o := b.out("fvt0", e, p[0])
		want := slices.Concat([]byte{0, 0}, ether[next], p[0])
		if got := delivered(b.t, o.Payload, ends[0], ends[1]); o.Next != ipip || !bytes.Equal(got, want) {
			b.t.Errorf("far end got next %d %x, want %d %x", o.Next, got, ipip, want)
		}
		gre := slices.Concat([]byte{0, 0}, ether[next], p[1])
		b.in("fvt0", e.Seal(delivery(ends[1], ends[0], 47, gre), ipip, Options{}), p[1], "GRE in tunnel mode")
		stranger := ends[1].Next()
		for why, packet := range map[string][]byte{
			"from another end": delivery(stranger, ends[0], 47, gre),
			"no GRE":           delivery(ends[1], ends[0], 132, gre),
			"cut":              delivery(ends[1], ends[0], 47, gre)[:30],
			"nothing inside":   delivery(ends[1], ends[0], 47, nil),
		} {
			b.Traffic.Deliver(hub, spoke, e.Seal(packet, ipip, Options{}))
			marker := UDP(outside4, inside4, []byte("marker "+why))
			b.in("fvt0", e.Seal(delivery(ends[1], ends[0], 47, append([]byte{0, 0, 8, 0}, marker...)), ipip, Options{}), marker, why)
		}
		b.Traffic.Deliver(hub, spoke, e.Seal(gre, 47, Options{})) // transport mode, which was not agreed
		b.in("fvt0", e.Seal(delivery(ends[1], ends[0], 47, gre), ipip, Options{}), p[1], "after GRE in transport mode")
	}
}

// refusesSameEnds: a kernel's GRE devices are told apart by their ends, and two spokes with one private
// address cannot both be served. Other planes can.
func (b *bench) refusesSameEnds() {
	b.t.Helper()
	for i, name := range []string{"fvt0", "fvt1"} {
		spec := NewInterface(name, greTunnel(0x1101+uint32(i), greEnds()[0]))
		spec.Mode = dataplane.GRE
		err := b.Plane.Apply(spec)
		if refused := err != nil; refused != (b.Kernel && i == 1) {
			b.t.Errorf("%s between the ends of fvt0: %v", name, err)
		}
	}
}
