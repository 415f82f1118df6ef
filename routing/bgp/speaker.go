package bgp

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"flexvpn/authz"
	"flexvpn/config"
	"flexvpn/routing"
)

// RIB is what a speaker needs of the node's routing table.
type RIB interface {
	SetPath(key string, p routing.Path) error
	RemovePath(key, vrf string, p netip.Prefix) error
	Remove(key string) error
	OnChange(func(routing.Best))
	Peer(session string) routing.Peer
}

// Options say what a Speaker works with.
type Options struct {
	Config *config.BGP
	RIB    RIB
	Log    *slog.Logger
	// Dial and Listen open TCP for BGP in the speaker's VRF.
	Net network
	// Stays says that packets are forwarded on after this process has died, so that neighbors may keep its
	// paths meanwhile (RFC 4724).
	Stays bool
	// Leave makes Run end without a word to anybody, its routes left where they are.
	Leave bool
	lib   library // of tests
}

// A Speaker is the BGP speaker of one VRF. One goroutine, that of Run, owns everything below inbox.
type Speaker struct {
	cfg *config.BGP
	rib RIB
	log *slog.Logger
	net network
	lib library
	now func() time.Time

	stays, leave bool // as in Options

	inbox   chan func()
	changes changes
	done    chan struct{}

	ctx       context.Context // of Run
	peers     map[netip.Addr]*peer
	static    []*peer
	dynamic   int                     // neighbors of listen ranges
	over      map[netip.Addr]struct{} // spokes that bgp.listen-limit keeps out
	ups       int                     // sessions that stand
	shut      int                     // neighbors that are blocked
	groups    map[groupKey]*group
	table     map[netip.Prefix]*destination
	summaries []*summary
	best      map[netip.Prefix]routing.Best // of the RIB, what can be announced
	counters  counters
	listeners []*net.TCPListener
}

// key is the name of a speaker's routes in the RIB.
func (s *Speaker) key() string {
	if s.cfg.VRF == "" {
		return "bgp"
	}
	return "bgp/" + s.cfg.VRF
}

// New makes a speaker that does nothing until Run.
func New(o Options) *Speaker {
	s := &Speaker{
		cfg: o.Config, rib: o.RIB, net: o.Net, lib: o.lib, now: time.Now, stays: o.Stays, leave: o.Leave,
		inbox: make(chan func(), 1024), done: make(chan struct{}), changes: changes{wake: make(chan struct{}, 1)},
		peers: map[netip.Addr]*peer{}, over: map[netip.Addr]struct{}{}, groups: map[groupKey]*group{}, table: map[netip.Prefix]*destination{}, best: map[netip.Prefix]routing.Best{},
	}
	s.log = o.Log
	if s.cfg.VRF != "" {
		s.log = o.Log.With("vrf", s.cfg.VRF)
	}
	if s.lib == nil {
		s.lib = newGoBGP(s.cfg.ASN, s.cfg.RouterID)
	}
	if s.net == nil {
		s.net = tcp{vrf: s.cfg.VRF}
	}
	s.counters.refused = map[string]uint64{}
	for _, r := range refusals {
		s.counters.refused[r] = 0
	}
	for _, a := range s.cfg.Aggregates {
		s.summaries = append(s.summaries, &summary{BGPAggregate: a, inside: map[netip.Prefix]struct{}{}})
	}
	return s
}

// Run speaks until ctx ends; then every neighbor is told and every path withdrawn, unless they are to
// be left.
func (s *Speaker) Run(ctx context.Context) error {
	s.ctx = ctx
	defer close(s.done)
	if err := s.listen(ctx); err != nil {
		return err
	}
	s.rib.OnChange(s.changes.add)
	for _, n := range s.cfg.Neighbors {
		s.addStatic(n)
	}
	for _, p := range s.cfg.Networks {
		s.follow(p)
	}
	for {
		select {
		case f := <-s.inbox:
			f()
		case <-s.changes.wake:
			s.catchUp()
		case <-ctx.Done():
			return s.stop()
		}
	}
}

func (s *Speaker) stop() error {
	for _, l := range s.listeners {
		_ = l.Close()
	}
	if s.leave {
		return nil // a session that ends without NOTIFICATION is one that restarts, RFC 4724 section 4.2
	}
	for _, p := range s.peers {
		s.removePeer(p, "Neighbor deleted")
	}
	return s.rib.Remove(s.key())
}

// do runs f on the speaker's goroutine; false when it has ended.
func (s *Speaker) do(f func()) bool {
	select {
	case s.inbox <- f:
		return true
	case <-s.done:
		return false
	}
}

// changes are what the RIB tells and the speaker has not looked at: the RIB must not wait. What comes
// again for a prefix replaces what was there, so they are bounded by the size of the RIB.
type changes struct {
	wake  chan struct{}
	mu    sync.Mutex
	order []changeKey
	last  map[changeKey]routing.Best
}

type changeKey struct {
	vrf    string
	prefix netip.Prefix
}

