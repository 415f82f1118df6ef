// Package routing decides which routes the machine has because of our sessions, and keeps its
// forwarding table (FIB) equal to that.
//
// Every route we write carries our own protocol number, [Protocol]: what a crashed run left behind
// is found by it, and nobody else's route is ever touched.
package routing

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"flexvpn/dataplane"
	"flexvpn/ops/view"
)

// Protocol is our number in the kernel's table of routing protocols (rtm_protocol; numbers from 5
// on are for user space to agree upon, /etc/iproute2/rt_protos). An operator finds our routes with
// "ip route show proto 178".
const Protocol = 178

// defaultMetric is that of an announcement without a distance. It is not the kernel's default, at
// which a route of somebody else might stand that we would replace.
const defaultMetric = 1

// Where an announcement comes from. For one prefix the first of these wins: the way to the hub must
// not lead into its own tunnel, and no spoke can take another's assigned address by announcing it.
const (
	SourceTransport = "transport" // the pinned way to a hub
	SourceAddress   = "address"   // the address a spoke was assigned
	SourceIKEv2     = "ikev2"     // what a peer announced
)

const ranks = 3

func rank(source string) int {
	switch source {
	case SourceTransport:
		return 0
	case SourceAddress:
		return 1
	}
	return 2
}

// FIB is a forwarding table. [dataplane/rtnl] has the kernel's, [MemoryFIB] one for tests.
type FIB interface {
	// ReplaceRoute adds the route, or changes the one of the same prefix, metric and table.
	ReplaceRoute(dataplane.Route) error
	// DeleteRoute removes the route; one that is not there is no error.
	DeleteRoute(dataplane.Route) error
	// Routes are the routes of a protocol number, in all tables.
	Routes(protocol int) ([]dataplane.Route, error)
	// RouteTo is the way packets to an address would take now.
	RouteTo(netip.Addr) (dataplane.Route, error)
}

// An Announcement is the complete set of prefixes that one session has from one source.
type Announcement struct {
	Interface string
	VRF       string // the device of the VRF that Interface is in; empty: the main table
	Source    string
	Identity  string // of the peer, for show
	Prefixes  []netip.Prefix
	Distance  uint8 // metric; 0: 1
}

// A Table holds the announcements of all sessions. Of several for one prefix the newest wins, and
// the others take over in turn when it is withdrawn. What is written to the FIB are differences.
//
// An error of one route stops no other: what a method returns names each route that could not be
// written. The table remembers what really stands, and tries again when that session is set again
// or Sweep is called. Methods are safe for concurrent use; they block while routes are written.
type Table struct {
	fib FIB
	now func() time.Time

	mu       sync.Mutex
	sets     map[string]map[netip.Prefix]*claim // by key
	prefixes map[netip.Prefix]*entry
	tunnels  map[string]int // how many claims lead into each interface, pins aside
}

// A claim is one prefix of one announcement.
type claim struct {
	prev, next *claim // in its entry, newest first

	key      string
	source   string
	identity string
	distance uint8
	since    time.Time
	route    dataplane.Route
}

// An entry is all claims to one prefix, by rank, and what stands in the FIB.
type entry struct {
	newest    [ranks]*claim
	installed dataplane.Route
	stands    bool
}

// New returns an empty table over fib. Call Sweep before the first session.
func New(fib FIB) *Table {
	return &Table{
		fib: fib, now: time.Now, sets: make(map[string]map[netip.Prefix]*claim),
		prefixes: make(map[netip.Prefix]*entry), tunnels: make(map[string]int),
	}
}

// Set makes a the announcement of key, which replaces the one before: new routes are added before
// those that vanished are removed. A key is SESSION/SOURCE, or any other text that has the
// session's name before its first slash.
func (t *Table) Set(key string, a Announcement) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.VRF != "" {
		return fmt.Errorf("routes of %s: VRF %s: routes in VRFs are not supported yet", key, a.VRF)
	}
	metric := int(a.Distance)
	if metric == 0 {
		metric = defaultMetric
	}
	var routes []dataplane.Route
	var errs []error
	for _, p := range a.Prefixes {
		if !p.IsValid() {
			errs = append(errs, fmt.Errorf("route %s of %s: no prefix", p, key))
			continue
		}
		routes = append(routes, dataplane.Route{Prefix: p.Masked(), Interface: a.Interface, Metric: metric, Protocol: Protocol})
	}
	return problems(append(errs, t.set(key, a, routes)...))
}

func (t *Table) set(key string, a Announcement, routes []dataplane.Route) (errs []error) {
	old := t.sets[key]
	set := make(map[netip.Prefix]*claim, len(routes))
	for _, r := range routes {
		if set[r.Prefix] != nil {
			continue
		}
		c := old[r.Prefix]
		if c != nil && c.source != a.Source { // its rank changes: a new claim
			t.withdraw(c)
			c = nil
		}
		if c == nil {
			c = &claim{key: key, source: a.Source, since: t.now(), route: r}
			t.enter(c)
		}
		t.count(c, -1)
		c.route, c.identity, c.distance = r, a.Identity, a.Distance
		t.count(c, 1)
		set[r.Prefix] = c
		errs = append(errs, t.settle(r.Prefix))
	}
	for p, c := range old {
		if set[p] == nil {
			t.withdraw(c)
			errs = append(errs, t.settle(p))
		}
	}
	delete(t.sets, key)
	if len(set) > 0 {
		t.sets[key] = set
	}
	return errs
}

