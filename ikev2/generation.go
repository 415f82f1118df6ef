package ikev2

import (
	"time"

	"flexvpn/ikev2/suite"
	"flexvpn/secret"
)

// A generation is one IKE SA of the protocol: SPIs, keys, message ids and windows. A rekey makes
// the next one while this one is still there (RFC 7296 section 2.8).
type generation struct {
	local, remote uint64 // SPIs
	initiator     bool   // whether this end is its original initiator (the I flag)
	standing      standing
	suite         suite.IKE
	keys          suite.IKEKeys // without SK_p, which only IKE_AUTH needs

	sendID    uint32         // of the next request of this end
	receiveID uint32         // of the next request of the peer
	reply     reply          // to the peer's last request
	parts     [2]*reassembly // of a request, of a response

	made    time.Time
	rekeyAt time.Time
	expires time.Time // of the current one: lifetime over; of another: dropped without a word
}

// standing is the part a generation plays.
type standing uint8

const (
	standingCurrent   standing = iota // carries the session
	standingUndecided                 // the peer's, made while ours is under way (section 2.8.1)
	standingReplaced                  // the peer will delete it
	standingLeaving                   // this end deletes it, or is about to
)

// spis are the initiator's and the responder's SPI, as in the header.
func (g *generation) spis() (i, r uint64) {
	if g.initiator {
		return g.local, g.remote
	}
	return g.remote, g.local
}

// generation finds the generation of a header's SPIs. The I flag of a peer's message is the
// opposite of this end's, so that a reflected datagram finds nothing.
func (sa *SA) generation(spiI, spiR uint64, fromInitiator bool) *generation {
	var found *generation
	sa.generations(func(g *generation) bool {
		if i, r := g.spis(); i == spiI && r == spiR && fromInitiator != g.initiator {
			found = g
		}
		return found == nil
	})
	return found
}

// promote makes g the generation that carries the session; the one before goes on with the
// standing given. The Child SAs are the session's, so that g inherits them (section 2.8).
func (sa *SA) promote(now time.Time, g *generation, before standing) {
	was := sa.cur
	if was == g {
		return
	}
	sa.unlist(g)
	g.standing = standingCurrent
	sa.cur = g
	sa.lifeOf(g)
	if was != nil {
		sa.demote(now, was, before)
		sa.old = append(sa.old, was)
		sa.c.Counters.RekeysIKE.Add(1)
		sa.emit(IKERekeyed{Suite: g.suite})
	}
}

// outlive is how long a generation is kept for a peer that should have deleted it.
const outlive = time.Minute

// demote gives a generation that no longer carries the session its last part.
func (sa *SA) demote(now time.Time, g *generation, s standing) {
	g.standing = s
	g.rekeyAt = time.Time{}
	g.expires = now.Add(outlive)
}

// list adds a generation that does not carry the session (yet).
func (sa *SA) list(now time.Time, g *generation, s standing) {
	sa.demote(now, g, s)
	sa.old = append(sa.old, g)
}

func (sa *SA) unlist(g *generation) {
	for i, o := range sa.old {
		if o == g {
			sa.old = append(sa.old[:i], sa.old[i+1:]...)
			break
		}
	}
	if len(sa.old) == 0 {
		sa.old = nil
	}
}

// forget removes a generation that does not carry the session.
func (sa *SA) forget(g *generation) {
	sa.unlist(g)
	g.wipe()
	sa.emit(SPIRemoved{SPI: g.local})
}

// dropSKp lets go of SK_p, which nothing but IKE_AUTH needs. The keys of one derivation share its memory:
// those that stay move to memory of their own.
func (g *generation) dropSKp() {
	k := &g.keys
	k.PI.Wipe()
	k.PR.Wipe()
	k.PI, k.PR = secret.Bytes{}, secret.Bytes{}
	stay := [...]*secret.Bytes{&k.D, &k.AI, &k.AR, &k.EI, &k.ER}
	n := 0
	for _, s := range stay {
		n += len(s.Reveal())
	}
	room := make([]byte, 0, n)
	for _, s := range stay {
		if from := len(room); !s.IsEmpty() {
			room = append(room, s.Reveal()...)
			s.Wipe()
			*s = secret.New(room[from:len(room):len(room)])
		}
	}
}

func (g *generation) wipe() {
	k := g.keys
	for _, s := range []interface{ Wipe() }{k.D, k.AI, k.AR, k.EI, k.ER, k.PI, k.PR} {
		s.Wipe()
	}
	g.keys = suite.IKEKeys{}
	g.reply = reply{}
	g.parts = [2]*reassembly{}
}
