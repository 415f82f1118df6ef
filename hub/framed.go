package hub

import (
	"fmt"
	"net/netip"
	"slices"

	"flexvpn/authz"
	"flexvpn/routing"
)

// framed are the routes towards the spoke that a server gave (Framed-Route, Framed-IPv6-Route,
// Framed-IPv6-Prefix, Delegated-IPv6-Prefix), by distance: they are static routes to the session.
func framed(a authz.Attributes) map[uint8][]netip.Prefix {
	out := map[uint8][]netip.Prefix{}
	for _, r := range a.Routes.V {
		out[r.Distance] = append(out[r.Distance], r.Prefix)
	}
	for _, p := range []authz.Value[netip.Prefix]{a.Prefix6, a.Delegated} {
		if p.IsSet() && !slices.Contains(out[0], p.V) {
			out[0] = append(out[0], p.V)
		}
	}
	return out
}

// own is what a spoke may say to be the way to: what the policy accepts, and what a server routes to it.
func own(a authz.Attributes) authz.Accept {
	accept := a.RoutesAccept.V
	accept.Prefixes = slices.Clone(accept.Prefixes)
	for _, prefixes := range framed(a) {
		accept.Prefixes = append(accept.Prefixes, prefixes...)
	}
	return accept
}

// routesFromServer installs them; s.mu is held. What was there before and is not given now goes.
func (s *session) routesFromServer(name, vrf string) {
	given := framed(s.granted.attributes())
	for _, key := range s.granted.routes {
		if _, again := given[key.distance]; !again {
			s.hub.cfg.Routes.Remove(key.name)
		}
	}
	s.granted.routes = nil
	for distance, prefixes := range given {
		key := framedKey{distance, s.routeKey(fmt.Sprintf("aaa-%d", distance))}
		s.granted.routes = append(s.granted.routes, key)
		err := s.hub.cfg.Routes.Set(key.name, routing.Announcement{
			Interface: name, VRF: vrf, Source: routing.SourceStatic, Identity: s.identity(), Prefixes: prefixes, Distance: distance,
		})
		if err != nil {
			s.log().Warn("routes from the server", "prefixes", prefixes, "err", err)
		}
	}
}

func (s *session) dropServerRoutes() {
	s.mu.Lock()
	keys := s.granted.routes
	s.granted.routes = nil
	s.mu.Unlock()
	for _, key := range keys {
		s.hub.cfg.Routes.Remove(key.name)
	}
}

// A framedKey names the routes of one distance in the routing table.
type framedKey struct {
	distance uint8
	name     string
}
