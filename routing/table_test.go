package routing

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"flexvpn/dataplane"
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range texts {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// a fib is a memory FIB that counts writes and refuses what it is told to refuse.
type fib struct {
	*Memory
	writes int
	refuse func(dataplane.Route) bool
}

var errRefused = errors.New("refused")

func (f *fib) AddRoute(r dataplane.Route) error {
	f.writes++
	if f.refuse != nil && f.refuse(r) {
		return errRefused
	}
	return f.Memory.AddRoute(r)
}

func (f *fib) ReplaceRoute(r dataplane.Route) error {
	f.writes++
	if f.refuse != nil && f.refuse(r) {
		return errRefused
	}
	return f.Memory.ReplaceRoute(r)
}

func (f *fib) DeleteRoute(r dataplane.Route) error {
	f.writes++
	if f.refuse != nil && f.refuse(r) {
		return errRefused
	}
	return f.Memory.DeleteRoute(r)
}

func newTable(t *testing.T) (*Table, *fib) {
	f := &fib{Memory: MemoryFIB()}
	table := New(f)
	table.now = func() time.Time { return time.Unix(1_700_000_000, 0) }
	t.Cleanup(func() {
		for key := range table.sets {
			f.refuse = nil
			must(t, table.Remove(key))
		}
		if left := len(table.entries) + len(table.tunnels); left > 0 {
			t.Errorf("the empty table holds %d things", left)
		}
	})
	return table, f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, f *fib, lines ...string) {
	t.Helper()
	slices.Sort(lines)
	if got, want := f.String(), strings.Join(lines, "\n"); got != want {
		t.Errorf("the FIB holds\n%s\nwant\n%s", got, want)
	}
}

func from(device string, texts ...string) Announcement {
	return Announcement{Interface: device, Source: SourceIKEv2, Prefixes: prefixes(texts...), Distance: 2}
}

func TestASessionsRoutesStandAndVanishWithIt(t *testing.T) {
	table, f := newTable(t)
	must(t, table.Set("s1/ikev2", from("va1", "10.1.0.9/16", "2001:db8::/32", "10.1.0.0/16")))
	must(t, table.Set("s1/address", Announcement{Interface: "va1", Source: SourceAddress, Prefixes: prefixes("10.9.0.1/32")}))
	expect(t, f, "10.1.0.0/16 dev va1 metric 2 proto 178", "10.9.0.1/32 dev va1 metric 1 proto 178", "2001:db8::/32 dev va1 metric 2 proto 178")
	must(t, table.Remove("s1/ikev2"))
	expect(t, f, "10.9.0.1/32 dev va1 metric 1 proto 178")
	must(t, table.Remove("s1/ikev2"))
	must(t, table.Remove("s1/address"))
	expect(t, f, "")
}

func TestOnlyDifferencesAreWritten(t *testing.T) {
	table, f := newTable(t)
	must(t, table.Set("s1/ikev2", from("va1", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16")))
	f.writes = 0
	must(t, table.Set("s1/ikev2", from("va1", "10.3.0.0/16", "10.2.0.0/16", "10.4.0.0/16")))
	if f.writes != 2 {
		t.Errorf("%d writes for one prefix more and one less, want 2", f.writes)
	}
	f.writes = 0
	must(t, table.Set("s1/ikev2", from("va1", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16")))
	if f.writes != 0 {
		t.Errorf("%d writes for the same prefixes, want none", f.writes)
	}
}

func TestTheNewestOfTwoSessionsWinsAndTheOtherTakesOver(t *testing.T) {
	table, f := newTable(t)
	must(t, table.Set("s1/ikev2", from("va1", "10.1.0.0/16")))
	must(t, table.Set("s2/ikev2", from("va2", "10.1.0.0/16")))
	must(t, table.Set("s3/ikev2", from("va3", "10.1.0.0/16")))
	must(t, table.Set("s1/ikev2", from("va1", "10.1.0.0/16"))) // said again is not newer
	expect(t, f, "10.1.0.0/16 dev va3 metric 2 proto 178")
	must(t, table.Remove("s2/ikev2"))
	expect(t, f, "10.1.0.0/16 dev va3 metric 2 proto 178")
	must(t, table.Remove("s3/ikev2"))
	expect(t, f, "10.1.0.0/16 dev va1 metric 2 proto 178")
	must(t, table.Remove("s1/ikev2"))
	expect(t, f, "")
}

func TestAChangeOfDistanceLeavesOneRoute(t *testing.T) {
	table, f := newTable(t)
	must(t, table.Set("s1/ikev2", from("va1", "10.1.0.0/16")))
	again := from("va1", "10.1.0.0/16")
	again.Distance = 250
	must(t, table.Set("s1/ikev2", again))
	expect(t, f, "10.1.0.0/16 dev va1 metric 250 proto 178")
	must(t, table.Set("s2/ikev2", from("va2", "10.1.0.0/16")))
	expect(t, f, "10.1.0.0/16 dev va2 metric 2 proto 178")
	must(t, table.Remove("s2/ikev2"))
	expect(t, f, "10.1.0.0/16 dev va1 metric 250 proto 178")
}

func TestNoSpokeTakesAnothersAssignedAddressByAnnouncingIt(t *testing.T) {
	table, f := newTable(t)
	must(t, table.Set("s1/address", Announcement{Interface: "va1", Source: SourceAddress, Prefixes: prefixes("10.9.0.1/32")}))
	must(t, table.Set("s2/ikev2", from("va2", "10.9.0.1/32")))
	expect(t, f, "10.9.0.1/32 dev va1 metric 1 proto 178")
	must(t, table.Remove("s1/address"))
	expect(t, f, "10.9.0.1/32 dev va2 metric 2 proto 178")
	must(t, table.Set("s1/address", Announcement{Interface: "va3", Source: SourceAddress, Prefixes: prefixes("10.9.0.1/32")}))
	expect(t, f, "10.9.0.1/32 dev va3 metric 1 proto 178")
}

func TestARouteThatCannotBeWrittenIsNamedAndStopsNoOther(t *testing.T) {
	table, f := newTable(t)
	f.refuse = func(r dataplane.Route) bool { return r.Prefix == prefixes("10.2.0.0/16")[0] }
	err := table.Set("s1/ikev2", from("va1", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"))
	if !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "install route 10.2.0.0/16 dev va1") || strings.Contains(err.Error(), "10.3") {
		t.Errorf("Set: %v, want the one route that failed", err)
	}
	expect(t, f, "10.1.0.0/16 dev va1 metric 2 proto 178", "10.3.0.0/16 dev va1 metric 2 proto 178")
	for _, r := range table.Routes() {
		refused := r.Prefix == prefixes("10.2.0.0/16")[0]
		if r.Installed == refused || strings.Contains(r.Problem, "refused") != refused {
			t.Errorf("%s is shown as installed %v, problem %q", r.Prefix, r.Installed, r.Problem)
		}
	}
	f.refuse = nil
	must(t, table.Set("s1/ikev2", from("va1", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16")))
	expect(t, f, "10.1.0.0/16 dev va1 metric 2 proto 178", "10.2.0.0/16 dev va1 metric 2 proto 178", "10.3.0.0/16 dev va1 metric 2 proto 178")

	f.refuse = func(dataplane.Route) bool { return true }
	if err := table.Remove("s1/ikev2"); !errors.Is(err, errRefused) {
		t.Errorf("Remove: %v, want %v", err, errRefused)
	}
	f.refuse = nil
	must(t, table.Sweep())
	expect(t, f, "")
}

func TestAHundredFailuresMakeAShortError(t *testing.T) {
	table, f := newTable(t)
	f.refuse = func(dataplane.Route) bool { return true }
	a := from("va1")
	for i := range 100 {
		a.Prefixes = append(a.Prefixes, prefixes(fmt.Sprintf("10.%d.0.0/16", i))...)
	}
	a.Prefixes = append(a.Prefixes, netip.Prefix{})
	err := table.Set("s1/ikev2", a)
	if n := strings.Count(err.Error(), "\n"); n != maxProblems || !strings.HasSuffix(err.Error(), "and 93 more routes") {
		t.Errorf("the error has %d lines: %v", n+1, err)
	}
}

func TestSweepRemovesLeftoversUnderOurNumberAndNothingElse(t *testing.T) {
	table, f := newTable(t)
	for _, r := range []dataplane.Route{
		{Prefix: prefixes("10.1.0.0/16")[0], Interface: "va1", Metric: 2, Protocol: Protocol},
		{Prefix: prefixes("10.1.0.0/16")[0], Interface: "eth0", Metric: 5, Protocol: 4},
		{Prefix: prefixes("0.0.0.0/0")[0], Interface: "eth0", Protocol: 16},
		{Prefix: prefixes("2001:db8::/32")[0], Interface: "va7", Metric: 1, Table: 9, Protocol: Protocol},
	} {
		must(t, f.Memory.ReplaceRoute(r))
	}
	must(t, table.Sweep())
	expect(t, f, "0.0.0.0/0 dev eth0 metric 0 proto 16", "10.1.0.0/16 dev eth0 metric 5 proto 4")
	must(t, f.Memory.DeleteRoute(dataplane.Route{Prefix: prefixes("0.0.0.0/0")[0], Interface: "eth0", Protocol: 16}))
	must(t, f.Memory.DeleteRoute(dataplane.Route{Prefix: prefixes("10.1.0.0/16")[0], Interface: "eth0", Metric: 5, Protocol: 4}))
}

func TestSweepMendsWhatSomebodyElseChanged(t *testing.T) {
	table, f := newTable(t)
	must(t, table.Set("s1/ikev2", from("va1", "10.1.0.0/16", "10.2.0.0/16")))
	standing := f.String()
	must(t, f.Memory.DeleteRoute(dataplane.Route{Prefix: prefixes("10.1.0.0/16")[0], Interface: "va1", Metric: 2, Protocol: Protocol}))
	must(t, f.Memory.ReplaceRoute(dataplane.Route{Prefix: prefixes("10.2.0.0/16")[0], Interface: "va9", Metric: 2, Protocol: Protocol}))
	must(t, f.Memory.ReplaceRoute(dataplane.Route{Prefix: prefixes("10.2.0.0/16")[0], Interface: "va9", Metric: 3, Protocol: Protocol}))
	must(t, table.Sweep())
	expect(t, f, standing)
	f.writes = 0
	must(t, table.Sweep())
	if f.writes != 0 {
		t.Errorf("%d writes though all was right", f.writes)
	}
}

func TestRoutesTellWhoseTheyAre(t *testing.T) {
	table, _ := newTable(t)
	must(t, table.Set("s2/ikev2", Announcement{Interface: "va2", Source: SourceIKEv2, Identity: "spoke2", Prefixes: prefixes("2001:db8::/32", "10.2.0.0/16", "10.0.0.0/8"), Distance: 2}))
	must(t, table.Set("s1/ikev2", Announcement{Interface: "va1", Source: SourceIKEv2, Identity: "spoke1", Prefixes: prefixes("10.2.0.0/16"), Distance: 9}))
	var got []string
	for _, r := range table.Routes() {
		text := fmt.Sprintf("%s %s %s %s %s %d", r.Prefix, r.Interface, r.Source, r.Session, r.Identity, r.Distance)
		for _, o := range r.Others {
			text += fmt.Sprintf(" (%s: %s)", o.Session, o.Why)
		}
		got = append(got, text)
	}
	want := []string{"10.0.0.0/8 va2 ikev2 s2 spoke2 2", "10.2.0.0/16 va2 ikev2 s2 spoke2 2 (s1: distance 9 against 2)", "2001:db8::/32 va2 ikev2 s2 spoke2 2"}
	if !slices.Equal(got, want) {
		t.Errorf("routes are %q, want %q", got, want)
	}
}

// The FIB always equals what is declared, whatever was declared before and whatever failed since.
func TestAfterAnySequenceTheFIBEqualsTheDeclaredState(t *testing.T) {
	sources := []string{SourceTransport, SourceAddress, SourceIKEv2}
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 3))
		table, f := newTable(t)
		failing := seed%2 == 1
		type said struct {
			Announcement
			order map[netip.Prefix]int // when the prefix was first said, without a break
		}
		model, clock := map[string]*said{}, 0
		for step := range 150 {
			clock++
			f.refuse = nil
			if failing && rng.IntN(3) == 0 {
				f.refuse = func(dataplane.Route) bool { return rng.IntN(3) == 0 }
			}
			source := sources[rng.IntN(3)]
			key := fmt.Sprintf("s%d/%s", rng.IntN(5), source)
			var err error
			if rng.IntN(3) == 0 {
				err = table.Remove(key)
				delete(model, key)
			} else {
				a := Announcement{Interface: fmt.Sprintf("va%d", rng.IntN(6)), Source: source, Distance: uint8(1 + rng.IntN(2))}
				for i := range 5 {
					if rng.IntN(2) == 0 {
						a.Prefixes = append(a.Prefixes, prefixes(fmt.Sprintf("10.%d.0.0/16", i))...)
					}
				}
				err = table.Set(key, a)
				now := &said{a, map[netip.Prefix]int{}}
				for _, p := range a.Prefixes {
					now.order[p] = clock
					if was := model[key]; was != nil && was.Distance == a.Distance && was.order[p] > 0 {
						now.order[p] = was.order[p]
					}
				}
				model[key] = now
			}
			if err != nil && f.refuse == nil {
				t.Fatal(err)
			}
			if failing {
				if f.refuse = nil; step%5 != 0 {
					continue // the failures are mended by a later step
				}
				must(t, table.Sweep())
			}
			var want []string
			for i := range 5 {
				p := prefixes(fmt.Sprintf("10.%d.0.0/16", i))[0]
				var best *said
				for _, s := range model {
					if s.order[p] == 0 {
						continue
					}
					if best == nil || better(s.Announcement, best.Announcement) ||
						!better(best.Announcement, s.Announcement) && s.order[p] > best.order[p] {
						best = s
					}
				}
				if best != nil {
					want = append(want, fmt.Sprintf("%s dev %s metric %d proto 178", p, best.Interface, best.Distance))
				}
			}
			if got := f.String(); got != strings.Join(want, "\n") {
				t.Fatalf("seed %d step %d: the FIB holds\n%s\nwant\n%s", seed, step, got, strings.Join(want, "\n"))
			}
		}
		f.refuse = nil
		must(t, table.Sweep())
	}
}

// better is the order in which claims win: the source's class, then the distance.
func better(a, b Announcement) bool {
	if x, y := sourceOf(a.Source).class, sourceOf(b.Source).class; x != y {
		return x < y
	}
	return a.Distance < b.Distance
}

// A session among many others comes with ten routes and goes.
func BenchmarkSession(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			table := New(MemoryFIB())
			announce := func(i int) Announcement {
				a := from(fmt.Sprintf("va%d", i), "192.168.1.0/24") // all have this one
				for j := range 9 {
					a.Prefixes = append(a.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(j + 1), byte(i >> 16), byte(i >> 8), byte(i)}), 32))
				}
				return a
			}
			for i := range n {
				if err := table.Set(fmt.Sprint(i), announce(i)); err != nil {
					b.Fatal(err)
				}
			}
			for i := 0; b.Loop(); i++ {
				key := fmt.Sprint(i % n)
				if err := errors.Join(table.Remove(key), table.Set(key, announce(i%n))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
