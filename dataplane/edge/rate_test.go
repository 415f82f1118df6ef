package edge

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
)

// flood sends n datagrams of size octets and returns how many came through, and in what time they
// were sent and received. It knows that all came that will when those and what counter says make n.
//
// Only the rate may cost packets, however busy the machine is. So the way is known before the flood
// begins (of what waits for a neighbour's address the kernel keeps about ninety), and no more is under
// way than fits the queue of a processor, which all namespaces share.
func (r *rig) flood(from, to, address string, n, size int, lost func() uint64) (received int, took time.Duration) {
	r.t.Helper()
	const under = 50
	server, client, at := r.ends(from, to, address)
	send := func(size int) {
		if _, err := client.WriteTo(make([]byte, size), at); err != nil {
			r.t.Fatal(err)
		}
	}
	r.until("a first datagram comes through", func() bool {
		send(1)
		came, _ := come(server, 1)
		return came > 0
	})
	start := time.Now()
	for sent := 0; sent < n; {
		for range min(under, n-sent) {
			send(size)
			sent++
		}
		r.until("all datagrams are accounted for", func() bool {
			if came, last := come(server, size); came > 0 {
				received, took = received+came, last.Sub(start)
			}
			return received+int(lost()) >= sent
		})
	}
	return received, took
}

// ends makes both ends of a flood.
func (r *rig) ends(from, to, address string) (server, client net.PacketConn, at *net.UDPAddr) {
	r.t.Helper()
	r.inside(to, func() { server, _ = net.ListenPacket("udp", address) })
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.inside(from, func() { client, _ = net.ListenPacket("udp", ":0") })
	r.t.Cleanup(func() { _, _ = server.Close(), client.Close() })
	raw, _ := server.(*net.UDPConn).SyscallConn()
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) })
	return server, client, at
}

// come reads what has come, and says how many datagrams of a size there were, and when the last was read.
func come(server net.PacketConn, size int) (came int, last time.Time) {
	for b := make([]byte, 65536); ; {
		_ = server.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		n, _, err := server.ReadFrom(b)
		if err != nil {
			return came, last
		}
		if n == size {
			came, last = came+1, time.Now()
		}
	}
}

// most is the number of packets that a token bucket lets pass in a time: no machine is too slow for
// that.
func most(bits, burst uint64, size int, took time.Duration) int {
	return int((float64(burst)+float64(bits)/8*took.Seconds())/float64(size)) + 2
}

func TestAPeerIsHeldToItsRate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.apply(nil)
	for n, address := range []string{"192.168.10.5:5000", "[2001:db8:10::5]:5000"} {
		bits := uint64(200_000 + 8*n) // a bucket that nobody emptied
		r.apply(func(i *dataplane.Interface) { i.QoS.Police = dataplane.Rate{Bits: bits, Burst: 30_000} })
		before := r.lost("va1").Policed
		lost := func() uint64 { return r.lost("va1").Policed - before }
		const n, size = 500, 1000
		got, took := r.flood(r.far, r.lan, address, n, size, lost)
		if limit := most(bits, 30_000, size, took); got > limit || got < 20 {
			t.Errorf("%s: %d of %d packets passed in %v, want 20 to %d", address, got, n, took, limit)
		}
		if l := lost(); l == 0 || int(l)+got > n+20 { // neighbours are discovered in between
			t.Errorf("%s: %d packets were policed and %d passed, of %d", address, l, got, n)
		}
	}
	r.until("drops and the interface say the same of what was policed", func() bool {
		return r.plane.Drops()["police"] == r.lost("va1").Policed // which neighbour discovery may change in between
	})
	// Another rate is another bucket, none is none.
	r.apply(func(i *dataplane.Interface) { i.QoS.Police.Bits = 1_000_000_000 })
	if got, _ := r.flood(r.far, r.lan, "192.168.10.5:5001", 300, 1000, func() uint64 { return 0 }); got != 300 {
		t.Errorf("%d of 300 passed at a gigabit", got)
	}
	r.apply(nil)
	if got, _ := r.flood(r.far, r.lan, "192.168.10.5:5002", 300, 1000, func() uint64 { return 0 }); got != 300 {
		t.Errorf("%d of 300 passed without a limit", got)
	}
}

func TestWhatIsSentIsShaped(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.apply(func(i *dataplane.Interface) { i.QoS.Shape = dataplane.Rate{Bits: 800_000, Burst: 5_000} })
	lost := func() uint64 { return r.lost("va1").Shaped }
	const n, size = 300, 1000
	got, took := r.flood(r.lan, r.far, "10.1.1.2:5000", n, size, lost)
	if limit := most(800_000, 5_000, size, took); got > limit || got < 5 {
		t.Errorf("%d of %d packets passed in %v, want 5 to %d", got, n, took, limit)
	}
	if l := lost(); l == 0 || int(l)+got < n {
		t.Errorf("%d were dropped and %d passed, of %d", l, got, n)
	}
	r.apply(nil)
	if got, _ := r.flood(r.lan, r.far, "10.1.1.2:5001", n, size, func() uint64 { return 0 }); got != n {
		t.Errorf("%d of %d passed without a shaper", got, n)
	}
}
