package iketest

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/suite"
	"flexvpn/secret"
)

// An End is one side of a Pair with its outside world.
type End struct {
	Name   string
	SA     *ikev2.SA
	Common *ikev2.Common
	Policy *ikev2.Policy
	World  World
	Gate   *ikev2.Gate // of a responder; nil: everybody is let in
	Path   ikev2.Path  // an initiator's first one

	// The data plane of this end: its Child SAs by inbound SPI, and the one that carries outbound
	// traffic.
	Children map[uint32]ikev2.Child
	Outbound uint32
	// Data is where its packets run.
	Data ikev2.Path
	// SPIs are the local SPIs that lead to the SA.
	SPIs       map[uint64]bool
	Sent       int // datagrams
	Keepalives int
	Closed     *ikev2.Closed
	// LastIn and LastOut answer Traffic.
	LastIn, LastOut time.Time
	MSK             secret.Bytes // what Knock gives this end

	pair   *Pair
	peer   *End
	events []ikev2.Event
	seed   uint64
	port   netip.AddrPort
}

// A World answers questions. A nil function answers as a friendly world does; one that returns nil
// stays silent, and the test answers later with End.Answer.
type World struct {
	Authenticate func(ikev2.Authenticate) ikev2.Answer
	Authorize    func(ikev2.Authorize) ikev2.Answer
	Install      func(ikev2.Install) ikev2.Answer
	EAP          func(ikev2.EAP) ikev2.Answer
	Traffic      func(ikev2.Traffic) ikev2.Answer
	ConfigSet    func(ikev2.ConfigSet) ikev2.Answer
}

func newEnd(p *Pair, name string, at netip.AddrPort, seed uint64) *End {
	e := &End{
		Name: name, pair: p, port: at, seed: seed << 56,
		Children: map[uint32]ikev2.Child{}, SPIs: map[uint64]bool{},
	}
	e.Common = &ikev2.Common{
		Proposals: suite.DefaultIKE(), Counters: new(ikev2.Counters), Version: name + " test",
		VendorIDs: [][]byte{ikev2.VendorFlexVPN},
		NewSPI:    func() uint64 { e.seed++; return e.seed },
	}
	tracer := ikev2.Tracer(func(r ikev2.TraceRecord) {
		if r.Sent {
			p.note("%s -> %s", e.Name, r.Message)
		}
	})
	e.Common.Tracer.Store(&tracer)
	return e
}

// Initiate begins a session.
func (e *End) Initiate() {
	e.Path = ikev2.Path{Local: e.port, Remote: e.peer.port}
	e.SA = ikev2.NewInitiator(e.pair.Now, e.Common, e.Policy, e.Path)
	e.SPIs[e.SA.SPI()] = true
	e.drain()
}

func (e *End) receive(p ikev2.Path, b []byte) {
	if e.SA == nil {
		if e.Gate != nil {
			admit, reply := e.Gate.Check(e.pair.Now, p, b)
			if reply != nil {
				e.pair.send(e, ikev2.Send{Path: p, Datagram: reply})
			}
			if !admit {
				return
			}
		}
		e.SA = ikev2.NewResponder(e.pair.Now, e.Common, p)
		e.SPIs[e.SA.SPI()] = true
	}
	keep := append([]byte(nil), b...)
	e.SA.Receive(e.pair.Now, p, keep)
	clear(keep) // the datagram was the caller's
	e.drain()
	if e.Closed != nil && e.Closed.Reason == ikev2.ReasonRetry {
		e.SA, e.Closed = nil, nil
	}
}

// Answer gives the outside's reply to a question that World did not answer.
func (e *End) Answer(a ikev2.Answer) {
	e.SA.Answer(e.pair.Now, a)
	e.drain()
}

// Do calls a method of the SA and moves what leaves it onto the link.
func (e *End) Do(f func(now time.Time, sa *ikev2.SA)) {
	f(e.pair.Now, e.SA)
	e.drain()
}

// Close, RekeyIKE and RekeyChild are what an owner asks for most.
func (e *End) Close() { e.Do(func(now time.Time, sa *ikev2.SA) { sa.Close(now, "the test says so") }) }

// RekeyIKE rekeys the IKE SA.
func (e *End) RekeyIKE() { e.Do(func(now time.Time, sa *ikev2.SA) { sa.RekeyIKE(now) }) }

