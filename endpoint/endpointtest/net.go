// Package endpointtest is a UDP network in memory, for tests of everything that stands on an
// endpoint: hosts with addresses, joined by one link that may lose, repeat, delay and reorder.
// It works inside a bubble of testing/synctest, where a second of latency takes no time.
//
//	n := endpointtest.New(1)
//	hub, err := endpoint.Open(endpoint.Config{Network: n.Host(netip.MustParseAddr("192.0.2.1")), …})
//	n.Set(endpointtest.Link{Latency: 20 * time.Millisecond, Loss: 0.3})
package endpointtest

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"flexvpn/endpoint"
)

// Link is what happens to datagrams on their way; the zero value delivers each at once.
type Link struct {
	Latency   time.Duration
	Jitter    time.Duration // added to Latency, between nothing and this; more than the gap between two datagrams reorders them
	Loss      float64       // probability that a datagram is lost
	Duplicate float64       // probability that it arrives twice
}

// Datagram is one datagram on its way.
type Datagram struct {
	From, To netip.AddrPort
	Data     []byte
}

// queueLength is how many datagrams wait at a socket; more are lost, as in a kernel.
const queueLength = 4096

// A Net is a network. Its methods may be called at any time from any goroutine.
type Net struct {
	mu      sync.Mutex // guards the rest, and the hosts' sockets
	rand    *rand.Rand
	link    Link
	filter  func(*Datagram) bool
	hosts   []*Host
	sent    int
	dropped int
}

// New makes a network; equal seeds lose the same datagrams if the same are sent in the same order.
func New(seed uint64) *Net { return &Net{rand: rand.New(rand.NewPCG(seed, 0))} }

// Set changes the link for datagrams sent from now on.
func (n *Net) Set(l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link = l
}

// Filter shows every datagram to f before it meets the link, in the order of sending: f may change
// it (a NAT does), keep it for a log, or lose it by returning false. A nil f lets everything pass.
// f must not call back into the network.
func (n *Net) Filter(f func(*Datagram) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.filter = f
}

// Counts are the datagrams sent and those of them that reached no socket.
func (n *Net) Counts() (sent, dropped int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent, n.dropped
}

// Inject puts a datagram onto the network as if from's owner had sent it.
func (n *Net) Inject(d Datagram) { n.send(d) }

// Host adds a host with these addresses.
func (n *Net) Host(addrs ...netip.Addr) *Host {
	h := &Host{net: n, addrs: addrs, sockets: map[netip.AddrPort]*socket{}}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts = append(n.hosts, h)
	return h
}

func (n *Net) send(d Datagram) {
	n.mu.Lock()
	defer n.mu.Unlock()
	d.Data = slices.Clone(d.Data)
	n.sent++
	if n.filter != nil && !n.filter(&d) || n.rand.Float64() < n.link.Loss {
		n.dropped++
		return
	}
	n.arriveLater(d)
	if n.rand.Float64() < n.link.Duplicate {
		n.arriveLater(d)
	}
}

// arriveLater is called with mu held.
func (n *Net) arriveLater(d Datagram) {
	delay := n.link.Latency
	if n.link.Jitter > 0 {
		delay += time.Duration(n.rand.Int64N(int64(n.link.Jitter)))
	}
	if delay == 0 {
		n.arrive(d)
		return
	}
	time.AfterFunc(delay, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.arrive(d)
	})
}

// arrive is called with mu held.
func (n *Net) arrive(d Datagram) {
	for _, h := range n.hosts {
		if !slices.Contains(h.addrs, d.To.Addr()) {
			continue
		}
		if s := h.socketFor(d.To); s != nil && len(s.queue) < queueLength {
			s.queue = append(s.queue, d)
			s.ready.Signal()
			return
		}
	}
	n.dropped++
}

// A Host is one host on the network. It implements endpoint.Network.
type Host struct {
	net     *Net
	addrs   []netip.Addr
	sockets map[netip.AddrPort]*socket // guarded by net.mu
}

// Source implements endpoint.Network.
func (h *Host) Source(remote netip.Addr) (netip.Addr, error) {
	for _, a := range h.addrs {
		if a.Is4() == remote.Is4() {
			return a, nil
		}
	}
	return netip.Addr{}, syscall.ENETUNREACH
}

// Listen implements endpoint.Network.
func (h *Host) Listen(l endpoint.Listen) ([]endpoint.Socket, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	a := l.Addr
	if !a.Addr().IsUnspecified() && !slices.Contains(h.addrs, a.Addr()) {
		return nil, syscall.EADDRNOTAVAIL
	}
	for port := uint16(20000); a.Port() == 0; port++ {
		if candidate := netip.AddrPortFrom(a.Addr(), port); h.sockets[candidate] == nil {
			a = candidate
		}
	}
	if h.sockets[a] != nil {
		return nil, syscall.EADDRINUSE
	}
	s := &socket{host: h, addr: a}
	s.ready.L = &h.net.mu
	h.sockets[a] = s
	return []endpoint.Socket{s}, nil
}

// socketFor is called with net.mu held.
func (h *Host) socketFor(to netip.AddrPort) *socket {
	if s := h.sockets[to]; s != nil {
		return s
	}
	all := netip.IPv6Unspecified()
	if to.Addr().Is4() {
		all = netip.IPv4Unspecified()
	}
	return h.sockets[netip.AddrPortFrom(all, to.Port())]
}

// socket implements endpoint.Socket.
type socket struct {
	host *Host
	addr netip.AddrPort

	ready  sync.Cond // on net.mu, which guards the rest
	queue  []Datagram
	closed bool
}

func (s *socket) Addr() netip.AddrPort { return s.addr }

func (s *socket) Read(batch []endpoint.Packet) (int, error) {
	s.host.net.mu.Lock()
	defer s.host.net.mu.Unlock()
	for len(s.queue) == 0 && !s.closed {
		s.ready.Wait()
	}
	if s.closed {
		return 0, net.ErrClosed
	}
	n := min(len(batch), len(s.queue))
	for i, d := range s.queue[:n] {
		batch[i] = endpoint.Packet{Local: d.To, Remote: d.From, Data: d.Data, Segment: len(d.Data)}
	}
	s.queue = slices.Delete(s.queue, 0, n)
	return n, nil
}

func (s *socket) Write(batch []endpoint.Packet) (int, error) {
	for _, p := range batch {
		data := p.Data
		if p.Marker {
			data = append(make([]byte, 4, 4+len(data)), data...)
		}
		s.host.net.send(Datagram{From: s.from(p.Local, p.Remote), To: p.Remote, Data: data})
	}
	return len(batch), nil
}

func (s *socket) WriteSegments(local, remote netip.AddrPort, buf []byte, segment int) error {
	if segment <= 0 {
		segment = max(len(buf), 1)
	}
	for d := range slices.Chunk(buf, segment) {
		s.host.net.send(Datagram{From: s.from(local, remote), To: remote, Data: d})
	}
	return nil
}

// from is where a datagram leaves from.
func (s *socket) from(local, remote netip.AddrPort) netip.AddrPort {
	a := local.Addr()
	if !a.IsValid() || a.IsUnspecified() {
		a = s.addr.Addr()
	}
	if a.IsUnspecified() {
		a, _ = s.host.Source(remote.Addr())
	}
	return netip.AddrPortFrom(a, s.addr.Port())
}

func (s *socket) Close() error {
	s.host.net.mu.Lock()
	defer s.host.net.mu.Unlock()
	s.closed = true
	delete(s.host.sockets, s.addr)
	s.ready.Broadcast()
	return nil
}
