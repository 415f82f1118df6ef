package pool

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flexvpn/store"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func ranges(pairs ...string) []Range {
	var all []Range
	for _, p := range pairs {
		first, last, _ := strings.Cut(p, "-")
		all = append(all, Range{addr(first), addr(last)})
	}
	return all
}

// a house is one node's pools over a store that outlives it.
type house struct {
	*Pools
	t     *testing.T
	store store.Store
	defs  []Definition
	clock time.Time
}

func open(t *testing.T, defs ...Definition) *house {
	h := &house{t: t, store: store.Memory(), defs: defs, clock: time.Unix(1_700_000_000, 0)}
	h.start()
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func (h *house) start() {
	h.t.Helper()
	p, err := newPools(h.store, h.defs, func() time.Time { h.clock = h.clock.Add(time.Second); return h.clock })
	if err != nil {
		h.t.Fatal(err)
	}
	h.Pools = p
}

// restart ends the process in an orderly way; crash forgets what was not flushed.
func (h *house) restart() {
	h.t.Helper()
	if err := h.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.start()
}

func (h *house) lease(identity, want string) {
	h.t.Helper()
	h.leaseOf(h.defs[0].Name, identity, netip.Addr{}, want)
}

func (h *house) leaseOf(pool, identity string, ask netip.Addr, want string) {
	h.t.Helper()
	got, err := h.Lease(pool, identity, ask)
	if err != nil || got != addr(want) {
		h.t.Fatalf("%s got %v (%v), want %s", identity, got, err, want)
	}
}

func (h *house) release(addrs ...string) {
	for _, a := range addrs {
		h.Release(addr(a))
	}
}

func small(n int) Definition {
	return Definition{"spokes", ranges(fmt.Sprintf("10.1.1.1-10.1.1.%d", n))}
}

func TestAReturningIdentityGetsItsFormerAddress(t *testing.T) {
	h := open(t, small(9))
	h.lease("a", "10.1.1.1")
	h.lease("b", "10.1.1.2")
	h.release("10.1.1.1")
	h.lease("c", "10.1.1.3")
	h.lease("a", "10.1.1.1")
}

func TestANewIdentityGetsANeverUsedAddressThenTheOneReleasedLongestAgo(t *testing.T) {
	h := open(t, small(3))
	h.lease("a", "10.1.1.1")
	h.lease("b", "10.1.1.2")
	h.release("10.1.1.2", "10.1.1.1")
	h.lease("c", "10.1.1.3")
	h.lease("d", "10.1.1.2")
	h.lease("e", "10.1.1.1")
	h.release("10.1.1.3")
	h.lease("a", "10.1.1.3") // its former address is taken
}

func TestAFullPoolNamesItself(t *testing.T) {
	h := open(t, small(1))
	h.lease("a", "10.1.1.1")
	_, err := h.Lease("spokes", "b", netip.Addr{})
	if !errors.Is(err, ErrExhausted) || !strings.Contains(err.Error(), "pool spokes") {
		t.Errorf("got %v, want %q naming the pool", err, ErrExhausted)
	}
	h.release("10.1.1.1")
	h.lease("b", "10.1.1.1")
	if _, err := h.Lease("nosuch", "b", netip.Addr{}); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v, want %q", err, ErrUnknown)
	}
}

func TestOneIdentityWithSeveralSessionsGetsSeveralAddresses(t *testing.T) {
	h := open(t, small(9))
	h.lease("a", "10.1.1.1")
	h.lease("a", "10.1.1.2")
	h.lease("a", "10.1.1.3")
	h.release("10.1.1.1", "10.1.1.3")
	h.leaseOf("spokes", "a", addr("10.1.1.1"), "10.1.1.1")
	h.lease("a", "10.1.1.3")
	h.lease("a", "10.1.1.4")
}

func TestAnAddressThatIsAskedForIsGivenOnlyIfNobodyElseHadIt(t *testing.T) {
	h := open(t, small(9))
	h.leaseOf("spokes", "a", addr("10.1.1.7"), "10.1.1.7")
	h.leaseOf("spokes", "b", addr("10.1.1.7"), "10.1.1.1") // leased
	h.release("10.1.1.7")
	h.leaseOf("spokes", "b", addr("10.1.1.7"), "10.1.1.2") // remembered for a
	h.leaseOf("spokes", "c", addr("10.9.9.9"), "10.1.1.3") // outside
	h.leaseOf("spokes", "d", addr("::ffff:10.1.1.8"), "10.1.1.8")
	h.leaseOf("spokes", "e", addr("2001:db8::1"), "10.1.1.4")
	h.leaseOf("spokes", "f", addr("10.1.1.5"), "10.1.1.5")
	h.lease("g", "10.1.1.6")
	h.lease("h", "10.1.1.9") // 7 is remembered, 8 is leased
	h.lease("i", "10.1.1.7")
}