// RekeyChild rekeys the Child SA that carries outbound traffic.
func (e *End) RekeyChild() {
	e.Do(func(now time.Time, sa *ikev2.SA) { sa.RekeyChild(now, e.Outbound) })
}

func (e *End) next() time.Time {
	if e.SA == nil {
		return time.Time{}
	}
	return e.SA.Next()
}

// drain acts on everything that left the SA.
func (e *End) drain() {
	for {
		outs := e.SA.Take()
		if len(outs) == 0 {
			return
		}
		for _, o := range outs {
			e.act(o)
		}
	}
}

func (e *End) act(o ikev2.Output) {
	if e.Closed != nil {
		e.pair.T.Errorf("the %s has something to say after Closed: %T", e.Name, o)
	}
	switch o := o.(type) {
	case ikev2.Send:
		e.Sent++
		e.pair.send(e, o)
	case ikev2.Keepalive:
		e.Keepalives++
	case ikev2.Question:
		if a := e.answer(o); a != nil {
			e.SA.Answer(e.pair.Now, a)
		}
	case ikev2.Event:
		e.pair.note("%s: %T %s", e.Name, o, brief(o))
		e.events = append(e.events, o)
		e.happened(o)
	}
}

func brief(o ikev2.Event) string {
	switch o := o.(type) {
	case ikev2.Closed:
		return string(o.Reason) + ": " + o.Detail
	case ikev2.UseChild:
		return fmt.Sprintf("%08x", o.SPIIn)
	case ikev2.ChildGone:
		return fmt.Sprintf("%08x %s", o.SPIIn, o.Reason)
	case ikev2.Moved:
		return fmt.Sprintf("%s to %s, ESP in UDP %v", o.Path.Local, o.Path.Remote, o.Path.Encap)
	}
	return ""
}

// happened keeps the data plane and the owner's tables as the events say.
func (e *End) happened(o ikev2.Event) {
	t := e.pair.T
	switch o := o.(type) {
	case ikev2.UseChild:
		if _, ok := e.Children[o.SPIIn]; !ok {
			t.Errorf("the %s is told to use a Child SA that is not installed", e.Name)
		}
		e.Outbound = o.SPIIn
	case ikev2.ChildGone:
		if _, ok := e.Children[o.SPIIn]; !ok {
			t.Errorf("the %s is told to remove a Child SA that is not installed", e.Name)
		}
		delete(e.Children, o.SPIIn)
		if e.Outbound == o.SPIIn {
			e.Outbound = 0
		}
	case ikev2.Established:
		e.Data = o.Path
	case ikev2.Moved:
		if o.Path == e.Data {
			t.Errorf("the %s moves its data plane to where it is", e.Name)
		}
		e.Data = o.Path
	case ikev2.SPIAdded:
		e.SPIs[o.SPI] = true
	case ikev2.SPIRemoved:
		if !e.SPIs[o.SPI] {
			t.Errorf("the %s removes an SPI it never had", e.Name)
		}
		delete(e.SPIs, o.SPI)
	case ikev2.Closed:
		e.Closed = &o
		clear(e.Children)
		clear(e.SPIs)
		e.Outbound = 0
	}
}

func (e *End) answer(q ikev2.Question) ikev2.Answer {
	switch q := q.(type) {
	case ikev2.Authenticate:
		if f := e.World.Authenticate; f != nil {
			return f(q)
		}
		return ikev2.AuthenticateAnswer{ID: q.ID, Policy: e.Policy}
	case ikev2.Authorize:
		if f := e.World.Authorize; f != nil {
			return f(q)
		}
		return Granted(q)
	case ikev2.Install:
		if f := e.World.Install; f != nil {
			a := f(q)
			if i, ok := a.(ikev2.InstallAnswer); ok && i.Err == nil {
				e.Children[q.Child.SPIIn] = q.Child
			}
			return a
		}
		e.Children[q.Child.SPIIn] = q.Child
		return ikev2.InstallAnswer{ID: q.ID}
	case ikev2.EAP:
		if f := e.World.EAP; f != nil {
			return f(q)
		}
		return e.Knock(q)
	case ikev2.Traffic:
		if f := e.World.Traffic; f != nil {
			return f(q)
		}
		return ikev2.TrafficAnswer{ID: q.ID, LastIn: e.LastIn, LastOut: e.LastOut}
	case ikev2.ConfigSet:
		if f := e.World.ConfigSet; f != nil {
			return f(q)
		}
		return ikev2.ConfigSetAnswer{ID: q.ID}
	}
	return nil
}

