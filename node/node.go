// Package node assembles one running process from a configuration: data plane, endpoint, hub and
// clients on it, control socket and metrics. It decides nothing about sessions; it knows who needs
// whom, in which order they start, and in which they stop.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"flexvpn/authz"
	"flexvpn/authz/pool"
	"flexvpn/client"
	"flexvpn/client/track"
	"flexvpn/config"
	"flexvpn/dataplane"
	"flexvpn/dataplane/edge"
	"flexvpn/dataplane/kernel"
	"flexvpn/dataplane/none"
	"flexvpn/dataplane/rtnl"
	"flexvpn/dataplane/userspace"
	"flexvpn/endpoint"
	"flexvpn/hub"
	"flexvpn/ikev2"
	"flexvpn/ops"
	"flexvpn/ops/view"
	"flexvpn/profile"
	"flexvpn/routing"
	"flexvpn/routing/bgp"
	"flexvpn/store"
	"flexvpn/vtemplate"
)

// Options say what to run.
type Options struct {
	Role       string // hub or client: the word the process was started with
	ConfigPath string
	LogTo      io.Writer // where the log goes; its level and form are the configuration's
	Version    string
	// Keep leaves sessions' interfaces, SAs and routes in the kernel when the node stops: packets go on
	// until it is started again, which removes what has no session.
	Keep bool
	// Trace is given every IKE message, decoded, from the first on; it must not block. May be nil.
	Trace func(view.TraceLine)
}

// Node is one running process.
type Node struct {
	opt      Options
	cfg      *config.Config
	log      *slog.Logger
	started  time.Time
	profiles profile.Set
	rtnl     *rtnl.Conn
	plane    dataplane.Plane
	kernel   *kernel.Plane // below plane, when it is the kernel's
	edge     *edge.Plane   // n.plane, when it makes devices
	routes   *routing.Table
	store    store.Store
	pools    *pool.Pools
	endpoint *endpoint.Endpoint
	eap      map[string]authz.EAPAuthenticator // by profile
	hub      *hub.Hub                          // nil when no profile answers
	aaa      *aaa                              // nil without servers
	clients  []*client.Client
	tracks   *track.Set
	speakers []*bgp.Speaker
	debug    ops.Debug
	inside   *inside
	stopped  chan struct{} // closed in close
}

// CheckConfig reads and validates a configuration, the names of its algorithms included.
func CheckConfig(path string) (*config.Config, error) {
	return config.Load(path, checks()...)
}

// checks are the judges of what config does not know itself.
func checks() []config.Option {
	return []config.Option{config.CheckProposal(profile.CheckProposal), config.CheckInterfaceConfig(vtemplate.CheckLine)}
}

// Run runs a node until ctx ends, then stops it gracefully: peers are told, interfaces, routes and
// SAs are removed. An error says why the node could not start or go on.
func Run(ctx context.Context, opt Options) error {
	collectLess(opt.Role)
	cfg, err := loadHere(opt.ConfigPath)
	if err != nil {
		return err
	}
	log, err := ops.NewLogger(opt.LogTo, cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return err
	}
	n := &Node{opt: opt, cfg: cfg, log: log, started: time.Now(), stopped: make(chan struct{})}
	for _, w := range cfg.Warnings {
		log.Warn("configuration", "at", w.Error())
	}
	if err := n.requireRole(); err != nil {
		return err
	}
	control, err := ops.Listen(cfg.Control.Socket, log)
	if err != nil {
		return err
	}
	defer func() { _ = control.Close() }()
	if err := n.build(); err != nil {
		return errors.Join(err, n.close())
	}
	if opt.Trace != nil {
		defer n.Trace(view.TraceFilter{Packet: true}, opt.Trace)()
	}
	err = n.serve(ctx, control)
	return errors.Join(err, n.close())
}

// requireRole holds the word against the configuration.
func (n *Node) requireRole() error {
	answers := false
	for _, p := range n.cfg.IKEv2.Profiles {
		answers = answers || p.VirtualTemplate != nil
	}
	switch {
	case n.opt.Role == "hub" && !answers:
		return fmt.Errorf("%s: no ikev2 profile has a virtual-template, so this hub would answer nobody: add one, or run flexvpn client", n.opt.ConfigPath)
	case n.opt.Role == "client" && len(n.cfg.Clients) == 0:
		return fmt.Errorf("%s: there is no client profile: add one under clients, or run flexvpn hub", n.opt.ConfigPath)
	}
	return nil
}

