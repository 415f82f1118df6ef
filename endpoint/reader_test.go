package endpoint_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"flexvpn/endpoint"
	"flexvpn/ikev2"
)

// sink keeps what the data plane would get.
type sink struct {
	calls    []string
	segments []int
}

func (s *sink) ReceiveESP(_, _ netip.AddrPort, buf []byte, segment int) {
	s.calls = append(s.calls, string(buf))
	s.segments = append(s.segments, segment)
}

// unbound opens an endpoint that nobody runs, with a sink.
func unbound(t *testing.T, s endpoint.DataSink) *endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.Open(endpoint.Config{
		Network: nowhere{}, Shards: 1, Common: &ikev2.Common{}, Sink: s,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// nowhere is a Network on which nothing arrives.
type nowhere struct{ err error }

func (n nowhere) Source(netip.Addr) (netip.Addr, error) { return netip.IPv4Unspecified(), nil }
func (n nowhere) Listen(l endpoint.Listen) ([]endpoint.Socket, error) {
	if n.err != nil {
		return nil, n.err
	}
	return []endpoint.Socket{deaf{addr: l.Addr}}, nil
}

// deaf is a socket whose Read fails with err.
type deaf struct {
	addr netip.AddrPort
	err  error
}

func (d deaf) Addr() netip.AddrPort                                     { return d.addr }
func (d deaf) Read([]endpoint.Packet) (int, error)                      { return 0, d.err }
func (d deaf) Write(b []endpoint.Packet) (int, error)                   { return len(b), nil }
func (d deaf) WriteSegments(_, _ netip.AddrPort, _ []byte, _ int) error { return nil }
func (d deaf) Close() error                                             { return nil }

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		datagram []byte
		want     string
	}{
		{nil, "short"},
		{[]byte{0xFF}, "keepalive"},
		{[]byte{0xFE}, "short"},
		{[]byte{0xFF, 0xFF}, "short"},
		{make([]byte, 7), "short"},
		{make([]byte, 32), "ike"},
		{[]byte{0, 0, 0, 0, 1, 2, 3, 4}, "ike"},
		{[]byte{0, 0, 1, 0, 0, 0, 0, 1}, "esp"},
		{[]byte{0xFF, 0, 0, 0, 0, 0, 0, 1}, "esp"},
	} {
		if got := endpoint.Classify(c.datagram); got != c.want {
			t.Errorf("% x is %s, want %s", c.datagram, got, c.want)
		}
	}
}

func TestHeaderTellsOurSPI(t *testing.T) {
	for _, c := range []struct {
		name   string
		m      []byte
		local  uint64
		begins bool
	}{
		{"a first request", firstRequest(1), 0, true},
		{"its answer", message(1, 2, initSA, aResponse), 1, false},
		{"a cookie, which has no responder SPI", message(1, 0, initSA, aResponse), 1, false},
		{"the initiator's request", message(1, 2, auth, fromInitiator), 2, false},
		{"the responder's request", message(1, 2, auth, 0), 1, false},
		{"the initiator's response", message(1, 2, auth, fromInitiator|aResponse), 2, false},
		{"a first request with both SPIs", message(1, 2, initSA, fromInitiator), 2, false},
		{"a first request without SPI", message(0, 0, initSA, fromInitiator), 0, false},
		{"a reflected answer", message(1, 0, initSA, fromInitiator|aResponse), 0, false},
	} {
		local, begins, ok := endpoint.Header(c.m)
		if !ok || local != c.local || begins != c.begins {
			t.Errorf("%s: our SPI %d, begins %v; want %d, %v", c.name, local, begins, c.local, c.begins)
		}
		for n := range len(c.m) {
			if _, _, ok := endpoint.Header(c.m[:n]); ok {
				t.Errorf("%s: a header of %d octets was accepted", c.name, n)
			}
		}
	}
	newer := firstRequest(1)
	newer[17] = 0x30
	if _, begins, _ := endpoint.Header(newer); begins {
		t.Error("a request of major version 3 would make an SA (RFC 7296 section 2.5)")
	}
}

func TestJoinedDatagramsAreTakenApartOnlyWhereTheyDiffer(t *testing.T) {
	esp := func(n byte) []byte { return append([]byte{1, 2, 3, n}, make([]byte, 28)...) }
	ike := append(make([]byte, 4), message(1, 2, auth, fromInitiator)...)
	join := func(d ...[]byte) []byte { return bytes.Join(d, nil) }
	for _, c := range []struct {
		name    string
		data    []byte
		segment int
		want    []string
		ike     uint64
	}{
		{"ESP alone stays one buffer", join(esp(1), esp(2), esp(3)[:9]), 32, []string{string(join(esp(1), esp(2), esp(3)[:9]))}, 0},
		{"IKE in the middle", join(esp(1), ike, esp(2), esp(3)), 32, []string{string(esp(1)), string(join(esp(2), esp(3)))}, 1},
		{"IKE first", join(ike, esp(2)), 32, []string{string(esp(2))}, 1},
		{"IKE last", join(esp(1), esp(2), ike), 32, []string{string(join(esp(1), esp(2)))}, 1},
		{"IKE alone", join(ike, ike), 32, nil, 2},
		{"a keepalive last", join(esp(1), []byte{0xFF}), 32, []string{string(esp(1))}, 0},
		{"one packet, no segment size", esp(1), 0, []string{string(esp(1))}, 0},
	} {
		s := &sink{}
		e := unbound(t, s)
		e.ReadPacket(endpoint.Packet{Data: c.data, Segment: c.segment})
		if len(s.calls) != len(c.want) {
			t.Errorf("%s: the plane got %d buffers, want %d", c.name, len(s.calls), len(c.want))
			continue
		}
		for i := range c.want {
			if s.calls[i] != c.want[i] {
				t.Errorf("%s: buffer %d is % x, want % x", c.name, i, s.calls[i], c.want[i])
			}
		}
		if got := e.Counters()["rx_datagrams"]; got != c.ike {
			t.Errorf("%s: %d IKE datagrams, want %d", c.name, got, c.ike)
		}
	}
}

