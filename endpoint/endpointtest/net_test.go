package endpointtest_test

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"flexvpn/endpoint"
	"flexvpn/endpoint/endpointtest"
)

var (
	alice = netip.MustParseAddr("192.0.2.1")
	bob   = netip.MustParseAddr("192.0.2.2")
)

// two are two hosts with a socket each; what arrives at bob's is kept with its time.
type two struct {
	net      *endpointtest.Net
	from, to endpoint.Socket
	heard    []string
	at       []time.Time
	sender   netip.AddrPort
}

func inBubble(t *testing.T, test func(*testing.T, *two)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &two{net: endpointtest.New(3)}
		w.from = listen(t, w.net.Host(alice), "0.0.0.0:500")
		w.to = listen(t, w.net.Host(bob), "192.0.2.2:500")
		ended := make(chan error)
		go func() {
			batch := make([]endpoint.Packet, 4)
			for {
				n, err := w.to.Read(batch)
				if err != nil {
					ended <- err
					return
				}
				for _, p := range batch[:n] {
					w.heard, w.at, w.sender = append(w.heard, string(p.Data)), append(w.at, time.Now()), p.Remote
				}
			}
		}()
		test(t, w)
		if err := w.to.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close: %v", err)
		}
	})
}

func listen(t *testing.T, h *endpointtest.Host, addr string) endpoint.Socket {
	t.Helper()
	s, err := h.Listen(endpoint.Listen{Addr: netip.MustParseAddrPort(addr), Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s[0]
}

func (w *two) send(data ...string) {
	for _, d := range data {
		_, _ = w.from.Write([]endpoint.Packet{{Remote: w.to.Addr(), Data: []byte(d)}})
	}
	synctest.Wait()
}

func TestDatagramsArriveInOrderAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *two) {
		w.send("a", "b")
		if err := w.from.WriteSegments(netip.AddrPort{}, w.to.Addr(), []byte("ccd"), 2); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !slices.Equal(w.heard, []string{"a", "b", "cc", "d"}) || w.sender != netip.AddrPortFrom(alice, 500) {
			t.Errorf("heard %q from %s", w.heard, w.sender)
		}
	})
}

func TestLinkDelaysLosesAndRepeats(t *testing.T) {
	inBubble(t, func(t *testing.T, w *two) {
		start := time.Now()
		w.net.Set(endpointtest.Link{Latency: time.Second})
		w.send("a")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(w.at) != 1 || w.at[0].Sub(start) != time.Second {
			t.Errorf("arrived at %v, sent at %v", w.at, start)
		}
		w.heard = nil
		w.net.Set(endpointtest.Link{Loss: 1})
		w.send("b")
		w.net.Set(endpointtest.Link{Duplicate: 1})
		w.send("c")
		w.net.Filter(func(d *endpointtest.Datagram) bool {
			d.From = netip.MustParseAddrPort("203.0.113.1:7")
			return string(d.Data) != "d"
		})
		w.send("d", "e")
		if !slices.Equal(w.heard, []string{"c", "c", "e", "e"}) || w.sender.String() != "203.0.113.1:7" {
			t.Errorf("heard %q from %s", w.heard, w.sender)
		}
		if sent, dropped := w.net.Counts(); sent != 5 || dropped != 2 {
			t.Errorf("%d sent, %d dropped; want 5 and 2", sent, dropped)
		}
	})
}

func TestListenRefusesWhatAHostWould(t *testing.T) {
	h := endpointtest.New(1).Host(alice)
	listen(t, h, "192.0.2.1:500")
	for addr, want := range map[string]error{"192.0.2.1:500": syscall.EADDRINUSE, "192.0.2.2:500": syscall.EADDRNOTAVAIL} {
		if _, err := h.Listen(endpoint.Listen{Addr: netip.MustParseAddrPort(addr)}); !errors.Is(err, want) {
			t.Errorf("listen on %s: %v, want %v", addr, err, want)
		}
	}
	if a, b := listen(t, h, "192.0.2.1:0"), listen(t, h, "192.0.2.1:0"); a.Addr() == b.Addr() {
		t.Error("two sockets got the same free port")
	}
	if _, err := h.Source(netip.MustParseAddr("2001:db8::1")); !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("source towards another family: %v", err)
	}
}
