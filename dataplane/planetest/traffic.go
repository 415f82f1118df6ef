package planetest

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"flexvpn/dataplane"
)

var trafficTests = []struct {
	name string
	test func(*testing.T, *bench)
}{
	{"algorithms", testAlgorithms},
	{"gre", testGRE},
	{"gre in tunnel mode", testGRETunnel},
	{"replay", testReplay},
	{"window", testWindow},
	{"extended sequence numbers", testESN},
	{"wrong icv", testWrongICV},
	{"rekey overlap", testRekey},
	{"selectors", testSelectors},
	{"padding and dummies", testPadding},
	{"mss", testMSS},
	{"packet limits", testPacketLimits},
	{"byte limits", testByteLimits},
	{"counters", testCounters},
	{"a moved peer", testMovedPeer},
	{"a handover", testHandover},
	{"nonsense", testNonsense},
	{"no outbound child", testNoOutbound},
}

// out sends an inner packet and returns what the far end opens.
func (b *bench) out(name string, e *End, packet []byte) Opened {
	b.t.Helper()
	b.Traffic.Send(name, packet)
	_, _, esp := b.Traffic.Sent()
	o, err := e.Open(esp, 0)
	if err != nil {
		b.t.Fatalf("the far end cannot open what %s sent (%d octets): %v", name, len(esp), err)
	}
	return o
}

// in delivers an ESP packet and expects the host to receive want.
func (b *bench) in(name string, esp, want []byte, why string) {
	b.t.Helper()
	b.Traffic.Deliver(hub, spoke, esp)
	if got := b.Traffic.Received(name); !bytes.Equal(got, want) {
		b.t.Fatalf("%s: the host received %x, want %x", why, got, want)
	}
}

// notIn delivers an ESP packet that must not reach the host: the next packet is the first it sees.
func (b *bench) notIn(name string, esp []byte, e *End, why string) {
	b.t.Helper()
	b.Traffic.Deliver(hub, spoke, esp)
	marker := UDP(outside4, inside4, []byte("marker "+why))
	payload, next := marker, uint8(4)
	if e.Child.Transport {
		payload, next = append([]byte{0, 0, 8, 0}, marker...), 47
	}
	b.Traffic.Deliver(hub, spoke, e.Seal(payload, next, Options{}))
	if got := b.Traffic.Received(name); !bytes.Equal(got, marker) {
		b.t.Fatalf("%s: the host received %x", why, got)
	}
}

func families() map[uint8][2][]byte {
	text := []byte("through the tunnel")
	return map[uint8][2][]byte{
		4:  {UDP(inside4, outside4, text), UDP(outside4, inside4, text)},
		41: {UDP(inside6, outside6, text), UDP(outside6, inside6, text)},
	}
}

func testAlgorithms(t *testing.T, b *bench) {
	spi := uint32(0x2000)
	for _, a := range Algorithms {
		for _, esn := range []bool{false, true} {
			spi++
			child := NewChild(spi, a)
			child.ESN = esn
			spec := NewInterface("fvt0", child)
			b.apply(spec)
			e := &End{Child: &child}
			for next, p := range families() {
				// Every length of padding occurs.
				for n := range 17 {
					out, in := grown(p[0], n), grown(p[1], n)
					o := b.out("fvt0", e, out)
					if o.SPI != child.SPIOut || o.Next != next || !bytes.Equal(o.Payload, out) {
						t.Fatalf("%s esn %v next %d: far end got %+v", a.Name, esn, next, o)
					}
					b.in("fvt0", e.Seal(in, next, Options{}), in, fmt.Sprintf("%s esn %v next %d", a.Name, esn, next))
				}
			}
		}
	}
}

// grown is the same datagram with n more octets.
func grown(p []byte, n int) []byte {
	if p[0]>>4 == 4 {
		return UDP(netip.AddrPortFrom(netip.AddrFrom4([4]byte(p[12:16])), 1), netip.AddrPortFrom(netip.AddrFrom4([4]byte(p[16:20])), 2), make([]byte, n))
	}
	return UDP(netip.AddrPortFrom(netip.AddrFrom16([16]byte(p[8:24])), 1), netip.AddrPortFrom(netip.AddrFrom16([16]byte(p[24:40])), 2), make([]byte, n))
}

