package client

import (
	"fmt"
	"strings"
	"time"
)

// laterBetter arms the next attempt at a better peer: with reactivate, when there is one, and not so
// soon that a hub that takes spokes in and throws them out would make the tunnel hop.
func (m *machine) laterBetter(now time.Time) {
	m.betterAt = time.Time{}
	if m.main == nil || !m.strayed() && (!m.profile.Reactivate || len(m.peers.better(m.main.peer)) == 0) {
		return
	}
	wait := steady
	if m.tries > 0 {
		wait = again
		if m.tries <= len(backoff) {
			wait = backoff[m.tries-1]
		}
	}
	m.betterAt = now.Add(wait)
}

// strayed reports whether the tunnel uses another source than it should.
func (m *machine) strayed() bool {
	if len(m.profile.Sources) == 0 || !m.main.stands() {
		return false
	}
	from, err := m.world.source(m.main.to)
	return err == nil && from != m.main.from
}

// beginBetter tries the peers that are better than the present one, the best first. The present
// tunnel stands until one of them has taken over.
func (m *machine) beginBetter(now time.Time) {
	m.betterAt = time.Time{}
	if m.strayed() {
		m.upset(now)
		return
	}
	if !m.profile.Reactivate {
		return
	}
	m.tries++
	m.nextPass = m.peers.better(m.main.peer)
	m.proceedBetter(now)
}

func (m *machine) proceedBetter(now time.Time) {
	for len(m.nextPass) > 0 && m.main.stands() {
		p := m.nextPass[0]
		m.nextPass = m.nextPass[1:]
		if why := m.unavailable(now, p); why != "" {
			m.tell("better peer: %s", why)
			continue
		}
		if p.unresolved() {
			m.next = m.newLeg(now, p)
			m.do(lookUp{leg: m.next.id, peer: p})
			return
		}
		if m.reachBetter(now, p) {
			return
		}
	}
	m.laterBetter(now)
}

func (m *machine) reachBetter(now time.Time, p *peer) bool {
	l, why := m.reach(now, p)
	if l == nil {
		m.tell("better peer: %s", why)
		return false
	}
	m.tell("try %s at %s, which is better than %s", p, l.to, m.main.peer)
	m.next = l
	return true
}

func (m *machine) betterResolved(now time.Time, p *peer, why string) {
	if why != "" {
		p.failures++
		p.lastErr = why
		m.tell("better peer: %s", why)
	} else if m.reachBetter(now, p) {
		return
	}
	m.proceedBetter(now)
}

// rehome takes the main leg to another source: by MOBIKE when the hub follows; else by a new session
// beside the old one as long as its source still works, and in its place when it does not.
func (m *machine) rehome(now time.Time, from source) bool {
	l := m.main
	switch {
	case l.stands() && l.mobile:
		m.moveTo(l, l.to, from)
		return false
	case l.stands() && m.world.usable(l.from):
		if m.next != nil && m.next.rehoming && m.next.from == from || m.tries > 0 && now.Before(m.betterAt) {
			return false // it is on its way, or has failed and waits its turn
		}
		m.tries++
		m.leave(m.next, "the source changed", bySource)
		m.nextPass, m.betterAt = nil, time.Time{}
		if !m.world.claim(l.to) {
			return false
		}
		m.next = m.newLeg(now, l.peer)
		m.next.rehoming = true
		m.tell("a better source: %s", from)
		m.aim(m.next, l.to, from)
		return true
	}
	m.leaveForNext(now, l, fmt.Sprintf("source %s is down", l.from), bySource, l.peer)
	return true
}

// String is the source as messages name it.
func (s source) String() string {
	return strings.TrimSpace(s.iface + " " + s.addr.String())
}
