package bgp

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"flexvpn/config"
	"flexvpn/routing"
)

// A peer is a neighbor. The speaker's goroutine owns it.
type peer struct {
	speaker *Speaker
	address netip.Addr
	cfg     *config.BGPPeer
	policy  routing.Peer // what IKEv2 authorization says of the spoke

	// Of a neighbor from a listen range: whose it is.
	dynamic  bool
	session  string
	identity string
	device   string

	way routing.Best // to a neighbor of the configuration

	link     session
	gone     bool
	up       bool
	offered  bool      // it was told, or the library was for it, what its group knows
	since    time.Time // in this state
	asn      uint32    // the neighbor's
	internal bool
	routerID netip.Addr
	local    netip.Addr
	paths    map[netip.Prefix]*path // as they came, those that were refused aside
	refused  map[netip.Prefix]string
	sent     map[netip.Prefix]*Attributes
	blocked  string // why it may not come again
	lastDown string
	flaps    uint64
	held     uint64    // times it was held back
	heldAt   time.Time // and when the last of them began
	dialing  bool
	ready    bool          // a connection can be taken
	early    *net.TCPConn  // came before that
	taken    *net.TCPConn  // is becoming a session
	called   bool          // and this end opened it
	poke     chan struct{} // ends a wait between attempts
}

// addPeer makes p a neighbor.
func (s *Speaker) addPeer(p *peer) {
	p.since, p.poke = s.now(), make(chan struct{}, 1)
	p.paths, p.refused, p.sent = map[netip.Prefix]*path{}, map[netip.Prefix]string{}, map[netip.Prefix]*Attributes{}
	s.peers[p.address] = p
	if p.dynamic {
		s.dynamic++
	}
	err := s.sign(p, true)
	var link session
	if err == nil {
		link, err = s.lib.Start(neighbor{address: p.address, asn: s.cfg.ASN, peer: p.cfg, id: s.cfg.RouterID, cluster: s.cfg.ClusterID, stays: s.stays}, feed{p})
	}
	if err != nil {
		p.shut(err.Error())
		s.log.Error("bgp neighbor", "neighbor", p.address, "err", err)
		return
	}
	p.link = link
}

// removePeer ends a neighbor: everything it told is gone before this returns.
func (s *Speaker) removePeer(p *peer, reason string) {
	if p.gone {
		return
	}
	p.gone = true
	if s.peers[p.address] == p {
		delete(s.peers, p.address)
	}
	if p.dynamic {
		s.dynamic--
	}
	if p.blocked != "" {
		s.shut--
	}
	p.drop()
	p.down(reason)
	s.purge(p)
	_ = s.sign(p, false) // the listener may be closed already
	if p.link != nil {
		go p.link.Close() // says good-bye to whoever may not be there any more
	}
}

// purge withdraws all paths of p.
func (s *Speaker) purge(p *peer) {
	for prefix := range p.paths {
		s.lose(p, prefix)
	}
	clear(p.refused)
}

// feed brings a session's events to the speaker's goroutine.
type feed struct{ *peer }

func (f feed) on(what func(*Speaker, *peer)) {
	f.speaker.do(func() {
		if !f.gone {
			what(f.speaker, f.peer)
		}
	})
}

// Ready implements events.
func (f feed) Ready() {
	f.on(func(_ *Speaker, p *peer) {
		p.ready, p.taken = true, nil
		if c := p.early; c != nil {
			p.early, p.called = nil, false
			p.take(c)
			return
		}
		p.call()
	})
}

// Up implements events.
func (f feed) Up(e established) { f.on(func(s *Speaker, p *peer) { s.up(p, e) }) }

// Down implements events.
func (f feed) Down(reason string) { f.on(func(_ *Speaker, p *peer) { p.down(reason) }) }

// Failed implements events.
func (f feed) Failed(reason string) {
	f.on(func(s *Speaker, p *peer) {
		kind := "open"
		if strings.Contains(reason, "bad peer as") {
			kind = "asn"
		}
		p.lastDown = reason
		s.refuse(kind, p.address, reason)
	})
}