func TestReleasingTwiceOrWhatNobodyHasChangesNothing(t *testing.T) {
	h := open(t, small(2))
	h.release("10.1.1.1", "10.9.9.9")
	h.Release(netip.Addr{})
	h.lease("a", "10.1.1.1")
	h.release("10.1.1.1", "10.1.1.1")
	h.lease("b", "10.1.1.2")
	h.lease("c", "10.1.1.1")
	if _, err := h.Lease("spokes", "d", netip.Addr{}); !errors.Is(err, ErrExhausted) {
		t.Errorf("got %v, want %v", err, ErrExhausted)
	}
}

func TestAfterARestartNoLeaseIsActiveAndAllAreRemembered(t *testing.T) {
	h := open(t, small(5))
	h.lease("a", "10.1.1.1")
	h.lease("b", "10.1.1.2")
	h.lease("c", "10.1.1.3")
	h.release("10.1.1.2")
	h.restart()
	if u := h.Usage()[0]; u.Used != 0 || u.Remembered != 3 {
		t.Errorf("after the restart %d are used and %d remembered, want 0 and 3", u.Used, u.Remembered)
	}
	h.lease("c", "10.1.1.3")
	h.lease("x", "10.1.1.4") // fresh ones first
	h.lease("y", "10.1.1.5")
	h.lease("z", "10.1.1.2") // released before the restart, so before a's
	h.lease("a", "10.1.1.1")
	h.restart()
	h.lease("z", "10.1.1.2")
}

func TestACrashLosesAtMostStickinessOfTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, small(5))
		h.lease("a", "10.1.1.1")
		time.Sleep(Delay) // the batch is written
		synctest.Wait()
		h.lease("b", "10.1.1.2")
		time.Sleep(Delay - 1)
		synctest.Wait()
		crashed := copyOf(t, h.store) // one nanosecond before the next batch
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		later := copyOf(t, h.store)

		h.store = crashed
		_ = h.Close()
		h.start()
		h.lease("c", "10.1.1.2") // b was forgotten: no live session has its address
		h.lease("a", "10.1.1.1")
		h.lease("b", "10.1.1.3")

		_ = h.Close()
		h.store = later
		h.start()
		h.lease("c", "10.1.1.3")
		h.lease("b", "10.1.1.2")
		_ = h.Close()
	})
}

