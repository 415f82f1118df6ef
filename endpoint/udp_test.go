package endpoint_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flexvpn/endpoint"
	"flexvpn/ikev2"
)

var loopbacks = []struct{ family, here, there string }{
	{"v4", "127.0.0.1", "127.0.0.2"},
	{"v6", "::1", "::1"},
}

// patience bounds a wait for what the kernel delivers at once.
const patience = 10 * time.Second

// listen opens one socket of the kernel on any free port.
func listen(t testing.TB, addr string, offload bool) endpoint.Socket {
	t.Helper()
	sockets, err := endpoint.KernelUDP.Listen(endpoint.Listen{
		Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 0), Readers: 1, Offload: offload,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sockets[0].Close() })
	return sockets[0]
}

// received reads until n datagrams have come, and returns them with the packets as the kernel gave
// them.
func received(t *testing.T, s endpoint.Socket, n int) (datagrams [][]byte, packets []endpoint.Packet) {
	t.Helper()
	stuck := time.AfterFunc(patience, func() { _ = s.Close() })
	defer stuck.Stop()
	batch := make([]endpoint.Packet, 16)
	for len(datagrams) < n {
		got, err := s.Read(batch)
		if err != nil {
			t.Fatalf("%d of %d datagrams arrived: %v", len(datagrams), n, err)
		}
		for _, p := range batch[:got] {
			for d := range slices.Chunk(p.Data, p.Segment) {
				datagrams = append(datagrams, bytes.Clone(d))
			}
			p.Data = bytes.Clone(p.Data)
			packets = append(packets, p)
		}
	}
	return datagrams, packets
}

func pattern(n, segment int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i/segment)
	}
	return b
}

func TestSegmentsArriveWhole(t *testing.T) {
	for _, l := range loopbacks {
		for _, gso := range []bool{true, false} {
			for _, size := range []struct{ octets, segment int }{
				{1400, 1400},
				{1400, 0},
				{5 * 1400, 1400},
				{5*1400 + 17, 1400},
				{60 * 1000, 1000},
				{64 * 100, 100},
				{200*100 + 1, 100},
				{10, 1},
				{3 * 40000, 40000},
			} {
				name := l.family
				if !gso {
					name += " one by one"
				}
				t.Run(name, func(t *testing.T) {
					from, to := listen(t, l.here, true), listen(t, l.here, true)
					if gso && !endpoint.HasGSO(from) {
						t.Fatal("this kernel has no UDP_SEGMENT: needs Linux 4.18")
					}
					if !gso {
						endpoint.NoGSO(from)
					}
					segment := size.segment
					if segment == 0 {
						segment = size.octets
					}
					buf := pattern(size.octets, segment)
					if err := from.WriteSegments(netip.AddrPort{}, to.Addr(), buf, size.segment); err != nil {
						t.Fatal(err)
					}
					want := slices.Collect(slices.Chunk(buf, segment))
					got, packets := received(t, to, len(want))
					if !slices.EqualFunc(got, want, bytes.Equal) {
						t.Errorf("%d octets in segments of %d arrived changed", size.octets, size.segment)
					}
					for _, p := range packets {
						if p.Remote != from.Addr() || p.Local != to.Addr() {
							t.Errorf("from %s to %s, want %s to %s", p.Remote, p.Local, from.Addr(), to.Addr())
						}
					}
					if gso && size.octets == 60*1000 && len(packets) > 4 {
						t.Errorf("60 datagrams came in %d reads: the kernel does not join them", len(packets))
					}
				})
			}
		}
	}
}

