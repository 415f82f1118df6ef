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
	"flexvpn/ikev2/eap"
	"flexvpn/ikev2/wire"
	"flexvpn/profile"
	"flexvpn/routing"
	"flexvpn/vtemplate"
)

// greProtocol is GRE's IP protocol number.
const greProtocol = 47

// A session is a leg of the machine made real: one attempt at a hub and what becomes of it. The
// client's goroutine owns it; what show reads of it is guarded by Client.mu.
type session struct {
	client  *Client
	id      uint64 // the leg's
	conn    *endpoint.Conn
	started time.Time
	from    source
	mobile  bool         // the hub follows a change of address (MOBIKE)
	further []netip.Addr // other addresses of the hub
	own     []netip.Addr // this end's, as the engine knows them
	why     string       // why this end closes it
	left    failover     // the machine gave it up for this; empty: it did not
	over    bool         // it has ended

	path     ikev2.Path
	children []dataplane.Child
	outbound uint32 // SPIIn of the child that carries outgoing packets
	up       bool
	ready    bool // the machine has been told that it is up
	routed   bool
	said     bool // its coming up was logged, so its end is, too
	remote   ikev2.Identity
	pushed   authz.Pushed
	since    time.Time
	// peerVersion is the hub's APPLICATION_VERSION.
	peerVersion string

	eap                *eap.Peer // nil: the hub has not asked
	eapMethod, eapName string    // by which this end logged in
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
	case ikev2.EAP:
		s.converse(conn, q)
	case ikev2.Traffic:
		a := ikev2.TrafficAnswer{ID: q.ID}
		a.LastIn, a.LastOut = s.lastTraffic()
		conn.Answer(a)
	case ikev2.ConfigSet:
		s.set(func() { s.pushed.Routes = authz.FromRouteSet(q.Attributes) })
		if s.routed {
			s.installRoutes()
		}
		s.client.tellInside()
		conn.Answer(ikev2.ConfigSetAnswer{ID: q.ID})
	}
}

func (s *session) react(conn *endpoint.Conn, e ikev2.Event) {
	s.conn = conn
	switch e := e.(type) {
	case ikev2.Established:
		s.established(e)
	case ikev2.ConfigAcknowledged:
		s.becomeReady()
	case ikev2.UseChild:
		s.change("switch outbound sa", func() { s.outbound = e.SPIIn })
	case ikev2.ChildGone:
		s.childGone(e)
	case ikev2.Moved:
		s.moved(e)
	case ikev2.PeerAddresses:
		s.set(func() { s.further = e.List })
		if s.routed {
			s.installRoutes()
		}
		s.reachable()
	case ikev2.Closed:
		s.ended(e)
	}
}

// install puts a Child SA into the tunnel. Traffic moves to the session's first one only when the
// session carries it.
func (s *session) install(q ikev2.Install) error {
	if s.why != "" {
		return fmt.Errorf("the session is being closed: %s", s.why)
	}
	child := vtemplate.Child(q.Child)
	child.Limits = vtemplate.Limits(s.client.cfg.Profile.Config.Lifetime)
	before, beforePath, beforeOut := s.children, s.path, s.outbound
	s.set(func() {
		s.path = q.Path
		s.children = append(slices.Clone(s.children), child)
		if len(s.children) == 1 {
			s.outbound = child.SPIIn
		}
	})
	if err := s.client.applyTunnel(); err != nil {
		s.set(func() { s.children, s.path, s.outbound = before, beforePath, beforeOut })
		return err
	}
	return nil
}

// set changes what show reads.
func (s *session) set(f func()) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	f()
}

// change changes what the tunnel is made of.
func (s *session) change(what string, f func()) {
	s.set(f)
	if len(s.children) == 0 || s.over {
		return
	}
	if err := s.client.applyTunnel(); err != nil {
		s.client.cfg.Log.Warn(what, "client", s.client.Name(), "err", err)
	}
}

func (s *session) has(spi uint32) bool {
	return slices.ContainsFunc(s.children, func(c dataplane.Child) bool { return c.SPIIn == spi })
}

