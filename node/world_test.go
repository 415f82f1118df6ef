package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flexvpn/authz"
	"flexvpn/authz/pool"
	"flexvpn/client"
	"flexvpn/config"
	"flexvpn/dataplane"
	"flexvpn/dataplane/planetest"
	"flexvpn/endpoint"
	"flexvpn/endpoint/endpointtest"
	"flexvpn/hub"
	"flexvpn/ikev2"
	"flexvpn/ops/view"
	"flexvpn/profile"
	"flexvpn/routing"
	"flexvpn/store"
	"flexvpn/vtemplate"
)

// A world is hubs and spokes on a network in memory, with fake planes and tables, inside a bubble of
// virtual time: the rooms as they are, only the outside is replaced.
type world struct {
	t   *testing.T
	net *endpointtest.Net
	aaa hub.AAA                // of all hubs; nil: none
	eap authz.EAPAuthenticator // of the profile spokes of all hubs; nil: what the configuration says
	ctx context.Context
	all sync.WaitGroup
}

// inWorld runs f in a bubble; everything started in it has ended when it returns.
func inWorld(t *testing.T, f func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		w := &world{t: t, net: endpointtest.New(1), ctx: ctx}
		w.net.Set(endpointtest.Link{Latency: 10 * time.Millisecond})
		defer w.all.Wait()
		defer cancel()
		f(w)
	})
}

// end is one node of the world.
type end struct {
	*Node
	w     *world
	fake  *planetest.Fake
	fib   *routing.Memory
	log   *lines
	refer *refusing
	told  *told // what inside services were told
	conns conns // of its sessions
}

// conns are the SAs of a node that have said something, the newest last.
type conns struct {
	mu  sync.Mutex
	all []*endpoint.Conn
}

func (c *conns) saw(conn *endpoint.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.all, conn) {
		c.all = append(c.all, conn)
	}
}

func (c *conns) last() *endpoint.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[len(c.all)-1]
}

// seen is a handler whose SAs are noted.
type seen struct {
	endpoint.Handler
	conns *conns
}

func (s seen) Notice(c *endpoint.Conn, e ikev2.Event) {
	s.conns.saw(c)
	s.Handler.Notice(c, e)
}

// starts is an endpoint whose initiated SAs are noted.
type starts struct {
	*endpoint.Endpoint
	conns *conns
}

func (s starts) Initiate(h endpoint.Handler, data any, p *ikev2.Policy, local netip.Addr, remote netip.AddrPort) (*endpoint.Conn, error) {
	c, err := s.Endpoint.Initiate(h, data, p, local, remote)
	if err == nil {
		s.conns.saw(c)
	}
	return c, err
}

// lines keeps what was logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// refusing is a plane that refuses Apply on demand.
type refusing struct {
	dataplane.Plane
	mu  sync.Mutex
	why error
}

func (r *refusing) Apply(spec dataplane.Interface) error {
	r.mu.Lock()
	why := r.why
	r.mu.Unlock()
	if why != nil {
		return why
	}
	return r.Plane.Apply(spec)
}

func (r *refusing) refuse(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.why = why
}

// names resolves host names of the world.
type names map[string][]netip.Addr

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if addrs, ok := n[host]; ok {
		return addrs, nil
	}
	return nil, errors.New("no such host")
}