func testGRE(t *testing.T, b *bench) {
	child := gcm(0x1001)
	child.Transport = true
	spec := NewInterface("fvt0", child)
	spec.Mode = dataplane.GRE
	b.apply(spec)
	e := &End{Child: &child}
	ether := map[uint8][]byte{4: {0x08, 0x00}, 41: {0x86, 0xdd}}
	for next, p := range families() {
		o := b.out("fvt0", e, p[0])
		if want := slices.Concat([]byte{0, 0}, ether[next], p[0]); o.Next != 47 || !bytes.Equal(o.Payload, want) {
			t.Errorf("gre: far end got next %d %x, want 47 %x", o.Next, o.Payload, want)
		}
		bare := slices.Concat([]byte{0, 0}, ether[next], p[1])
		b.in("fvt0", e.Seal(bare, 47, Options{}), p[1], "plain GRE")
		if b.Kernel {
			continue
		}
		keyed := slices.Concat([]byte{0x30, 0}, ether[next], []byte{0, 0, 0, 9, 0, 0, 0, 1}, p[1])
		b.in("fvt0", e.Seal(keyed, 47, Options{}), p[1], "GRE with key and sequence number, RFC 2890")
		summed := slices.Concat([]byte{0x80, 0}, ether[next], []byte{0, 0, 0, 0}, p[1])
		sum := checksum(summed)
		summed[4], summed[5] = byte(sum>>8), byte(sum)
		b.in("fvt0", e.Seal(summed, 47, Options{}), p[1], "GRE with checksum, RFC 2784")
		summed[5] ^= 1
		b.notIn("fvt0", e.Seal(summed, 47, Options{}), e, "GRE with a wrong checksum")
	}
	for why, packet := range map[string][]byte{
		"routing bit":    {0x40, 0, 8, 0},
		"version 1":      {0, 1, 8, 0},
		"reserved bit 5": {0x04, 0, 8, 0},
		"nothing inside": {0, 0, 8, 0},
		"cut":            {0, 0, 8},
		"another family": slices.Concat([]byte{0, 0, 0x86, 0xdd}, families()[4][1]),
		"NHRP":           slices.Concat([]byte{0, 0, 0x20, 0x01}, families()[4][1]),
	} {
		b.notIn("fvt0", e.Seal(packet, 47, Options{}), e, why)
	}
	b.notIn("fvt0", e.Seal(families()[4][1], 4, Options{}), e, "an IP packet without GRE")
}

func testReplay(t *testing.T, b *bench) {
	child := gcm(0x1001)
	spec := NewInterface("fvt0", child)
	b.apply(spec)
	e := &End{Child: &child}
	p := families()[4][1]
	esp := e.Seal(p, 4, Options{})
	b.in("fvt0", slices.Clone(esp), p, "the first time")
	b.notIn("fvt0", slices.Clone(esp), e, "the second time")
	b.apply(spec)
	b.notIn("fvt0", slices.Clone(esp), e, "after the same state was applied again")
	moved := spec
	moved.Children = append(slices.Clone(spec.Children), gcm(0x1002))
	moved.Outbound = 0x1002
	b.apply(moved)
	b.notIn("fvt0", slices.Clone(esp), e, "after a rekey")
	if c := b.counters("fvt0").Children[0]; c.Replayed != 3 || c.BadIntegrity != 0 {
		t.Errorf("replayed %d, bad integrity %d; want 3 and 0", c.Replayed, c.BadIntegrity)
	}
}

func testWindow(t *testing.T, b *bench) {
	for i, size := range []uint32{0, 1, 32, 64, 1000, 4096} {
		child := gcm(0x1001 + uint32(i))
		child.ReplayWindow = size
		b.apply(NewInterface("fvt0", child))
		e := &End{Child: &child}
		if size == 0 {
			size = 1024 // the default
		}
		p := families()[4][1]
		const top = 10000
		b.in("fvt0", e.Seal(p, 4, Options{Seq: top}), p, "the top of the window")
		b.in("fvt0", e.Seal(p, 4, Options{Seq: top - uint64(size) + 1}), nilIf(size == 1, p), "the bottom of the window")
		e.Seq = top
		b.notIn("fvt0", e.Seal(p, 4, Options{Seq: top - uint64(size)}), e, "below the window")
	}
}

