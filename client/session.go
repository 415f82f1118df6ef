package client

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"flexvpn/authz"
	"flexvpn/dataplane"
	"flexvpn/endpoint"
	"flexvpn/ikev2"
	"flexvpn/ikev2/wire"
	"flexvpn/profile"
	"flexvpn/routing"
	"flexvpn/vtemplate"
)

// steady is how long a session must have stood for its loss to be news: one that is lost sooner
// counts as a failed attempt, so that a hub that takes spokes in and throws them out again (two
// spokes with one identity, say) is not asked in a tight loop.
const steady = 10 * time.Second

// greProtocol is GRE's IP protocol number.
const greProtocol = 47

// A session is one attempt at a hub and what becomes of it. The client's goroutine owns it; what
// show reads of it is guarded by Client.mu.
type session struct {
	client  *Client
	id      uint64
	conn    *endpoint.Conn
	started time.Time
	path    ikev2.Path
	why     string // why this end closes it
	asked   bool   // the operator closed it
	told    bool   // the inside services know of it

	up     bool
	remote ikev2.Identity
	spec   dataplane.Interface // as last applied; Name is empty before the first Install
	pushed authz.Pushed
	since  time.Time
	// peerVersion is the hub's APPLICATION_VERSION.
	peerVersion string
}

// selectors are what a tunnel proposes: GRE between the two hosts, or everything of both families.
func selectors(mode string, local, remote netip.Addr) (tsLocal, tsRemote []wire.Selector) {
	if mode == "gre" {
		return []wire.Selector{wire.SelectorFromPrefix(netip.PrefixFrom(local, local.BitLen()), greProtocol)},
			[]wire.Selector{wire.SelectorFromPrefix(netip.PrefixFrom(remote, remote.BitLen()), greProtocol)}
	}
	any := []wire.Selector{
		wire.SelectorFromPrefix(netip.MustParsePrefix("0.0.0.0/0"), 0),
		wire.SelectorFromPrefix(netip.MustParsePrefix("::/0"), 0),
	}
	return any, slices.Clone(any)
}

func (s *session) answer(conn *endpoint.Conn, q ikev2.Question) {
	s.conn = conn
	switch q := q.(type) {
	case ikev2.Install:
		conn.Answer(ikev2.InstallAnswer{ID: q.ID, Err: s.install(q)})
	case ikev2.Traffic:
		c, _ := s.client.cfg.Plane.Counters(s.spec.Name)
		conn.Answer(ikev2.TrafficAnswer{ID: q.ID, LastIn: c.LastIn, LastOut: c.LastOut})
	}
}

func (s *session) react(conn *endpoint.Conn, e ikev2.Event) {
	s.conn = conn
	switch e := e.(type) {
	case ikev2.Established:
		s.established(e)
	case ikev2.UseChild:
		s.change("switch outbound sa", func(spec *dataplane.Interface) { spec.Outbound = e.SPIIn })
	case ikev2.ChildGone:
		s.childGone(e)
	case ikev2.Moved:
		s.moveTo(e.Path)
		s.change("follow the hub's new address", func(spec *dataplane.Interface) { spec.Path = vtemplate.Path(e.Path) })
		s.tellInside()
	case ikev2.ConfigSet:
		s.client.mu.Lock()
		s.pushed.Routes = authz.FromRouteSet(e.Attributes)
		s.client.mu.Unlock()
		s.installRoutes()
		s.tellInside()
	case ikev2.Closed:
		s.ended(e)
	}
}

func (s *session) install(q ikev2.Install) error {
	if s.why != "" {
		return fmt.Errorf("the session is being closed: %s", s.why)
	}
	s.moveTo(q.Path)
	next := s.spec
	if next.Name == "" {
		next = vtemplate.BuildTunnel(s.client.cfg.Client.Tunnel, s.client.cfg.Node)
		next.Path = vtemplate.Path(q.Path)
	}
	child := vtemplate.Child(q.Child)
	child.Limits = vtemplate.Limits(s.client.cfg.Profile.Config.Lifetime)
	next.Children = append(slices.Clone(next.Children), child)
	if len(next.Children) == 1 {
		next.Outbound = q.Child.SPIIn
	}
	return s.apply(next)
}

// moveTo notes the path, which show reads.
func (s *session) moveTo(p ikev2.Path) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.path = p
}

func (s *session) apply(next dataplane.Interface) error {
	if err := s.client.cfg.Plane.Apply(next); err != nil {
		return fmt.Errorf("tunnel %s: %w", next.Name, err)
	}
	s.client.mu.Lock()
	s.spec = next
	s.client.mu.Unlock()
	return nil
}

func (s *session) change(what string, f func(*dataplane.Interface)) {
	if s.spec.Name == "" {
		return
	}
	next := s.spec
	f(&next)
	if err := s.apply(next); err != nil {
		s.client.cfg.Log.Warn(what, "client", s.client.cfg.Client.Name, "err", err)
	}
}

func (s *session) childGone(e ikev2.ChildGone) {
	s.change("remove child sa", func(spec *dataplane.Interface) {
		spec.Children = slices.DeleteFunc(slices.Clone(spec.Children), func(c dataplane.Child) bool { return c.SPIIn == e.SPIIn })
		if spec.Outbound == e.SPIIn {
			spec.Outbound = 0
			if n := len(spec.Children); n > 0 {
				spec.Outbound = spec.Children[n-1].SPIIn
			}
		}
	})
	if s.spec.Name != "" && len(s.spec.Children) == 0 {
		s.close("the hub deleted the last Child SA")
	}
}

