package client

import (
	"net/netip"
	"slices"
	"time"

	"flexvpn/config"
)

const (
	// maxAnswer bounds the addresses that are taken from a name's answer.
	maxAnswer = 16
	// maxPushed bounds the gateways that hubs may add in all: a hub that was pushed may push, too.
	maxPushed = 40
)

// A peer is an entry of a profile's list: configured, or pushed by a hub as its backup.
type peer struct {
	config.Peer
	origin *peer // that pushed it; nil: it is configured

	addrs    []netip.Addr // of its name, or its one address
	tried    map[netip.Addr]bool
	failures int
	lastErr  string

	// A hub that gives this spoke's identity to another is left alone until held.
	held    time.Time
	clashes int
	quick   int // sessions in a row that it deleted soon after they came up

	available bool // when last looked at
}

func newPeer(c config.Peer, origin *peer) *peer {
	p := &peer{Peer: c, origin: origin, tried: map[netip.Addr]bool{}}
	if c.Address.IsValid() {
		p.addrs = []netip.Addr{c.Address}
	}
	return p
}

// String is the address or the name.
func (p *peer) String() string {
	if p.FQDN != "" {
		return p.FQDN
	}
	return p.Address.String()
}

// unresolved reports whether the name must be looked up before the peer can be tried. The names of
// pushed gateways are looked up each time.
func (p *peer) unresolved() bool {
	return p.FQDN != "" && (p.Dynamic || len(p.addrs) == 0)
}

// learn takes the addresses of an answer: those of the family that was asked for, without repeats.
func (p *peer) learn(answer []netip.Addr) {
	p.addrs = nil
	for _, a := range answer {
		a = a.Unmap().WithZone("")
		wrong := p.Family == config.FamilyIPv4 && !a.Is4() || p.Family == config.FamilyIPv6 && !a.Is6()
		if wrong || !a.IsGlobalUnicast() && !a.IsLoopback() || slices.Contains(p.addrs, a) || len(p.addrs) == maxAnswer {
			continue
		}
		p.addrs = append(p.addrs, a)
	}
}

// untried are the addresses that this round has not tried.
func (p *peer) untried() []netip.Addr {
	var out []netip.Addr
	for _, a := range p.addrs {
		if !p.tried[a] {
			out = append(out, a)
		}
	}
	return out
}

// A peerList is in the order of preference: configured peers by sequence, each with the gateways
// that its hub pushed right behind it.
type peerList []*peer

func newPeerList(configured []config.Peer) peerList {
	var l peerList
	for _, c := range configured {
		l = append(l, newPeer(c, nil))
	}
	return l
}

// from is the whole list beginning with p, going round; a nil p, or one that is gone, is the first.
func (l peerList) from(p *peer) []*peer {
	i := max(0, slices.Index(l, p))
	return append(slices.Clone(l[i:]), l[:i]...)
}

// after is the peer behind p, going round.
func (l peerList) after(p *peer) *peer {
	if len(l) == 0 {
		return nil
	}
	return l[(slices.Index(l, p)+1)%len(l)]
}

// better are the peers before p; with one that is gone from the list, all are.
func (l peerList) better(p *peer) []*peer {
	i := slices.Index(l, p)
	if i < 0 {
		i = len(l)
	}
	return slices.Clone(l[:i])
}

// push makes gateways the backups of origin: right behind it, in the order received, in place of
// those it pushed before, and of what those had pushed. An entry that is pushed again stays what it
// is. Gateways that are in the list already are not entered twice.
func (l *peerList) push(origin *peer, gateways []string) {
	if !slices.Contains(*l, origin) {
		return
	}
	var kept []*peer
	known := map[string]*peer{}
	for _, p := range *l {
		if descends(p, origin) {
			known[p.String()] = p
		} else {
			kept = append(kept, p)
		}
	}
	room := maxPushed
	taken := map[string]bool{}
	for _, p := range kept {
		taken[p.String()] = true
		if p.origin != nil {
			room--
		}
	}
	var pushed []*peer
	for _, g := range gateways {
		if taken[g] || len(pushed) >= room {
			continue
		}
		taken[g] = true
		p := known[g]
		if p == nil || p.origin != origin {
			p = newPeer(gatewayPeer(g, origin), origin)
		}
		pushed = append(pushed, p)
	}
	i := slices.Index(kept, origin) + 1
	*l = slices.Insert(kept, i, pushed...)
}

// gatewayPeer is a pushed gateway as if it were configured: after its origin, with a name that is
// looked up at each attempt.
func gatewayPeer(text string, origin *peer) config.Peer {
	c := config.Peer{Sequence: origin.Sequence}
	if a, err := netip.ParseAddr(text); err == nil {
		c.Address = a.Unmap()
	} else {
		c.FQDN, c.Dynamic = text, true
	}
	return c
}

// descends reports whether p was pushed by origin, or by one that was.
func descends(p, origin *peer) bool {
	for p = p.origin; p != nil; p = p.origin {
		if p == origin {
			return true
		}
	}
	return false
}

// forgive lifts holds that are over.
func (l peerList) forgive(now time.Time) {
	for _, p := range l {
		if !p.held.IsZero() && !now.Before(p.held) {
			p.held = time.Time{}
		}
	}
}