func nilIf(cond bool, p []byte) []byte {
	if cond {
		return nil
	}
	return p
}

func testESN(t *testing.T, b *bench) {
	for _, a := range []Algorithm{Algorithms[2], Algorithms[5]} {
		child := NewChild(0x1001+uint32(a.Encr), a)
		child.ESN = true
		b.apply(NewInterface("fvt0", child))
		e := &End{Child: &child}
		p := families()[4][1]
		const turn = 1 << 32
		for _, seq := range []uint64{1, 5000, turn - 600, turn - 5, turn + 5, turn - 4, turn, turn + 400, turn + 5000, 2*turn - 1, 2*turn + 3} {
			b.in("fvt0", e.Seal(p, 4, Options{Seq: seq}), p, fmt.Sprintf("%s, sequence number %#x", a.Name, seq))
		}
		e.Seq = 2*turn + 10
		b.notIn("fvt0", e.Seal(p, 4, Options{Seq: 2*turn + 3}), e, "a replay beyond the turn")
		b.notIn("fvt0", e.Seal(p, 4, Options{Seq: 3}), e, "the same lower half two turns ago")
	}
	child := gcm(0x1101)
	b.apply(NewInterface("fvt0", child))
	e := &End{Child: &child}
	p := families()[4][1]
	b.in("fvt0", e.Seal(p, 4, Options{Seq: 1<<32 - 1}), p, "the last number without ESN")
	before := b.Plane.Drops()["replayed"]
	b.Traffic.Deliver(hub, spoke, e.Seal(p, 4, Options{Seq: 1 << 32}))
	if c := b.counters("fvt0").Children[0]; c.InPackets != 1 || b.Plane.Drops()["replayed"] != before+1 {
		t.Errorf("sequence number 0 was taken without ESN: %+v", c)
	}
}

func testWrongICV(t *testing.T, b *bench) {
	for i, a := range Algorithms {
		child := NewChild(0x1001+uint32(i), a)
		b.apply(NewInterface("fvt0", child))
		e := &End{Child: &child}
		p := families()[4][1]
		b.Traffic.Deliver(hub, spoke, e.Seal(p, 4, Options{Seq: 500000, BreakICV: true}))
		// A forged number must not have moved the window.
		b.in("fvt0", e.Seal(p, 4, Options{Seq: 1}), p, a.Name+": the first number after a forged one")
		if c := b.counters("fvt0").Children[0]; c.BadIntegrity != 1 || c.InPackets != 1 {
			t.Errorf("%s: %+v, want one packet and one of bad integrity", a.Name, c)
		}
		// Nor may it count as seen.
		b.in("fvt0", e.Seal(p, 4, Options{Seq: 500000}), p, a.Name+": the true packet of the forged number")
	}
}

func testRekey(t *testing.T, b *bench) {
	old, fresh := gcm(0x1001), gcm(0x1002)
	b.apply(NewInterface("fvt0", old))
	eOld, eNew := &End{Child: &old}, &End{Child: &fresh}
	in, out := families()[4][1], families()[4][0]
	b.out("fvt0", eOld, out)

	both := NewInterface("fvt0", old, fresh)
	both.Outbound = old.SPIIn
	b.apply(both)
	if o := b.out("fvt0", eOld, out); o.Seq != 2 {
		t.Errorf("the old SA went on with sequence number %d, want 2", o.Seq)
	}
	b.in("fvt0", eNew.Seal(in, 4, Options{}), in, "the new SA receives before it sends")
	b.wantEvent(dataplane.Event{Kind: dataplane.FirstInbound, Interface: "fvt0", SPIIn: fresh.SPIIn}, "the peer uses the new SA")

	both.Outbound = fresh.SPIIn
	b.apply(both)
	if o := b.out("fvt0", eNew, out); o.Seq != 1 {
		t.Errorf("the new SA began with sequence number %d", o.Seq)
	}
	b.in("fvt0", eOld.Seal(in, 4, Options{}), in, "the old SA still receives")
	b.wantEvent(dataplane.Event{Kind: dataplane.FirstInbound, Interface: "fvt0", SPIIn: old.SPIIn}, "its first packet")

	b.apply(NewInterface("fvt0", fresh))
	if b.Settle != nil {
		b.Settle()
	}
	b.notIn("fvt0", eOld.Seal(in, 4, Options{}), eNew, "the old SA is deleted")
	if c := b.counters("fvt0"); c.OutPackets != 3 || c.InPackets != 3 || len(c.Children) != 1 {
		t.Errorf("the interface's counters do not span the rekey: %+v", c)
	}
	changed := fresh
	changed.KeyOut = old.KeyOut
	if b.Plane.Apply(NewInterface("fvt0", changed)) == nil {
		t.Error("other keys under a live SPI were accepted")
	}
	if b.Plane.Apply(NewInterface("fvt1", fresh)) == nil {
		t.Error("an SPI of another interface was accepted")
	}
	b.out("fvt0", eNew, out)
}

