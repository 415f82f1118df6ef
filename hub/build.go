package hub

import (
	"errors"
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
	attrs := s.granted.attributes()
	template, err := h.cfg.Catalog.Customize(s.profile.Config.VirtualTemplate, &attrs)
	if err != nil { // somebody deleted a VRF since it was granted
		return fmt.Errorf("virtual-access: %w", err)
	}
	spec := vtemplate.Build(template, vtemplate.Clone{
		Decision: s.granted.decision,
		Path:     vtemplate.Path(q.Path), FrontVRF: q.Path.VRF, Child: q.Child, Identity: s.identity(), Node: h.cfg.Node,
	})
	spec.Children = []dataplane.Child{s.child(q.Child)}
	if err := s.applyNamed(spec); err != nil {
		return err
	}
	name := s.spec.Name
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

// applyNamed makes a new interface under the lowest name that is free. One that somebody took between
// the look and the making stays with him: it is passed over for as long as this process lives.
func (s *session) applyNamed(spec dataplane.Interface) (err error) {
	names := s.hub.cfg.Names
	for range namesTried {
		if spec.Name, err = names.Take(); err != nil {
			return err
		}
		if err = s.apply(spec); err == nil {
			return nil
		}
		err = fmt.Errorf("virtual-access %s: %w", spec.Name, err)
		if !errors.Is(err, dataplane.ErrNameTaken) {
			names.Release(spec.Name)
			return err
		}
		s.log().Warn("the name of a virtual-access is taken, the next is tried", "interface", spec.Name)
	}
	return err
}

// namesTried bounds how often a name may be taken under a session's eyes.
const namesTried = 16

// apply is called by a job with s.mu held, and lets go of it while the plane works: who looks at a session
// need not wait for the kernel. Nobody but a session's jobs, which run one at a time, changes its spec.
func (s *session) apply(next dataplane.Interface) error {
	s.mu.Unlock()
	err := s.hub.cfg.Plane.Apply(next)
	s.mu.Lock()
	if err != nil {
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