func (s *session) childGone(e ikev2.ChildGone) {
	had := len(s.children)
	s.change("remove child sa", func() {
		s.children = slices.DeleteFunc(slices.Clone(s.children), func(c dataplane.Child) bool { return c.SPIIn == e.SPIIn })
		if s.outbound == e.SPIIn {
			s.outbound = 0
			if n := len(s.children); n > 0 {
				s.outbound = s.children[n-1].SPIIn
			}
		}
	})
	if had > 0 && len(s.children) == 0 {
		s.close("the hub deleted the last Child SA")
	}
}

// established takes what the hub gave, and tells it what is behind this spoke. The session is ready
// for traffic when the hub has acknowledged that.
func (s *session) established(e ikev2.Established) {
	c := s.client
	s.set(func() {
		s.up, s.remote, s.since, s.peerVersion, s.path = true, e.Remote, time.Now(), e.PeerVersion, e.Path
		s.pushed = authz.FromReply(e.Config)
		s.mobile, s.further = e.MOBIKE, e.Additional
	})
	if s.pushed.Ignored > 0 {
		c.cfg.Log.Warn("the hub pushed values that make no sense or are too many: they are ignored", "client", c.Name(), "session", s.name(), "values", s.pushed.Ignored, "refused", s.pushed.Refused)
	}
	if s.pushed.Banner != "" {
		c.cfg.Log.Info("banner of the hub", "client", c.Name(), "session", s.name(), "banner", s.pushed.Banner)
	}
	if why := s.refusal(); why != "" {
		s.set(func() { s.up = false })
		s.close(why)
		return
	}
	s.change("set the negotiated address", func() {})
	if !s.announce() || len(c.legs) == 1 {
		s.becomeReady()
	}
}

// refusal is why what the hub gave cannot be used; empty: it can.
func (s *session) refusal() string {
	if !s.client.cfg.Client.Tunnel.Negotiated {
		return ""
	}
	if len(s.pushed.Addresses) == 0 {
		return "the hub gave no address, and the tunnel wants one (address: negotiated): give its policy a pool or the tunnel an address"
	}
	if s.client.cfg.Owner == nil {
		return ""
	}
	for _, a := range s.pushed.Addresses {
		owner, err := s.client.cfg.Owner(a, s.client.cfg.Client.Tunnel.VRF)
		if err != nil {
			s.client.cfg.Log.Warn("look for an address on other interfaces", "client", s.client.Name(), "address", a.String(), "err", err)
		} else if owner != "" && owner != s.client.cfg.Client.Tunnel.Name {
			return fmt.Sprintf("the hub gave the address %s, which interface %s has already: take it away there, or let the hub give another", a, owner)
		}
	}
	return ""
}

// becomeReady tells the machine, once.
func (s *session) becomeReady() {
	if s.ready || !s.up || s.why != "" {
		return
	}
	s.ready = true
	s.client.step(func(now time.Time) { s.client.machine.up(now, s.id, s.pushed.BackupGateways, s.mobile) })
	s.reachable()
}

func (s *session) installRoutes() {
	c := s.client
	s.routed = true
	routes := c.cfg.Profile.Config.Routes
	ok, refused := routing.Accept(authz.Accept{Any: routes.Accept.Any, Prefixes: routes.Accept.Prefixes, List: routes.Accept.List}, s.pushed.Routes, s.path.Remote.Addr())
	if len(refused) > 0 {
		c.cfg.Log.Warn("pushed routes refused", "client", c.Name(), "prefixes", refused, "hint", "see routes.accept of the profile")
	}
	// Where either end of the tunnel is in a VRF, routes through it cannot swallow the way to the hub.
	if s.path.VRF == "" && c.tunnel.VRF == "" {
		if err := c.cfg.Routes.PinTransports(s.name()+"/transport", s.path.Remote.Addr(), s.further, ok); err != nil {
			c.cfg.Log.Warn("pin the hub's transport route", "client", c.Name(), "err", err)
		}
	}
	err := c.cfg.Routes.Set(s.name()+"/ikev2", routing.Announcement{
		Interface: c.cfg.Client.Tunnel.Name, VRF: c.tunnel.VRF, Source: routing.SourceIKEv2, Identity: profile.IdentityText(s.remote), Prefixes: ok,
		Distance: routes.Distance, Tag: routes.Tag, Share: true, // two tunnels at once divide what both hubs push
	})
	if err != nil {
		c.cfg.Log.Warn("install pushed routes", "client", c.Name(), "err", err)
	}
}

