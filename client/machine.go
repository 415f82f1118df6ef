package client

import (
	"fmt"
	"net/netip"
	"time"

	"flexvpn/config"
)

// state is a client profile's state as show prints it.
type state string

// The states. A profile passes SELECT without resting there: choosing among peers takes no time.
const (
	idle       state = "IDLE"       // no tunnel is wanted: connect: manual, or disconnected
	waiting    state = "WAIT"       // wanted, but nothing can be tried: a track, a source, a backup group
	resolving  state = "RESOLVE"    // a peer's name is being looked up
	connecting state = "CONNECTING" // IKE is under way
	backingOff state = "BACKOFF"    // an attempt failed; the next one waits its turn
	active     state = "ACTIVE"     // the tunnel stands
)

// States are the states a client profile can be in: a closed set, fit for a metric's label.
func States() []string {
	return []string{string(active), string(backingOff), string(connecting), string(idle), string(resolving), string(waiting)}
}

// backoff are the waits after failed attempts, as on IOS: four, then from the beginning.
var backoff = [...]time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}

const (
	// steady is how long a session must have stood for its loss to be news: one that is lost sooner
	// counts as a failed attempt, so that a hub that takes spokes in and throws them out again is not
	// asked in a tight loop.
	steady = 10 * time.Second
	// drain is how long a session that another has taken over from still listens: what was on its
	// way through the old hub arrives.
	drain = time.Second
	// again is how often a better peer is tried after its back-off, when no track says it is back.
	again = 30 * time.Second
)

// A world is what the machine looks at when it decides.
type world interface {
	// trackUp reports whether a tracked object is up.
	trackUp(number int) bool
	// source is where packets to a peer leave from: of the configured sources the first that is up.
	// The error says why there is none.
	source(to netip.Addr) (source, error)
	// usable reports whether a source that was chosen before still is up.
	usable(source) bool
	// further are the other addresses of a leg's hub, as it told them (MOBIKE).
	further(leg uint64) []netip.Addr
	// here reports whether this host has an address.
	here(netip.Addr) bool
	// claim takes a hub for this profile; false: another profile of its backup group has it. Each
	// claim that succeeded is released once.
	claim(hub netip.Addr) bool
	release(hub netip.Addr)
}

// A source is where a tunnel's packets leave from.
type source struct {
	sequence int        // of the configured source; 0: the routing table's choice
	iface    string     // empty: whichever has the address
	addr     netip.Addr // of this host
}

// An action is something the machine wants done. The machine never waits for it: what comes of it
// comes back as an input.
type action interface{ action() }

type (
	// lookUp asks for the addresses of a name; resolved tells them.
	lookUp struct {
		leg  uint64 // 0: at the start, for a peer that is resolved once
		peer *peer
	}
	// dial begins IKE; up or ended tell how it went.
	dial struct {
		leg  uint64
		peer *peer
		to   netip.Addr
		from source
	}
	// carry moves the traffic to a leg that stands.
	carry struct{ leg uint64 }
	// move takes a leg to another source without a new session (MOBIKE, RFC 4555).
	move struct {
		leg  uint64
		to   netip.Addr // the hub's, which may be another one of it
		from source
	}
	// giveUp ends a leg. Nothing is heard of it afterwards.
	giveUp struct {
		leg    uint64
		why    string
		reason failover
	}
	// tell is a line for debug client.
	tell struct{ text string }
)

func (lookUp) action() {}
func (dial) action()   {}
func (carry) action()  {}
func (move) action()   {}
func (giveUp) action() {}
func (tell) action()   {}

// A leg is one attempt at a hub and the session it becomes.
type leg struct {
	id       uint64
	peer     *peer
	to       netip.Addr // invalid while the name is looked up
	from     source
	begun    time.Time
	since    time.Time // up since; zero: not yet
	mobile   bool      // its hub follows a change of address (MOBIKE)
	rehoming bool      // it differs from the one it is to replace in its source only
}

func (l *leg) stands() bool { return l != nil && !l.since.IsZero() }

// A machine is a client profile's decisions: which peer, which source, when to connect and when to
// leave. It does no I/O and has no clock: inputs are its methods, what it wants done is taken from
// it with take, and it must be given time at deadline.
//
//	IDLE --connect--> SELECT --> RESOLVE --> CONNECTING --up--> ACTIVE --lost--> SELECT (next peer)
//	                   |  ^                     |
//	      nothing usable  track, source,     failed
//	                   v  group changed         v
//	                   WAIT                  BACKOFF 2, 4, 8, 16 s --> SELECT (next peer)
//
// Up to three legs stand at once: main, which carries or will carry the traffic; next, which is to
// take over from it (reactivation, change of source); old, which still listens after that.
type machine struct {
	profile *config.Client
	world   world
	peers   peerList

	wanted bool
	state  state
	why    string // of WAIT and BACKOFF: for people

	main, next, old *leg
	oldUntil        time.Time
	pass, nextPass  []*peer // peers that this selection has still to look at
	reasons         []string

	failures int // failed attempts in a row
	retryAt  time.Time
	resume   *peer     // where the selection after a back-off begins; nil: the first peer
	betterAt time.Time // when a better peer is tried next; zero: not
	tries    int       // at better peers, in a row
	lastID   uint64
	out      []action
}