// end makes a node at addr from a configuration.
func (w *world) end(addr, text string, known names) *end {
	w.t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(text), config.CheckProposal(profile.CheckProposal))
	if err != nil {
		w.t.Fatal(err)
	}
	at := netip.MustParseAddr(addr)
	fib := routing.MemoryFIB()
	e := &end{w: w, fake: planetest.NewFake(), fib: fib, log: &lines{}, told: &told{}}
	e.refer = &refusing{Plane: e.fake}
	n := &Node{opt: Options{Role: "hub", Version: "test"}, cfg: cfg, plane: e.refer, started: time.Now()}
	n.log = slog.New(slog.NewTextHandler(e.log, nil))
	e.Node = n
	n.routes = routing.New(fib)
	var defs []pool.Definition
	for _, p := range cfg.Pools {
		d := pool.Definition{Name: p.Name}
		for _, r := range p.Ranges {
			d.Ranges = append(d.Ranges, pool.Range{First: r.First, Last: r.Last})
		}
		defs = append(defs, d)
	}
	if n.pools, err = pool.New(store.Memory(), defs); err != nil {
		w.t.Fatal(err)
	}
	if n.profiles, err = profile.NewSet(cfg); err != nil {
		w.t.Fatal(err)
	}
	if n.eap, err = n.eapAuthenticators(); err != nil {
		w.t.Fatal(err)
	}
	if w.eap != nil {
		n.eap["spokes"] = w.eap
	}
	n.hub = hub.New(hub.Config{
		EAP:      n.eap,
		Profiles: n.profiles, Policies: cfg.Policies, AAA: w.aaa, Lists: listNetworks(cfg), Plane: n.plane, Pools: n.pools, Routes: n.routes,
		Names: vtemplate.NewNames("va", func(string) bool { return false }), Log: n.log, Node: cfg.Node, MaxSessions: cfg.IKEv2.MaxSessions,
	})
	proposals, _ := profile.Proposals(nil, false)
	n.endpoint, err = endpoint.Open(endpoint.Config{
		Network: w.net.Host(at), Shards: 2, Accept: seen{n.hub, &e.conns},
		Common: &ikev2.Common{Proposals: proposals, VendorIDs: ikev2.VendorIDs(), HalfOpenLife: 30 * time.Second},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	e.buildTracks()
	groups := client.NewGroups()
	for _, c := range cfg.Clients {
		p, err := profile.New(cfg, c.Profile)
		if err != nil {
			w.t.Fatal(err)
		}
		n.clients = append(n.clients, client.New(client.Config{
			Client: c, Profile: p, Start: starts{n.endpoint, &e.conns}, Plane: n.plane, Routes: n.routes, Resolver: known, Groups: groups, Log: n.log,
			Node: cfg.Node, Version: "flexvpn test", IKEPort: 500, LocalTo: func(netip.Addr) (netip.Addr, error) { return at, nil },
			Inside: []client.Inside{e.told}, Tracks: n.tracks,
		}))
	}
	return e
}

// run starts the node; the returned function stops it as a signal would, and may be called twice.
func (e *end) run() (stop func()) {
	ctx, cancel := context.WithCancel(e.w.ctx)
	ike, stopIKE := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	e.w.all.Go(func() { _ = e.endpoint.Run(ike) })
	e.w.all.Go(func() { _ = e.planeEvents(ike) })
	e.w.all.Go(func() { _ = e.tracks.Run(ctx) })
	for _, c := range e.clients {
		tasks.Go(func() { _ = c.Run(ctx) })
	}
	done := make(chan struct{})
	e.w.all.Go(func() {
		defer close(done)
		<-ctx.Done()
		tasks.Wait()
		limit, stopLimit := context.WithTimeout(context.Background(), 5*time.Second)
		defer stopLimit()
		e.hub.Stop(limit)
		stopIKE()
		if err := e.pools.Close(); err != nil {
			e.w.t.Error(err)
		}
		_ = e.fake.Close()
	})
	return func() { cancel(); <-done }
}

// after lets virtual time pass and everybody finish reacting.
func (w *world) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// sessions are those that are up.
func (e *end) up() (out []view.Session) {
	all, err := e.Sessions(context.Background(), view.SessionFilter{})
	if err != nil {
		e.w.t.Fatal(err)
	}
	for _, s := range all {
		if s.State == "UP-ACTIVE" {
			out = append(out, s)
		}
	}
	return out
}

// wantUp fails unless exactly n sessions are up.
func (e *end) wantUp(n int, why string) []view.Session {
	e.w.t.Helper()
	out := e.up()
	if len(out) != n {
		e.w.t.Fatalf("%s: %d sessions are up, want %d\n%s", why, len(out), n, e.log)
	}
	return out
}

// wantClean fails unless the node has given everything back.
func (e *end) wantClean(why string) {
	e.w.t.Helper()
	if state := e.fake.String(); state != "" {
		e.w.t.Errorf("%s: the plane still has\n%s", why, state)
	}
	if routes, _ := e.fib.Routes(routing.Protocol); len(routes) != 0 {
		e.w.t.Errorf("%s: the table still has %v", why, routes)
	}
	for _, p := range e.pools.Usage() {
		if p.Used != 0 {
			e.w.t.Errorf("%s: pool %s still has %d leases in use", why, p.Name, p.Used)
		}
	}
	if all, _ := e.Sessions(context.Background(), view.SessionFilter{}); len(all) != 0 {
		e.w.t.Errorf("%s: there are still sessions %+v", why, all)
	}
}

// interfaces is how many the plane has.
func (e *end) interfaces() int { return strings.Count("\n"+e.fake.String(), "\ninterface ") }

// hubText is a hub's configuration; changes replace parts of it, old and new in turn.
func hubText(changes ...string) string {
	text := `node: hub1
dataplane: none
ikev2:
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: a test secret not for use}]}
  profiles:
    spokes:
      match: {identity: [{fqdn-domain: branch.example.net}]}
      identity: {fqdn: hub1.example.net}
      authentication: {local: psk, remote: psk}
      keyring: peers
      authorization: {group: {list: local, policy: default}}
      virtual-template: 1
      dpd: {interval: 10s, retry: 2s, mode: periodic}
  authorization-policies:
    default: {pool: p4, dns: [192.168.10.5], routes: {set: [interface, 10.0.0.0/8], accept: [172.16.0.0/12]}}
pools: {p4: {range: 10.1.1.2-10.1.1.9}}
virtual-templates: {1: {mode: auto, address: 10.1.1.1/32}}
`
	return strings.NewReplacer(changes...).Replace(text)
}

// spokeText is a spoke's configuration.
func spokeText(name string, changes ...string) string {
	text := fmt.Sprintf(`node: %[1]s
dataplane: none
ikev2:
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: a test secret not for use}]}
  profiles:
    hubs:
      identity: {fqdn: %[1]s.branch.example.net}
      authentication: {local: psk, remote: psk}
      keyring: peers
      routes: {set: [interface, 172.16.1.0/24, 198.18.0.0/15], accept: any}
      dpd: {interval: 10s, retry: 2s, mode: periodic}
clients:
  c: {peers: [{sequence: 1, address: 192.0.2.1}], profile: hubs, tunnel: tunnel1}
tunnels: {tunnel1: {mode: ipsec, address: negotiated, source: dynamic, destination: dynamic}}
`, name)
	return strings.NewReplacer(changes...).Replace(text)
}