// Update implements events.
func (f feed) Update(prefix netip.Prefix, a *Attributes) {
	f.on(func(s *Speaker, p *peer) { s.update(p, prefix, a) })
}

// Withdrawn implements events.
func (f feed) Withdrawn(prefix netip.Prefix) {
	f.on(func(s *Speaker, p *peer) {
		delete(p.refused, prefix)
		s.lose(p, prefix)
	})
}

// Held implements events.
func (f feed) Held() {
	f.on(func(s *Speaker, p *peer) {
		p.held, p.heldAt = p.held+1, s.now()
		s.counters.held++
		s.log.Warn("bgp neighbor held back", "neighbor", p.address, "identity", p.identity, "interface", p.device,
			"reason", "its updates come faster than they are taken in: it waits, others do not")
	})
}

// up takes in a new session.
func (s *Speaker) up(p *peer, e established) {
	p.drop()
	p.taken = nil
	p.ready, p.asn, p.routerID, p.local = false, e.asn, e.routerID, e.local
	p.internal = e.asn == s.cfg.ASN
	if !p.cfg.AnyASN && !slices.Contains(p.cfg.RemoteASNs, e.asn) {
		s.refuse("asn", p.address, fmt.Sprintf("its AS is %d, not one of %v", e.asn, p.cfg.RemoteASNs))
		s.block(p, "wrong AS")
		return
	}
	p.up, p.since = true, s.now()
	s.ups++
	s.log.Info(fmt.Sprintf("%%BGP-5-ADJCHANGE: neighbor %s Up", p.name()), "asn", e.asn, "identity", p.identity, "interface", p.device)
	s.offer(p)
}

// prepare tells the library before the session is up what its neighbor is to know, where the configuration
// says who that is: the End-of-RIB marker, which the library sends behind what it has at that moment, must
// come after the first update (RFC 4724 section 2).
func (p *peer) prepare(local netip.Addr) {
	if p.cfg.AnyASN || len(p.cfg.RemoteASNs) != 1 {
		return
	}
	p.asn, p.internal, p.local = p.cfg.RemoteASNs[0], p.cfg.Internal(p.speaker.cfg.ASN), local
	p.speaker.offer(p)
}

// retract takes back what was offered: the library would tell it again when the session comes back.
func (p *peer) retract() {
	if !p.offered {
		return
	}
	p.offered = false
	p.speaker.leaveGroup(p)
	for prefix := range p.sent {
		p.speaker.untell(p, prefix)
	}
}

// down notes the end of a session.
func (p *peer) down(reason string) {
	p.ready = false
	p.retract()
	if !p.up {
		return
	}
	p.up, p.since, p.lastDown = false, p.speaker.now(), reason
	p.flaps++
	p.speaker.ups--
	p.speaker.counters.downs++
	p.speaker.log.Info(fmt.Sprintf("%%BGP-5-ADJCHANGE: neighbor %s Down %s", p.name(), reason), "identity", p.identity, "interface", p.device)
}

// name marks neighbors of listen ranges with a star, as IOS does.
func (p *peer) name() string {
	if p.dynamic {
		return "*" + p.address.String()
	}
	return p.address.String()
}

// block ends a neighbor that broke a rule. One of a listen range is free again with its next session of
// IKEv2, others when they are cleared.
func (s *Speaker) block(p *peer, why string) {
	p.shut(why)
	p.down(why)
	s.purge(p)
	if p.link != nil {
		go p.link.Close()
	}
}

func (p *peer) shut(why string) {
	if p.blocked == "" {
		p.speaker.shut++
	}
	p.blocked = why
}

// refuse counts and logs what was turned away.
func (s *Speaker) refuse(kind string, from netip.Addr, why string) {
	s.counters.refused[kind]++
	s.log.Warn("bgp refused", "kind", kind, "neighbor", from, "reason", why)
}
