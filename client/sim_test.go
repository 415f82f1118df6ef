package client

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"flexvpn/config"
)

// A sim is hubs, tracks and profiles in virtual time: machines as they are, and around them a world
// that answers after the time a real one would take.
type sim struct {
	t      *testing.T
	now    time.Time
	began  time.Time
	queue  []event
	hubs   map[netip.Addr]*simHub
	names  map[string][]netip.Addr
	tracks map[int]bool
	links  map[string]netip.Addr // interfaces that are up, with their address
	claims map[netip.Addr]*simSpoke
	spokes []*simSpoke
}

type event struct {
	at time.Time
	f  func()
}

// A simHub answers when it is up, and pushes gateways.
type simHub struct {
	up       bool
	rejects  bool // takes sessions in and deletes them at once
	replaces bool // says that another has the identity
	gateways []string
}

const (
	simHandshake = 20 * time.Millisecond
	simTimeout   = 7500 * time.Millisecond // of a hub that does not answer
	simDead      = 5 * time.Second         // until the loss of a hub is noticed
)

// A simSpoke is one profile.
type simSpoke struct {
	*sim
	name     string
	m        *machine
	legs     map[uint64]netip.Addr
	carrying uint64
	dialled  []string // "12s 192.0.2.1"
	moved    []string
	movedTo  []string
	told     []string
	gaveUp   []string
	mobile   bool
	routes   map[netip.Addr]netip.Addr // without sources: where packets to a hub leave from; nil: one address
	others   []netip.Addr              // further addresses of the hub
	gone     map[netip.Addr]bool       // addresses that this host had
	mostLegs int
}

func newSim(t *testing.T) *sim {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return &sim{
		t: t, now: at, began: at, hubs: map[netip.Addr]*simHub{}, names: map[string][]netip.Addr{}, tracks: map[int]bool{},
		links: map[string]netip.Addr{}, claims: map[netip.Addr]*simSpoke{},
	}
}

func (w *sim) hub(addr string) *simHub {
	a := netip.MustParseAddr(addr)
	if w.hubs[a] == nil {
		w.hubs[a] = &simHub{up: true}
	}
	return w.hubs[a]
}

func (w *sim) spoke(name string, c config.Client) *simSpoke {
	if c.Connect == "" {
		c.Connect = config.ConnectAuto
	}
	s := &simSpoke{sim: w, name: name, legs: map[uint64]netip.Addr{}}
	s.m = newMachine(&c, s)
	w.spokes = append(w.spokes, s)
	return s
}

func (s *simSpoke) start() *simSpoke { s.step(s.m.start); return s }

func peersAt(addrs ...string) (out []config.Peer) {
	for i, a := range addrs {
		p := config.Peer{Sequence: i + 1}
		if addr, err := netip.ParseAddr(a); err == nil {
			p.Address = addr
		} else {
			p.FQDN = a
		}
		out = append(out, p)
	}
	return out
}

// The world of a machine.

func (s *simSpoke) trackUp(n int) bool { return s.tracks[n] }

func (s *simSpoke) source(to netip.Addr) (source, error) {
	if len(s.m.profile.Sources) == 0 {
		return s.routed(to)
	}
	for _, c := range s.m.profile.Sources {
		addr, up := s.links[c.Interface]
		if up && (c.Track == 0 || s.tracks[c.Track]) && addr.Is4() == to.Is4() {
			return source{sequence: c.Sequence, iface: c.Interface, addr: addr}, nil
		}
	}
	return source{}, errors.New("none of the sources is up")
}

func (s *simSpoke) further(uint64) []netip.Addr { return s.others }

func (s *simSpoke) here(a netip.Addr) bool { return !s.gone[a] }

func (s *simSpoke) usable(from source) bool {
	addr, up := s.links[from.iface]
	return from.sequence == 0 || up && addr == from.addr
}

func (s *simSpoke) claim(hub netip.Addr) bool {
	if s.m.profile.BackupGroup == 0 {
		return true
	}
	if other := s.claims[hub]; other != nil && other != s {
		return false
	}
	s.claims[hub] = s
	return true
}

func (s *simSpoke) release(hub netip.Addr) {
	for _, a := range s.legs {
		if a == hub && s.claims[hub] == s && s.holds(hub) > 1 {
			return
		}
	}
	if s.claims[hub] == s {
		delete(s.claims, hub)
		for _, other := range s.spokes {
			if other != s {
				s.after(0, func() { other.step(other.m.changed) })
			}
		}
	}
}

func (s *simSpoke) holds(hub netip.Addr) (n int) {
	for _, l := range []*leg{s.m.main, s.m.next, s.m.old} {
		if l != nil && l.to == hub {
			n++
		}
	}
	return n
}

// What the machine wants done.

func (s *simSpoke) step(input func(time.Time)) {
	input(s.now)
	for todo := s.m.take(); len(todo) > 0; todo = s.m.take() {
		for _, a := range todo {
			s.perform(a)
		}
	}
	legs := 0
	for _, l := range []*leg{s.m.main, s.m.next, s.m.old} {
		if l.stands() {
			legs++
		}
	}
	s.mostLegs = max(s.mostLegs, legs)
}