func TestBadDatagramsAreCountedByReason(t *testing.T) {
	for _, c := range []struct {
		p    endpoint.Packet
		name string
	}{
		{endpoint.Packet{}, "dropped_short"},
		{endpoint.Packet{Data: make([]byte, 20)}, "dropped_short"},
		{endpoint.Packet{Data: []byte{1, 2}}, "dropped_short"},
		{endpoint.Packet{Data: make([]byte, 5+endpoint.MaxIKE)}, "dropped_oversized"},
		{endpoint.Packet{Data: make([]byte, 100), Truncated: true}, "dropped_oversized"},
		{endpoint.Packet{Data: bytes.Repeat([]byte{1}, 100), Segment: 50}, "dropped_no_sink"},
		{endpoint.Packet{Data: []byte{0xFF}}, "rx_keepalives"},
	} {
		e := unbound(t, nil)
		e.ReadPacket(c.p)
		if e.Counters()[c.name] == 0 {
			t.Errorf("%d octets did not count as %s: %v", len(c.p.Data), c.name, e.Counters())
		}
	}
}

// FuzzReader holds that every octet of a buffer goes exactly one way, whatever is in it.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0xFF}, 1)
	f.Add(append(make([]byte, 4), firstRequest(1)...), 0)
	f.Add(bytes.Repeat([]byte{1, 2, 3, 4, 0, 0, 0, 0}, 40), 16)
	f.Fuzz(func(t *testing.T, data []byte, segment int) {
		s := &sink{}
		e, err := endpoint.Open(endpoint.Config{Network: nowhere{}, Shards: 3, Common: &ikev2.Common{}, Sink: s})
		if err != nil {
			t.Fatal(err)
		}
		e.ReadPacket(endpoint.Packet{Data: data, Segment: segment})
		if segment <= 0 || segment > len(data) {
			segment = max(len(data), 1)
		}
		pieces := max(1, (len(data)+segment-1)/segment)
		c := e.Counters()
		sum := c["rx_esp_packets"] + c["rx_datagrams"] + c["rx_keepalives"] + c["dropped_short"] + c["dropped_oversized"] + c["dropped_queue_full"]
		if sum != uint64(pieces) {
			t.Fatalf("%d datagrams, %d accounted for: %v", pieces, sum, c)
		}
		for i, buf := range s.calls {
			for at := 0; at < len(buf); at += s.segments[i] {
				if k := endpoint.Classify([]byte(buf[at:min(at+s.segments[i], len(buf))])); k != "esp" {
					t.Fatalf("the plane got a datagram of kind %s", k)
				}
			}
		}
	})
}

func TestBrokenSocketEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := endpoint.Open(endpoint.Config{
			Network: listenFunc(func(l endpoint.Listen) endpoint.Socket { return deaf{l.Addr, syscall.ENOMEM} }),
			Listen:  []netip.Addr{netip.IPv4Unspecified()}, Shards: 1, Common: &ikev2.Common{},
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err = e.Run(t.Context()); err == nil || err.Error() == "" {
			t.Errorf("Run: %v", err)
		}
		if took := time.Since(start); took < endpoint.ErrorPause*(endpoint.ErrorLimit-1) {
			t.Errorf("Run gave up after %v", took)
		}
	})
}

type listenFunc func(endpoint.Listen) endpoint.Socket

func (f listenFunc) Source(netip.Addr) (netip.Addr, error) { return netip.Addr{}, net.ErrClosed }
func (f listenFunc) Listen(l endpoint.Listen) ([]endpoint.Socket, error) {
	return []endpoint.Socket{f(l)}, nil
}

func TestBindErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{syscall.EADDRINUSE, "udp port 500 is in use: another IKE daemon (charon, pluto)? stop it or set ikev2.port: address already in use"},
		{syscall.EACCES, "udp port 500 may not be bound: run as root or with CAP_NET_BIND_SERVICE, or set ikev2.port to 1024 or more: permission denied"},
		{syscall.EADDRNOTAVAIL, "0.0.0.0 is not an address of this host: correct ikev2.listen: cannot assign requested address"},
		{syscall.ENOBUFS, "bind udp 0.0.0.0:500: no buffer space available"},
	} {
		_, err := endpoint.Open(endpoint.Config{Network: nowhere{err: c.err}, Common: &ikev2.Common{}})
		if err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
	_, err := endpoint.Open(endpoint.Config{Network: nowhere{}, Common: &ikev2.Common{}, IKEPort: 4500})
	if err == nil {
		t.Error("one port for both purposes was accepted")
	}
}

// TestHostWithoutIPv6 is served by default, but told when it asks for IPv6.
func TestHostWithoutIPv6(t *testing.T) {
	cfg := endpoint.Config{Network: only4{}, Common: &ikev2.Common{}}
	if _, err := endpoint.Open(cfg); err != nil {
		t.Errorf("by default: %v", err)
	}
	cfg.Listen = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	if _, err := endpoint.Open(cfg); !errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Errorf("when told to: %v", err)
	}
}

// only4 is a host without IPv6.
type only4 struct{ nowhere }

func (o only4) Listen(l endpoint.Listen) ([]endpoint.Socket, error) {
	if l.Addr.Addr().Is6() {
		return nil, syscall.EAFNOSUPPORT
	}
	return o.nowhere.Listen(l)
}
