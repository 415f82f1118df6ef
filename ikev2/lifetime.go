package ikev2

import (
	"time"

	"flexvpn/ikev2/wire"
)

// Lifetimes, RFC 7296 section 2.8: each end rekeys by its own policy a little before the end, at a
// moment that differs from SA to SA, so that the two ends seldom start together and a hub's
// sessions do not all rekey in one second.
const (
	defaultIKELife   = 24 * time.Hour
	defaultChildLife = time.Hour
	maxMargin        = 9 * time.Minute
	// rekeyRetry is the pause after TEMPORARY_FAILURE (section 2.25), rekeyRefused after any other
	// refusal.
	rekeyRetry   = 5 * time.Second
	rekeyRefused = time.Minute
	// childlessLimit is how long a session without any Child SA waits for a new one.
	childlessLimit = 10 * time.Second
)

// rekeyAfter is the soft lifetime: a tenth to a fifth (at most 9 to 18 minutes) before the hard
// one. The jitter comes from an SPI of this end, which is random and survives being written down.
func rekeyAfter(life time.Duration, spi uint64) time.Duration {
	margin := min(life/10, maxMargin)
	return life - margin - jitter(margin, spi)
}

// jitter is a duration in [0, d) that depends on the SPI only.
func jitter(d time.Duration, spi uint64) time.Duration {
	mixed := (spi ^ spi>>32) * 0x9e3779b97f4a7c15
	return time.Duration(float64(d) * (float64(mixed>>11) / (1 << 53)))
}

// lifeOf gives a generation that carries the session its lifetime.
func (sa *SA) lifeOf(g *generation) {
	if sa.p == nil {
		return // a responder learns its policy in IKE_AUTH
	}
	life := or(sa.p.IKELife, defaultIKELife)
	g.rekeyAt = g.made.Add(rekeyAfter(life, g.local))
	g.expires = g.made.Add(life)
}

// advanceLifetimes rekeys what is due and removes what is over.
func (sa *SA) advanceLifetimes(now time.Time) {
	if sa.state == stateDeleting {
		sa.dropOld(now)
		return
	}
	if sa.state != stateReady {
		return
	}
	sa.dropOld(now)
	sa.advanceChildren(now)
	switch g := sa.cur; {
	case due(g.expires, now):
		sa.beginClose(now, Closed{Reason: ReasonExpired, Detail: "the IKE SA reached its lifetime and could not be rekeyed"})
	case due(g.rekeyAt, now):
		g.rekeyAt = now.Add(rekeyRefused) // until the outcome says better
		sa.want(task{kind: taskRekeyIKE})
	case due(sa.childless, now):
		sa.beginClose(now, Closed{Reason: ReasonPeerDelete, Detail: "no Child SA is left and the peer made no new one"})
	}
}

// dropOld forgets generations the peer should have deleted: it has forgotten them, or never knew.
func (sa *SA) dropOld(now time.Time) {
	for i := 0; i < len(sa.old); i++ {
		g := sa.old[i]
		if !due(g.expires, now) || g.standing == standingUndecided {
			continue
		}
		if sa.ex != nil && sa.ex.gen == g {
			sa.moveOn(sa.ex)
		}
		sa.forget(g)
		i--
	}
}

func (sa *SA) advanceChildren(now time.Time) {
	for i := range sa.children {
		ch := &sa.children[i]
		switch {
		case due(ch.expires, now) && ch.standing != childLeaving:
			ch.expires = time.Time{}
			sa.leave(ch)
		case due(ch.rekeyAt, now) && ch.standing == childUp:
			ch.rekeyAt = now.Add(rekeyRefused)
			sa.want(task{kind: taskRekeyChild, child: ch.spiIn})
		}
	}
}

// nextLifetime is the next moment of all generations and Child SAs.
func (sa *SA) nextLifetime() time.Time {
	if sa.state != stateReady {
		return time.Time{} // deleting: its own deadline is near enough
	}
	n := sa.childless
	sa.generations(func(g *generation) bool {
		if g.standing != standingUndecided {
			n = earliest(n, earliest(g.rekeyAt, g.expires))
		}
		return true
	})
	for i := range sa.children {
		ch := &sa.children[i]
		if ch.standing != childLeaving {
			n = earliest(n, ch.expires)
		}
		if ch.standing == childUp {
			n = earliest(n, ch.rekeyAt)
		}
	}
	return n
}

// RekeyChild rekeys the Child SA with this inbound SPI soon, for a data plane that reached a limit
// of octets or packets.
func (sa *SA) RekeyChild(now time.Time, spiIn uint32) {
	if ch := sa.child(spiIn); sa.state == stateReady && ch != nil && ch.standing == childUp {
		sa.want(task{kind: taskRekeyChild, child: spiIn})
		sa.next(now)
	}
}

// RekeyIKE rekeys the IKE SA soon.
func (sa *SA) RekeyIKE(now time.Time) {
	if sa.state == stateReady {
		sa.want(task{kind: taskRekeyIKE})
		sa.next(now)
	}
}

// SetConfig sends a CFG_SET with these attributes (RFC 7296 section 3.15); the SA keeps attrs until
// it is sent.
func (sa *SA) SetConfig(now time.Time, attrs []wire.Attribute) {
	if sa.state == stateReady {
		sa.want(task{kind: taskConfig, attrs: attrs})
		sa.next(now)
	}
}
