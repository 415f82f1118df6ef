package ikev2_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
)

// TestMovingStorm is the storm with a spoke and a hub that change their addresses, lose some and move
// through NATs while Child SAs and IKE SAs are rekeyed: in the end both share one IKE SA, one Child SA,
// and each sends its packets to where the other receives them.
func TestMovingStorm(t *testing.T) {
	const sessions = 400
	up, moves, checks := 0, uint64(0), uint64(0)
	for seed := range uint64(sessions) {
		p := movingSession(t, seed)
		if p.Spoke.Closed == nil {
			up++
		}
		moves += p.Spoke.Common.Counters.MovesDone.Load()
		checks += p.Hub.Common.Counters.MovesDone.Load()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d sessions, %d stand, %d moves of spokes and %d of hubs' peers done", sessions, up, moves, checks)
	if up < sessions*9/10 || moves < sessions || checks < sessions {
		t.Errorf("the storm proves nothing: %d up, %d and %d moves", up, moves, checks)
	}
}

// A wanderer has addresses of both ends that come and go; at least one pair of each family is there.
type wanderer struct {
	r   *rand.Rand
	p   *iketest.Pair
	gon map[string]bool
}

func movingSession(t *testing.T, seed uint64) *iketest.Pair {
	r := rand.New(rand.NewPCG(seed, 2))
	p := iketest.NewPair(t, iketest.MOBIKE(), iketest.Both(cheap), iketest.Periodic(10*time.Second, 2*time.Second, 30),
		iketest.HubAddresses(hub1, hub2, hub6), iketest.Both(func(q *ikev2.Policy) {
			q.RetransmitTries, q.RetransmitMax, q.UncheckedMoves = 30, 4*time.Second, seed%2 == 0
		}))
	w := &wanderer{r: r, p: p, gon: map[string]bool{}}
	p.Fate = storm(r)
	p.Blocked = func(q ikev2.Path) bool { return w.gon[q.Local.Addr().String()] || w.gon[q.Remote.Addr().String()] }
	p.Spoke.Initiate()
	p.Run(60 * time.Second)
	if p.Spoke.Closed != nil || p.Hub.SA == nil || p.Hub.Closed != nil {
		p.Fate = nil
		p.Run(10 * time.Minute)
		return p
	}
	p.Spoke.SetAddresses(spoke1, spoke2, spoke6)
	for range 8 {
		w.act()
		p.Run(time.Duration(r.IntN(6000)) * time.Millisecond)
	}
	p.Fate = nil
	p.Run(10 * time.Minute)
	p.WantConsistent("after the storm")
	if p.Spoke.Closed == nil {
		p.WantMeet("after the storm")
	}
	return p
}

func (w *wanderer) act() {
	if w.p.Spoke.Closed != nil || w.p.Hub.Closed != nil {
		return
	}
	switch w.r.IntN(7) {
	case 0, 1:
		mine := []string{spoke1, spoke2}
		w.lose(mine, w.r.IntN(2))
		w.p.Spoke.SetAddresses(w.left(append(mine, spoke6))...)
	case 2:
		theirs := []string{hub1, hub2}
		w.lose(theirs, w.r.IntN(2))
		w.p.Hub.SetAddresses(w.left(append(theirs, hub6))...)
	case 3:
		pairs := [][2]string{{spoke6, hub6}, {spoke1, hub1}, {spoke2, hub2}}
		if q := pairs[w.r.IntN(3)]; !w.gon[q[0]] && !w.gon[q[1]] {
			w.p.Spoke.Migrate(q[0], q[1])
		}
	case 4:
		w.p.NAT = nil
		if base := uint16(w.r.IntN(3) * 10000); base != 0 {
			w.p.NAT = func(a netip.AddrPort) netip.AddrPort {
				if !a.Addr().Is4() {
					return a
				}
				return netip.AddrPortFrom(netip.MustParseAddr(outside), base+a.Port())
			}
		}
	default:
		act(w.r, w.p)
	}
}

// lose takes one of two addresses away and gives the other back.
func (w *wanderer) lose(list []string, i int) {
	w.gon[list[i]], w.gon[list[1-i]] = true, false
}

func (w *wanderer) left(list []string) (out []string) {
	for _, a := range list {
		if !w.gon[a] {
			out = append(out, a)
		}
	}
	return out
}