// dropRoutes takes the pushed routes back; the way to the hub itself stays until the session ends.
func (s *session) dropRoutes() {
	s.routed = false
	if err := s.client.cfg.Routes.Remove(s.name() + "/ikev2"); err != nil {
		s.client.cfg.Log.Warn("remove pushed routes", "client", s.client.Name(), "session", s.name(), "err", err)
	}
}

// announce tells the hub which prefixes are behind this spoke (IKEv2 routing: CFG_SET); false: none.
func (s *session) announce() bool {
	routes := s.client.cfg.Profile.Config.Routes
	prefixes := slices.Clone(routes.Set)
	if routes.SetInterface {
		for _, p := range s.addresses() {
			prefixes = append(prefixes, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
		}
	}
	if len(prefixes) == 0 {
		return false
	}
	return s.conn.Do(func(now time.Time, sa *ikev2.SA) { sa.SetConfig(now, authz.RouteSet(prefixes)) })
}

// close takes the session out of the tunnel now and lets the engine say good-bye; ended follows.
func (s *session) close(why string) {
	if s.why != "" || s.over {
		return
	}
	s.why = why
	s.teardown()
	if s.conn == nil || !s.conn.Do(func(now time.Time, sa *ikev2.SA) { sa.Close(now, why) }) {
		s.ended(ikev2.Closed{Reason: ikev2.ReasonLocal, Detail: why})
	}
}

// teardown gives back what the session made, in reverse order. It may be called twice.
func (s *session) teardown() {
	c := s.client
	s.dropRoutes()
	c.cfg.Routes.Remove(s.name() + "/transport")
	s.set(func() { s.children, s.outbound = nil, 0 })
	if c.lead == s {
		c.untellInside()
		c.lead = nil
		c.totals.up.Store(0)
	}
	s.sayDown()
	if err := c.applyTunnel(); err != nil {
		c.cfg.Log.Error("take a session out of the tunnel", "client", c.Name(), "session", s.name(), "err", err)
	}
}

// ended follows the engine's last event.
func (s *session) ended(e ikev2.Closed) {
	c := s.client
	if s.over {
		return
	}
	s.over = true
	if s.left == "" {
		s.left = endingOf(e, s.why != "", "").reason
	}
	s.teardown()
	detail := e.Detail
	if s.why != "" {
		detail = s.why
	}
	s.loginEnded(e, detail)
	if s.up {
		c.totals.endedWith(e.Reason)
		c.cfg.Log.Info("session down", "client", c.Name(), "session", s.name(), "peer", s.path.Remote.String(), "reason", string(e.Reason), "detail", detail)
	} else if !c.leaving[s] {
		c.totals.failed.Add(1)
		c.totals.failedWith(e.Reason)
		c.cfg.Log.Warn("connection attempt failed", "client", c.Name(), "session", s.name(), "peer", s.path.Remote.String(), "reason", string(e.Reason), "detail", detail)
	}
	if c.leaving[s] {
		delete(c.leaving, s)
		return
	}
	delete(c.legs, s.id)
	if !s.up {
		detail = fmt.Sprintf("%s: %s", e.Reason, detail)
	}
	c.step(func(now time.Time) { c.machine.ended(now, s.id, endingOf(e, s.why != "", detail)) })
}

// endingOf is the engine's last word in the machine's terms; ours: this end closed the session.
func endingOf(e ikev2.Closed, ours bool, detail string) ending {
	out := ending{reason: byOther, detail: detail}
	switch {
	case ours:
	case e.Reason == ikev2.ReasonReplaced:
		out.reason, out.deleted, out.replaced = byClash, true, true
	case e.Reason == ikev2.ReasonPeerDelete:
		out.reason, out.deleted = byHub, true
	case e.Reason == ikev2.ReasonPeerDead, e.Reason == ikev2.ReasonTimeout:
		out.reason = byDead
	}
	return out
}

func (s *session) name() string { return fmt.Sprintf("%s-%d", s.client.Name(), s.id) }