// established puts to use what the hub gave: addresses, routes, and this end's own announcement.
func (s *session) established(e ikev2.Established) {
	c := s.client
	c.mu.Lock()
	s.up, s.remote, s.since, s.peerVersion, s.path = true, e.Remote, time.Now(), e.PeerVersion, e.Path
	s.pushed = authz.FromReply(e.Config)
	c.mu.Unlock()
	if c.cfg.Client.Tunnel.Negotiated {
		if len(s.pushed.Addresses) == 0 {
			c.mu.Lock()
			s.up = false // it never was of use: the next attempt waits its turn
			c.mu.Unlock()
			s.close("the hub gave no address, and the tunnel wants one (address: negotiated): give its policy a pool or the tunnel an address")
			return
		}
		s.change("set the negotiated address", func(spec *dataplane.Interface) { spec.Addresses = hostPrefixes(s.pushed.Addresses) })
	}
	s.installRoutes()
	s.announce()
	c.failure = 0
	c.totals.setups.Add(1)
	c.totals.up.Store(1)
	c.set(func(st *status) { st.state, st.lastErr = active, "" })
	c.cfg.Log.Info("session up", "client", c.cfg.Client.Name, "identity", profile.IdentityText(e.Remote), "peer", e.Path.Remote.String(),
		"session", s.name(), "interface", s.spec.Name, "addresses", s.pushed.Addresses, "took", e.Took.Round(time.Microsecond))
	s.tellInside()
}

func (s *session) installRoutes() {
	c := s.client
	routes := c.cfg.Profile.Config.Routes
	ok, refused := routing.Accept(authz.Accept{Any: routes.Accept.Any, Prefixes: routes.Accept.Prefixes}, s.pushed.Routes, s.path.Remote.Addr())
	if len(refused) > 0 {
		c.cfg.Log.Warn("pushed routes refused", "client", c.cfg.Client.Name, "prefixes", refused, "hint", "see routes.accept of the profile")
	}
	if err := c.cfg.Routes.PinTransport(s.name()+"/transport", s.path.Remote.Addr(), ok); err != nil {
		c.cfg.Log.Warn("pin the hub's transport route", "client", c.cfg.Client.Name, "err", err)
	}
	err := c.cfg.Routes.Set(s.name()+"/ikev2", routing.Announcement{
		Interface: s.spec.Name, Source: "ikev2", Identity: profile.IdentityText(s.remote), Prefixes: ok, Distance: routes.Distance,
	})
	if err != nil {
		c.cfg.Log.Warn("install pushed routes", "client", c.cfg.Client.Name, "err", err)
	}
}

// announce tells the hub which prefixes are behind this spoke (IKEv2 routing: CFG_SET).
func (s *session) announce() {
	routes := s.client.cfg.Profile.Config.Routes
	prefixes := slices.Clone(routes.Set)
	if routes.SetInterface {
		for _, p := range s.spec.Addresses {
			prefixes = append(prefixes, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
		}
	}
	if len(prefixes) > 0 {
		s.conn.Do(func(now time.Time, sa *ikev2.SA) { sa.SetConfig(now, authz.RouteSet(prefixes)) })
	}
}

// close takes the tunnel down now and lets the engine say good-bye; ended follows.
func (s *session) close(why string) {
	s.why = why
	s.teardown()
	if s.conn == nil || !s.conn.Do(func(now time.Time, sa *ikev2.SA) { sa.Close(now, why) }) {
		s.ended(ikev2.Closed{Reason: ikev2.ReasonLocal, Detail: why})
	}
}

// teardown gives back what the session made, in reverse order. It may be called twice.
func (s *session) teardown() {
	c := s.client
	s.untellInside()
	c.cfg.Routes.Remove(s.name() + "/ikev2")
	c.cfg.Routes.Remove(s.name() + "/transport")
	if s.spec.Name == "" {
		return
	}
	name := s.spec.Name
	if err := c.cfg.Plane.Remove(name); err != nil {
		c.cfg.Log.Error("remove tunnel", "client", c.cfg.Client.Name, "interface", name, "err", err)
	}
	c.mu.Lock()
	s.spec = dataplane.Interface{}
	c.mu.Unlock()
}

func (s *session) ended(e ikev2.Closed) {
	c := s.client
	s.teardown()
	if c.session != s {
		return
	}
	c.session = nil
	c.set(func(st *status) { st.session = nil })
	detail := e.Detail
	if s.why != "" {
		detail = s.why
	}
	lasted := time.Since(s.since)
	if s.up {
		c.totals.up.Store(0)
		c.totals.endedWith(e.Reason)
		c.cfg.Log.Info("session down", "client", c.cfg.Client.Name, "session", s.name(), "peer", s.path.Remote.String(), "reason", string(e.Reason), "detail", detail)
	} else {
		c.totals.failedWith(e.Reason)
	}
	switch {
	case s.asked:
		c.attempt() // does nothing unless a tunnel is wanted again
	case s.up && lasted >= steady:
		c.lost(detail)
	default:
		c.failed(fmt.Sprintf("%s: %s", e.Reason, detail))
	}
}

func (s *session) name() string { return fmt.Sprintf("%s-%d", s.client.cfg.Client.Name, s.id) }

func hostPrefixes(addrs []netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range addrs {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out
}
