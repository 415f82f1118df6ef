package endpoint_test

import (
	"context"
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flexvpn/endpoint"
	"flexvpn/endpoint/endpointtest"
	"flexvpn/ikev2"
)

// A fakeSA does what its test says. The shard's goroutine calls it; the test looks only when
// synctest.Wait has returned.
type fakeSA struct {
	order    *sync.Mutex
	spi      uint64
	out      []ikev2.Output
	next     time.Time
	path     ikev2.Path
	received [][]byte
	advanced []time.Time
	answers  []ikev2.Answer

	onReceive func(now time.Time, datagram []byte)
	onAdvance func(now time.Time)
	onAnswer  func(ikev2.Answer)
	onFacts   func()
}

func (f *fakeSA) Receive(now time.Time, p ikev2.Path, datagram []byte) {
	pass(f.order)
	f.path = p
	f.received = append(f.received, append([]byte(nil), datagram...))
	if f.onReceive != nil {
		f.onReceive(now, datagram)
	}
}

func (f *fakeSA) Answer(_ time.Time, a ikev2.Answer) {
	pass(f.order)
	f.answers = append(f.answers, a)
	if f.onAnswer != nil {
		f.onAnswer(a)
	}
}

func (f *fakeSA) Advance(now time.Time) {
	pass(f.order)
	f.advanced = append(f.advanced, now)
	if f.onAdvance != nil {
		f.onAdvance(now)
	}
}

func (f *fakeSA) Next() time.Time { return f.next }

func (f *fakeSA) Take() []ikev2.Output {
	out := f.out
	f.out = nil
	return out
}

func (f *fakeSA) SPI() uint64 { return f.spi }

func (f *fakeSA) Facts() ikev2.Facts {
	if f.onFacts != nil {
		f.onFacts()
	}
	return ikev2.Facts{SPILocal: f.spi}
}

// pass orders what the test did before with what the shard does now, for the race detector: virtual
// time alone does not.
func pass(m *sync.Mutex) {
	m.Lock()
	defer m.Unlock()
}

func (f *fakeSA) emit(o ...ikev2.Output) { f.out = append(f.out, o...) }

// told is what a handler heard.
type told struct {
	conn     *endpoint.Conn
	question ikev2.Question
	event    ikev2.Event
}

// recorder is a Handler.
type recorder struct {
	mu   sync.Mutex
	told []told
	on   func(told)
}

func (r *recorder) Ask(c *endpoint.Conn, q ikev2.Question) { r.hear(told{conn: c, question: q}) }
func (r *recorder) Notice(c *endpoint.Conn, e ikev2.Event) { r.hear(told{conn: c, event: e}) }

func (r *recorder) hear(t told) {
	r.mu.Lock()
	r.told = append(r.told, t)
	r.mu.Unlock()
	if r.on != nil {
		r.on(t)
	}
}

func (r *recorder) last(t *testing.T) told {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.told) == 0 {
		t.Fatal("the handler heard nothing")
	}
	return r.told[len(r.told)-1]
}

// closed is the Closed event among what was told; nil if none.
func (r *recorder) closed() []ikev2.Closed {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []ikev2.Closed
	for _, h := range r.told {
		if c, ok := h.event.(ikev2.Closed); ok {
			all = append(all, c)
		}
	}
	return all
}

// A bench is an endpoint with a fake engine on a network in memory, and a peer that sends what the
// test says.
type bench struct {
	t       *testing.T
	net     *endpointtest.Net
	e       *endpoint.Endpoint
	handler *recorder
	sas     []*fakeSA // in the order in which they were made
	peer    []endpoint.Socket
	heard   []endpoint.Packet // by the peer
	setUp   func(*fakeSA)
	machine func(*ikev2.Common) endpoint.Machine // instead of a fakeSA
	stop    func()
	order   sync.Mutex
}

var (
	hubAddrs  = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")}
	peerAddrs = []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8:7::7")}
)

