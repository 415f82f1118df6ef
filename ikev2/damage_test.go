package ikev2_test

import (
	"reflect"
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
)

// "A malformed, truncated, replayed, reflected or oversized datagram costs a counter and nothing else":
// what the SA says of itself is the same after it, nothing is sent, nothing happens, and the session
// goes on.

// a state is what bad input must not change.
type state struct {
	facts  ikev2.Facts
	sent   int
	data   ikev2.Path
	closed bool
}

func stateOf(e *iketest.End) state {
	return state{e.SA.Facts(), e.Sent, e.Data, e.Closed != nil}
}

// bad counts what was refused for any reason.
func bad(e *iketest.End) uint64 {
	c := e.Common.Counters
	return c.BadSyntax.Load() + c.BadIntegrity.Load() + c.BadMessageID.Load() + c.BadFragments.Load()
}

// unharmed gives the datagram to its receiver and asserts that a counter is all that changes.
func unharmed(t *testing.T, p *iketest.Pair, f iketest.Flight, what string) {
	t.Helper()
	before, count := stateOf(f.To), bad(f.To)
	p.Arrive(f)
	if after := stateOf(f.To); !reflect.DeepEqual(before, after) {
		t.Fatalf("%s: the %s went from %+v to %+v", what, f.To.Name, before, after)
	}
	if bad(f.To) == count {
		t.Fatalf("%s: it is not counted", what)
	}
}

func altered(f iketest.Flight, change func([]byte) []byte) iketest.Flight {
	f.Datagram = change(append([]byte(nil), f.Datagram...))
	return f
}

// messages are one of each kind on its way in a session that stands, requests and responses of both ends.
func eachMessage(t *testing.T, mobike bool, f func(t *testing.T, p *iketest.Pair, m iketest.Flight)) {
	begin := map[string]func(*iketest.End){
		"probe":        func(e *iketest.End) { e.Do(func(now time.Time, sa *ikev2.SA) { sa.Probe(now) }) },
		"child rekey":  (*iketest.End).RekeyChild,
		"ike rekey":    (*iketest.End).RekeyIKE,
		"update":       func(e *iketest.End) { e.Migrate(spoke2, "") },
		"address list": func(e *iketest.End) { e.SetAddresses(spoke1, spoke2) },
	}
	for name, act := range begin {
		if !mobike && (name == "update" || name == "address list") {
			continue
		}
		for _, answered := range []bool{false, true} {
			p := iketest.Up(t, iketest.Both(func(q *ikev2.Policy) { q.MOBIKE = mobike }))
			act(p.Spoke)
			if answered {
				p.Step()
			}
			if len(p.Link) == 0 {
				t.Fatalf("%s: nothing is on its way", name)
			}
			m := p.Link[0]
			f(t, p, m)
			p.Deliver()
			p.WantConsistent(name + ": the session went on")
		}
	}
}

func TestDamagedDatagramsAreOnlyCounted(t *testing.T) {
	for _, mobike := range []bool{false, true} {
		eachMessage(t, mobike, func(t *testing.T, p *iketest.Pair, m iketest.Flight) {
			for n := range m.Datagram {
				unharmed(t, p, altered(m, func(b []byte) []byte { return b[:n] }), "truncated")
			}
			for n := range m.Datagram {
				unharmed(t, p, altered(m, func(b []byte) []byte { b[n] ^= 0x41; return b }), "altered")
			}
			unharmed(t, p, altered(m, func(b []byte) []byte { return append(b, make([]byte, 1<<16)...) }), "oversized")
			reflected := m
			reflected.From, reflected.To = m.To, m.From
			unharmed(t, p, reflected, "reflected")
		})
	}
}

// An old request gets its old answer, an old response nothing, and neither changes anything.
func TestReplayedDatagramsChangeNothing(t *testing.T) {
	var seen []iketest.Flight
	p := mobile(t)
	acts := []func(){
		func() { p.Spoke.RekeyChild() }, func() { p.Hub.RekeyChild() }, func() { p.Spoke.Migrate(spoke2, "") },
		func() { p.Hub.SetAddresses(hub1, hub2) }, func() { p.Spoke.Migrate(spoke1, "") },
	}
	for _, act := range acts {
		act()
		for len(p.Link) > 0 {
			m := p.Link[0]
			m.Datagram = append([]byte(nil), m.Datagram...)
			seen = append(seen, m)
			p.Step()
		}
	}
	for _, m := range seen {
		before := stateOf(m.To)
		m.Path.Local = nowhere
		p.Arrive(m)
		p.Link = nil // an answer from the cache goes to where the replay came from, and nowhere else
		after := stateOf(m.To)
		before.sent, after.sent = 0, 0
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("%s replayed: the %s went from %+v to %+v", m, m.To.Name, before, after)
		}
	}
	p.Deliver()
	p.WantConsistent("after all replays")
	p.WantMeet("after all replays")
}

// A spoke that never finishes its handshake is forgotten after 30 s, and so is all that it cost.
func TestUnfinishedHandshakeIsForgotten(t *testing.T) {
	p := iketest.NewPair(t)
	p.Spoke.Initiate()
	p.Step()
	p.Blocked = func(ikev2.Path) bool { return true }
	p.Wait(30*time.Second - 1)
	p.Hub.Do(func(now time.Time, sa *ikev2.SA) { sa.Advance(now) })
	iketest.WantNone[ikev2.Closed](p.Hub, "it has 30 seconds")
	p.Wait(1)
	p.Hub.Do(func(now time.Time, sa *ikev2.SA) { sa.Advance(now) })
	if c := iketest.Want[ikev2.Closed](p.Hub, "it had 30 seconds"); c.Reason != ikev2.ReasonTimeout || c.Established {
		t.Errorf("closed for %s", c.Reason)
	}
}
