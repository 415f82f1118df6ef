package ikev2_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
	"flexvpn/ikev2/suite"
)

// storm is a link that loses, duplicates and reorders: 30 % of all datagrams suffer each fate.
func storm(r *rand.Rand) func() []time.Duration {
	delay := func() time.Duration {
		d := time.Duration(5+r.IntN(20)) * time.Millisecond
		if r.IntN(100) < 30 {
			d += time.Duration(r.IntN(2000)) * time.Millisecond // others overtake it
		}
		return d
	}
	return func() []time.Duration {
		switch fate := r.IntN(100); {
		case fate < 30:
			return nil
		case fate < 60:
			return []time.Duration{delay(), delay()}
		}
		return []time.Duration{delay()}
	}
}

// cheap keeps the key exchanges of a thousand sessions fast.
func cheap(p *ikev2.Policy) {
	ike := []suite.Proposal{{Encr: []suite.Cipher{{ID: 20, KeyBits: 256}}, PRF: []uint16{5}, Group: []uint16{31}}}
	esp := []suite.Proposal{{Encr: []suite.Cipher{{ID: 20, KeyBits: 256}}, Group: []uint16{31}, ESN: []uint16{0}}}
	p.IKE, p.ESP = ike, esp
}

// TestStorm holds the promise that whatever a link does, both ends come to a consistent end: they
// share one IKE SA and one Child SA in use, or both have closed; and a session that one of them deletes
// is gone at both.
func TestStorm(t *testing.T) {
	const sessions = 1000
	up, closed, collisions := 0, 0, uint64(0)
	for seed := range uint64(sessions) {
		p := stormSession(t, seed)
		if p.Spoke.Closed != nil {
			closed++
		} else {
			up++
			stormDelete(p, seed)
		}
		collisions += p.Spoke.Common.Counters.RekeyCollisions.Load() + p.Hub.Common.Counters.RekeyCollisions.Load()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d sessions: %d stand, %d closed on both ends, %d collisions", sessions, up, closed, collisions)
	if up < sessions/3 || closed < sessions/10 || collisions < sessions/10 {
		t.Errorf("the storm is too weak or too strong to prove anything: %d up, %d closed, %d collisions", up, closed, collisions)
	}
}

func stormSession(t *testing.T, seed uint64) *iketest.Pair {
	r := rand.New(rand.NewPCG(seed, 1))
	p := iketest.NewPair(t, iketest.Both(cheap), iketest.Periodic(30*time.Second, 2*time.Second, 8),
		iketest.Both(func(q *ikev2.Policy) { q.RetransmitTries = 10; q.RetransmitMax = 4 * time.Second }))
	p.Fate = storm(r)
	p.Spoke.Initiate()
	p.Run(60 * time.Second)
	for range 6 {
		act(r, p)
		p.Run(time.Duration(r.IntN(8000)) * time.Millisecond)
	}
	if r.IntN(4) == 0 {
		ends := []*iketest.End{p.Spoke, p.Hub}
		e := ends[r.IntN(2)]
		if e.SA != nil {
			e.Close()
		}
		if r.IntN(3) == 0 && e.SA != nil {
			p.Run(time.Duration(r.IntN(30)) * time.Millisecond)
			ends[0].Close()
		}
	}
	p.Run(2 * time.Minute)
	p.Fate = nil // the weather clears; the dead are noticed
	p.Run(8 * time.Minute)
	p.WantConsistent("after the storm")
	return p
}

// stormDelete has one end delete the session in another storm, sometimes both ends, and sometimes while
// something is rekeyed.
func stormDelete(p *iketest.Pair, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 3))
	p.Fate = storm(r)
	if r.IntN(3) == 0 {
		act(r, p)
	}
	ends := []*iketest.End{p.Spoke, p.Hub}
	first := r.IntN(2)
	ends[first].Close()
	if r.IntN(4) == 0 {
		p.Run(time.Duration(r.IntN(40)) * time.Millisecond)
		ends[1-first].Close()
	}
	p.Run(time.Minute)
	p.Fate = nil
	p.Run(3 * time.Minute)
	if p.Spoke.Closed == nil || p.Hub.Closed == nil {
		p.Fatalf("one end deleted the session, and it still stands at an end: %v, %v", p.Spoke.Closed, p.Hub.Closed)
	}
}

// act does one of the things that owners and lifetimes do, often at both ends at once.
func act(r *rand.Rand, p *iketest.Pair) {
	kind, who := r.IntN(4), r.IntN(3)
	for i, e := range []*iketest.End{p.Spoke, p.Hub} {
		if e.SA == nil || e.Closed != nil || who == i {
			continue
		}
		switch kind {
		case 0, 1:
			e.RekeyChild()
		case 2:
			e.RekeyIKE()
		case 3:
			if i == 0 {
				e.RekeyIKE()
			} else {
				e.RekeyChild()
			}
		}
		if r.IntN(2) == 0 {
			p.Run(time.Duration(r.IntN(60)) * time.Millisecond)
		}
	}
}
