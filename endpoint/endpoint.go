package endpoint

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"flexvpn/ikev2"
)

// Handler is the owner of an SA: hub, client or load. Its methods are called on the goroutine of
// the shard that owns the SA: they must not block. Answers may be given at once or later from any
// goroutine with Conn.Answer.
type Handler interface {
	Ask(c *Conn, q ikev2.Question)
	Notice(c *Conn, e ikev2.Event)
}

// DataSink takes ESP packets that arrive on the NAT-traversal sockets (userspace plane). It is
// called by several goroutines, but for one flow of datagrams by one only.
// buf holds packets of segment octets each, the last may be shorter (UDP GRO); it is the caller's
// and reused after the call.
type DataSink interface {
	ReceiveESP(local, remote netip.AddrPort, buf []byte, segment int)
}

// AnyPort as IKEPort or NATPort binds any free port.
const AnyPort = 65535

const (
	queueLength  = 1024 // datagrams that wait for one shard
	halfOpenHard = 4    // times MaxHalfOpen: where even cookies do not help
)

// Config describes an endpoint.
type Config struct {
	Listen []netip.Addr // default 0.0.0.0 and ::, the latter where the host has IPv6
	// VRFs are the addresses to listen on in each VRF, besides those of the default routing domain.
	VRFs    map[string][]netip.Addr
	IKEPort uint16 // default 500
	NATPort uint16 // default 4500
	Shards  int    // default GOMAXPROCS, at most 256
	// Common is the template; Open makes one per shard with its own NewSPI and Counters.
	Common *ikev2.Common
	Accept Handler // of peers' SAs; nil: initiate only, and IKE_SA_INIT requests are dropped
	Sink   DataSink
	// KernelESP leaves ESP in UDP on the NAT port to the kernel (RFC 3948), which must then have its SAs.
	KernelESP bool
	// MaxHalfOpen is the number of half-open SAs over which a COOKIE is asked for (default 100 per
	// shard x shards; at four times as many, requests are dropped); CookieAlways asks everybody.
	MaxHalfOpen  int
	CookieAlways bool
	Network      Network // nil: the kernel's UDP
}

// An Endpoint owns the sockets and the shards.
type Endpoint struct {
	// Constant after Open.
	engine  engine
	network Network
	accept  Handler
	sink    DataSink
	kernel  bool // ESP in UDP is the kernel's
	shards  []*shard
	ike     map[string]bound // by VRF, for sending; one socket per address
	nat     map[string]bound // likewise
	vrfs    map[string][]netip.Addr
	readers []reader // one per socket, those that share a port included
	ikePort uint16
	natPort uint16
	peerNAT uint16 // the peers' NAT-traversal port
	seed    maphash.Seed

	datagrams    datagramPool
	count        counters
	halfOpen     atomic.Int64
	maxHalfOpen  atomic.Int64
	cookieAlways atomic.Bool
	turn         atomic.Uint32 // the shard that gets our next attempt
	closing      sync.Once
}

// Open binds the sockets; nothing is read before Run.
func Open(cfg Config) (*Endpoint, error) { return open(cfg, realEngine) }

func open(cfg Config, eng engine) (*Endpoint, error) {
	if cfg.Common == nil {
		return nil, errors.New("BUG: endpoint: Config.Common is missing")
	}
	e := &Endpoint{
		engine: eng, network: cfg.Network, accept: cfg.Accept, sink: cfg.Sink, kernel: cfg.KernelESP,
		ike: map[string]bound{}, nat: map[string]bound{}, vrfs: cfg.VRFs,
		seed: maphash.MakeSeed(), peerNAT: cfg.Common.NATPort,
	}
	if e.network == nil {
		e.network = kernelUDP{&devices{}}
	}
	if e.peerNAT == 0 {
		e.peerNAT = 4500
	}
	if err := e.bind(cfg); err != nil {
		return nil, err
	}
	shards := cfg.Shards
	if shards <= 0 {
		shards = runtime.GOMAXPROCS(0)
	}
	for n := range min(shards, maxShards) {
		e.shards = append(e.shards, newShard(e, n, cfg.Common))
	}
	e.SetAdmission(cfg.MaxHalfOpen, cfg.CookieAlways)
	return e, nil
}

