package ikev2

import (
	"time"

	"flexvpn/ikev2/wire"
)

// An SA is one end of an IKE SA with its Child SAs. It does no I/O and is not safe for concurrent
// use: the shard that created it owns it. All times come from the caller.
//
// Every field is a plain value (but for the shared Common and Policy), so that an SA can be written
// down and taken over.
type SA struct {
	c *Common
	p *Policy // nil for a responder until Authenticate is answered

	state       state
	initiator   bool // of the session; a generation has its own role
	localAuth   AuthKind
	peerAuth    AuthKind
	peer        peerFacts
	nat         natState
	path        Path
	local       Identity
	remote      Identity
	made        time.Time
	firstSPI    uint64
	established bool   // Established was said
	eapIdentity string // what EAP proved: the peer's, or this end's own

	hs       *handshake    // until the SA stands, then nil
	cur      *generation   // the IKE SA in use; nil before IKE_SA_INIT is answered
	old      []*generation // replaced, redundant or not yet decided generations
	children []childSA
	granted  grant // what a Child SA of this session may carry

	ex     *exchange // this end's request in flight: one at a time, whatever the generation
	tasks  []task    // requests waiting for it
	asking *asking   // the question that holds everything up, or nil
	nextID QuestionID

	mob   *mobility // nil: nothing of MOBIKE to keep
	live  livenessState
	close closeState
	// childless is when an SA without any Child SA is given up; zero while it has one.
	childless time.Time

	out []Output
}

// peerFacts is what the peer told about itself.
type peerFacts struct {
	fragmentation bool
	flexVPN       bool
	mobike        bool // both ends know MOBIKE
	deleteReason  bool
	version       string
}

// state is where an SA stands. Only SA.enter writes it.
type state uint8

const (
	stateInit     state = iota + 1 // IKE_SA_INIT under way
	stateAuth                      // keys exist, nobody is authenticated
	stateReady                     // authenticated, first Child SA installed
	stateDeleting                  // Delete sent, or about to be
	stateClosed
)

// String names the state as Facts does.
func (s state) String() string {
	switch s {
	case stateInit:
		return "SA_INIT"
	case stateAuth:
		return "AUTH"
	case stateReady:
		return "READY"
	case stateDeleting:
		return "DELETING"
	case stateClosed:
		return "CLOSED"
	}
	return "UNKNOWN"
}

// follows are the only transitions there are.
var follows = [...][]state{
	0:             {stateInit},
	stateInit:     {stateAuth, stateClosed},
	stateAuth:     {stateReady, stateDeleting, stateClosed},
	stateReady:    {stateDeleting, stateClosed},
	stateDeleting: {stateClosed},
	stateClosed:   {},
}

// enter is the one door for transitions.
func (sa *SA) enter(s state) {
	for _, t := range follows[sa.state] {
		if t == s {
			sa.state = s
			return
		}
	}
	panic("BUG: ikev2: " + sa.state.String() + " cannot become " + s.String())
}

// NewInitiator makes an SA and its first datagram. path is the flow to the peer's IKE port (Encap
// false) or straight to its NAT-traversal port (Encap true); its local address enters the NAT
// detection hashes, so where it is unknown the peer will believe in a NAT.
func NewInitiator(now time.Time, c *Common, p *Policy, path Path) *SA {
	sa := newSA(now, c, path)
	sa.p = p
	sa.initiator = true
	sa.local = p.Local
	sa.startInit(now)
	return sa
}

// NewResponder makes an SA for a peer's IKE_SA_INIT request: give it the datagram with Receive.
func NewResponder(now time.Time, c *Common, path Path) *SA {
	return newSA(now, c, path)
}

func newSA(now time.Time, c *Common, path Path) *SA {
	sa := &SA{c: c, path: path, made: now, firstSPI: c.NewSPI()}
	sa.hs = &handshake{deadline: now.Add(or(c.HalfOpenLife, 30*time.Second))}
	sa.enter(stateInit)
	return sa
}

// Receive takes a datagram that arrived on p. The datagram stays the caller's. Whatever is wrong
// with it before its integrity is proven costs a counter and nothing else.
func (sa *SA) Receive(now time.Time, p Path, datagram []byte) {
	if sa.state == stateClosed || sa.asking.open() {
		return // a repeat will come when the question is answered
	}
	sa.receive(now, p, datagram)
	sa.next(now)
}

// Answer takes the outside's reply to a Question; one that is late or belongs to another question
// is ignored.
func (sa *SA) Answer(now time.Time, a Answer) {
	if sa.state == stateClosed {
		return
	}
	if t, ok := a.(TrafficAnswer); ok {
		sa.trafficAnswered(now, t)
	} else if sa.asking.open() && a.answers() == sa.asking.id {
		sa.answered(now, a)
	}
	sa.next(now)
}

// Advance does what is due at now; early and repeated calls are harmless.
func (sa *SA) Advance(now time.Time) {
	if sa.state == stateClosed {
		return
	}
	sa.advanceQuestion(now)
	sa.advanceHandshake(now)
	sa.advanceClose(now)
	sa.advanceRetransmit(now)
	sa.advanceLifetimes(now)
	sa.advanceLiveness(now)
	sa.advanceNAT(now)
	sa.advanceFragments(now)
	sa.next(now)
}

// Next is when Advance wants to be called; zero: never.
func (sa *SA) Next() time.Time {
	if sa.state == stateClosed {
		return time.Time{}
	}
	var n time.Time
	if sa.asking.open() {
		n = earliest(n, sa.asking.deadline)
	} else if sa.ex != nil {
		n = earliest(n, sa.ex.next)
	}
	if sa.hs != nil {
		n = earliest(n, sa.hs.deadline)
	}
	n = earliest(n, sa.close.deadline)
	n = earliest(n, sa.nextLifetime())
	n = earliest(n, sa.nextLiveness())
	n = earliest(n, sa.nextKeepalive())
	return earliest(n, sa.nextFragment())
}

// Take hands over what has accumulated, in order.
func (sa *SA) Take() []Output {
	out := sa.out
	sa.out = nil
	return out
}

// SPI is the first local SPI of this SA.
func (sa *SA) SPI() uint64 { return sa.firstSPI }

func (sa *SA) emit(o Output) { sa.out = append(sa.out, o) }

// generations calls f for each generation of the SA, the current one first, until f says stop.
func (sa *SA) generations(f func(*generation) bool) {
	if sa.cur != nil && !f(sa.cur) {
		return
	}
	for _, g := range sa.old {
		if !f(g) {
			return
		}
	}
}

// or is v, or its default where v is not set.
func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// earliest is the earlier of two moments, of which zero ones do not count.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// due reports whether a moment is set and has come.
func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

// identityOf copies an ID payload.
func identityOf(id *wire.ID) Identity {
	if id == nil {
		return Identity{}
	}
	return Identity{Type: id.Type, Data: string(id.Data)}
}
