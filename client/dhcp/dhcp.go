// Package dhcp gives addresses and settings to the hosts behind a spoke: a DHCPv4 server (RFC 2131) on
// inside interfaces. What a hub pushes (WINS and name servers, the domain) is imported into pools that
// say so, and reaches each host when it next renews.
//
// Leases are in the store before a host hears of them, so a restarted spoke gives no address twice. An
// address that the server has not given before is probed first (RFC 5227), and put aside when somebody
// has it. Everything a host can cause is bounded: messages by rate, probes at once, offers and conflicts
// kept. Relayed messages and BOOTP are not served; nobody needs them behind a branch's gateway yet.
package dhcp

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"flexvpn/ops/view"
	"flexvpn/store"
)

// Pool is what the hosts behind one interface get.
type Pool struct {
	Name, Interface    string
	Network            netip.Prefix
	Ranges             []Range
	Routers, DNS, WINS []netip.Addr
	Domain             string
	Lease              time.Duration
	Hosts              []Host
	// ImportDNS, ImportWINS and ImportDomain let a hub's pushes fill what the pool leaves open.
	ImportDNS, ImportWINS, ImportDomain bool
}

// A Range is from First to Last inclusive.
type Range struct{ First, Last netip.Addr }

// A Host always gets the same address.
type Host struct {
	Name     string
	Hardware string // as net.HardwareAddr prints it
	Address  netip.Addr
}

// An Import is what a client's hub pushed for hosts.
type Import struct {
	Client    string
	Inside    []string // interfaces whose hosts it is for; empty: all
	DNS, WINS []netip.Addr
	Domain    string
}

// Config is what a Server works with.
type Config struct {
	Pools []Pool
	Store store.Store
	// Addresses are those of an interface; an error says that there is none.
	Addresses func(name string) ([]netip.Prefix, error)
	// Changed says that interfaces or addresses may have changed.
	Changed <-chan struct{}
	Log     *slog.Logger
	// Trace is told of each message; it calls line only while somebody follows them.
	Trace func(host string, line func() string)
	// Probe asks whether somebody else than the host uses an address. Nil: by ARP.
	Probe func(ctx context.Context, device string, a netip.Addr, host net.HardwareAddr) (taken bool, err error)
}

// A Server serves the pools. Up and Down may be called from any goroutine and do not wait.
type Server struct {
	cfg    Config
	pools  []*server
	totals totals
	flying sync.WaitGroup // probes under way

	mu      sync.Mutex // guards imports
	imports map[string]Import
}

// server is one pool being served.
type server struct {
	*Server
	pool    Pool
	probes  chan struct{} // one for each probe under way
	known   *bucket
	unknown *bucket

	mu    sync.Mutex // guards what follows
	book  *book
	own   netip.Addr // the server identifier: the interface's address
	conn  *net.UDPConn
	index int   // of the interface when conn was bound to it
	err   error // why it is not served
}

// maxProbes bounds the probes under way for one pool.
const maxProbes = 8

// New makes a server with the leases that the store has.
func New(cfg Config) (*Server, error) {
	if cfg.Trace == nil {
		cfg.Trace = func(string, func() string) {}
	}
	if cfg.Probe == nil {
		cfg.Probe = probe
	}
	s := &Server{cfg: cfg, imports: map[string]Import{}}
	s.totals.init()
	for _, p := range cfg.Pools {
		b, err := loadBook(p, cfg.Store)
		if err != nil {
			return nil, err
		}
		s.pools = append(s.pools, &server{
			Server: s, pool: p, book: b, probes: make(chan struct{}, maxProbes),
			known: newBucket(100, 200), unknown: newBucket(30, 60),
		})
	}
	return s, nil
}

// rebind is how often an interface that could not be served is tried again.
const rebind = 10 * time.Second

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer s.flying.Wait()
	defer all.Wait()
	defer s.closeAll()
	again := time.NewTicker(rebind)
	defer again.Stop()
	for {
		for _, p := range s.pools {
			p.bind(ctx, &all)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.cfg.Changed:
		case <-again.C:
		}
	}
}

func (s *Server) closeAll() {
	for _, p := range s.pools {
		p.mu.Lock()
		p.unbind()
		p.mu.Unlock()
	}
}

// Up takes over what a client's hub pushed, in place of what it pushed before.
func (s *Server) Up(i Import) {
	s.mu.Lock()
	s.imports[i.Client] = i
	s.mu.Unlock()
	s.cfg.Log.Info("dhcp import", "client", i.Client, "dns", i.DNS, "wins", i.WINS, "domain", i.Domain)
}

// Down drops it when the client is dismissed. While its hub is only away, hosts that renew keep what they
// have: the hub will be back before they would have learned.
func (s *Server) Down(client string, wanted bool) {
	if wanted {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.imports, client)
}

// imported are the imports for the hosts of a pool, in the order of their clients' names.
func (p *server) imported() (out []Import) {
	p.Server.mu.Lock()
	defer p.Server.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(p.imports)) {
		if i := p.imports[name]; len(i.Inside) == 0 || slices.Contains(i.Inside, p.pool.Interface) {
			out = append(out, i)
		}
	}
	return out
}

// settings are a pool's, with what is imported in the places that it leaves open.
type settings struct {
	routers, dns, wins []netip.Addr
	domain             string
}

// maxAddresses bounds one option; a message has 312 octets for all of them (RFC 2131 section 2).
const maxAddresses = 8

func (p *server) settings() settings {
	v := settings{routers: p.pool.Routers, dns: p.pool.DNS, wins: p.pool.WINS, domain: p.pool.Domain}
	for _, i := range p.imported() {
		if p.pool.ImportDNS && len(p.pool.DNS) == 0 {
			v.dns = join4(v.dns, i.DNS)
		}
		if p.pool.ImportWINS && len(p.pool.WINS) == 0 {
			v.wins = join4(v.wins, i.WINS)
		}
		if p.pool.ImportDomain && v.domain == "" {
			v.domain = i.Domain
		}
	}
	return v
}

// join4 adds the IPv4 addresses of more that are not there yet.
func join4(list, more []netip.Addr) []netip.Addr {
	list = slices.Clip(list)
	for _, a := range more {
		if a.Is4() && len(list) < maxAddresses && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// View is what show prints.
func (s *Server) View() view.DHCP {
	v := view.DHCP{Counters: s.Stats()}
	for _, p := range s.pools {
		v.Pools = append(v.Pools, p.view(time.Now()))
	}
	return v
}