// build makes everything, the kernel's left-overs of a crashed run removed first.
func (n *Node) build() (err error) {
	if n.profiles, err = profile.NewSet(n.cfg); err != nil {
		return err
	}
	if n.rtnl, err = rtnl.Open(); err != nil {
		return err
	}
	var fib routing.FIB = n.rtnl
	if n.cfg.DataPlane == config.PlaneNone {
		fib = routing.MemoryFIB()
	}
	n.routes = routing.New(fib)
	if err := n.routes.Sweep(); err != nil {
		return fmt.Errorf("remove the routes of a former run: %w", err)
	}
	if err := n.buildPools(); err != nil {
		return err
	}
	if err := n.buildAAA(); err != nil {
		return err
	}
	if n.eap, err = n.eapAuthenticators(); err != nil {
		return err
	}
	if err := n.buildPlaneAndEndpoint(); err != nil {
		return err
	}
	if err := n.buildInside(); err != nil {
		return err
	}
	if err := n.buildRouting(); err != nil {
		return err
	}
	return n.buildClients()
}

func (n *Node) buildPools() (err error) {
	if n.store, err = store.Open(filepath.Join(n.cfg.StateDir, "leases.db")); err != nil {
		return err
	}
	var defs []pool.Definition
	for _, p := range n.cfg.Pools {
		d := pool.Definition{Name: p.Name}
		for _, r := range p.Ranges {
			d.Ranges = append(d.Ranges, pool.Range{First: r.First, Last: r.Last})
		}
		defs = append(defs, d)
	}
	n.pools, err = pool.New(n.store, defs)
	return err
}

// sink passes ESP to the plane, which is made after the endpoint that feeds it.
type sink struct{ plane *userspace.Plane }

func (s *sink) ReceiveESP(local, remote netip.AddrPort, buf []byte, segment int) {
	s.plane.ReceiveESP(local, remote, buf, segment)
}

// sender passes ESP to the endpoint, which needs the plane as its sink.
type sender struct{ endpoint *endpoint.Endpoint }

func (s *sender) WriteESP(vrf string, local, remote netip.AddrPort, buf []byte, segment int) error {
	return s.endpoint.WriteESP(vrf, local, remote, buf, segment)
}

func (n *Node) buildPlaneAndEndpoint() (err error) {
	var in endpoint.DataSink
	out := &sender{}
	switch n.choosePlane(kernel.Probe) {
	case config.PlaneNone:
		n.plane = none.New()
	case config.PlaneKernel:
		if err := n.buildKernelPlane(kernel.Probe); err != nil {
			return err
		}
	default:
		p, err := userspace.New(userspace.Options{Sender: out, Link: n.rtnl})
		if err != nil {
			return err
		}
		in = &sink{plane: p}
		if n.plane, err = n.attach(p, false); err != nil {
			return errors.Join(err, p.Close())
		}
	}
	if err := n.requireKeep(); err != nil {
		return err
	}
	proposals, err := profile.Proposals(n.cfg.IKEv2.Proposals, false)
	if err != nil {
		return err
	}
	n.endpoint, err = endpoint.Open(endpoint.Config{
		Listen: n.cfg.IKEv2.Listen, VRFs: n.cfg.IKEv2.ListenVRF, IKEPort: n.cfg.IKEv2.Port, NATPort: n.cfg.IKEv2.NATPort,
		Common: &ikev2.Common{
			Proposals: proposals, ForceEncap: n.plane.NeedsEncap(), VendorIDs: ikev2.VendorIDs(),
			Version: n.banner(), HalfOpenLife: n.cfg.IKEv2.HalfOpenLife, NATPort: n.cfg.IKEv2.NATPort, Anchors: n.anchors(),
		},
		Accept: n.accept(), Sink: in, KernelESP: n.kernel != nil,
		MaxHalfOpen: n.cfg.IKEv2.MaxHalfOpen, CookieAlways: n.cfg.IKEv2.CookieAlways,
	})
	if err != nil {
		return err
	}
	out.endpoint = n.endpoint
	n.debug.Changed = func(wanted bool) {
		if wanted {
			n.endpoint.Trace(n.trace)
			return
		}
		n.endpoint.Trace(nil)
	}
	return nil
}

// accept makes the hub when a profile answers peers.
func (n *Node) accept() endpoint.Handler {
	for _, p := range n.cfg.IKEv2.Profiles {
		if p.VirtualTemplate != nil {
			n.buildHub()
			return n.hub
		}
	}
	return nil
}

func (n *Node) banner() string { return "flexvpn " + n.opt.Version }

// anchors are the hashes of all trust anchors, for the CERTREQ of IKE_SA_INIT.
func (n *Node) anchors() [][]byte {
	var out [][]byte
	for _, p := range n.cfg.IKEv2.Profiles {
		if p.Certificate != nil && p.VirtualTemplate != nil {
			out = append(out, p.Certificate.RootSubjectKeys...)
		}
	}
	return out
}

