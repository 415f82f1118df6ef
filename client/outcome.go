package client

import (
	"fmt"
	"time"
)

// failover is why a profile left a hub: a closed set, fit for a metric's label.
type failover string

// The reasons.
const (
	byTrack    failover = "track"    // its track, or the profile's, changed
	bySource   failover = "source"   // the source went down
	byDead     failover = "dead"     // the hub did not answer
	byHub      failover = "hub"      // the hub ended the session
	byClash    failover = "identity" // the hub gave our identity to another
	byTakeover failover = "better"   // a better peer or source took over
	byOperator failover = "operator" // disconnect, clear, shutdown
	byOther    failover = "other"
)

// Failovers are the reasons for which a profile leaves a hub: a closed set, fit for a metric's label.
func Failovers() []string {
	return []string{string(byTakeover), string(byDead), string(byHub), string(byClash), string(byOperator), string(byOther), string(bySource), string(byTrack)}
}

// ending is how a session ended that this end did not give up.
type ending struct {
	reason failover
	detail string
	// deleted: the hub deleted it. replaced: it said that a session of the same identity took its place.
	deleted, replaced bool
}

const (
	// soon is how long after it came up a session that the hub deletes is suspicious; after suspects
	// of them in a row the cause is taken to be a clash of identities.
	soon     = time.Minute
	suspects = 3
	// hold is how long a hub is left alone after a clash; it doubles up to maxHold.
	hold    = time.Minute
	maxHold = time.Hour
	// clean is how long a session must stand for clashes of the past to be forgotten.
	clean = time.Hour
)

// up tells that a leg stands and is ready for traffic; mobile, that its hub follows a change of
// address (RFC 4555).
func (m *machine) up(now time.Time, id uint64, gateways []string, mobile bool) {
	var l *leg
	switch {
	case m.main != nil && m.main.id == id:
		l = m.main
	case m.next != nil && m.next.id == id:
		l = m.next
		m.leave(m.old, "another session has taken over", byTakeover)
		m.old, m.oldUntil = m.main, now.Add(drain)
		m.main, m.next = l, nil
	default:
		return
	}
	l.since, l.mobile = now, mobile
	clear(l.peer.tried)
	l.peer.lastErr = ""
	m.peers.push(l.peer, gateways)
	for _, p := range m.peers {
		p.available = m.unavailable(now, p) == ""
	}
	m.enter(active, "")
	m.do(carry{l.id})
	m.tries = 0
	m.laterBetter(now)
}

// ended tells that a leg ended, or never came up.
func (m *machine) ended(now time.Time, id uint64, e ending) {
	switch {
	case m.main != nil && m.main.id == id:
		m.mainEnded(now, e)
	case m.next != nil && m.next.id == id:
		l := m.next
		m.drop(l)
		l.peer.failures++
		l.peer.lastErr = e.detail
		m.tell("%s did not take over: %s", l.peer, e.detail)
		m.proceedBetter(now)
	case m.old != nil && m.old.id == id:
		m.drop(m.old)
	}
}

func (m *machine) mainEnded(now time.Time, e ending) {
	l := m.main
	lasted := now.Sub(l.since)
	stood := l.stands()
	m.drop(l)
	clash := stood && m.next == nil && m.clashed(now, l.peer, e, lasted)
	switch {
	case m.promote():
		// A hub that ends a session of ours because another of ours is on its way does what it should.
	case clash:
		m.failures = 0
		m.begin(now, m.peers.after(l.peer))
	case stood && (lasted >= steady || e.reason == byDead): // silence takes its time: no loop is tight by it
		l.peer.failures++
		l.peer.lastErr = e.detail
		m.failures = 0
		clear(l.peer.tried)
		m.begin(now, m.peers.after(l.peer))
	default:
		l.peer.tried[l.to] = true // also when it had come up
		m.failed(now, l.peer, e.detail)
	}
}

// clashed reports whether the hub ended the session because another spoke came with our identity:
// it said so, or it does it again and again. That hub is then left alone for a while, longer each
// time: two spokes that throw each other out in turn serve nobody.
func (m *machine) clashed(now time.Time, p *peer, e ending, lasted time.Duration) bool {
	if lasted >= clean {
		p.clashes = 0
	}
	switch {
	case e.deleted && lasted < soon:
		p.quick++
	case !e.replaced:
		p.quick = 0
	}
	if !e.replaced && p.quick < suspects {
		return false
	}
	why := "the hub gave the session's place to another spoke with the same identity: give each spoke an identity of its own"
	if !e.replaced {
		why = fmt.Sprintf("the hub deleted %d sessions in a row soon after they came up: does another spoke have the same identity?", p.quick)
	}
	wait := min(hold<<min(p.clashes, 10), maxHold)
	p.clashes++
	p.quick = 0
	p.failures++
	p.lastErr = why
	p.held = now.Add(wait)
	p.available = false
	m.tell("%s: %s: left alone for %s", p, why, wait)
	return true
}
