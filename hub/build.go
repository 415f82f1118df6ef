package hub

import (
	"fmt"
	"net/netip"
	"slices"

	"flexvpn/authz"
	"flexvpn/dataplane"
	"flexvpn/ikev2"
	"flexvpn/ikev2/wire"
	"flexvpn/routing"
	"flexvpn/vtemplate"
)

// install puts a Child SA into the data plane: the first one makes the virtual-access and its host
// routes, later ones join it and wait for UseChild.
func (s *session) install(q ikev2.Install) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == closing || s.state == gone {
		return fmt.Errorf("the session is being closed: %s", s.closeWhy)
	}
	s.path = q.Path
	if s.spec.Name != "" {
		next := s.spec
		next.Children = append(slices.Clone(s.spec.Children), s.child(q.Child))
		if len(s.spec.Children) == 0 {
			next.Outbound = q.Child.SPIIn
		}
		return s.apply(next)
	}
	return s.clone(q)
}

// child is what the data plane is told of a Child SA, the profile's limits of use included.
func (s *session) child(c ikev2.Child) dataplane.Child {
	child := vtemplate.Child(c)
	child.Limits = vtemplate.Limits(s.profile.Config.Lifetime)
	return child
}

// clone makes the virtual-access of s from the template. On error nothing of it is left.
func (s *session) clone(q ikev2.Install) error {
	h := s.hub
	name, err := h.cfg.Names.Take()
	if err != nil {
		return err
	}
	attrs := s.granted.attributes()
	template, err := h.cfg.Catalog.Customize(s.profile.Config.VirtualTemplate, &attrs)
	if err != nil { // somebody deleted a VRF since it was granted
		h.cfg.Names.Release(name)
		return fmt.Errorf("virtual-access %s: %w", name, err)
	}
	spec := vtemplate.Build(template, vtemplate.Clone{
		Name: name, Decision: s.granted.decision,
		Path: vtemplate.Path(q.Path), FrontVRF: q.Path.VRF, Child: q.Child, Identity: s.identity(), Node: h.cfg.Node,
	})
	spec.Children = []dataplane.Child{s.child(q.Child)}
	if err := s.apply(spec); err != nil {
		h.cfg.Names.Release(name)
		return fmt.Errorf("virtual-access %s: %w", name, err)
	}
	h.mu.Lock()
	h.byName[name] = s
	h.mu.Unlock()
	var hosts []netip.Prefix
	for _, a := range assigned(s.granted.attributes()) {
		hosts = append(hosts, netip.PrefixFrom(a, a.BitLen()))
	}
	s.routesFromServer(name, spec.VRF)
	if err := h.cfg.Routes.Set(s.routeKey("address"), routing.Announcement{
		Interface: name, VRF: spec.VRF, Source: routing.SourceAddress, Identity: s.identity(), Prefixes: hosts,
		Peer: routing.Peer{Accept: own(s.granted.attributes()), Transport: q.Path.Remote.Addr()},
	}); err != nil {
		s.log().Warn("host route", "err", err)
	}
	return nil
}

func (s *session) apply(next dataplane.Interface) error {
	if err := s.hub.cfg.Plane.Apply(next); err != nil {
		return err
	}
	s.spec = next
	return nil
}

// routeKey names one set of routes of the session in the routing table.
func (s *session) routeKey(source string) string { return sessionName(s.id) + "/" + source }

func (s *session) useChild(e ikev2.UseChild) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spec.Outbound == e.SPIIn || s.spec.Name == "" {
		return
	}
	next := s.spec
	next.Outbound = e.SPIIn
	if err := s.apply(next); err != nil {
		s.log().Warn("switch outbound sa", "spi", spiText(e.SPIIn), "err", err)
	}
}

func (s *session) childGone(e ikev2.ChildGone) {
	s.mu.Lock()
	if s.spec.Name == "" || s.state == closing || s.state == gone {
		s.mu.Unlock()
		return
	}
	next := s.spec
	next.Children = slices.DeleteFunc(slices.Clone(s.spec.Children), func(c dataplane.Child) bool { return c.SPIIn == e.SPIIn })
	if next.Outbound == e.SPIIn {
		next.Outbound = 0
		if n := len(next.Children); n > 0 {
			next.Outbound = next.Children[n-1].SPIIn
		}
	}
	err := s.apply(next)
	left := len(next.Children)
	s.mu.Unlock()
	if err != nil {
		s.log().Warn("remove child sa", "spi", spiText(e.SPIIn), "err", err)
	}
	if left == 0 {
		s.close("the peer deleted the last Child SA", authz.CauseUserRequest)
	}
}

func (s *session) moved(e ikev2.Moved) {
	if s.moveTo(e.Path) {
		s.hub.reindex(s) // servers know it by where it comes from
	}
}

// moveTo lets the virtual-access follow the peer; false: it does not.
func (s *session) moveTo(p ikev2.Path) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.path
	s.path = p
	if s.spec.Name == "" {
		return false
	}
	next := s.spec
	next.Path = vtemplate.Path(p)
	if err := s.apply(next); err != nil {
		s.log().Warn("follow the peer's new address", "err", err)
		return false
	}
	s.log().Info("peer moved", "from", was.Remote.String(), "to", p.Remote.String(), "local", p.Local.String(), "udp_encapsulation", p.Encap)
	return true
}

// acceptRoutes installs what the spoke announced, as far as its policy lets it.
func (s *session) acceptRoutes(attrs []wire.Attribute) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spec.Name == "" || s.state == closing || s.state == gone {
		return
	}
	accept := s.granted.attributes().RoutesAccept
	// A spoke with `set: interface` announces the address it was given, which has its route already.
	offered := slices.DeleteFunc(authz.FromRouteSet(attrs), func(p netip.Prefix) bool {
		return p.IsSingleIP() && slices.Contains(assigned(s.granted.attributes()), p.Addr())
	})
	ok, refused := routing.Accept(accept.V, offered, s.path.Remote.Addr())
	if len(refused) > 0 {
		s.log().Warn("routes refused", "prefixes", refused, "hint", "see routes.accept of the authorization policy")
	}
	err := s.hub.cfg.Routes.Set(s.routeKey("ikev2"), routing.Announcement{
		Interface: s.spec.Name, VRF: s.spec.VRF, Source: routing.SourceIKEv2, Identity: s.identity(),
		Prefixes: ok, Distance: accept.V.Distance, Tag: accept.V.Tag,
	})
	if err != nil {
		s.log().Warn("install routes", "err", err)
	}
	s.info("routes accepted", "prefixes", ok)
}

func (s *session) traffic(q ikev2.Traffic) ikev2.TrafficAnswer {
	s.mu.Lock()
	name := s.spec.Name
	s.mu.Unlock()
	c, _ := s.hub.cfg.Plane.Counters(name)
	return ikev2.TrafficAnswer{ID: q.ID, LastIn: c.LastIn, LastOut: c.LastOut}
}
