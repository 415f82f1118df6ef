package iketest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/wire"
)

// Epoch is when virtual time begins: certificates of tests must be valid then.
var Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A Pair is a spoke (the initiator) and a hub (the responder) with a link between them.
type Pair struct {
	T          testing.TB
	Now        time.Time
	Spoke, Hub *End
	// Link holds what is in flight, in the order sent.
	Link []Flight
	// NAT, if set, is the address and port the hub sees instead of the spoke's.
	NAT func(spoke netip.AddrPort) netip.AddrPort
	// Blocked, if set, says on which paths, as their sender sees them, nothing arrives.
	Blocked func(ikev2.Path) bool
	// Fate, if set, decides what becomes of each datagram sent: the delays of its copies; none is loss.
	Fate func() []time.Duration

	inside     map[netip.AddrPort]netip.AddrPort // the NAT's mappings back
	transcript []string
	serial     int
}

// A Flight is a datagram on its way.
type Flight struct {
	From, To *End
	Path     ikev2.Path // as the sender sees it
	Datagram []byte
	At       time.Time // when it arrives, with Fate

	serial int
}

// String is the flight's message by its header, like "IKE_AUTH request 1".
func (f Flight) String() string {
	h, err := wire.ParseHeader(f.Datagram)
	if err != nil {
		return err.Error()
	}
	return h.String()
}

// An Option changes a Pair before anything happens.
type Option func(*Pair)

// NewPair makes two ends that would understand each other: one pre-shared key, default proposals,
// one Child SA for everything, a configuration request.
func NewPair(t testing.TB, opts ...Option) *Pair {
	t.Helper()
	p := &Pair{T: t, Now: Epoch, inside: map[netip.AddrPort]netip.AddrPort{}}
	p.Spoke = newEnd(p, "spoke", netip.MustParseAddrPort("192.0.2.10:500"), 0x5)
	p.Hub = newEnd(p, "hub", netip.MustParseAddrPort("203.0.113.1:500"), 0xb)
	p.Spoke.peer, p.Hub.peer = p.Hub, p.Spoke
	p.Spoke.Policy, p.Hub.Policy = pskPolicies()
	for _, o := range opts {
		o(p)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("transcript:\n%s", strings.Join(p.transcript, "\n"))
		}
	})
	return p
}

// Up makes a pair whose session stands, with nothing in flight and no event unread.
func Up(t testing.TB, opts ...Option) *Pair {
	t.Helper()
	p := NewPair(t, opts...)
	p.Spoke.Initiate()
	p.Deliver()
	Want[ikev2.Established](p.Spoke, "the session stands at the spoke")
	Want[ikev2.Established](p.Hub, "the session stands at the hub")
	p.Spoke.Forget()
	p.Hub.Forget()
	return p
}

// Fatalf ends the test with the time and the sentence.
func (p *Pair) Fatalf(format string, args ...any) {
	p.T.Helper()
	p.T.Fatalf("at %v: %s", p.Now.Sub(Epoch), fmt.Sprintf(format, args...))
}

func (p *Pair) note(format string, args ...any) {
	if len(p.transcript) < 4000 {
		p.transcript = append(p.transcript, fmt.Sprintf("%12v  ", p.Now.Sub(Epoch))+fmt.Sprintf(format, args...))
	}
}

func (p *Pair) send(from *End, s ikev2.Send) {
	f := Flight{From: from, To: from.peer, Path: s.Path, Datagram: s.Datagram, At: p.Now}
	if p.Blocked != nil && p.Blocked(s.Path) {
		p.note("nothing gets through from %s to %s: %s", s.Path.Local.Addr(), s.Path.Remote.Addr(), f)
		return
	}
	if p.Fate == nil {
		p.queue(f)
		return
	}
	delays := p.Fate()
	if len(delays) == 0 {
		p.note("lost: %s of the %s", f, from.Name)
	}
	for _, d := range delays {
		f.At = p.Now.Add(d)
		p.queue(f)
	}
}

func (p *Pair) queue(f Flight) {
	p.serial++
	f.serial = p.serial
	p.Link = append(p.Link, f)
}

// Deliver moves everything in flight, and what follows from it, until the link is empty.
func (p *Pair) Deliver() {
	p.T.Helper()
	for n := 0; len(p.Link) > 0; n++ {
		if n > 10000 {
			p.Fatalf("the two ends do not stop talking")
		}
		p.Step()
	}
}

