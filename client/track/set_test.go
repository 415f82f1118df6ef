package track

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flexvpn/config"
)

// A bench is a Set in virtual time with a kernel and targets that a test changes.
type bench struct {
	*Set
	t       *testing.T
	changes chan Change

	mu      sync.Mutex
	links   map[string]Link
	routes  map[string]Route
	targets map[string]error
	asked   int
	looked  int
	news    []string
	others  map[bool]int // how often object 2 was up or down when a change was told
}

func (b *bench) Watch(context.Context) (<-chan Change, error) { return b.changes, nil }

func (b *bench) Link(name string) (Link, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looked++
	return b.links[name], nil
}

func (b *bench) Route(p netip.Prefix, table int, vrf string) (Route, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looked++
	return b.routes[fmt.Sprintf("%s %d %s", p, table, vrf)], nil
}

func (b *bench) probeOnce(_ context.Context, _ config.TrackKind, p config.Probe) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	return b.targets[p.Target]
}

// told are the changes so far, and forgets them.
func (b *bench) told() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := strings.Join(b.news, " ")
	b.news = nil
	return out
}

func (b *bench) do(f func()) {
	b.mu.Lock()
	f()
	b.mu.Unlock()
}

// after lets virtual time pass.
func (b *bench) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bench) change(c Change, f func()) {
	b.do(f)
	b.changes <- c
	b.after(coalesce)
}

// onBench runs f with the objects of a configuration's tracks section.
func onBench(t *testing.T, tracks string, f func(b *bench)) {
	t.Helper()
	cfg, err := config.Parse("t.yaml", []byte("node: n\nikev2: {profiles: {}}\ntracks:\n"+tracks))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, changes: make(chan Change), links: map[string]Link{}, routes: map[string]Route{}, targets: map[string]error{}, others: map[bool]int{}}
		b.Set = New(Config{Tracks: cfg.Tracks, Kernel: b, Probe: b.probeOnce, Log: slog.New(slog.DiscardHandler)})
		b.Set.Watch(func(n int, up bool) { b.do(func() { b.news = append(b.news, fmt.Sprintf("%d:%s", n, upDown(up))) }) })
		b.Set.Watch(func(int, bool) { up := b.Up(2); b.do(func() { b.others[up]++ }) })
		ctx, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		all.Go(func() { _ = b.Run(ctx) })
		defer all.Wait()
		defer cancel()
		b.after(coalesce)
		f(b)
	})
}

func (b *bench) want(told, why string) {
	b.t.Helper()
	if got := b.told(); got != told {
		b.t.Fatalf("%s: told %q, want %q", why, got, told)
	}
}

var upLink = Link{Exists: true, Up: true, Carrier: true}

func TestLineProtocol(t *testing.T) {
	onBench(t, "  1: {interface: eth0, line-protocol: up}\n", func(b *bench) {
		b.want("", "there is no interface")
		b.change(Change{Links: true}, func() { b.links["eth0"] = upLink })
		b.want("1:up", "it came")
		b.change(Change{Links: true}, func() { b.links["eth0"] = Link{Exists: true, Up: true} })
		b.want("1:down", "it lost its carrier")
		if v := b.View()[0]; v.State != "down" || v.Reason != "the interface has no carrier" || v.Changes != 2 || v.Object != "Interface eth0 line-protocol" {
			t.Errorf("show tells %+v", v)
		}
		b.change(Change{Links: true}, func() { b.links["eth0"] = Link{Exists: true, Carrier: true} })
		b.change(Change{Links: true}, func() { delete(b.links, "eth0") })
		b.want("", "down it stays")
	})
}

func TestIPRouting(t *testing.T) {
	onBench(t, "  1: {interface: eth0, ip-routing: up}\n  2: {interface: eth0, ip-routing: up, family: ipv6}\n", func(b *bench) {
		l := upLink
		b.change(Change{Links: true}, func() { b.links["eth0"] = l })
		b.want("", "it has no address")
		l.IPv4, l.Forwards6 = true, true
		b.change(Change{Links: true}, func() { b.links["eth0"] = l })
		b.want("", "an address of one family and forwarding of the other")
		l.Forwards4, l.IPv6 = true, true
		b.change(Change{Links: true}, func() { b.links["eth0"] = l })
		if !b.Up(1) || !b.Up(2) {
			t.Errorf("%+v", b.View())
		}
	})
}

