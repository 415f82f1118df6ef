package client

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// unavailable is why a peer cannot be tried now; empty: it can.
func (m *machine) unavailable(now time.Time, p *peer) string {
	if t := p.Track; t.Number != 0 && m.world.trackUp(t.Number) != t.Up {
		return fmt.Sprintf("%s waits for %s", p, t)
	}
	if now.Before(p.held) {
		return fmt.Sprintf("%s is left alone until %s: %s", p, p.held.Format("15:04:05"), p.lastErr)
	}
	return ""
}

// begin selects a peer, looking at each once from the given one on, and tries it.
func (m *machine) begin(now time.Time, from *peer) {
	m.retryAt, m.resume = time.Time{}, nil
	if why := m.gate(); why != "" {
		m.enter(waiting, why)
		return
	}
	m.pass, m.reasons = m.peers.from(from), nil
	m.proceed(now)
}

// proceed goes on with a selection.
func (m *machine) proceed(now time.Time) {
	for len(m.pass) > 0 {
		p := m.pass[0]
		m.pass = m.pass[1:]
		if why := m.unavailable(now, p); why != "" {
			m.skip(why)
			continue
		}
		if p.unresolved() {
			m.main = m.newLeg(now, p)
			m.do(lookUp{leg: m.main.id, peer: p})
			m.enter(resolving, "")
			return
		}
		l, why := m.reach(now, p)
		switch {
		case l != nil:
			m.main = l
			m.enter(connecting, "")
			return
		case len(m.profile.Sources) == 0 && strings.HasPrefix(why, noRoute):
			m.failed(now, p, why) // no event tells when the routing table has a way
			return
		}
		m.skip(why)
	}
	m.enter(waiting, strings.Join(m.reasons, "; "))
}

func (m *machine) skip(why string) {
	m.tell("skip: %s", why)
	if len(m.reasons) < 8 && !slices.Contains(m.reasons, why) {
		m.reasons = append(m.reasons, why)
	}
}

// noRoute begins the reason of a peer that no source leads to.
const noRoute = "no way to "

// reach begins IKE with the first address of p that this round has not tried, that a source leads
// to, and that no other profile of the backup group has; else it says why there is none.
func (m *machine) reach(now time.Time, p *peer) (*leg, string) {
	if len(p.untried()) == 0 {
		clear(p.tried)
	}
	why := ""
	for _, a := range p.untried() {
		from, err := m.world.source(a)
		if err != nil {
			why = fmt.Sprintf("%s%s: %v", noRoute, a, err)
			continue
		}
		if !m.world.claim(a) {
			why = fmt.Sprintf("%s is in use by another profile of backup group %d", a, m.profile.BackupGroup)
			continue
		}
		l := m.newLeg(now, p)
		m.aim(l, a, from)
		return l, ""
	}
	if why == "" {
		why = fmt.Sprintf("%s has no address", p)
	}
	return nil, why
}

func (m *machine) newLeg(now time.Time, p *peer) *leg {
	m.lastID++
	return &leg{id: m.lastID, peer: p, begun: now}
}

// aim dials; the hub has been claimed.
func (m *machine) aim(l *leg, to netip.Addr, from source) {
	l.to, l.from = to, from
	l.peer.tried[to] = true
	m.do(dial{leg: l.id, peer: l.peer, to: to, from: from})
}

// resolved takes what came of a lookUp.
func (m *machine) resolved(now time.Time, id uint64, p *peer, answer []netip.Addr, err error) {
	if err == nil {
		p.learn(answer)
	}
	var l *leg
	switch {
	case id == 0:
		return
	case m.main != nil && m.main.id == id:
		l = m.main
	case m.next != nil && m.next.id == id:
		l = m.next
	default:
		return // given up meanwhile
	}
	isNext := l == m.next
	m.drop(l)
	why := ""
	switch {
	case err != nil:
		why = fmt.Sprintf("resolve %s: %v", p.FQDN, err)
	case len(p.addrs) == 0:
		why = fmt.Sprintf("resolve %s: the answer has no address that fits", p.FQDN)
	}
	switch {
	case isNext:
		m.betterResolved(now, p, why)
	case why != "":
		m.failed(now, p, why)
	default:
		m.mainResolved(now, p)
	}
}