// TestReplyLeavesFromWhereTheKernelGotIt is the packet information both ways: a socket on all
// addresses tells which one was meant, and sends from one that it is given.
func TestReplyLeavesFromWhereTheKernelGotIt(t *testing.T) {
	for _, c := range []struct{ family, all, peer, meant string }{
		{"v4", "0.0.0.0", "127.0.0.1", "127.0.0.2"},
		{"v6", "::", "::1", "::1"},
	} {
		t.Run(c.family, func(t *testing.T) {
			hub, peer := listen(t, c.all, false), listen(t, c.peer, false)
			meant := netip.AddrPortFrom(netip.MustParseAddr(c.meant), hub.Addr().Port())
			if n, err := peer.Write([]endpoint.Packet{{Remote: meant, Data: []byte("to you")}}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			_, packets := received(t, hub, 1)
			if packets[0].Local != meant || packets[0].Remote != peer.Addr() {
				t.Fatalf("the hub saw %s to %s", packets[0].Remote, packets[0].Local)
			}
			reply := []endpoint.Packet{
				{Local: packets[0].Local, Remote: packets[0].Remote, Data: []byte("plain")},
				{Local: packets[0].Local, Remote: packets[0].Remote, Data: []byte("marked"), Marker: true},
			}
			if n, err := hub.Write(reply); n != 2 || err != nil {
				t.Fatal(n, err)
			}
			if err := hub.WriteSegments(packets[0].Local, packets[0].Remote, []byte("segment"), 0); err != nil {
				t.Fatal(err)
			}
			got, packets := received(t, peer, 3)
			for i, want := range []string{"plain", "\x00\x00\x00\x00marked", "segment"} {
				if string(got[i]) != want || packets[i].Remote != meant {
					t.Errorf("the peer got %q from %s, want %q from %s", got[i], packets[i].Remote, want, meant)
				}
			}
		})
	}
}

func TestUnsendablePacketDoesNotHoldUpTheOthers(t *testing.T) {
	s, to := listen(t, "127.0.0.1", false), listen(t, "127.0.0.1", false)
	n, err := s.Write([]endpoint.Packet{
		{Remote: to.Addr(), Data: []byte("a")},
		{Local: netip.MustParseAddrPort("192.0.2.99:0"), Remote: to.Addr(), Data: []byte("not our address")},
		{Remote: to.Addr(), Data: []byte("b")},
	})
	if n != 2 || err == nil {
		t.Errorf("%d left, %v; want 2 and an error", n, err)
	}
	got, _ := received(t, to, 2)
	if string(got[0])+string(got[1]) != "ab" {
		t.Errorf("%q arrived", got)
	}
}

func TestTooLongDatagramIsMarked(t *testing.T) {
	from, to := listen(t, "127.0.0.1", true), listen(t, "127.0.0.1", false)
	if err := from.WriteSegments(netip.AddrPort{}, to.Addr(), make([]byte, 60000), 0); err != nil {
		t.Fatal(err)
	}
	batch := make([]endpoint.Packet, 1)
	if n, err := to.Read(batch); n != 1 || err != nil || !batch[0].Truncated {
		t.Errorf("%d, %v, truncated %v", n, err, batch[0].Truncated)
	}
}

func TestCloseEndsReadAndWrite(t *testing.T) {
	s := listen(t, "127.0.0.1", true)
	ended := make(chan error, 1)
	go func() {
		_, err := s.Read(make([]endpoint.Packet, 4))
		ended <- err
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
	if err := s.WriteSegments(netip.AddrPort{}, s.Addr(), []byte{1}, 0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("WriteSegments after Close: %v", err)
	}
	if _, err := s.Write([]endpoint.Packet{{Remote: s.Addr(), Data: []byte{1}}}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
}

// TestReadersShareThePort: every flow comes to one reader, all readers get some, and nobody else
// can join.
func TestReadersShareThePort(t *testing.T) {
	const readers, flows = 4, 64
	sockets, err := endpoint.KernelUDP.Listen(endpoint.Listen{
		Addr: netip.MustParseAddrPort("127.0.0.1:0"), Readers: readers, Offload: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(sockets) != readers {
		t.Fatalf("%d sockets, want %d", len(sockets), readers)
	}
	if _, err := endpoint.KernelUDP.Listen(endpoint.Listen{Addr: sockets[0].Addr(), Readers: readers}); err == nil {
		t.Error("a second process could listen on the same port")
	}
	var mu sync.Mutex
	byFlow := map[netip.AddrPort]map[int]int{}
	var total atomic.Int64
	all := make(chan struct{})
	var wait sync.WaitGroup
	for i, s := range sockets {
		wait.Go(func() {
			batch := make([]endpoint.Packet, 16)
			for {
				n, err := s.Read(batch)
				if err != nil {
					return
				}
				mu.Lock()
				for _, p := range batch[:n] {
					if byFlow[p.Remote] == nil {
						byFlow[p.Remote] = map[int]int{}
					}
					byFlow[p.Remote][i]++
				}
				mu.Unlock()
				if total.Add(int64(n)) == 2*flows {
					close(all)
				}
			}
		})
	}
	for range flows {
		c := listen(t, "127.0.0.1", false)
		for range 2 {
			if _, err := c.Write([]endpoint.Packet{{Remote: sockets[0].Addr(), Data: []byte("x")}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	select {
	case <-all:
	case <-time.After(patience):
		t.Errorf("%d of %d datagrams arrived", total.Load(), 2*flows)
	}
	for _, s := range sockets {
		_ = s.Close()
	}
	wait.Wait()
	used := map[int]bool{}
	for flow, by := range byFlow {
		if len(by) != 1 {
			t.Errorf("flow %s came to %d readers", flow, len(by))
		}
		for r := range by {
			used[r] = true
		}
	}
	if len(used) != readers {
		t.Errorf("%d of %d readers got something", len(used), readers)
	}
}

func TestSourceIsTheAddressTowardsAPeer(t *testing.T) {
	for _, l := range loopbacks {
		got, err := endpoint.KernelUDP.Source(netip.MustParseAddr(l.here))
		if err != nil || got.String() != l.here {
			t.Errorf("source towards %s: %s, %v", l.here, got, err)
		}
	}
}

// counting is a sink that only counts.
type counting struct {
	packets atomic.Int64
	octets  atomic.Int64
	want    int64
	done    chan struct{}
}

func (c *counting) ReceiveESP(_, _ netip.AddrPort, buf []byte, segment int) {
	c.octets.Add(int64(len(buf)))
	n := int64((len(buf) + segment - 1) / segment)
	if c.packets.Add(n) == c.want {
		close(c.done)
	}
}

// running opens an endpoint on the loopback addresses and runs it until the test ends.
func running(t testing.TB, s endpoint.DataSink, accept endpoint.Handler) *endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.Open(endpoint.Config{
		IKEPort: endpoint.AnyPort, NATPort: endpoint.AnyPort, Common: &ikev2.Common{}, Sink: s, Accept: accept,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestESPBetweenTwoEndpoints(t *testing.T) {
	for _, l := range loopbacks {
		t.Run(l.family, func(t *testing.T) {
			const segment, packets = 1400, 30
			s := &counting{want: packets, done: make(chan struct{})}
			a, b := running(t, nil, nil), running(t, s, nil)
			_, port := b.Ports()
			buf := bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7}, segment*packets/7)
			if err := a.WriteESP("", netip.AddrPort{}, netip.AddrPortFrom(netip.MustParseAddr(l.there), port), buf, segment); err != nil {
				t.Fatal(err)
			}
			select {
			case <-s.done:
			case <-time.After(patience):
				t.Fatalf("%d of %d packets arrived", s.packets.Load(), packets)
			}
			if s.octets.Load() != segment*packets {
				t.Errorf("%d octets arrived", s.octets.Load())
			}
			if a.Counters()["tx_esp_packets"] != packets || b.Counters()["rx_esp_packets"] != packets {
				t.Errorf("counted %d sent, %d received", a.Counters()["tx_esp_packets"], b.Counters()["rx_esp_packets"])
			}
		})
	}
}

func TestESPPathDoesNotAllocate(t *testing.T) {
	for _, l := range loopbacks {
		for _, local := range []string{"", l.here} {
			t.Run(l.family+local, func(t *testing.T) {
				to := listen(t, l.here, true)
				e := running(t, nil, nil)
				buf := bytes.Repeat([]byte{1}, 10*1400)
				from := netip.AddrPort{}
				if local != "" {
					from = netip.AddrPortFrom(netip.MustParseAddr(local), 4500)
				}
				batch := make([]endpoint.Packet, 16)
				n := testing.AllocsPerRun(200, func() {
					if err := e.WriteESP("", from, to.Addr(), buf, 1400); err != nil {
						t.Fatal(err)
					}
					for got := 0; got < 10; {
						n, err := to.Read(batch)
						if err != nil {
							t.Fatal(err)
						}
						for i := range batch[:n] {
							p := &batch[i]
							got += (len(p.Data) + p.Segment - 1) / p.Segment
							e.ReadPacket(*p)
						}
					}
				})
				if n != 0 {
					t.Errorf("%v allocations for sending and receiving ten packets", n)
				}
			})
		}
	}
}

func TestPortInUseIsExplained(t *testing.T) {
	taken := listen(t, "127.0.0.1", false)
	_, err := endpoint.Open(endpoint.Config{
		Listen: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, IKEPort: taken.Addr().Port(), NATPort: endpoint.AnyPort, Common: &ikev2.Common{},
	})
	if err == nil || !strings.Contains(err.Error(), "another IKE daemon (charon, pluto)? stop it or set ikev2.port") {
		t.Errorf("a taken port: %v", err)
	}
	_, err = endpoint.Open(endpoint.Config{
		Listen: []netip.Addr{netip.MustParseAddr("192.0.2.99")}, IKEPort: endpoint.AnyPort, NATPort: endpoint.AnyPort, Common: &ikev2.Common{},
	})
	if err == nil || !strings.Contains(err.Error(), "192.0.2.99 is not an address of this host: correct ikev2.listen") {
		t.Errorf("a foreign address: %v", err)
	}
}

func TestGoroutinesEndWithRun(t *testing.T) {
	before := runtime.NumGoroutine()
	e, err := endpoint.Open(endpoint.Config{IKEPort: endpoint.AnyPort, NATPort: endpoint.AnyPort, Common: &ikev2.Common{}, Sink: &counting{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := e.Run(ctx); err != nil {
		t.Error(err)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines before, %d after", before, n)
	}
}

// BenchmarkESPLoopback sends 1,400-octet packets from one endpoint to another through the kernel.
func BenchmarkESPLoopback(b *testing.B) {
	for _, batch := range []int{1, 40} {
		b.Run(map[int]string{1: "single", 40: "joined"}[batch], func(b *testing.B) {
			const segment = 1400
			s := &counting{}
			from, to := running(b, nil, nil), running(b, s, nil)
			_, port := to.Ports()
			remote := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
			buf := bytes.Repeat([]byte{1}, batch*segment)
			binary.BigEndian.PutUint32(buf, 0x01020304)
			b.SetBytes(segment)
			b.ReportAllocs()
			sent := 0
			for b.Loop() {
				if sent%batch == 0 {
					for int64(sent)-s.packets.Load() > 1000 { // the loop is closed, so that nothing is lost
						runtime.Gosched()
					}
					if err := from.WriteESP("", netip.AddrPort{}, remote, buf, segment); err != nil {
						b.Fatal(err)
					}
				}
				sent++
			}
		})
	}
}