func (n *Node) buildHub() {
	if n.hub != nil {
		return
	}
	n.hub = hub.New(hub.Config{
		Profiles: n.profiles, Policies: n.cfg.Policies, AAA: n.hubAAA(), Lists: listNetworks(n.cfg), Catalog: n.catalog(), Plane: n.plane, Pools: n.pools, Routes: n.routes,
		Names: vtemplate.NewNames("va", n.interfaceExists), Log: n.log, Node: n.cfg.Node,
		Version: n.banner(), MaxSessions: n.cfg.IKEv2.MaxSessions, EAP: n.eap,
	})
}

// interfaceExists asks for one link: a list of all would make the ten thousandth spoke dearer than
// the first. A plane that makes no devices collides with none.
func (n *Node) interfaceExists(name string) bool {
	if n.cfg.DataPlane == config.PlaneNone {
		return false
	}
	_, ok, err := n.rtnl.Link(name)
	return ok || err != nil
}

func (n *Node) buildClients() error {
	n.buildTracks()
	groups := client.NewGroups()
	for _, c := range n.cfg.Clients {
		p, err := profile.New(n.cfg, c.Profile)
		if err != nil {
			return fmt.Errorf("client %s: %w", c.Name, err)
		}
		n.clients = append(n.clients, client.New(client.Config{
			Client: c, Profile: p, Start: n.starter(c.Tunnel.FrontVRF), Plane: n.plane, Routes: n.routes, Resolver: resolverIn(c.Tunnel.FrontVRF),
			Groups: groups, Log: n.log, Node: n.cfg.Node, Version: n.banner(), IKEPort: n.cfg.IKEv2.Port, LocalTo: n.localTo(c.Tunnel.FrontVRF),
			Owner: n.addressOwner, Tracks: n.tracks, Source: n.sourceOf(c.Tunnel.FrontVRF), Trace: n.traceClient, Inside: []client.Inside{n.inside},
		}))
	}
	return nil
}

// addressOwner is the interface that has an address in the routing domain of a VRF.
func (n *Node) addressOwner(a netip.Addr, vrf string) (string, error) {
	if n.cfg.DataPlane == config.PlaneNone {
		return "", nil
	}
	return n.rtnl.Owner(a, vrf)
}

// serve runs all tasks until ctx ends or one fails.
func (n *Node) serve(ctx context.Context, control *ops.Control) error {
	if err := n.startAAA(ctx); err != nil {
		return err
	}
	// The endpoint outlives the others: peers are told good-bye over it.
	ike, stopIKE := context.WithCancel(context.WithoutCancel(ctx))
	defer stopIKE()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.endpoint.Run(ike) })
	g.Go(func() error { return control.Serve(ctx, n) })
	g.Go(func() error { return n.planeEvents(ike) })
	g.Go(func() error { return n.tracks.Run(ctx) })
	n.routeTasks(g, ctx, ike)
	g.Go(func() error { return n.followAddresses(ctx) })
	if n.cfg.Metrics.Listen.IsValid() {
		g.Go(func() error { return n.serveMetrics(ctx) })
	}
	n.runInside(ctx, g)
	done := make(chan struct{}, len(n.clients))
	for _, c := range n.clients {
		g.Go(func() error { defer func() { done <- struct{}{} }(); return c.Run(ctx) })
	}
	g.Go(func() error {
		defer stopIKE()
		<-ctx.Done()
		n.log.Info("stopping")
		_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
		for range n.clients {
			<-done
		}
		if n.hub != nil && !n.opt.Keep {
			limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			n.hub.Stop(limit)
		}
		return nil
	})
	n.log.Info("ready", "node", n.cfg.Node, "role", n.opt.Role, "plane", n.plane.Name(), "version", n.opt.Version)
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	return g.Wait()
}

func (n *Node) planeEvents(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-n.plane.Events():
			if !ok {
				return nil
			}
			n.planeEvent(e)
		}
	}
}

func (n *Node) planeEvent(e dataplane.Event) {
	if n.hub != nil && n.hub.PlaneEvent(e) {
		return
	}
	for _, c := range n.clients {
		if c.PlaneEvent(e) {
			return
		}
	}
}

func (n *Node) serveMetrics(ctx context.Context) error {
	m, err := ops.ListenMetrics(n.cfg.Metrics.Listen)
	if err != nil {
		return err
	}
	return m.Serve(ctx, ops.MetricsHandler(n.Stats, n.Info))
}

// close gives back what build made, in reverse order.
func (n *Node) close() error {
	close(n.stopped)
	errs := []error{n.closeInside()}
	if n.endpoint != nil {
		errs = append(errs, n.endpoint.Close())
	}
	errs = append(errs, n.closePlane(), n.closeAAA())
	if n.pools != nil {
		errs = append(errs, n.pools.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	if n.rtnl != nil {
		errs = append(errs, n.rtnl.Close())
	}
	return errors.Join(errs...)
}
