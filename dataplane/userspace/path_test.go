package userspace

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/planetest"
)

// loop is a plane whose network leads back into itself, without devices: what its worker seals, its
// receiver opens. The inner packets end in /dev/null, merged as for a device.
type loop struct {
	plane  *Plane
	device *device
	worker *worker
	super  []byte // a virtio header and a TCP packet that stands for many
	segs   int
}

func (l *loop) WriteESP(_ string, local, remote netip.AddrPort, buf []byte, segment int) error {
	l.plane.ReceiveESP(remote, local, buf, segment)
	return nil
}

// packetSize is that of each inner packet; the last one of a super-packet is as long.
const packetSize = 1400

func newLoop(t testing.TB) *loop {
	return newLoopOf(t, dataplane.IPsec, planetest.Algorithms[2])
}

func newLoopOf(t testing.TB, mode dataplane.Mode, a planetest.Algorithm) *loop {
	l := &loop{}
	p, err := newPlane(Options{Sender: l, Workers: 1}, &fakeDevices{host: map[string]int{}})
	if err != nil {
		t.Fatal(err)
	}
	l.plane = p
	child := planetest.NewChild(0x1001, a)
	child.SPIOut, child.KeyOut, child.IntegOut = child.SPIIn, child.KeyIn, child.IntegIn
	spec := planetest.NewInterface("loop", child)
	spec.Mode = mode
	l.device = &device{plane: p, name: "loop"}
	c, err := l.device.plan(&spec)
	if err == nil {
		err = c.insert(&p.spis)
	}
	if err == nil {
		l.device.tun.fd, err = unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.device.commit(c)
	t.Cleanup(func() {
		l.device.dismantle()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	l.worker = newWorker(p)
	l.super, l.segs = superPacket(45, packetSize-ip4Header-tcpHeader)
	return l
}

// superPacket is what a TUN device gives for n segments of a TCP connection over IPv4.
func superPacket(n, mss int) ([]byte, int) {
	p := make([]byte, ip4Header+tcpHeader+n*mss)
	p[0], p[8], p[9] = 0x45, 64, protoTCP
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	copy(p[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	t := p[ip4Header:]
	binary.BigEndian.PutUint16(t, 1024)
	binary.BigEndian.PutUint16(t[2:], 5201)
	t[12], t[13] = 5<<4, 0x10
	for i := range t[tcpHeader:] {
		t[tcpHeader+i] = byte(i * 7)
	}
	setIP4Checksum(p)
	b := make([]byte, vnetSize, vnetSize+len(p))
	vnet{flags: vnetNeedsCsum, gsoType: gsoTCPv4, headers: ip4Header + tcpHeader, size: uint16(mss), csumStart: ip4Header, csumOffset: 16}.put(b)
	return append(b, p...), n
}

// once sends the super-packet once through seal and open.
func (l *loop) once() { l.send(l.super) }

// send has the worker send what a device gave.
func (l *loop) send(b []byte) {
	l.device.tx.Lock()
	l.worker.packet(l.device, b)
	l.worker.flush(l.device)
	l.device.tx.Unlock()
}

func TestLoopCarriesEveryPacket(t *testing.T) {
	l := newLoop(t)
	l.once()
	c := l.device.counters()
	if want := uint64(l.segs); c.InPackets != want || c.OutPackets != want || c.InBytes != want*packetSize {
		t.Errorf("counted %+v, want %d packets of %d octets each way; drops %v", c, want, packetSize, l.plane.Drops())
	}
}

func TestTotalsOutliveAnInterface(t *testing.T) {
	l := newLoop(t)
	l.once()
	l.device.dismantle()
	want := dataplane.Totals{InPackets: uint64(l.segs), OutPackets: uint64(l.segs), InBytes: uint64(l.segs) * packetSize, OutBytes: uint64(l.segs) * packetSize}
	if got := l.plane.Totals(); got != want {
		t.Errorf("totals %+v, want %+v", got, want)
	}
}

// The claim of the package comment: no packet costs an allocation.
func TestNoAllocationPerPacket(t *testing.T) {
	l := newLoop(t)
	l.once()
	if n := testing.AllocsPerRun(100, l.once); n != 0 {
		t.Errorf("%v allocations for %d packets", n, l.segs)
	}
}

// BenchmarkESP is one inner packet of 1,400 octets through the plane's own path, out and in, without a
// device: split, sealed into a row, opened in place, checked, merged.
func BenchmarkESP(b *testing.B) {
	l := newLoop(b)
	b.SetBytes(packetSize)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += l.segs {
		l.once()
	}
	b.StopTimer()
	if c := l.device.counters(); c.InPackets < uint64(b.N) {
		b.Fatalf("only %d of %d packets arrived: %v", c.InPackets, b.N, l.plane.Drops())
	}
}

// bareGCM is the floor below the plane's path: AES-256-GCM sealing and opening as many octets.
func bareGCM(t testing.TB) (once func()) {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, packetSize, packetSize+aead.Overhead())
	nonce, aad := make([]byte, aead.NonceSize()), make([]byte, espHeader)
	i := uint64(0)
	return func() {
		i++
		binary.BigEndian.PutUint64(nonce[4:], i)
		sealed := aead.Seal(buf[:0], nonce, buf[:packetSize], aad)
		if _, err := aead.Open(sealed[:0], nonce, sealed, aad); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkGCM(b *testing.B) {
	once := bareGCM(b)
	b.SetBytes(packetSize)
	b.ReportAllocs()
	for range b.N {
		once()
	}
}

// BenchmarkESPOverGCM is the ratio of both, in turns of a millisecond and in CPU time of their one thread,
// so that whatever else the machine does falls on both.
func BenchmarkESPOverGCM(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l, gcm := newLoop(b), bareGCM(b)
	const packets = 900
	var esp, bare time.Duration
	for range b.N {
		start := threadTime(b)
		for i := 0; i < packets; i += l.segs {
			l.once()
		}
		middle := threadTime(b)
		for range packets {
			gcm()
		}
		esp, bare = esp+middle-start, bare+threadTime(b)-middle
	}
	b.ReportMetric(float64(esp)/float64(bare), "esp/gcm")
}

func threadTime(t testing.TB) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// captured keeps what a coalescer writes, each packet whole with its header.
type captured struct {
	headers []vnet
	packets [][]byte
}

func (c *captured) writePacket(parts [][]byte) error {
	whole := bytes.Join(parts, nil)
	c.headers = append(c.headers, parseVnet(whole))
	c.packets = append(c.packets, whole[vnetSize:])
	return nil
}

// segmentsOf splits a packet as the worker does; nil when its header does not fit it.
func segmentsOf(h vnet, packet []byte) [][]byte {
	var s splitter
	if _, ok := innerPacket(packet); !ok || s.start(h, packet) != nil {
		return nil
	}
	var out [][]byte
	for n := s.length(); n > 0 && len(out) < 4096; n = s.length() {
		b := make([]byte, n)
		s.write(b)
		out = append(out, b)
	}
	return out
}

// What is merged and split again is what was there before: coalesce(split(x)) means x.
func FuzzSplitCoalesce(f *testing.F) {
	super, _ := superPacket(5, 100)
	f.Add(super, true)
	short, _ := superPacket(1, 1)
	f.Add(short, false)
	f.Add(append(make([]byte, vnetSize), 0x45, 0, 0, 20), false)
	f.Fuzz(func(t *testing.T, b []byte, udp bool) {
		if len(b) <= vnetSize || len(b) > maxRead {
			return
		}
		h := parseVnet(b)
		packet, ok := innerPacket(bytes.Clone(b[vnetSize:]))
		if !ok {
			return
		}
		segments := segmentsOf(h, packet)
		out := &captured{}
		c := newCoalescer()
		c.out, c.udp = out, udp
		for _, s := range segments {
			if p, ok := innerPacket(bytes.Clone(s)); ok {
				c.add(p)
			}
		}
		c.flush()
		var again [][]byte
		for i, p := range out.packets {
			again = append(again, segmentsOf(out.headers[i], p)...)
		}
		var want [][]byte
		for _, s := range segments {
			if p, ok := innerPacket(s); ok {
				want = append(want, p)
			}
		}
		if len(again) != len(want) {
			t.Fatalf("%d segments became %d", len(want), len(again))
		}
		for i := range want {
			if !bytes.Equal(again[i], want[i]) {
				t.Fatalf("segment %d changed:\n%x\n%x", i, want[i], again[i])
			}
		}
	})
}

// Whatever a stranger sends to port 4500 costs a counter: nothing reaches the device.
func FuzzReceiveESP(f *testing.F) {
	l := newLoop(f)
	spi := []byte{0, 0, 0x10, 0x01}
	f.Add(append(bytes.Clone(spi), make([]byte, 60)...), 64)
	f.Add([]byte{0xff}, 1)
	f.Add(append(bytes.Clone(spi), 0, 0, 0, 1), 8)
	f.Fuzz(func(t *testing.T, buf []byte, segment int) {
		before := l.device.counters()
		l.plane.ReceiveESP(stranger, stranger, bytes.Clone(buf), segment)
		if after := l.device.counters(); after.InPackets != before.InPackets {
			t.Fatal("a forged packet was delivered")
		}
	})
}

var stranger = netip.MustParseAddrPort("192.0.2.9:4500")

func FuzzParseGRE(f *testing.F) {
	f.Add([]byte{0, 0, 8, 0, 0x45})
	f.Add([]byte{0x20, 0, 0x86, 0xdd, 0, 0, 0, 7, 0x60})
	f.Add([]byte{0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0x45})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseGRE(b)
		if err == nil && (len(p) == 0 || len(p) > len(b)-greHeader || p[0]>>4 != 4 && p[0]>>4 != 6) {
			t.Fatalf("%x gave %x", b, p)
		}
	})
}

func TestReplayedAndForgedAreCountedOnly(t *testing.T) {
	l := newLoop(t)
	var row []byte
	var size int
	keep := senderFunc(func(buf []byte, segment int) { row, size = bytes.Clone(buf), segment })
	l.plane.sender = keep
	l.once()
	at := netip.MustParseAddrPort("198.51.100.7:4500")
	l.plane.ReceiveESP(at, at, bytes.Clone(row), size)
	first := l.device.counters()
	l.plane.ReceiveESP(at, at, bytes.Clone(row), size)
	forged := bytes.Clone(row)
	for i := 0; i < len(forged); i += size {
		binary.BigEndian.PutUint32(forged[i+4:], binary.BigEndian.Uint32(forged[i+4:])+1000)
	}
	l.plane.ReceiveESP(at, at, forged, size)
	again := l.device.counters()
	if first.InPackets != uint64(l.segs) || again.InPackets != first.InPackets {
		t.Errorf("%d packets arrived, then %d: replayed or forged ones were delivered", first.InPackets, again.InPackets)
	}
	child := again.Children[0]
	if child.Replayed != uint64(l.segs) || child.BadIntegrity != uint64(l.segs) {
		t.Errorf("counted %d replayed and %d forged, want %d of each", child.Replayed, child.BadIntegrity, l.segs)
	}
	// A forged number must not have moved the window: the next honest packet still passes.
	l.once()
	l.plane.ReceiveESP(at, at, bytes.Clone(row), size)
	if c := l.device.counters(); c.InPackets != 2*uint64(l.segs) {
		t.Errorf("%d packets after the next row, want %d", c.InPackets, 2*l.segs)
	}
}

type senderFunc func(buf []byte, segment int)

func (f senderFunc) WriteESP(_ string, _, _ netip.AddrPort, buf []byte, segment int) error {
	f(buf, segment)
	return nil
}