func (s *simSpoke) perform(a action) {
	switch a := a.(type) {
	case lookUp:
		addrs, known := s.names[a.peer.FQDN]
		var err error
		if !known {
			err = errors.New("no such host")
		}
		s.after(simHandshake, func() {
			s.step(func(now time.Time) { s.m.resolved(now, a.leg, a.peer, addrs, err) })
		})
	case dial:
		s.dialled = append(s.dialled, fmt.Sprintf("%s %s", s.now.Sub(s.began).Round(time.Second), a.to))
		s.legs[a.leg] = a.to
		hub := s.hubs[a.to]
		if hub == nil || !hub.up {
			s.after(simTimeout, func() { s.end(a.leg, ending{reason: byDead, detail: "no answer"}) })
			return
		}
		s.after(simHandshake, func() { s.established(a.leg, hub) })
	case carry:
		s.carrying = a.leg
	case move:
		s.moved = append(s.moved, a.from.String())
		s.movedTo = append(s.movedTo, a.to.String())
	case giveUp:
		s.gaveUp = append(s.gaveUp, a.why)
		delete(s.legs, a.leg)
	case tell:
		s.told = append(s.told, a.text)
	}
}

func (s *simSpoke) established(id uint64, hub *simHub) {
	if _, there := s.legs[id]; !there {
		return
	}
	if !hub.up {
		s.after(simTimeout, func() { s.end(id, ending{reason: byDead, detail: "no answer"}) })
		return
	}
	s.step(func(now time.Time) { s.m.up(now, id, hub.gateways, s.mobile) })
	if hub.rejects || hub.replaces {
		s.after(time.Second, func() {
			s.end(id, ending{reason: byHub, detail: "the peer deleted the session", deleted: true, replaced: hub.replaces})
		})
	}
}

func (s *simSpoke) end(id uint64, e ending) {
	if _, there := s.legs[id]; !there {
		return
	}
	delete(s.legs, id)
	s.step(func(now time.Time) { s.m.ended(now, id, e) })
}

// fail takes a hub down: its sessions notice after a while.
func (w *sim) fail(addr string) {
	a := netip.MustParseAddr(addr)
	w.hubs[a].up = false
	for _, s := range w.spokes {
		for id, to := range s.legs {
			if to == a {
				w.after(simDead, func() {
					if !w.hubs[a].up {
						s.end(id, ending{reason: byDead, detail: "no answer"})
					}
				})
			}
		}
	}
}

// track sets a track and tells everybody.
func (w *sim) track(n int, up bool) {
	w.tracks[n] = up
	w.tellAll()
}

func (w *sim) tellAll() {
	for _, s := range w.spokes {
		s.step(s.m.changed)
	}
}

// Time.

func (w *sim) after(d time.Duration, f func()) { w.queue = append(w.queue, event{w.now.Add(d), f}) }

// pass lets time pass: events and the machines' deadlines happen in their order.
func (w *sim) pass(d time.Duration) {
	until := w.now.Add(d)
	for steps := 0; ; steps++ {
		if steps > 100000 {
			w.t.Fatal("a storm: the machines do not come to rest")
		}
		at, f := until, func() {}
		found := false
		for i, e := range w.queue {
			if !e.at.After(at) && (!found || e.at.Before(at)) {
				at, found = e.at, true
				f = func() { w.queue = slices.Delete(w.queue, i, i+1); e.f() }
			}
		}
		for _, s := range w.spokes {
			if due := s.m.deadline(); !due.IsZero() && !due.After(at) && (!found || due.Before(at)) {
				at, found = due, true
				f = func() { s.step(s.m.tick) }
			}
		}
		if at.After(w.now) {
			w.now = at
		}
		if !found {
			w.now = until
			return
		}
		f()
	}
}

// on is the hub whose session carries the traffic; empty: none does.
func (s *simSpoke) on() string {
	if !s.m.main.stands() {
		return ""
	}
	return s.m.main.to.String()
}

func (s *simSpoke) want(state state, hub, why string) {
	s.t.Helper()
	if s.m.state != state || s.on() != hub {
		s.t.Fatalf("%s: %s is %s on %q (%s), want %s on %q\n%s\n%s", why, s.name, s.m.state, s.on(), s.m.why, state, hub,
			strings.Join(s.dialled, ", "), strings.Join(s.told, "\n"))
	}
}

func (s *simSpoke) list() string {
	var out []string
	for _, p := range s.m.peers {
		text := p.String()
		if p.origin != nil {
			text += "<" + p.origin.String()
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

// routed is the routing table's choice.
func (s *simSpoke) routed(to netip.Addr) (source, error) {
	if s.routes == nil {
		return source{addr: netip.MustParseAddr("198.51.100.1")}, nil
	}
	if a, ok := s.routes[to]; ok {
		return source{addr: a}, nil
	}
	return source{}, errors.New("no route")
}