// Want takes the first unread event of its type; the sentence says why it must be there.
func Want[E ikev2.Event](e *End, why string) E {
	e.pair.T.Helper()
	for i, o := range e.events {
		if o, ok := o.(E); ok {
			e.events = append(e.events[:i:i], e.events[i+1:]...)
			return o
		}
	}
	var zero E
	e.pair.Fatalf("%s: the %s has no event %T; unread are: %s", why, e.Name, zero, e.unread())
	return zero
}

// WantNone fails if an event of the type is unread.
func WantNone[E ikev2.Event](e *End, why string) {
	e.pair.T.Helper()
	for _, o := range e.events {
		if _, ok := o.(E); ok {
			e.pair.Fatalf("%s: the %s has an event %T", why, e.Name, o)
		}
	}
}

func (e *End) unread() string {
	var names []string
	for _, o := range e.events {
		names = append(names, strings.TrimPrefix(fmt.Sprintf("%T %s", o, brief(o)), "ikev2."))
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// Forget takes all events as read.
func (e *End) Forget() { e.events = nil }

// WantSilentUntil asserts both sides of a deadline: nothing leaves the end one nanosecond before d has
// passed, and something is due at d.
func (e *End) WantSilentUntil(d time.Duration, why string) {
	e.pair.T.Helper()
	want := e.pair.Now.Add(d)
	if next := e.SA.Next(); !next.Equal(want) {
		e.pair.Fatalf("%s: the %s is due in %v, not in %v", why, e.Name, next.Sub(e.pair.Now), d)
	}
	before := e.Sent
	e.SA.Advance(want.Add(-1))
	e.drain()
	if e.Sent != before {
		e.pair.Fatalf("%s: the %s spoke before its time", why, e.Name)
	}
}

// WantConsistent asserts that both ends agree: both closed, or one IKE SA and the same Child SAs with
// the same keys, of which each sends on one that the other has.
func (p *Pair) WantConsistent(why string) {
	p.T.Helper()
	s, h := p.Spoke, p.Hub
	if h.SA == nil || s.Closed != nil || h.Closed != nil {
		if s.Closed == nil || h.SA != nil && h.Closed == nil {
			p.Fatalf("%s: one end has closed (%v), the other has not (%v)", why, s.Closed, h.Closed)
		}
		return
	}
	a, b := s.SA.Facts(), h.SA.Facts()
	if a.SPILocal != b.SPIRemote || a.SPIRemote != b.SPILocal || a.State != "READY" || b.State != "READY" {
		p.Fatalf("%s: the ends are not in one IKE SA: %x/%x %s and %x/%x %s", why, a.SPILocal, a.SPIRemote, a.State, b.SPILocal, b.SPIRemote, b.State)
	}
	if a.NextSend < b.NextReceive || b.NextSend < a.NextReceive {
		p.Fatalf("%s: the message ids differ", why)
	}
	s.wantSameChildren(h, why)
	h.wantSameChildren(s, why)
	for _, e := range []*End{s, h} {
		if len(e.SPIs) != 1 || !e.SPIs[e.SA.Facts().SPILocal] {
			p.Fatalf("%s: the %s answers to %d SPIs", why, e.Name, len(e.SPIs))
		}
		if len(e.Children) != 1 || len(e.SA.Facts().Children) != 1 {
			p.Fatalf("%s: the %s has %d Child SAs in the data plane, %d in the SA", why, e.Name, len(e.Children), len(e.SA.Facts().Children))
		}
	}
}

func (e *End) wantSameChildren(other *End, why string) {
	e.pair.T.Helper()
	for _, c := range e.Children {
		o, ok := other.Children[c.SPIOut]
		if !ok || o.SPIOut != c.SPIIn || !o.KeyIn.Equal(c.KeyOut) || !o.KeyOut.Equal(c.KeyIn) || o.Suite != c.Suite {
			e.pair.Fatalf("%s: the %s has a Child SA %08x that the other end does not have", why, e.Name, c.SPIIn)
		}
	}
	if _, ok := e.Children[e.Outbound]; !ok {
		e.pair.Fatalf("%s: the %s sends on no Child SA that it has", why, e.Name)
	}
}