func copyOf(t *testing.T, s store.Store) store.Store {
	c := store.Memory()
	err := s.ForEach(bucket, func(k, v []byte) error { return c.Put(bucket, k, v) })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatIsRememberedOfAddressesOutsideOfAllRangesIsDropped(t *testing.T) {
	h := open(t, small(5))
	for i := range 5 {
		h.lease(fmt.Sprint(i), fmt.Sprintf("10.1.1.%d", i+1))
	}
	h.defs = []Definition{{"other", ranges("10.1.1.4-10.1.1.9")}}
	h.restart()
	h.leaseOf("other", "3", netip.Addr{}, "10.1.1.4") // renamed, still remembered
	h.leaseOf("other", "0", netip.Addr{}, "10.1.1.6")
	h.defs = []Definition{small(9)}
	h.restart()
	h.lease("1", "10.1.1.1") // had 10.1.1.2 before the range was cut
}

func TestRecordsThatCannotBeReadAreDropped(t *testing.T) {
	h := open(t, small(5))
	for _, bad := range []struct{ key, value string }{
		{"\x0a\x01\x01\x01", ""},
		{"\x0a\x01\x01\x01", "\x02A12345678id"},
		{"\x0a\x01\x01\x01", "\x01X12345678id"},
		{"\x0a\x01\x01", "\x01A12345678id"},
	} {
		_ = h.Close()
		if err := h.store.Put(bucket, []byte(bad.key), []byte(bad.value)); err != nil {
			t.Fatal(err)
		}
		h.start()
		if err := h.Flush(); err != nil {
			t.Fatal(err)
		}
		_ = h.store.ForEach(bucket, func(k, v []byte) error {
			t.Errorf("record %x = %q is still there", k, v)
			return nil
		})
	}
	h.lease("a", "10.1.1.1")
}

func TestAHugeIPv6RangeIsNeverWalked(t *testing.T) {
	h := open(t,
		Definition{"six", ranges("2001:db8::1:0-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "fd00::-fd00::1")},
		Definition{"all", ranges("0.0.0.0-255.255.255.255")})
	h.lease("a", "2001:db8::1:0")
	h.lease("b", "2001:db8::1:1")
	h.leaseOf("six", "c", addr("2001:db8:77::1"), "2001:db8:77::1")
	h.leaseOf("six", "d", addr("fd00::1"), "fd00::1")
	h.release("2001:db8:77::1")
	h.lease("c", "2001:db8:77::1")
	if u := h.Usage(); u[0].Size != math.MaxUint64 || u[1].Size != 1<<32 || u[0].Used != 4 {
		t.Errorf("usage is %+v", u)
	}
}

func TestRangesAreUsedInTheirOrder(t *testing.T) {
	h := open(t, Definition{"spokes", ranges("10.1.1.9-10.1.1.9", "10.1.1.1-10.1.1.2", "255.255.255.255-255.255.255.255")})
	h.lease("a", "10.1.1.9")
	h.lease("b", "10.1.1.1")
	h.lease("c", "10.1.1.2")
	h.lease("d", "255.255.255.255")
	if _, err := h.Lease("spokes", "e", netip.Addr{}); !errors.Is(err, ErrExhausted) {
		t.Errorf("got %v, want %v", err, ErrExhausted)
	}
	if got, want := h.Usage()[0].Range, "10.1.1.9, 10.1.1.1-10.1.1.2, 255.255.255.255"; got != want {
		t.Errorf("the range is shown as %q, want %q", got, want)
	}
}

func TestPoolsThatOverlapOrMakeNoSenseAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		defs []Definition
		want string
	}{
		"overlap":        {[]Definition{{"a", ranges("10.1.1.1-10.1.1.9")}, {"b", ranges("10.1.1.9-10.1.1.20")}}, "10.1.1.1-10.1.1.9 of a and 10.1.1.9-10.1.1.20 of b"},
		"twice":          {[]Definition{{"a", nil}, {"a", nil}}, "defined twice"},
		"backwards":      {[]Definition{{"a", ranges("10.1.1.9-10.1.1.1")}}, "no range"},
		"mixed range":    {[]Definition{{"a", ranges("10.1.1.9-2001:db8::1")}}, "no range"},
		"mixed pool":     {[]Definition{{"a", ranges("10.1.1.1-10.1.1.2", "2001:db8::1-2001:db8::2")}}, "one pool for each family"},
		"invalid":        {[]Definition{{"a", []Range{{}}}}, "no range"},
		"with a zone":    {[]Definition{{"a", ranges("fe80::1%eth0-fe80::2%eth0")}}, "no range"},
		"v4 inside of 6": {[]Definition{{"a", ranges("::ffff:10.1.1.1-::ffff:10.1.1.2")}}, "no range"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(store.Memory(), c.defs)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("New: %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestLeasesTellWhoHasAndWhoHadWhat(t *testing.T) {
	h := open(t, small(9), Definition{"six", ranges("fd00::1-fd00::9")})
	h.lease("a", "10.1.1.1")
	h.lease("b", "10.1.1.2")
	h.leaseOf("six", "b", netip.Addr{}, "fd00::1")
	h.release("10.1.1.1")
	var got []string
	for _, l := range h.Leases("spokes") {
		got = append(got, fmt.Sprintf("%s %s %t %d", l.Address, l.Identity, l.Active, l.Since.Unix()-1_700_000_000))
	}
	if want := "10.1.1.1 a false 5; 10.1.1.2 b true 3"; strings.Join(got, "; ") != want {
		t.Errorf("leases are %q, want %q", got, want)
	}
	if h.Leases("nosuch") != nil {
		t.Error("an unknown pool has leases")
	}
}

// refusing is a store whose writes fail until it is mended.
type refusing struct {
	store.Store
	mu     sync.Mutex
	broken bool
}

func (r *refusing) Update(fn func(store.Tx) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken {
		return errors.New("disk full")
	}
	return r.Store.Update(fn)
}

func (r *refusing) set(broken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = broken
}

func TestABatchThatCannotBeWrittenIsReportedAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &refusing{Store: store.Memory(), broken: true}
		var mu sync.Mutex
		failures := 0
		p, err := New(s, []Definition{small(9)})
		if err != nil {
			t.Fatal(err)
		}
		p.Report(func(error) { mu.Lock(); failures++; mu.Unlock() })
		if _, err := p.Lease("spokes", "a", netip.Addr{}); err != nil {
			t.Errorf("a store that fails must not keep a spoke out: %v", err)
		}
		time.Sleep(time.Hour)
		mu.Lock()
		if failures < 100 || failures > 1000 {
			t.Errorf("%d attempts in an hour, want one in a few seconds", failures)
		}
		mu.Unlock()
		if err := p.Flush(); err == nil || err.Error() != "disk full" {
			t.Errorf("Flush: %v, want the disk's error", err)
		}
		s.set(false)
		time.Sleep(maxPause)
		synctest.Wait()
		records := 0
		_ = s.ForEach(bucket, func(_, _ []byte) error { records++; return nil })
		if records != 1 {
			t.Errorf("%d records after the disk was mended, want 1", records)
		}
		s.set(true)
		p.Release(addr("10.1.1.1"))
		if err := p.Close(); err == nil {
			t.Error("Close hides that the last batch was lost")
		}
		if p.Close() == nil || p.Flush() == nil {
			t.Error("a closed Pools says that all is written")
		}
	})
}

func TestManyAtOnceNeverShareAnAddress(t *testing.T) {
	s, err := store.Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	p, err := New(s, []Definition{small(200)})
	if err != nil {
		t.Fatal(err)
	}
	var held sync.Map
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 1))
			var mine []netip.Addr
			for range 3000 {
				if len(mine) > 0 && rng.IntN(2) == 0 {
					i := rng.IntN(len(mine))
					held.Delete(mine[i])
					p.Release(mine[i])
					mine = append(mine[:i], mine[i+1:]...)
					continue
				}
				a, err := p.Lease("spokes", fmt.Sprint(rng.IntN(50)), netip.Addr{})
				if errors.Is(err, ErrExhausted) {
					continue
				}
				if _, twice := held.LoadOrStore(a, worker); twice || err != nil {
					t.Errorf("%s was leased twice (%v)", a, err)
					return
				}
				mine = append(mine, a)
			}
		})
	}
	wait.Wait()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// The rules, played at random against a plain model that walks everything.