func TestRoute(t *testing.T) {
	onBench(t, "  1: {route: {prefix: 10.0.0.0/8}}\n  2: {route: {prefix: 10.0.0.0/8, table: 7}}\n  3: {route: {prefix: \"::/0\", vrf: red}}\n", func(b *bench) {
		ten := netip.MustParsePrefix("10.0.0.0/8")
		b.change(Change{Route: ten}, func() { b.routes["10.0.0.0/8 7 "] = Route{Exists: true, Interface: "eth0"} })
		b.want("2:up", "the route came to table 7")
		before := b.looked
		b.change(Change{Route: netip.MustParsePrefix("10.1.0.0/16")}, func() {})
		if b.looked != before {
			t.Error("news of another prefix made it look")
		}
		b.change(Change{Links: true}, func() { b.routes["10.0.0.0/8 7 "] = Route{Exists: true, Interface: "eth0", Dead: true} })
		b.want("2:down", "its interface lost the carrier: the kernel tells of the link only")
		b.change(Change{}, func() { b.routes["::/0 0 red"] = Route{Exists: true} })
		b.want("3:up", "after lost news everything is looked at")
	})
}

// The first answer decides alone; then it takes as many in a row as configured.
func TestProbeCounts(t *testing.T) {
	onBench(t, "  1: {icmp-echo: {target: 192.0.2.1, interval: 1s, timeout: 300ms, up: 3, down: 2}}\n", func(b *bench) {
		b.want("1:up", "the first answer")
		b.do(func() { b.targets["192.0.2.1"] = errors.New("no answer") })
		b.after(time.Second)
		b.want("", "one failure of two")
		if v := b.View()[0]; v.Reason != "no answer (1 of 2)" {
			t.Errorf("show tells %q", v.Reason)
		}
		b.after(time.Second)
		b.want("1:down", "two in a row")
		b.do(func() { b.targets["192.0.2.1"] = nil })
		b.after(2 * time.Second)
		b.want("", "two successes of three")
		b.do(func() { b.targets["192.0.2.1"] = errors.New("no answer") })
		b.after(time.Second)
		b.do(func() { b.targets["192.0.2.1"] = nil })
		b.after(2 * time.Second)
		b.want("", "a failure between: counting begins anew")
		b.after(time.Second)
		b.want("1:up", "three in a row")
		if b.asked != 9 {
			t.Errorf("asked %d times in eight seconds at one a second", b.asked)
		}
	})
}

// A change must last as long as its delay; one that does not never happened.
func TestDelay(t *testing.T) {
	onBench(t, "  1: {interface: eth0, line-protocol: up, delay: {up: 20s, down: 10s}}\n", func(b *bench) {
		b.change(Change{Links: true}, func() { b.links["eth0"] = upLink })
		if v := b.View()[0]; v.State != "down" || v.Pending != "up" || v.PendingAt == nil {
			t.Errorf("show tells %+v", v)
		}
		b.after(20*time.Second - coalesce - 1)
		b.want("", "a nanosecond before")
		b.after(coalesce + 1)
		b.want("1:up", "at its time")
		b.change(Change{Links: true}, func() { delete(b.links, "eth0") })
		b.after(9 * time.Second)
		b.change(Change{Links: true}, func() { b.links["eth0"] = upLink })
		b.after(time.Minute)
		b.want("", "it came back in time")
		b.change(Change{Links: true}, func() { delete(b.links, "eth0") })
		b.after(10 * time.Second)
		b.want("1:down", "ten seconds down")
	})
}