// inBubble runs a test with a bench in virtual time.
func inBubble(t *testing.T, change func(*endpoint.Config, *endpoint.Fakes), test func(*testing.T, *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, net: endpointtest.New(1), handler: &recorder{}}
		b.listenAsPeer()
		cfg := endpoint.Config{
			Network: b.net.Host(hubAddrs...), Shards: 1, Common: &ikev2.Common{}, Accept: b.handler,
		}
		fakes := endpoint.Fakes{
			Responder: func(_ time.Time, c *ikev2.Common, _ ikev2.Path) endpoint.Machine {
				if b.machine != nil {
					return b.machine(c)
				}
				return b.make(c)
			},
			Initiator: func(_ time.Time, c *ikev2.Common, _ *ikev2.Policy, p ikev2.Path) endpoint.Machine {
				sa := b.make(c)
				sa.emit(ikev2.Send{Path: p, Datagram: []byte("first")})
				return sa
			},
			Stateless: func(_ *ikev2.Common, _ ikev2.Path, d []byte) ([]byte, bool) { return []byte("who are you"), true },
		}
		if change != nil {
			change(&cfg, &fakes)
		}
		var err error
		if b.e, err = endpoint.OpenFake(cfg, fakes); err != nil {
			t.Fatal(err)
		}
		b.start()
		test(t, b)
		b.stop()
		for _, s := range b.peer {
			_ = s.Close()
		}
	})
}

func (b *bench) make(c *ikev2.Common) *fakeSA {
	pass(&b.order)
	sa := &fakeSA{spi: c.NewSPI(), order: &b.order}
	b.sas = append(b.sas, sa)
	sa.onReceive = func(time.Time, []byte) {
		if len(sa.received) == 1 {
			sa.emit(ikev2.Send{Path: sa.path, Datagram: []byte("hello")})
		}
	}
	if b.setUp != nil {
		b.setUp(sa)
	}
	return sa
}

func (b *bench) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.e.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("Run: %v", err)
		}
	})
	synctest.Wait()
}

// listenAsPeer opens the peer's sockets and keeps what arrives there.
func (b *bench) listenAsPeer() {
	host := b.net.Host(peerAddrs...)
	for _, port := range []uint16{500, 4500} {
		for _, all := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			sockets, err := host.Listen(endpoint.Listen{Addr: netip.AddrPortFrom(all, port), Readers: 1})
			if err != nil {
				b.t.Fatal(err)
			}
			b.peer = append(b.peer, sockets[0])
			go b.listen(sockets[0])
		}
	}
}

func (b *bench) listen(s endpoint.Socket) {
	batch := make([]endpoint.Packet, 8)
	for {
		n, err := s.Read(batch)
		if err != nil {
			return
		}
		for _, p := range batch[:n] {
			p.Data = append([]byte(nil), p.Data...)
			b.heard = append(b.heard, p)
		}
	}
}

// send sends a datagram from the peer and waits until everybody has reacted.
func (b *bench) send(from, to string, data []byte) {
	b.t.Helper()
	pass(&b.order)
	b.net.Inject(endpointtest.Datagram{From: netip.MustParseAddrPort(from), To: netip.MustParseAddrPort(to), Data: data})
	synctest.Wait()
}

// sleep lets virtual time pass and waits until everybody has reacted.
func (b *bench) sleep(d time.Duration) {
	pass(&b.order)
	time.Sleep(d)
	synctest.Wait()
}

func (b *bench) wantCounter(name string, want uint64) {
	b.t.Helper()
	got, ok := b.e.Counters()[name]
	if !ok {
		b.t.Fatalf("there is no counter %s", name)
	}
	if got != want {
		b.t.Errorf("counter %s is %d, want %d", name, got, want)
	}
}

// message makes an IKE message that says no more than its header.
func message(spiI, spiR uint64, exchange, flags byte) []byte {
	m := make([]byte, 28)
	binary.BigEndian.PutUint64(m, spiI)
	binary.BigEndian.PutUint64(m[8:], spiR)
	m[17], m[18], m[19] = 0x20, exchange, flags
	binary.BigEndian.PutUint32(m[24:], 28)
	return m
}

const (
	initSA, auth             = 34, 35
	fromInitiator, aResponse = 0x08, 0x20
)

func firstRequest(spi uint64) []byte { return message(spi, 0, initSA, fromInitiator) }
