package node

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"flexvpn/authz"
	"flexvpn/config"
	"flexvpn/dataplane"
	"flexvpn/endpoint"
	"flexvpn/endpoint/endpointtest"
	"flexvpn/ikev2"
	"flexvpn/ikev2/wire"
	"flexvpn/profile"
)

// A herd is many spokes of one host, each an SA of the real engine. One that loses its session comes
// again at once, without the patience of a client: the worst that a hub can meet.
type herd struct {
	w        *world
	endpoint *endpoint.Endpoint
	policy   *ikev2.Policy
	hub      netip.AddrPort

	mu    sync.Mutex         // guards these
	quiet bool               // nobody comes again
	up    map[int]netip.Addr // the address of each spoke that is up
	lost  map[ikev2.CloseReason]int
}

type member struct {
	n  int
	up bool
}

func newHerd(w *world, addr string) *herd {
	w.t.Helper()
	cfg, err := config.Parse("herd.yaml", []byte(spokeText("spoke")), config.CheckProposal(profile.CheckProposal))
	if err != nil {
		w.t.Fatal(err)
	}
	c := cfg.Clients["c"]
	p, err := profile.New(cfg, c.Profile)
	if err != nil {
		w.t.Fatal(err)
	}
	g := &herd{w: w, hub: netip.MustParseAddrPort("192.0.2.1:500"), up: map[int]netip.Addr{}, lost: map[ikev2.CloseReason]int{}}
	if g.policy, err = p.Policy(ikev2.Identity{}, g.hub.Addr(), netip.MustParseAddr(addr)); err != nil {
		w.t.Fatal(err)
	}
	proposals, _ := profile.Proposals(nil, false)
	g.endpoint, err = endpoint.Open(endpoint.Config{
		Network: w.net.Host(netip.MustParseAddr(addr)), Shards: 2,
		Common: &ikev2.Common{Proposals: proposals, VendorIDs: ikev2.VendorIDs()},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.all.Go(func() { _ = g.endpoint.Run(w.ctx) })
	return g
}

// come lets all members begin, all at once.
func (g *herd) come(n int) {
	for i := range n {
		g.begin(i)
	}
}

func (g *herd) begin(n int) {
	p := *g.policy
	p.Local.Data = fmt.Sprintf("s%d.branch.example.net", n)
	p.TSLocal = []wire.Selector{wire.SelectorFromPrefix(netip.MustParsePrefix("0.0.0.0/0"), 0)}
	p.TSRemote = slices.Clone(p.TSLocal)
	p.Config = authz.Request(authz.Wanted{Address: true})
	if _, err := g.endpoint.Initiate(g, &member{n: n}, &p, netip.Addr{}, g.hub); err != nil {
		g.w.t.Errorf("spoke %d: %v", n, err)
	}
}

// Ask implements endpoint.Handler.
func (g *herd) Ask(c *endpoint.Conn, q ikev2.Question) {
	switch q := q.(type) {
	case ikev2.Install:
		c.Answer(ikev2.InstallAnswer{ID: q.ID})
	case ikev2.Traffic:
		c.Answer(ikev2.TrafficAnswer{ID: q.ID})
	}
}

// Notice implements endpoint.Handler.
func (g *herd) Notice(c *endpoint.Conn, e ikev2.Event) {
	m := c.Data.(*member)
	switch e := e.(type) {
	case ikev2.Established:
		g.mu.Lock()
		defer g.mu.Unlock()
		m.up = true
		g.up[m.n] = pushed(e.Config)
	case ikev2.Closed:
		g.mu.Lock()
		if m.up {
			delete(g.up, m.n)
		}
		g.lost[e.Reason]++
		quiet := g.quiet
		g.mu.Unlock()
		if !quiet {
			g.begin(m.n)
		}
	}
}

// pushed is the address that a hub gave.
func pushed(reply []wire.Attribute) netip.Addr {
	p := authz.FromReply(reply)
	if len(p.Addresses) == 0 {
		return netip.Addr{}
	}
	return p.Addresses[0]
}

// silence ends the coming again.
func (g *herd) silence() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.quiet = true
}

func (g *herd) standing() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.up)
}