// Remove withdraws the announcement of key. Its cost is that of its routes.
func (t *Table) Remove(key string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return problems(t.set(key, Announcement{}, nil))
}

// enter puts c before the other claims of its rank.
func (t *Table) enter(c *claim) {
	e := t.prefixes[c.route.Prefix]
	if e == nil {
		e = &entry{}
		t.prefixes[c.route.Prefix] = e
	}
	head := &e.newest[rank(c.source)]
	if c.next = *head; c.next != nil {
		c.next.prev = c
	}
	*head = c
	t.count(c, 1)
}

func (t *Table) withdraw(c *claim) {
	if c.next != nil {
		c.next.prev = c.prev
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		t.prefixes[c.route.Prefix].newest[rank(c.source)] = c.next
	}
	t.count(c, -1)
}

// count keeps tunnels true. A pin's own interface is not a tunnel.
func (t *Table) count(c *claim, by int) {
	if c.source == SourceTransport {
		return
	}
	if t.tunnels[c.route.Interface] += by; t.tunnels[c.route.Interface] == 0 {
		delete(t.tunnels, c.route.Interface)
	}
}

// winner is the claim whose route should stand, or nil.
func (e *entry) winner() *claim {
	for _, c := range e.newest {
		if c != nil {
			return c
		}
	}
	return nil
}

// settle makes the FIB have the winner's route for p.
func (t *Table) settle(p netip.Prefix) error {
	e := t.prefixes[p]
	if e == nil {
		return nil
	}
	w := e.winner()
	switch {
	case w == nil && e.stands:
		if err := t.fib.DeleteRoute(e.installed); err != nil {
			return routeError("remove", e.installed, err)
		}
		delete(t.prefixes, p)
		return nil
	case w == nil:
		delete(t.prefixes, p)
		return nil
	case e.stands && e.installed == w.route:
		return nil
	}
	if err := t.fib.ReplaceRoute(w.route); err != nil {
		return routeError("install", w.route, err)
	}
	old, stood := e.installed, e.stands
	e.installed, e.stands = w.route, true
	if stood && !sameSlot(old, w.route) {
		if err := t.fib.DeleteRoute(old); err != nil {
			return routeError("remove", old, err) // Sweep finds it by its protocol number
		}
	}
	return nil
}

// sameSlot reports whether writing b replaces a.
func sameSlot(a, b dataplane.Route) bool {
	return a.Prefix == b.Prefix && a.Metric == b.Metric && a.Table == b.Table
}

// Sweep makes the FIB hold exactly the declared routes under our protocol number: what a former
// run or a failed write left behind is removed, what is missing is written. Routes of all other
// numbers are left alone. It costs one reading of all our routes.
func (t *Table) Sweep() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	standing, err := t.fib.Routes(Protocol)
	if err != nil {
		return fmt.Errorf("read our routes: %w", err)
	}
	for _, e := range t.prefixes {
		e.stands = false
	}
	var strange []dataplane.Route
	for _, r := range standing {
		e := t.prefixes[r.Prefix]
		if w := e.want(); w != nil && w.route == r {
			e.installed, e.stands = r, true
			continue
		}
		strange = append(strange, r)
	}
	var errs []error
	for p := range t.prefixes {
		errs = append(errs, t.settle(p))
	}
	for _, r := range strange {
		if w := t.prefixes[r.Prefix].want(); w != nil && sameSlot(r, w.route) {
			continue // it was replaced just now
		}
		if err := t.fib.DeleteRoute(r); err != nil {
			errs = append(errs, routeError("remove", r, err))
		}
	}
	return problems(errs)
}

func (e *entry) want() *claim {
	if e == nil {
		return nil
	}
	return e.winner()
}

// Routes are the routes that stand, by prefix.
func (t *Table) Routes() []view.Route {
	t.mu.Lock()
	all := make([]view.Route, 0, len(t.prefixes))
	for p, e := range t.prefixes {
		w := e.winner()
		if w == nil || !e.stands || e.installed != w.route {
			continue
		}
		session, _, _ := strings.Cut(w.key, "/")
		all = append(all, view.Route{
			Prefix: p, Interface: w.route.Interface, Source: w.source, Session: session,
			Identity: w.identity, Distance: w.distance, Since: w.since,
		})
	}
	t.mu.Unlock()
	slices.SortFunc(all, func(a, b view.Route) int {
		if c := a.Prefix.Addr().Compare(b.Prefix.Addr()); c != 0 {
			return c
		}
		return a.Prefix.Bits() - b.Prefix.Bits()
	})
	return all
}

func routeError(what string, r dataplane.Route, err error) error {
	return fmt.Errorf("%s route %s dev %s: %w", what, r.Prefix, r.Interface, err)
}

// maxProblems bounds an error's text when an interface is gone and all its routes fail.
const maxProblems = 8

func problems(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if n := len(errs); n > maxProblems {
		errs = append(errs[:maxProblems:maxProblems], fmt.Errorf("and %d more routes", n-maxProblems))
	}
	return errors.Join(errs...)
}
