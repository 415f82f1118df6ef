// Package dns answers name queries of the hosts behind a spoke (split DNS). Names in the domains that a
// hub pushed go to the servers it pushed, through its tunnel and no other way; all other names go to the
// default servers. A client's view is there while its tunnel stands; while its hub is away, answers that
// are remembered are given as stale (RFC 8767), and what is not remembered takes the default way.
//
// The proxy speaks UDP and TCP over both families on the inside interfaces. Each socket is bound to its
// interface, so nobody outside can ask. Work is bounded everywhere: queries in flight in all and per host,
// connections, cache entries. It does no recursion, no zone transfers and no DNSSEC validation of its own.
package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a Proxy works with.
type Config struct {
	// Interfaces are the names to serve; they may come and go.
	Interfaces func() []string
	// Changed says that what Interfaces returns may have changed.
	Changed <-chan struct{}
	// Default are the servers for names of no view; asked for each query, so it must be cheap.
	Default func() []netip.Addr
	// DefaultVRF is the VRF in which those are asked; empty: the default routing domain. Servers of this
	// machine itself are in none.
	DefaultVRF string
	// Lists are domains that were configured for a client, besides those that its hub pushes.
	Lists []List
	// RouteTo is the interface by which packets to an address leave, in the routing domain of a tunnel.
	RouteTo func(a netip.Addr, tunnel string) (device string, err error)
	Log     *slog.Logger
	// Trace is told of each query from a host, and of each view of a client that comes and goes; it calls
	// line only while somebody follows them.
	Trace func(about string, line func() string)
	// Dial opens a connection to a server; device is the tunnel, or the VRF, that it must not leave by
	// another way, or empty. Nil: the network.
	Dial func(ctx context.Context, network string, server netip.AddrPort, device string) (net.Conn, error)
}

// A List are domains of a client that an operator configured (ip dns name-list).
type List struct {
	Name    string
	Client  string
	Domains []string
	Servers []netip.Addr // empty: those that the hub pushes
}

// A Tunnel is what matters of a client's tunnel to names.
type Tunnel struct {
	Client, Device string
	Inside         []string // interfaces whose hosts have the view; empty: all that are served
	Servers        []netip.Addr
	Domains        []string
	DefaultDomain  string
}

// port is the servers' and the proxy's.
const port = 53

// A Proxy is the DNS service. Up and Down may be called from any goroutine and do not wait.
type Proxy struct {
	cfg     Config
	table   atomic.Pointer[table]
	cache   *cache
	limits  *limits
	totals  totals
	poke    chan struct{} // listeners may have to change
	flights flights
	flying  sync.WaitGroup
	health  health

	mu        sync.Mutex // guards tunnels, away and listeners
	tunnels   map[string]Tunnel
	away      map[string]Tunnel
	listeners map[string]*listener
}

// New makes a proxy that serves nobody until Run.
func New(cfg Config) *Proxy {
	if cfg.Dial == nil {
		cfg.Dial = dial
	}
	if cfg.Trace == nil {
		cfg.Trace = func(string, func() string) {}
	}
	p := &Proxy{
		cfg: cfg, cache: newCache(maxEntries), limits: newLimits(), poke: make(chan struct{}, 1),
		tunnels: map[string]Tunnel{}, away: map[string]Tunnel{}, listeners: map[string]*listener{},
	}
	p.totals.init()
	p.rebuild()
	return p
}

// relisten is how often an address in use is tried again.
const relisten = 10 * time.Second

// Run serves until ctx ends, and returns when every socket is closed and every query answered.
func (p *Proxy) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer p.flying.Wait()
	defer all.Wait()
	defer p.closeListeners()
	again := time.NewTicker(relisten)
	defer again.Stop()
	for {
		p.listen(ctx, &all)
		select {
		case <-ctx.Done():
			return nil
		case <-p.cfg.Changed:
		case <-p.poke:
		case <-again.C:
		}
	}
}

// Up installs or replaces the view of a client.
func (p *Proxy) Up(t Tunnel) {
	p.mu.Lock()
	delete(p.away, t.Client)
	p.tunnels[t.Client] = t
	p.mu.Unlock()
	p.rebuild()
	p.cfg.Trace(t.Client, func() string {
		return fmt.Sprintf("view up on %s: domains %v, servers %v", t.Device, t.Domains, t.Servers)
	})
	p.cfg.Log.Info("dns view up", "client", t.Client, "interface", t.Device, "domains", t.Domains, "servers", t.Servers)
}

// Down takes the view of a client away. Wanted says that its hub is only away for now.
func (p *Proxy) Down(client string, wanted bool) {
	p.mu.Lock()
	t, was := p.tunnels[client]
	delete(p.tunnels, client)
	delete(p.away, client)
	if was && wanted {
		p.away[client] = t
	}
	p.mu.Unlock()
	p.rebuild()
	if !wanted {
		p.cache.forget(client)
	}
	if was {
		p.cfg.Trace(client, func() string { return fmt.Sprintf("view down, remembered: %v", wanted) })
		p.cfg.Log.Info("dns view down", "client", client, "remembered", wanted)
	}
}

// rebuild makes the table that queries are matched against, and has the listeners looked at: which
// interface is a tunnel's source may have changed.
func (p *Proxy) rebuild() {
	p.mu.Lock()
	p.table.Store(newTable(p.cfg.Lists, p.tunnels, p.away))
	p.mu.Unlock()
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

// dial opens a connection that leaves by device, if one is given, or not at all.
func dial(ctx context.Context, network string, server netip.AddrPort, device string) (net.Conn, error) {
	d := net.Dialer{Control: bindTo(device)}
	return d.DialContext(ctx, network, server.String())
}