func TestLists(t *testing.T) {
	onBench(t, `  1: {interface: eth1, line-protocol: up}
  2: {interface: eth2, line-protocol: up}
  3: {interface: eth3, line-protocol: up}
  4: {list: {and: [1, 2]}}
  5: {list: {or: [1, 2]}}
  6: {list: {and: [{not: 5}]}}
  7: {list: {threshold: {objects: [{track: 1, weight: 10}, {track: 2, weight: 20}, {track: 3, weight: 30}], up: 40, down: 20}}}
`, func(b *bench) {
		b.want("6:up", "nothing is up, and one list wants just that")
		links := func(names ...string) {
			b.change(Change{Links: true}, func() {
				clear(b.links)
				for _, n := range names {
					b.links[n] = upLink
				}
			})
		}
		state := func(why, want string) {
			t.Helper()
			got := ""
			for n := 4; n <= 7; n++ {
				if b.Up(n) {
					got += fmt.Sprint(n)
				}
			}
			if got != want {
				t.Errorf("%s: %q are up, want %q", why, got, want)
			}
		}
		links("eth1")
		state("weight 10", "5")
		links("eth1", "eth2")
		state("weight 30 does not suffice from below", "45")
		links("eth1", "eth3")
		state("weight 40", "57")
		links("eth3")
		state("weight 30 suffices from above", "67")
		links("eth2")
		state("weight 20 is down", "5")
		if v := b.View()[6]; v.Object != "List threshold weight up 40 down 20: 1 weight 10, 2 weight 20, 3 weight 30" || v.Reason != "the weights of those that are up are 20" {
			t.Errorf("show tells %+v", v)
		}
	})
}

// A storm of news costs one look.
func TestStormOfNews(t *testing.T) {
	onBench(t, "  1: {interface: eth0, line-protocol: up}\n", func(b *bench) {
		before := b.looked
		for range 1000 {
			b.changes <- Change{Links: true}
		}
		b.after(coalesce)
		if n := b.looked - before; n != 1 {
			t.Errorf("%d looks", n)
		}
	})
}

func TestUsers(t *testing.T) {
	onBench(t, "  1: {interface: eth0, line-protocol: up}\n", func(b *bench) {
		b.Use(1, "client flex1 connect")
		b.Use(2, "nobody")
		if v := b.View()[0]; fmt.Sprint(v.UsedBy) != "[client flex1 connect]" {
			t.Errorf("used by %v", v.UsedBy)
		}
		if b.Up(2) {
			t.Error("an object that is not there is up")
		}
	})
}

// A link takes a route with it: nobody is told of the one while the other still seems to be up.
func TestChangesOfOneMoment(t *testing.T) {
	onBench(t, "  1: {interface: eth0, line-protocol: up}\n  2: {route: {prefix: 192.0.2.0/24}}\n  3: {interface: eth0, line-protocol: up}\n", func(b *bench) {
		both := func(up bool) {
			b.change(Change{Links: true}, func() {
				clear(b.others)
				b.links["eth0"] = Link{Exists: true, Up: true, Carrier: up}
				b.routes["192.0.2.0/24 0 "] = Route{Exists: true, Interface: "eth0", Dead: !up}
			})
			b.do(func() {
				if b.others[up] != 3 || b.others[!up] != 0 {
					t.Errorf("three changes were told while object 2 was up %d times and down %d times, want all of them %s", b.others[true], b.others[false], upDown(up))
				}
			})
		}
		for range 20 {
			both(true)
			both(false)
		}
	})
}

// Who asks before the objects are followed is told what is.
func TestLookBeforeRun(t *testing.T) {
	cfg, err := config.Parse("t.yaml", []byte("node: n\nikev2: {profiles: {}}\ntracks:\n  1: {interface: eth0, line-protocol: up}\n  2: {interface: eth1, line-protocol: up}\n  3: {list: {and: [1]}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, links: map[string]Link{"eth0": {Exists: true, Up: true, Carrier: true}, "eth1": {Exists: true}}}
	s := New(Config{Tracks: cfg.Tracks, Kernel: b, Log: slog.New(slog.DiscardHandler)})
	s.Look()
	if !s.Up(1) || s.Up(2) || !s.Up(3) {
		t.Errorf("object 1 is %s, 2 %s, 3 %s; want up, down, up", upDown(s.Up(1)), upDown(s.Up(2)), upDown(s.Up(3)))
	}
}
