package routing

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"flexvpn/authz"
	"flexvpn/dataplane"
)

// FIB is a forwarding table. [dataplane/rtnl] has the kernel's, [MemoryFIB] one for tests.
type FIB interface {
	// AddRoute adds the route. Its error is one of fs.ErrExist when any route of the same prefix,
	// metric and table is there.
	AddRoute(dataplane.Route) error
	// ReplaceRoute adds the route, or changes the one of the same prefix, metric and table.
	ReplaceRoute(dataplane.Route) error
	// DeleteRoute removes the route; one that is not there is no error.
	DeleteRoute(dataplane.Route) error
	// Routes are the routes of a protocol number, in all tables.
	Routes(protocol int) ([]dataplane.Route, error)
	// RouteTo is the way packets to an address would take now.
	RouteTo(netip.Addr) (dataplane.Route, error)
	// RouteBeside is the way as it were without the routes of our protocol numbers.
	RouteBeside(a netip.Addr, ours func(protocol int) bool) (dataplane.Route, error)
	// VRF is the table of a VRF device.
	VRF(name string) (table int, ok bool, err error)
	// Up reports whether an interface is there and up.
	Up(name string) bool
	// Watch tells of changes of routes, links and addresses; see rtnl.
	Watch(done <-chan struct{}) (<-chan dataplane.NetEvent, error)
}

// An Announcement is the complete set of prefixes that one session has from one source.
type Announcement struct {
	Interface string
	VRF       string // the device of the VRF that Interface is in; empty: the main table
	Source    string
	Identity  string // of the peer, for show
	Prefixes  []netip.Prefix
	Distance  uint8 // 0: the source's own
	Tag       uint32
	// Peer is what is known of the session's other end; it comes with the assigned addresses.
	Peer Peer
	// Share lets the prefixes be reached over this and other announcements of the same source and
	// distance that share, packets divided by flow. Without it the newest announcement wins.
	Share bool
}

// Peer is what the authorization of a session and its path say about the other end.
type Peer struct {
	Accept    authz.Accept // prefixes that may be behind it
	Transport netip.Addr   // its transport address
}

// A Table is the RIB. Methods are safe for concurrent use; they block while routes are written. What is
// written to the FIB are differences.
//
// An error of one route stops no other: what a method returns names each route that could not be
// written. The table remembers what really stands, and tries again when the route is set again, when
// the machine's network changes there, or when Sweep is called.
type Table struct {
	fib FIB
	now func() time.Time

	mu       sync.Mutex
	sets     map[string]*group[dest] // by key
	entries  map[dest]*entry
	tunnels  map[string]int               // how many claims of sessions lead into each interface, pins aside
	through  map[string]*group[*claim]    // claims by the interfaces they lead into
	down     map[string]bool              // interfaces that are known not to be up
	own      map[dest]map[string]struct{} // this machine's own addresses as host prefixes, and their interfaces
	waiting  map[dest]map[*claim]struct{} // claims by next hop, as host prefix: resolved or not
	lengths  map[lengthOf]int             // how many dests of each prefix length next hops can resolve by
	tables   map[string]int               // VRF device -> table
	peers    map[string]Peer              // by session
	hubs     map[string][]netip.Addr      // transport addresses that no route of ours may swallow, by key
	left     map[slot]bool                // where routes of ours stand that could not be removed
	watchers []func(Best)
	counters Counters
	doubt    bool // something stands where we did not expect it: Run sweeps
}

// New returns an empty table over fib. Call Sweep before the first session.
func New(fib FIB) *Table {
	return &Table{
		fib: fib, now: time.Now, sets: map[string]*group[dest]{}, entries: map[dest]*entry{},
		tunnels: map[string]int{}, through: map[string]*group[*claim]{}, down: map[string]bool{}, own: map[dest]map[string]struct{}{},
		waiting: map[dest]map[*claim]struct{}{}, lengths: map[lengthOf]int{}, left: map[slot]bool{}, peers: map[string]Peer{}, hubs: map[string][]netip.Addr{}, tables: map[string]int{"": 0},
	}
}