func (c *changes) add(b routing.Best) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := changeKey{b.VRF, b.Prefix}
	if c.last == nil {
		c.last = map[changeKey]routing.Best{}
	}
	if _, there := c.last[k]; !there {
		c.order = append(c.order, k)
	}
	c.last[k] = b
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *changes) take() []routing.Best {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]routing.Best, 0, len(c.order))
	for _, k := range c.order {
		out = append(out, c.last[k])
	}
	c.order, c.last = nil, nil
	return out
}

// catchUp looks at what the RIB has told.
func (s *Speaker) catchUp() {
	for _, b := range s.changes.take() {
		s.changed(b)
	}
}

// changed looks at a new winner of the RIB: it may make or end a neighbor, and begin or end an
// announcement.
func (s *Speaker) changed(b routing.Best) {
	if b.VRF != s.cfg.VRF {
		return
	}
	if b.Source == "" {
		delete(s.best, b.Prefix)
	} else {
		s.best[b.Prefix] = b
	}
	if b.Prefix.IsSingleIP() {
		s.spoke(b)
	}
	s.reach(b)
	s.follow(b.Prefix)
}

// spoke makes the address of a spoke a neighbor, or ends it with its session.
func (s *Speaker) spoke(b routing.Best) {
	a := b.Prefix.Addr()
	own := b.Source == routing.SourceAddress || b.Source == routing.SourceIKEv2
	p := s.peers[a]
	if p != nil && p.dynamic && (!own || p.session != b.Session || p.device != b.Interface) {
		s.removePeer(p, "Interface flap")
		p = nil
		defer s.makeUp()
	}
	delete(s.over, a)
	l := s.listenOf(a)
	if p != nil || !own || l == nil {
		return
	}
	if s.full() {
		s.over[a] = struct{}{}
		s.refuse("limit", a, "there are as many dynamic neighbors as bgp.listen-limit allows: raise it")
		return
	}
	s.addPeer(&peer{
		speaker: s, address: a, cfg: l.Group, dynamic: true, session: b.Session, identity: b.Identity, device: b.Interface,
		policy: s.rib.Peer(b.Session),
	})
}

func (s *Speaker) full() bool { return s.cfg.ListenLimit > 0 && s.dynamic >= s.cfg.ListenLimit }

// makeUp lets spokes in that the limit kept out, as far as there is room now.
func (s *Speaker) makeUp() {
	for a := range s.over {
		if s.full() {
			return
		}
		s.spoke(s.best[netip.PrefixFrom(a, a.BitLen())])
	}
}

// listenOf is the range that an address is in, the longest first.
func (s *Speaker) listenOf(a netip.Addr) *config.BGPListen {
	var best *config.BGPListen
	for i := range s.cfg.Listen {
		if l := &s.cfg.Listen[i]; l.Range.Contains(a) && (best == nil || l.Range.Bits() > best.Range.Bits()) {
			best = l
		}
	}
	return best
}

// reach follows the ways to neighbors of the configuration: one whose tunnel went down is given up at
// once, one whose way came is called at once.
func (s *Speaker) reach(b routing.Best) {
	for _, p := range s.static {
		if !b.Prefix.Contains(p.address) || b.Prefix.Bits() < p.way.Prefix.Bits() && b.Prefix != p.way.Prefix {
			continue
		}
		before := p.way
		p.way = s.wayTo(p.address)
		if p.way == before {
			continue
		}
		if tunnel(before) && p.way.Session != before.Session {
			s.restart(p, "Interface flap")
			continue
		}
		p.call()
	}
}

// tunnel reports whether the way is one that a session of IKEv2 gave.
func tunnel(b routing.Best) bool {
	return b.Source == routing.SourceIKEv2 || b.Source == routing.SourceAddress
}

// wayTo is the RIB's longest prefix to an address, BGP's own aside.
func (s *Speaker) wayTo(a netip.Addr) routing.Best {
	for bits := a.BitLen(); bits >= 0; bits-- {
		p, _ := a.Prefix(bits)
		if b, ok := s.best[p]; ok && b.Source != routing.SourceEBGP && b.Source != routing.SourceIBGP && b.Source != routing.SourceAggregate {
			return b
		}
	}
	return routing.Best{}
}

func (s *Speaker) addStatic(n config.BGPNeighbor) {
	p := &peer{speaker: s, address: n.Address, cfg: n.Peer, policy: routing.Peer{Accept: authz.Accept{Any: true}}}
	p.way = s.wayTo(p.address)
	s.static = append(s.static, p)
	s.addPeer(p)
}

// restart begins a neighbor of the configuration anew.
func (s *Speaker) restart(p *peer, reason string) {
	s.removePeer(p, reason)
	fresh := &peer{speaker: s, address: p.address, cfg: p.cfg, policy: p.policy, way: p.way}
	if i := slices.Index(s.static, p); i >= 0 {
		s.static[i] = fresh
	}
	s.addPeer(fresh)
}