func (m *machine) mainResolved(now time.Time, p *peer) {
	l, why := m.reach(now, p)
	switch {
	case l != nil:
		m.main = l
		m.enter(connecting, "")
	case len(m.profile.Sources) == 0 && strings.HasPrefix(why, noRoute):
		m.failed(now, p, why)
	default:
		m.skip(why)
		m.proceed(now)
	}
}

// failed counts a failed attempt; the next one waits. While a peer has an address that was not tried
// it stays that peer's turn.
func (m *machine) failed(now time.Time, p *peer, why string) {
	p.failures++
	p.lastErr = why
	wait := backoff[m.failures%len(backoff)]
	m.failures++
	m.retryAt = now.Add(wait)
	m.resume = p
	if len(p.untried()) == 0 {
		clear(p.tried)
		m.resume = m.peers.after(p)
	}
	m.enter(backingOff, why)
}

// changed looks again at tracks, sources and the backup group after one of them has changed.
func (m *machine) changed(now time.Time) {
	news := m.newlyAvailable(now)
	if !m.wanted {
		return
	}
	if why := m.gate(); why != "" {
		m.dropAll(now, why, byTrack)
		m.enter(waiting, why)
		return
	}
	if m.next != nil && (m.unavailable(now, m.next.peer) != "" || m.next.to.IsValid() && !m.world.usable(m.next.from)) {
		m.leave(m.next, "its peer or its source is not available any more", byTrack)
		m.laterBetter(now)
	}
	if m.main != nil && m.upset(now) {
		return
	}
	switch {
	case m.state == waiting:
		m.begin(now, nil)
	case m.state == backingOff && news != nil:
		m.sooner(now, news)
	case m.state == active && news != nil && m.profile.Reactivate && slices.Contains(m.peers.better(m.main.peer), news):
		m.tries = 0
		m.betterAt = now
	}
}

// newlyAvailable is the best peer that was not available when last looked at and is now; nil: none.
func (m *machine) newlyAvailable(now time.Time) (news *peer) {
	for _, p := range m.peers {
		was := p.available
		p.available = m.unavailable(now, p) == ""
		if !was && p.available && news == nil {
			news = p
		}
	}
	return news
}

// sooner brings the next attempt forward for a peer that is available again, but keeps the first
// wait of the back-off, so that a flapping track causes no storm.
func (m *machine) sooner(now time.Time, p *peer) {
	if at := now.Add(backoff[0]); at.Before(m.retryAt) {
		m.retryAt = at
	}
	m.resume = p
}

// upset holds the main leg against its peer's track and its source; true: something else was begun.
func (m *machine) upset(now time.Time) bool {
	l := m.main
	if why := m.unavailable(now, l.peer); why != "" {
		after := m.peers.after(l.peer)
		m.leaveForNext(now, l, why, byTrack, after)
		return true
	}
	switch {
	case !l.to.IsValid():
		return false
	case len(m.profile.Sources) == 0:
		return m.rerouted(now)
	}
	from, err := m.world.source(l.to)
	switch {
	case err != nil && m.goFurther(l):
		return false
	case err != nil:
		m.leaveForNext(now, l, fmt.Sprintf("%s%s: %v", noRoute, l.to, err), bySource, l.peer)
		return true
	case from != l.from:
		return m.rehome(now, from)
	}
	return false
}

// leaveForNext gives the main leg up for a reason that says nothing about its hub; a leg that was
// to take over takes its place at once.
func (m *machine) leaveForNext(now time.Time, l *leg, why string, reason failover, from *peer) {
	m.leave(l, why, reason)
	m.failures = 0
	clear(l.peer.tried)
	if m.promote() {
		return
	}
	m.begin(now, from)
}

// promote makes the leg that was to take over the main one; false: there is none.
func (m *machine) promote() bool {
	if m.next == nil {
		return false
	}
	m.main, m.next, m.pass = m.next, nil, m.nextPass
	if m.main.to.IsValid() {
		m.enter(connecting, "")
	} else {
		m.enter(resolving, "")
	}
	return true
}