// Set makes a the announcement of key, which replaces the one before: new routes are added before
// those that vanished are removed. A key is SESSION/SOURCE, or any other text that has the
// session's name before its first slash.
func (t *Table) Set(key string, a Announcement) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.Source == SourceAddress {
		t.peers[sessionOf(key)] = a.Peer
	}
	var claims []*claim
	var errs []error
	for _, p := range a.Prefixes {
		if !p.IsValid() {
			errs = append(errs, fmt.Errorf("route %s of %s: no prefix", p, key))
			continue
		}
		claims = append(claims, &claim{
			key: key, dest: dest{a.VRF, p.Masked()}, source: a.Source, identity: a.Identity, distance: a.Distance,
			tag: a.Tag, share: a.Share, given: []dataplane.Hop{{Interface: a.Interface}},
		})
	}
	return problems(append(errs, t.set(key, claims)...))
}

// set replaces all claims of key.
func (t *Table) set(key string, claims []*claim) (errs []error) {
	old := t.sets[key]
	keep := make(map[dest]bool, len(claims))
	for _, c := range claims {
		if keep[c.dest] {
			continue
		}
		keep[c.dest] = true
		errs = append(errs, t.put(c)...)
	}
	for c := range old.all {
		if !keep[c.dest] {
			errs = append(errs, t.drop(c)...)
		}
	}
	return errs
}

// put makes c the claim of its key to its dest. A claim that says the same as before keeps its age.
func (t *Table) put(c *claim) []error {
	if c.distance == 0 {
		c.distance = sourceOf(c.source).distance
	}
	c.since = t.now()
	e := t.entries[c.dest]
	if e == nil {
		e = &entry{}
		t.entries[c.dest] = e
	}
	old := t.sets[c.key].get(c.dest)
	switch {
	case old == nil:
		e.enter(c)
		t.remember(c)
	case old.preference() == c.preference() && old.source == c.source:
		t.unhook(old)
		c.since, c.prev, c.next = old.since, old.prev, old.next
		*old, c = *c, old
	default:
		e.leave(old)
		t.unhook(old)
		e.enter(c)
		t.sets[c.key].put(c)
	}
	t.hook(c)
	return t.settle(c.dest)
}

func (t *Table) remember(c *claim) {
	if t.sets[c.key] == nil {
		t.sets[c.key] = byDest()
	}
	t.sets[c.key].put(c)
	t.countLength(c, 1)
}

// drop withdraws c.
func (t *Table) drop(c *claim) []error {
	t.entries[c.dest].leave(c)
	t.unhook(c)
	t.countLength(c, -1)
	if t.sets[c.key].remove(c.dest); t.sets[c.key].len() == 0 {
		delete(t.sets, c.key)
	}
	return t.settle(c.dest)
}

// Remove withdraws the announcement of key. Its cost is that of its routes.
func (t *Table) Remove(key string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.hubs, key)
	if strings.HasSuffix(key, "/"+SourceAddress) {
		delete(t.peers, sessionOf(key))
	}
	return problems(t.set(key, nil))
}

// Peer is what came with the addresses of a session.
func (t *Table) Peer(session string) Peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.peers[session]
}

// Path is the way to one prefix that a routing protocol found.
type Path struct {
	VRF      string
	Prefix   netip.Prefix
	Source   string
	Identity string       // whom it is from, for show
	NextHops []netip.Addr // resolved by the other routes of the VRF
	// Interface makes the first next hop, or none, one of this interface, without resolving it.
	Interface string
	Discard   bool  // packets are dropped; no next hops
	Distance  uint8 // 0: the source's own
	Tag       uint32
}

// SetPath makes p the way to its prefix that key knows; others of key stay.
func (t *Table) SetPath(key string, p Path) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !p.Prefix.IsValid() {
		return fmt.Errorf("route %s of %s: no prefix", p.Prefix, key)
	}
	c := &claim{
		key: key, dest: dest{p.VRF, p.Prefix.Masked()}, source: p.Source, identity: p.Identity, distance: p.Distance,
		tag: p.Tag, nexthops: p.NextHops, discard: p.Discard, onlink: len(p.NextHops) > 0,
		share: p.Source == SourceStatic, // as on IOS: static routes of one distance divide traffic
	}
	if p.Interface != "" {
		hop := dataplane.Hop{Interface: p.Interface}
		if len(p.NextHops) > 0 {
			hop.Via = p.NextHops[0]
		}
		c.nexthops, c.given = nil, []dataplane.Hop{hop}
	}
	return problems(append(t.keepOut(p.Prefix), t.put(c)...))
}

// RemovePath withdraws the way to a prefix that key knows.
func (t *Table) RemovePath(key, vrf string, p netip.Prefix) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.sets[key].get(dest{vrf, p.Masked()}); c != nil {
		return problems(t.drop(c))
	}
	return nil
}