// Step delivers the first datagram in flight.
func (p *Pair) Step() {
	p.T.Helper()
	p.arrive(p.take(0))
}

func (p *Pair) take(i int) Flight {
	p.T.Helper()
	if i >= len(p.Link) {
		p.Fatalf("nothing is in flight")
	}
	f := p.Link[i]
	p.Link = append(p.Link[:i:i], p.Link[i+1:]...)
	return f
}

// find is the index of the first flight whose message has this name, like "IKE_AUTH request 1".
// A name may begin with the sender: "hub INFORMATIONAL request 0".
func (p *Pair) find(name, why string) int {
	p.T.Helper()
	var have []string
	for i, f := range p.Link {
		full := f.From.Name + " " + f.String()
		if full == name || f.String() == name {
			return i
		}
		have = append(have, full)
	}
	p.Fatalf("%s: %s is not in flight, but: %s", why, name, strings.Join(have, ", "))
	return 0
}

// DeliverOne delivers the named message before all others.
func (p *Pair) DeliverOne(name, why string) {
	p.T.Helper()
	p.arrive(p.take(p.find(name, why)))
}

// Drop loses the named message.
func (p *Pair) Drop(name, why string) {
	p.T.Helper()
	f := p.take(p.find(name, why))
	p.note("dropped: %s of the %s", f, f.From.Name)
}

// Hold takes the named message off the link; give it to Release later.
func (p *Pair) Hold(name, why string) Flight {
	p.T.Helper()
	return p.take(p.find(name, why))
}

// Release puts a message that was held, or a copy of one, in flight.
func (p *Pair) Release(f Flight) { p.queue(f) }

// Arrive hands a datagram to its receiver at once.
func (p *Pair) Arrive(f Flight) { p.arrive(f) }

func (p *Pair) arrive(f Flight) {
	path := p.through(f)
	p.note("%s <- %s from %s", f.To.Name, f, path.Remote)
	f.To.receive(path, f.Datagram)
}

// through is the path as the receiver sees it.
func (p *Pair) through(f Flight) ikev2.Path {
	local, remote := f.Path.Remote, f.Path.Local
	if remote.Port() == 0 { // "your NAT-traversal socket"
		remote = netip.AddrPortFrom(remote.Addr(), 4500)
	}
	if p.NAT != nil && f.From == p.Spoke {
		out := p.NAT(remote)
		p.inside[out] = remote
		remote = out
	}
	if in, ok := p.inside[local]; ok && f.From == p.Hub {
		local = in
	}
	return ikev2.Path{Local: local, Remote: remote, Encap: f.Path.Encap}
}

// Wait lets virtual time pass; nothing happens in it.
func (p *Pair) Wait(d time.Duration) { p.Now = p.Now.Add(d) }

// Tick goes to the next deadline of either end and lets it act.
func (p *Pair) Tick() {
	p.T.Helper()
	next := p.next()
	if next.IsZero() {
		p.Fatalf("no end waits for anything")
	}
	p.Now = later(p.Now, next)
	p.advance()
}

func (p *Pair) next() time.Time {
	a, b := p.Spoke.next(), p.Hub.next()
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func (p *Pair) advance() {
	for _, e := range []*End{p.Spoke, p.Hub} {
		if n := e.next(); !n.IsZero() && !n.After(p.Now) {
			e.SA.Advance(p.Now)
			e.drain()
		}
	}
}

// Run lets virtual time pass with all deadlines acted on and all datagrams delivered as Fate says.
func (p *Pair) Run(d time.Duration) {
	p.T.Helper()
	end := p.Now.Add(d)
	for n := 0; ; n++ {
		if n > 1_000_000 {
			p.Fatalf("the two ends do not come to rest")
		}
		i := p.first()
		at := p.next()
		switch {
		case i >= 0 && (at.IsZero() || !at.Before(p.Link[i].At)) && !p.Link[i].At.After(end):
			p.Now = later(p.Now, p.Link[i].At)
			p.arrive(p.take(i))
		case !at.IsZero() && !at.After(end):
			p.Now = later(p.Now, at)
			p.advance()
		default:
			p.Now = end
			return
		}
	}
}

// first is the index of the datagram that arrives next, or -1.
func (p *Pair) first() int {
	best := -1
	for i := range p.Link {
		if best < 0 || p.Link[i].At.Before(p.Link[best].At) {
			best = i
		}
	}
	return best
}