func testSelectors(t *testing.T, b *bench) {
	child := gcm(0x1001)
	child.Local = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8:1::/48")}
	child.Remote = []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16"), netip.MustParsePrefix("::/0")}
	b.apply(NewInterface("fvt0", child))
	e := &End{Child: &child}
	foreign := netip.MustParseAddrPort("10.99.0.1:9")
	for _, p := range families() {
		if o := b.out("fvt0", e, p[0]); !bytes.Equal(o.Payload, p[0]) {
			t.Errorf("a packet inside the selectors left as %x", o.Payload)
		}
	}
	b.Traffic.Send("fvt0", UDP(foreign, outside4, []byte("from elsewhere")))
	b.Traffic.Send("fvt0", UDP(inside4, foreign, []byte("to elsewhere")))
	if o := b.out("fvt0", e, families()[4][0]); !bytes.Equal(o.Payload, families()[4][0]) {
		t.Errorf("a packet outside the selectors left: %x", o.Payload)
	}
	b.notIn("fvt0", e.Seal(UDP(foreign, inside4, nil), 4, Options{}), e, "from an address that is not the peer's")
	b.notIn("fvt0", e.Seal(UDP(outside4, foreign, nil), 4, Options{}), e, "to an address that is not ours")
	in := UDP(netip.MustParseAddrPort("[2001:db8:77::1]:1"), inside6, nil)
	b.in("fvt0", e.Seal(in, 41, Options{}), in, "any IPv6 source is the peer's")
	// Selectors may change under a live SPI.
	child.Local, child.Remote = nil, nil
	b.apply(NewInterface("fvt0", child))
	in = UDP(foreign, inside4, nil)
	b.in("fvt0", e.Seal(in, 4, Options{}), in, "after the selectors were opened")
}

func testPadding(t *testing.T, b *bench) {
	child := gcm(0x1001)
	b.apply(NewInterface("fvt0", child))
	e := &End{Child: &child}
	for next, p := range families() {
		b.in("fvt0", e.Seal(p[1], next, Options{Pad: 200}), p[1], "much padding")
		b.in("fvt0", e.Seal(p[1], next, Options{TFC: 333}), p[1], "traffic flow confidentiality padding")
	}
	b.notIn("fvt0", e.Seal([]byte("nothing to see"), 59, Options{}), e, "a dummy packet")
	b.notIn("fvt0", e.Seal(nil, 59, Options{}), e, "an empty dummy packet")
	b.notIn("fvt0", e.Seal(families()[4][1], 41, Options{}), e, "an IPv4 packet called IPv6")
	b.notIn("fvt0", e.Seal(families()[4][1], 6, Options{}), e, "a bare TCP segment")
	b.notIn("fvt0", e.Seal(families()[4][1][:30], 4, Options{}), e, "an IP packet that is cut")
	b.notIn("fvt0", e.Seal(nil, 4, Options{}), e, "no packet at all")
	if d := b.Plane.Drops(); d["integrity"] != 0 && !b.Kernel || d["replayed"] != 0 {
		t.Errorf("drops %v", d)
	}
}