// closed is how often a member lost its session or its attempt.
func (g *herd) closed() (all int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range g.lost {
		all += n
	}
	return all
}

// all waits, in virtual time, until n members stand.
func (g *herd) all(n int, why string) {
	g.w.t.Helper()
	for range 900 {
		if g.w.after(time.Second); g.standing() == n {
			return
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.w.t.Fatalf("%s: %d of %d stand after a quarter of an hour; closed were %v", why, len(g.up), n, g.lost)
}

// wantHerd holds a hub's sessions, leases and interfaces against the herd's.
func (e *end) wantHerd(g *herd, n int, why string) {
	e.w.t.Helper()
	up := e.wantUp(n, why)
	names, addresses := map[string]bool{}, map[netip.Addr]bool{}
	for _, s := range up {
		names[s.Interface] = true
		for _, a := range s.Addresses {
			addresses[a] = true
		}
	}
	for _, a := range g.up {
		if !addresses[a] {
			e.w.t.Errorf("%s: a spoke believes that it has %v", why, a)
		}
	}
	if len(names) != n || len(addresses) != n || e.pools.Usage()[0].Used != uint64(n) || e.interfaces() != n {
		e.w.t.Errorf("%s: %d sessions have %d interfaces, %d addresses; the pool has %d in use, the plane %d interfaces", why, n, len(names), len(addresses), e.pools.Usage()[0].Used, e.interfaces())
	}
	if open := e.endpoint.HalfOpen(); open != 0 {
		e.w.t.Errorf("%s: %d handshakes are still under way", why, open)
	}
}

// Five thousand spokes come at once; their hub dies without a word and comes again, and so do they, all
// in the same moment; then they lose their own state and come while the hub still holds their sessions.
// Each time all end up with one session, one address and one interface each, and nothing is left behind.
func TestFiveThousandAtOnce(t *testing.T) {
	const n = 5000
	text := hubText("range: 10.1.1.2-10.1.1.9", "range: 10.2.0.2-10.2.255.254", "interval: 10s", "interval: 60s")
	inWorld(t, func(w *world) {
		start := func() (*end, func()) {
			h := w.end("192.0.2.1", text, nil)
			slowed(h, func(*dataplane.Interface) (<-chan struct{}, error) {
				done := make(chan struct{})
				time.AfterFunc(5*time.Millisecond, func() { close(done) })
				return done, nil
			})
			return h, h.run()
		}
		h, kill := start()
		g := newHerd(w, "192.0.2.9")
		g.come(n)
		g.all(n, "they come for the first time")
		h.wantHerd(g, n, "they came for the first time")
		c := h.endpoint.Counters()
		if c["dropped_no_cookie"] == 0 {
			t.Errorf("nobody was asked for a cookie: %v", c)
		}

		w.net.Filter(func(*endpointtest.Datagram) bool { return false })
		kill()
		h, kill = start()
		w.net.Filter(nil)
		for g.closed() < n {
			w.after(time.Second)
		}
		g.all(n, "their hub was killed")
		h.wantHerd(g, n, "after the hub was killed")
		before := g.up

		g.silence()
		w.net.Filter(func(d *endpointtest.Datagram) bool {
			return d.From.Addr() != netip.MustParseAddr("192.0.2.9") // its host was switched off
		})
		again := newHerd(w, "192.0.2.10")
		again.come(n)
		again.all(n, "they lost their state")
		w.after(10 * time.Second)
		h.wantHerd(again, n, "after they lost their state")
		for m, a := range before {
			if again.up[m] != a {
				t.Errorf("spoke %d had %v and has %v: who returns keeps the address", m, a, again.up[m])
				break
			}
		}
		again.silence()
		kill()
		h.wantClean("the hub stopped")
	})
}
