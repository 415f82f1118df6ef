package client

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"flexvpn/ikev2"
)

// How a session that stands goes where the spoke goes (MOBIKE, RFC 4555). The machine says when and
// from which source; the engine moves the SAs, and when the path is dead finds another by itself.

// rerouted holds a main leg without configured sources against the routing table: when packets to its
// hub would leave from another address, a hub that knows MOBIKE follows; to another one the session is
// built anew once its source is gone. When there is no way to the hub's address at all, one of its
// further addresses may have one, perhaps of the other family.
func (m *machine) rerouted(now time.Time) bool {
	l := m.main
	from, err := m.world.source(l.to)
	switch {
	case !l.stands() || err == nil && from.addr == l.from.addr:
		return false
	case l.mobile && err == nil:
		m.moveTo(l, l.to, from)
		return false
	case l.mobile:
		m.goFurther(l)
		return false
	case err == nil && !m.world.here(l.from.addr):
		m.leaveForNext(now, l, fmt.Sprintf("its source %s is gone, and the hub does not know MOBIKE", l.from.addr), bySource, l.peer)
		return true
	}
	return false
}

// goFurther moves a leg whose hub's address has no way from here to another of its hub's addresses; false:
// there is no way to any.
func (m *machine) goFurther(l *leg) bool {
	if !l.stands() || !l.mobile {
		return false
	}
	for _, to := range m.world.further(l.id) {
		if from, err := m.world.source(to); err == nil {
			if from != l.from {
				m.moveTo(l, to, from)
			}
			return true
		}
	}
	return false
}

func (m *machine) moveTo(l *leg, to netip.Addr, from source) {
	m.tell("move to source %s", from)
	l.from = from
	m.do(move{leg: l.id, to: to, from: from})
}

// move takes a session to another source. Where the hub was found at another of its addresses
// meanwhile, it stays there as long as the family lets it.
func (c *Client) move(a move) {
	s := c.legs[a.leg]
	if s == nil || s.conn == nil {
		return
	}
	was := s.from
	s.set(func() { s.from = a.from })
	remote := a.to
	if s.path.Remote.Addr().Is4() == a.from.addr.Is4() {
		remote = netip.Addr{}
	}
	own := s.ownAddresses()
	s.own = own
	s.conn.Do(func(now time.Time, sa *ikev2.SA) {
		sa.Migrate(now, a.from.addr, remote)
		sa.SetAddresses(now, own)
	})
	c.cfg.Log.Info("moving to another source", "client", c.Name(), "session", s.name(), "from", was.String(), "to", a.from.String())
}

// reachable tells the engine from where this spoke could reach its hub, so that it finds another path
// when the one in use is dead.
func (s *session) reachable() {
	if !s.mobile {
		return
	}
	own := s.ownAddresses()
	if slices.Equal(own, s.own) {
		return
	}
	s.own = own
	s.conn.Do(func(now time.Time, sa *ikev2.SA) { sa.SetAddresses(now, own) })
}

// ownAddresses are the sources towards each of the hub's addresses, the one in use first.
func (s *session) ownAddresses() []netip.Addr {
	out := []netip.Addr{s.from.addr}
	for _, to := range append([]netip.Addr{s.path.Remote.Addr()}, s.further...) {
		if from, err := (surroundings{s.client}).source(to); err == nil && !slices.Contains(out, from.addr) {
			out = append(out, from.addr)
		}
	}
	return out
}

// moved follows the engine: the tunnel's packets run on another path, and the way to the hub is kept
// outside of the tunnel there too.
func (s *session) moved(e ikev2.Moved) {
	c, was := s.client, s.path
	s.change("follow the session to another path", func() { s.path = e.Path })
	if s.routed {
		s.installRoutes()
	}
	c.tellInside()
	c.cfg.Log.Info("session moved", "client", c.Name(), "session", s.name(), "from", was.Local.String()+" -> "+was.Remote.String(),
		"to", e.Path.Local.String()+" -> "+e.Path.Remote.String(), "udp_encapsulation", e.Path.Encap)
}

// further are the other addresses of a leg's hub.
func (w surroundings) further(id uint64) []netip.Addr {
	if s := w.legs[id]; s != nil {
		return s.further
	}
	return nil
}

// here reports whether this host has an address; one that cannot be asked about is taken to be there.
func (w surroundings) here(a netip.Addr) bool {
	if w.cfg.Owner == nil {
		return true
	}
	owner, err := w.cfg.Owner(a, w.cfg.Client.Tunnel.FrontVRF)
	return err != nil || owner != ""
}