func newMachine(c *config.Client, w world) *machine {
	return &machine{profile: c, world: w, peers: newPeerList(c.Peers), state: idle}
}

// take returns what is to be done, in order.
func (m *machine) take() []action {
	out := m.out
	m.out = nil
	return out
}

func (m *machine) do(a action) { m.out = append(m.out, a) }

func (m *machine) tell(format string, args ...any) { m.do(tell{fmt.Sprintf(format, args...)}) }

// start begins the profile's life: names that are resolved once are looked up, and unless it is
// manual it connects.
func (m *machine) start(now time.Time) {
	for _, p := range m.peers {
		if p.FQDN != "" && !p.Dynamic {
			m.do(lookUp{peer: p})
		}
		p.available = m.unavailable(now, p) == ""
	}
	if m.profile.Connect != config.ConnectManual {
		m.connect(now)
	}
}

// connect wants a tunnel.
func (m *machine) connect(now time.Time) {
	if m.wanted {
		return
	}
	m.wanted = true
	m.fresh()
	m.begin(now, nil)
}

// disconnect wants none.
func (m *machine) disconnect(now time.Time, why string) {
	m.wanted = false
	m.dropAll(now, why, byOperator)
	m.enter(idle, "")
}

// clear ends the session and begins from the first peer; a manual profile stays down.
func (m *machine) clear(now time.Time, why string) {
	m.dropAll(now, why, byOperator)
	m.fresh()
	switch {
	case m.profile.Connect == config.ConnectManual:
		m.wanted = false
		m.enter(idle, "")
	case m.wanted:
		m.begin(now, nil)
	default: // it was disconnected: clear is a new beginning
		m.connect(now)
	}
}

// fresh forgets failures and grudges: an operator has said so.
func (m *machine) fresh() {
	m.failures, m.resume, m.tries = 0, nil, 0
	for _, p := range m.peers {
		p.held, p.clashes, p.quick = time.Time{}, 0, 0
		clear(p.tried)
	}
}

// gate is why a profile that connects by a track may not connect now; empty: it may.
func (m *machine) gate() string {
	t := m.profile.ConnectTrack
	if m.profile.Connect != config.ConnectTrack || m.world.trackUp(t.Number) == t.Up {
		return ""
	}
	return fmt.Sprintf("connect waits for %s", t)
}

// drop forgets a leg and gives its hub back.
func (m *machine) drop(l *leg) {
	if l == nil {
		return
	}
	if l.to.IsValid() {
		m.world.release(l.to)
	}
	switch l {
	case m.main:
		m.main = nil
	case m.next:
		m.next = nil
	case m.old:
		m.old = nil
	}
}

// leave gives a leg up and forgets it.
func (m *machine) leave(l *leg, why string, reason failover) {
	if l == nil {
		return
	}
	m.do(giveUp{leg: l.id, why: why, reason: reason})
	m.drop(l)
}

func (m *machine) dropAll(_ time.Time, why string, reason failover) {
	for _, l := range []*leg{m.old, m.next, m.main} {
		m.leave(l, why, reason)
	}
	m.betterAt, m.retryAt = time.Time{}, time.Time{}
}

func (m *machine) enter(s state, why string) {
	if m.state != s {
		m.tell("%s -> %s%s", m.state, s, because(why))
	}
	m.state, m.why = s, why
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// deadline is when tick is wanted; zero: nothing is pending.
func (m *machine) deadline() time.Time {
	var first time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if m.old != nil {
		sooner(m.oldUntil)
	}
	switch m.state {
	case backingOff:
		sooner(m.retryAt)
	case waiting:
		for _, p := range m.peers {
			sooner(p.held)
		}
	case active:
		if m.next == nil {
			sooner(m.betterAt)
		}
	}
	return first
}

// tick does what is due.
func (m *machine) tick(now time.Time) {
	if m.old != nil && !now.Before(m.oldUntil) {
		m.leave(m.old, "another session has taken over", byTakeover)
	}
	m.peers.forgive(now)
	switch {
	case m.state == backingOff && !now.Before(m.retryAt):
		m.begin(now, m.resume)
	case m.state == waiting:
		m.changed(now)
	case m.state == active && m.next == nil && !m.betterAt.IsZero() && !now.Before(m.betterAt):
		m.beginBetter(now)
	}
}