func testMSS(t *testing.T, b *bench) {
	if b.Kernel {
		return // whoever decorates the plane clamps
	}
	child := gcm(0x1001)
	spec := NewInterface("fvt0", child)
	spec.AdjustMSS = 1360
	b.apply(spec)
	e := &End{Child: &child}
	for _, odd := range []bool{false, true} {
		for _, c := range []struct {
			src, dst    netip.AddrPort
			next        uint8
			offer, want uint16
		}{
			{inside4, outside4, 4, 1460, 1360},
			{inside4, outside4, 4, 1200, 1200},
			{inside6, outside6, 41, 1440, 1340},
			{inside6, outside6, 41, 1340, 1340},
		} {
			o := b.out("fvt0", e, SYN(c.src, c.dst, c.offer, odd))
			if mss, valid := MSS(o.Payload); mss != c.want || !valid {
				t.Errorf("out: MSS %d became %d (checksum right: %v), want %d", c.offer, mss, valid, c.want)
			}
			b.Traffic.Deliver(hub, spoke, e.Seal(SYN(c.dst, c.src, c.offer, odd), c.next, Options{}))
			p := b.Traffic.Received("fvt0")
			if mss, valid := MSS(p); mss != c.want || !valid {
				t.Errorf("in: MSS %d became %d (checksum right: %v), want %d", c.offer, mss, valid, c.want)
			}
		}
	}
	spec.AdjustMSS = 0
	b.apply(spec)
	if mss, _ := MSS(b.out("fvt0", e, SYN(inside4, outside4, 1460, false)).Payload); mss != 1460 {
		t.Errorf("without adjust-mss the offer became %d", mss)
	}
}

func testPacketLimits(t *testing.T, b *bench) {
	child := gcm(0x1001)
	child.Limits = dataplane.Limits{SoftPackets: 3, HardPackets: 5}
	b.apply(NewInterface("fvt0", child, gcm(0x1002)))
	spec := NewInterface("fvt0", child, gcm(0x1002))
	spec.Outbound = child.SPIIn
	b.apply(spec)
	e := &End{Child: &child}
	p := families()[4][0]
	for range 5 {
		b.out("fvt0", e, p)
	}
	b.wantEvent(dataplane.Event{Kind: dataplane.SoftExpire, Interface: "fvt0", SPIIn: child.SPIIn}, "the third packet")
	b.Traffic.Send("fvt0", p)
	b.wantEvent(dataplane.Event{Kind: dataplane.HardExpire, Interface: "fvt0", SPIIn: child.SPIIn}, "the sixth packet")
	if c := b.counters("fvt0"); c.OutPackets != 5 {
		t.Errorf("%d packets left, want 5", c.OutPackets)
	}
	// The other child is not touched.
	spec.Outbound = 0x1002
	b.apply(spec)
	other := gcm(0x1002)
	b.out("fvt0", &End{Child: &other}, p)
}

func testByteLimits(t *testing.T, b *bench) {
	child := gcm(0x1001)
	p := families()[4][1]
	n := uint64(len(p))
	child.Limits = dataplane.Limits{SoftBytes: 2 * n, HardBytes: 3 * n}
	b.apply(NewInterface("fvt0", child))
	e := &End{Child: &child}
	for i := range 3 {
		b.in("fvt0", e.Seal(p, 4, Options{}), p, fmt.Sprintf("packet %d", i+1))
	}
	b.wantEvent(dataplane.Event{Kind: dataplane.FirstInbound, Interface: "fvt0", SPIIn: child.SPIIn}, "the first packet")
	b.wantEvent(dataplane.Event{Kind: dataplane.SoftExpire, Interface: "fvt0", SPIIn: child.SPIIn}, "the second packet")
	b.Traffic.Deliver(hub, spoke, e.Seal(p, 4, Options{}))
	b.wantEvent(dataplane.Event{Kind: dataplane.HardExpire, Interface: "fvt0", SPIIn: child.SPIIn}, "the fourth packet")
	if c := b.counters("fvt0"); c.InBytes != 3*n {
		t.Errorf("%d octets arrived, want %d", c.InBytes, 3*n)
	}
}