func TestRandomSequencesObeyTheRules(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 2))
		h := open(t, small(6))
		type past struct {
			identity string
			active   bool
			order    int
		}
		model, order := map[netip.Addr]*past{}, 0
		for step := range 120 {
			order++
			switch rng.IntN(10) {
			case 0:
				h.restart()
				// Addresses that were active count as released now, in the order of their leases.
				for _, m := range model {
					if m.active {
						m.active = false
						m.order += 1 << 20
					}
				}
				order += 1 << 21
			case 1, 2, 3, 4:
				a := addr(fmt.Sprintf("10.1.1.%d", 1+rng.IntN(6)))
				h.Release(a)
				if m := model[a]; m != nil && m.active {
					m.active, m.order = false, order
				}
			default:
				id := fmt.Sprint(rng.IntN(5))
				var own, fresh, oldest netip.Addr
				for i := 6; i >= 1; i-- {
					a := addr(fmt.Sprintf("10.1.1.%d", i))
					m := model[a]
					switch {
					case m == nil:
						fresh = a
					case m.active:
					default:
						if m.identity == id && (!own.IsValid() || m.order > model[own].order) {
							own = a
						}
						if !oldest.IsValid() || m.order < model[oldest].order {
							oldest = a
						}
					}
				}
				want := own
				if !want.IsValid() {
					want = fresh
				}
				if !want.IsValid() {
					want = oldest
				}
				got, err := h.Lease("spokes", id, netip.Addr{})
				if got != want || (err == nil) != want.IsValid() {
					t.Fatalf("seed %d step %d: %s got %v (%v), want %v", seed, step, id, got, err, want)
				}
				if want.IsValid() {
					model[want] = &past{id, true, order}
				}
			}
		}
		_ = h.Close()
	}
}

// A full pool's ordinary life: release one, lease it to somebody else.
func BenchmarkLease(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, err := New(store.Memory(), []Definition{{"six", ranges("fd00::-fd00:ffff::")}})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = p.Close() }()
			var held []netip.Addr
			for i := range n {
				a, err := p.Lease("six", fmt.Sprintf("spoke%d", i), netip.Addr{})
				if err != nil {
					b.Fatal(err)
				}
				held = append(held, a)
			}
			_ = p.Flush()
			for i := 0; b.Loop(); i++ {
				at := i % n
				p.Release(held[at])
				held[at], err = p.Lease("six", fmt.Sprintf("spoke%d", at), netip.Addr{})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