// Run reads, drives the SAs and returns when ctx ends and every goroutine has. It may be called
// once. SAs that still stand are not told: who wants their peers to know closes them before.
func (e *Endpoint) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	broken := make(chan error, len(e.readers))
	var all sync.WaitGroup
	for _, s := range e.shards {
		all.Go(func() { s.run(ctx.Done()) })
	}
	for i := range e.readers {
		all.Go(func() {
			if err := e.readers[i].run(ctx); err != nil {
				broken <- err
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-broken:
		cancel()
	}
	err = errors.Join(err, e.Close())
	all.Wait()
	return err
}

// Close releases the sockets of an endpoint that is not run; Run does it itself.
func (e *Endpoint) Close() error {
	var errs []error
	e.closing.Do(func() {
		for i := range e.readers {
			errs = append(errs, e.readers[i].socket.Close())
		}
	})
	return errors.Join(errs...)
}

// Initiate begins an SA towards remote and returns at once; it may be called on any goroutine, also
// in Notice. An invalid local address lets the kernel choose, port 0 is 500, and the peers'
// NAT-traversal port begins there. The handler may hear from the Conn before Initiate returns.
func (e *Endpoint) Initiate(h Handler, data any, p *ikev2.Policy, local netip.Addr, remote netip.AddrPort) (*Conn, error) {
	return e.InitiateIn("", h, data, p, local, remote)
}

// InitiateIn is Initiate from a VRF, where the local address must be valid.
func (e *Endpoint) InitiateIn(vrf string, h Handler, data any, p *ikev2.Policy, local netip.Addr, remote netip.AddrPort) (*Conn, error) {
	path, err := e.pathTo(vrf, local, remote)
	if err != nil {
		return nil, fmt.Errorf("start IKE with %s: %w", remote.Addr(), err)
	}
	s := e.shards[int(e.turn.Add(1))%len(e.shards)]
	c := &Conn{Data: data, handler: h, shard: s, slot: noSlot}
	if !c.post(letter{run: func(now time.Time) { s.begin(c, now, p, path) }}) {
		return nil, ErrStopped
	}
	return c, nil
}

// pathTo is the flow of a first datagram.
func (e *Endpoint) pathTo(vrf string, local netip.Addr, remote netip.AddrPort) (ikev2.Path, error) {
	if !remote.IsValid() {
		return ikev2.Path{}, errors.New("BUG: endpoint: no peer address")
	}
	addr, port := remote.Addr().Unmap(), remote.Port()
	if port == 0 {
		port = 500
	}
	path := ikev2.Path{Remote: netip.AddrPortFrom(addr, port), Encap: port == e.peerNAT, VRF: vrf}
	if !local.IsValid() || local.IsUnspecified() {
		if vrf != "" {
			return ikev2.Path{}, errors.New("BUG: endpoint: no local address in VRF " + vrf)
		}
		// The address enters the NAT detection hashes (RFC 7296 section 2.23).
		source, err := e.network.Source(addr)
		if err != nil {
			return ikev2.Path{}, err
		}
		local = source
	}
	localPort := e.ikePort
	if path.Encap {
		localPort = e.natPort
	}
	path.Local = netip.AddrPortFrom(local.Unmap(), localPort)
	if e.bound(vrf, path.Encap).pick(local, addr) == nil {
		return ikev2.Path{}, fmt.Errorf("no socket here may send from %s to it: add the address to ikev2.listen", local)
	}
	return path, nil
}

// WriteESP sends ESP packets of segment octets each (the last may be shorter) from the NAT-traversal
// socket. It may wait for room in the socket's buffer, and does not allocate; any goroutine may call
// it. The caller keeps buf. The ports of local do not matter.
func (e *Endpoint) WriteESP(vrf string, local, remote netip.AddrPort, buf []byte, segment int) error {
	s := e.nat[vrf].pick(local.Addr(), remote.Addr())
	if s == nil {
		return errNoSocket
	}
	if err := s.WriteSegments(local, remote, buf, segment); err != nil {
		return err
	}
	e.count.TxESPPackets.Add(uint64(segments(len(buf), segment)))
	return nil
}

var errNoSocket = errors.New("no NAT-traversal socket may send from this address: add it to ikev2.listen")

// segments is how many datagrams a buffer holds.
func segments(octets, segment int) int {
	if segment <= 0 || segment >= octets {
		return 1
	}
	return (octets + segment - 1) / segment
}

// HalfOpen is the number of peers' handshakes under way.
func (e *Endpoint) HalfOpen() int { return int(e.halfOpen.Load()) }

// Ports are the UDP ports in use.
func (e *Endpoint) Ports() (ike, nat uint16) { return e.ikePort, e.natPort }

// Trace sends what the engine traces to t, from all shards and so from several goroutines; nil
// turns it off.
func (e *Endpoint) Trace(t ikev2.Tracer) {
	for _, s := range e.shards {
		if t == nil {
			s.common.Tracer.Store(nil)
		} else {
			s.common.Tracer.Store(&t)
		}
	}
}

// SetAdmission changes Config.MaxHalfOpen (0: the default) and Config.CookieAlways.
func (e *Endpoint) SetAdmission(maxHalfOpen int, cookieAlways bool) {
	if maxHalfOpen <= 0 {
		maxHalfOpen = 100 * len(e.shards)
	}
	e.maxHalfOpen.Store(int64(maxHalfOpen))
	e.cookieAlways.Store(cookieAlways)
}

// Adjust runs f on every shard's Common, soon and on the shard's goroutine: for a reload that
// changes proposals or trust anchors. SAs made later see the change.
func (e *Endpoint) Adjust(f func(*ikev2.Common)) {
	for _, s := range e.shards {
		s.mail.put(letter{run: func(time.Time) { f(s.common) }})
	}
}

// copyCommon copies a template but for what belongs to one shard alone.
func copyCommon(t *ikev2.Common) *ikev2.Common {
	c := &ikev2.Common{
		Proposals: t.Proposals, ForceEncap: t.ForceEncap, VendorIDs: t.VendorIDs, Version: t.Version,
		HalfOpenLife: t.HalfOpenLife, AnswerLimit: t.AnswerLimit, NewChildSPI: t.NewChildSPI,
		NATPort: t.NATPort, Anchors: t.Anchors, Addresses: t.Addresses,
	}
	c.Tracer.Store(t.Tracer.Load())
	return c
}