func testCounters(t *testing.T, b *bench) {
	child := gcm(0x1001)
	b.apply(NewInterface("fvt0", child))
	e := &End{Child: &child}
	if c := b.counters("fvt0"); !c.LastIn.IsZero() || !c.LastOut.IsZero() {
		t.Errorf("a new interface had traffic: %+v", c)
	}
	var in, out uint64
	padding := Options{TFC: 50}
	if b.Kernel {
		padding.TFC = 0
	}
	for _, p := range families() {
		b.out("fvt0", e, p[0])
		b.in("fvt0", e.Seal(p[1], map[byte]uint8{4: 4, 6: 41}[p[1][0]>>4], padding), p[1], "a packet")
		out += uint64(len(p[0]))
		in += uint64(len(p[1]))
	}
	c := b.counters("fvt0")
	want := dataplane.Counters{InPackets: 2, InBytes: in, OutPackets: 2, OutBytes: out}
	if c.InPackets != 2 || c.InBytes != in || c.OutPackets != 2 || c.OutBytes != out || c.LastIn.IsZero() || c.LastOut.IsZero() {
		t.Errorf("interface: %+v, want %+v and times", c, want)
	}
	s := c.Children[0]
	if s.InPackets != 2 || s.InBytes != in || s.OutPackets != 2 || s.OutBytes != out || s.LastIn.IsZero() {
		t.Errorf("child: %+v, want %+v and a time", s, want)
	}
}

func testMovedPeer(t *testing.T, b *bench) {
	child := gcm(0x1001)
	spec := NewInterface("fvt0", child)
	b.apply(spec)
	e := &End{Child: &child}
	p := families()[4][1]
	elsewhere := netip.MustParseAddrPort("203.0.113.9:1024")
	b.Traffic.Deliver(hub, elsewhere, e.Seal(p, 4, Options{}))
	if got := b.Traffic.Received("fvt0"); !bytes.Equal(got, p) {
		t.Fatalf("a packet by a changed NAT mapping arrived as %x", got)
	}
	for n := 0; b.counters("fvt0").Children[0].Elsewhere != 1; n++ {
		if n == 500 {
			t.Fatalf("it was counted %d times", b.counters("fvt0").Children[0].Elsewhere)
		}
		time.Sleep(10 * time.Millisecond) // a kernel's plane hears of it a little later
	}
	sentTo := func() netip.AddrPort {
		b.Traffic.Send("fvt0", families()[4][0])
		_, remote, _ := b.Traffic.Sent()
		return remote
	}
	if got := sentTo(); got != spoke {
		t.Errorf("an ESP packet moved the peer to %s: only IKE may", got)
	}
	spec.Path.Remote = elsewhere
	b.apply(spec)
	if got := sentTo(); got != elsewhere {
		t.Errorf("after IKE moved the peer packets go to %s", got)
	}
}

func testNonsense(t *testing.T, b *bench) {
	child := gcm(0x1001)
	b.apply(NewInterface("fvt0", child))
	e := &End{Child: &child}
	esp := e.Seal(families()[4][1], 4, Options{})
	for n := range esp {
		b.Traffic.Deliver(hub, spoke, slices.Clone(esp[:n]))
	}
	stranger := slices.Clone(esp)
	stranger[0] ^= 0x55
	b.notIn("fvt0", stranger, e, "an SPI that nobody has")
	b.Traffic.Deliver(hub, spoke, []byte{0xff}) // NAT keepalive
	d := b.Plane.Drops()
	if d["unknown_spi"] == 0 || d["malformed"] == 0 && !b.Kernel || d["integrity"] == 0 {
		t.Errorf("drops %v: want unknown_spi, malformed and integrity counted", d)
	}
	if c := b.counters("fvt0"); c.InPackets != 1 {
		t.Errorf("%d packets were taken, want the marker only", c.InPackets)
	}
}

func testNoOutbound(t *testing.T, b *bench) {
	child := gcm(0x1001)
	spec := NewInterface("fvt0", child)
	spec.Outbound = 0
	b.apply(spec)
	e := &End{Child: &child}
	b.Traffic.Send("fvt0", families()[4][0])
	p := families()[4][1]
	b.in("fvt0", e.Seal(p, 4, Options{}), p, "it receives all the same")
	// The packet is dropped, not kept for later.
	for b.Plane.Drops()["no_outbound"] == 0 {
		if _, _, esp := b.Traffic.Sent(); esp != nil {
			t.Fatal("a packet left without an SA to send on")
		}
	}
	spec.Outbound = child.SPIIn
	b.apply(spec)
	late := families()[41][0]
	if o := b.out("fvt0", e, late); !bytes.Equal(o.Payload, late) {
		t.Errorf("the first packet to leave is %x", o.Payload)
	}
}
