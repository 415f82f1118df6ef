package bgp

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"flexvpn/config"
	"flexvpn/ops/view"
	"flexvpn/routing"
)

// A lab is a speaker over a RIB in memory, with a library that the test plays.
type lab struct {
	t     *testing.T
	table *routing.Table
	fib   *routing.Memory
	s     *Speaker
	log   *strings.Builder

	mu    sync.Mutex
	links map[netip.Addr]*link // the newest of each neighbor
}

// A link is what the speaker told a neighbor.
type link struct {
	events
	lab    *lab
	to     neighbor
	told   map[netip.Prefix]Attributes
	early  int // prefixes it was told before it got a connection
	closed bool
}

func (l *lab) Start(n neighbor, e events) (session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := &link{events: e, lab: l, to: n, told: map[netip.Prefix]Attributes{}}
	l.links[n.address] = k
	return k, nil
}

func (k *link) Take(c *net.TCPConn) {
	k.lab.mu.Lock()
	defer k.lab.mu.Unlock()
	k.early = len(k.told)
	_ = c.Close()
}

func (k *link) Status() status { return status{} }
func (k *link) Announce(p netip.Prefix, a *Attributes) error {
	k.lab.mu.Lock()
	defer k.lab.mu.Unlock()
	k.told[p] = *a
	return nil
}

func (k *link) Withdraw(p netip.Prefix) error {
	k.lab.mu.Lock()
	defer k.lab.mu.Unlock()
	delete(k.told, p)
	return nil
}

func (k *link) Close() {
	k.lab.mu.Lock()
	defer k.lab.mu.Unlock()
	k.closed = true
}

// nowhere is a network without wires.
type nowhere struct{}

func (nowhere) Listen(context.Context, netip.Addr) (*net.TCPListener, error) { return nil, nil }
func (nowhere) Sign(*net.TCPListener, netip.Addr, []byte) error              { return nil }
func (nowhere) Dial(ctx context.Context, _, _ netip.Addr, _ []byte) (*net.TCPConn, error) {
	return nil, fmt.Errorf("no wires")
}

const labText = `node: hub
ikev2: {profiles: {p: {authentication: {local: psk, remote: psk}, keyring: k}}, keyrings: {k: [{peer: any, pre-shared-key: a test secret not for use}]}}
prefix-lists: {from-spokes: [permit 172.16.0.0/12 ge 24 le 24, permit 0.0.0.0/0], lan: [permit 198.18.1.0/24], out: [deny 198.51.101.0/24, permit 0.0.0.0/0 ge 1], one: [permit 172.16.1.0/24]}
`

// newLab is a lab whose speaker does not run yet.
func newLab(t *testing.T, bgp string, leave bool) *lab {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(labText+bgp))
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, fib: routing.MemoryFIB(), links: map[netip.Addr]*link{}, log: &strings.Builder{}}
	l.table = routing.New(l.fib)
	l.s = New(Options{Config: cfg.BGP[0], RIB: l.table, Log: slog.New(slog.NewTextHandler(l.log, nil)), Net: nowhere{}, Leave: leave, lib: l})
	return l
}

// inLab runs f with a speaker of the given bgp section in a bubble of virtual time.
func inLab(t *testing.T, bgp string, f func(*lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, bgp, false)
		ctx, cancel := context.WithCancel(context.Background())
		var ended sync.WaitGroup
		ended.Go(func() { _ = l.s.Run(ctx) })
		defer ended.Wait()
		defer cancel()
		synctest.Wait()
		f(l)
	})
}

// spoke brings a spoke's session up, and its BGP session.
func (l *lab) spoke(n int, accept ...string) *link {
	l.t.Helper()
	a := netip.AddrFrom4([4]byte{10, 1, 1, byte(n)})
	peer := routing.Peer{Transport: netip.AddrFrom4([4]byte{203, 0, 113, byte(n)})}
	for _, p := range accept {
		peer.Accept.Prefixes = append(peer.Accept.Prefixes, netip.MustParsePrefix(p))
	}
	if err := l.table.Set(fmt.Sprintf("h%d/address", n), routing.Announcement{
		Interface: fmt.Sprintf("va%d", n), Source: routing.SourceAddress, Prefixes: []netip.Prefix{netip.PrefixFrom(a, 32)}, Peer: peer,
	}); err != nil {
		l.t.Fatal(err)
	}
	synctest.Wait()
	return l.up(a, 65001)
}

// up brings the BGP session with a neighbor up.
func (l *lab) up(a netip.Addr, asn uint32) *link {
	l.t.Helper()
	l.mu.Lock()
	k := l.links[a]
	l.mu.Unlock()
	if k == nil {
		l.t.Fatalf("%s is no neighbor", a)
	}
	local := netip.MustParseAddr("10.1.1.1")
	if a.Is6() {
		local = netip.MustParseAddr("2001:db8::1")
	}
	k.Up(established{asn: asn, routerID: a, local: local})
	synctest.Wait()
	return k
}

// says announces prefixes with the neighbor itself as next hop.
func (k *link) says(prefixes ...string) {
	for _, p := range prefixes {
		k.Update(netip.MustParsePrefix(p), &Attributes{NextHop: k.to.address, LocalPref: defaultLocalPref})
	}
	synctest.Wait()
}

// hears is what a neighbor was told, sorted.
func (k *link) hears() string {
	synctest.Wait()
	k.lab.mu.Lock()
	defer k.lab.mu.Unlock()
	var out []string
	for _, p := range slices.SortedFunc(maps.Keys(k.told), comparePrefixes) {
		out = append(out, p.String())
	}
	return strings.Join(out, " ")
}

func (l *lab) refused(kind string) uint64 { return l.stats().BGPRefused[kind] }

func (l *lab) stats() view.Stats {
	v := view.Stats{BGPNeighbors: map[string]uint64{}, BGPPrefixes: map[string]uint64{}, BGPRefused: map[string]uint64{}}
	if err := l.s.AddTo(context.Background(), &v); err != nil {
		l.t.Fatal(err)
	}
	return v
}

func (l *lab) has(what string, want bool) {
	l.t.Helper()
	synctest.Wait()
	if strings.Contains(l.fib.String(), what) != want {
		l.t.Errorf("the FIB has\n%s\nand %q should be there: %v", l.fib, what, want)
	}
}

const summaryHub = `bgp:
  asn: 65001
  router-id: 10.1.1.1
  listen: [{range: 10.1.1.0/24, peer-group: spokes}]
  peer-groups:
    spokes: {import: from-spokes, maximum-prefix: 3, only-own-prefixes: true}
    hubs: {route-reflector-client: true, next-hop-self: all, unsuppress: any}
  neighbors: {192.0.2.2: {peer-group: hubs}}
  aggregates: [{prefix: 172.16.0.0/12, summary-only: true}]
  listen-limit: 3
`

func TestSpokesGetTheSummaryAndTheOtherHubTheSpecifics(t *testing.T) {
	inLab(t, summaryHub, func(l *lab) {
		one, two := l.spoke(2, "172.16.0.0/12"), l.spoke(3, "172.16.0.0/12")
		hub := l.up(netip.MustParseAddr("192.0.2.2"), 65001)
		if one.hears() != "" || hub.hears() != "" {
			t.Errorf("without any prefix they hear %q and %q", one.hears(), hub.hears())
		}
		one.says("172.16.1.0/24")
		if got := two.hears(); got != "172.16.0.0/12" {
			t.Errorf("a spoke hears %q, want the summary", got)
		}
		if got := hub.hears(); got != "172.16.0.0/12 172.16.1.0/24" {
			t.Errorf("the other hub hears %q, want the summary and the specific", got)
		}
		a := hub.told[netip.MustParsePrefix("172.16.1.0/24")]
		if !a.NextHop.IsUnspecified() || a.Originator != one.to.address {
			t.Errorf("the reflected path has next hop %s and originator %s: want this node and the spoke (RFC 4456 section 8)", a.NextHop, a.Originator)
		}
		l.has("blackhole 172.16.0.0/12 metric 200 proto 179", true)
		l.has("172.16.1.0/24 via 10.1.1.2 dev va2 metric 200 proto 179", true)
		one.Withdrawn(netip.MustParsePrefix("172.16.1.0/24"))
		if two.hears() != "" || hub.hears() != "" {
			t.Errorf("after the last specific went they hear %q and %q", two.hears(), hub.hears())
		}
		l.has("172.16", false)
	})
}

func TestASessionsEndTakesNeighborAndRoutesAtOnceAndNoOthers(t *testing.T) {
	inLab(t, summaryHub, func(l *lab) {
		one, two := l.spoke(2, "172.16.0.0/12"), l.spoke(3, "172.16.0.0/12")
		one.says("172.16.1.0/24")
		two.says("172.16.2.0/24")
		if err := l.table.Remove("h2/address"); err != nil {
			t.Fatal(err)
		}
		// The RIB alone takes the route out, before the speaker has even heard.
		if strings.Contains(l.fib.String(), "172.16.1.0/24") {
			t.Errorf("right after the session's end the FIB has\n%s", l.fib)
		}
		l.has("172.16.2.0/24 via 10.1.1.3 dev va3", true)
		if !one.closed || two.closed {
			t.Errorf("closed: %v and %v, want the one whose session ended", one.closed, two.closed)
		}
		if !strings.Contains(l.log.String(), "%BGP-5-ADJCHANGE: neighbor *10.1.1.2 Down Interface flap") {
			t.Errorf("the log lacks the adjacency change:\n%s", l.log)
		}
		// What the old library session still says is not heard; the new neighbor is fresh.
		one.says("172.16.9.0/24")
		again := l.spoke(2, "172.16.0.0/12")
		l.has("172.16.9.0/24", false)
		if again == one || again.hears() != "172.16.0.0/12" {
			t.Errorf("the returning spoke hears %q", again.hears())
		}
	})
}

func TestWhatASpokeMustNotSayIsRefusedCountedAndLeavesOthersAlone(t *testing.T) {
	for name, c := range map[string]struct {
		kind   string
		prefix string
		attrs  Attributes
	}{
		"a default route, around its own transport too": {"martian", "0.0.0.0/0", Attributes{}},
		"another spoke's prefix":                        {"not-own", "172.16.2.0/24", Attributes{}},
		"a length that the import list denies":          {"filter", "172.16.1.0/25", Attributes{}},
		"loopback":                                      {"martian", "127.0.0.0/24", Attributes{}},
		"its own transport address":                     {"martian", "203.0.113.0/24", Attributes{}},
		"another spoke as next hop":                     {"next-hop", "172.16.1.0/24", Attributes{NextHop: netip.MustParseAddr("10.1.1.3")}},
		"this hub as next hop":                          {"next-hop", "172.16.1.0/24", Attributes{NextHop: netip.MustParseAddr("10.1.1.1")}},
		"what this hub reflected (cluster list)":        {"loop", "172.16.1.0/24", Attributes{ClusterList: []netip.Addr{netip.MustParseAddr("10.1.1.1")}}},
		"what this hub said first (originator)":         {"loop", "172.16.1.0/24", Attributes{Originator: netip.MustParseAddr("10.1.1.1")}},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, summaryHub, func(l *lab) {
				one, two := l.spoke(2, "172.16.1.0/24"), l.spoke(3, "172.16.2.0/24")
				two.says("172.16.2.0/24")
				a := c.attrs
				if a.LocalPref = defaultLocalPref; !a.NextHop.IsValid() {
					a.NextHop = one.to.address
				}
				before := l.fib.String()
				one.Update(netip.MustParsePrefix(c.prefix), &a)
				synctest.Wait()
				if l.fib.String() != before {
					t.Errorf("the FIB changed to\n%s", l.fib)
				}
				if l.refused(c.kind) != 1 {
					t.Errorf("refused as %s: %d, want 1", c.kind, l.refused(c.kind))
				}
				v, err := l.s.View(context.Background(), one.to.address)
				if err != nil || len(v.Neighbors) != 1 || len(v.Neighbors[0].RefusedPrefixes) != 1 || v.Neighbors[0].RefusedPrefixes[0].Kind != c.kind {
					t.Errorf("show tells %+v (%v)", v.Neighbors, err)
				}
			})
		})
	}
}

func TestAFloodShutsItsSenderAndNobodyElse(t *testing.T) {
	inLab(t, summaryHub, func(l *lab) {
		one, two := l.spoke(2, "172.16.0.0/12"), l.spoke(3, "172.16.2.0/24")
		two.says("172.16.2.0/24")
		for i := range 1000 {
			one.Update(netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 17, byte(i >> 8), byte(i)}), 32), &Attributes{NextHop: one.to.address})
		}
		synctest.Wait()
		if !one.closed || l.refused("maximum-prefix") != 1 || !strings.Contains(l.log.String(), "%BGP-3-MAXPFXEXCEED") {
			t.Errorf("closed %v, counted %d, log\n%s", one.closed, l.refused("maximum-prefix"), l.log)
		}
		l.has("172.16.2.0/24 via 10.1.1.3 dev va3", true)
		if got := l.stats().BGPNeighbors; got["blocked"] != 1 || got["established"] != 1 || got["waiting"] != 1 {
			t.Errorf("neighbors by state are %v, want the flooding spoke blocked, the other up, and the other hub waited for", got)
		}
		if n, err := l.s.Clear(context.Background(), one.to.address); n != 1 || err != nil {
			t.Errorf("clear: %d, %v", n, err)
		}
		synctest.Wait()
		if again := l.up(one.to.address, 65001); again == one || again.hears() != "172.16.0.0/12" {
			t.Errorf("after clear the spoke hears %q", again.hears())
		}
		if got := l.stats().BGPNeighbors; got["blocked"] != 0 || got["established"] != 2 {
			t.Errorf("after clear neighbors by state are %v", got)
		}
	})
}

func TestWhoIsNoNeighbor(t *testing.T) {
	inLab(t, summaryHub, func(l *lab) {
		set := func(key, device, prefix, source string) {
			if err := l.table.Set(key, routing.Announcement{Interface: device, Source: source, Prefixes: []netip.Prefix{netip.MustParsePrefix(prefix)}}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		neighbors := func() (out []string) {
			v, _ := l.s.View(context.Background(), netip.Addr{})
			for _, n := range v.Neighbors {
				if n.Dynamic {
					out = append(out, n.Address.String())
				}
			}
			return out
		}
		set("h1/address", "va1", "10.2.1.9/32", routing.SourceAddress) // outside of every range
		set("h2/ikev2", "va2", "10.1.1.0/28", routing.SourceIKEv2)     // no address
		set("h3/address", "va3", "10.1.1.5/32", routing.SourceAddress)
		set("h4/ikev2", "va4", "10.1.1.5/32", routing.SourceIKEv2) // another's
		if got := fmt.Sprint(neighbors()); got != "[10.1.1.5]" {
			t.Errorf("neighbors are %s", got)
		}
		set("h5/address", "va5", "10.1.1.6/32", routing.SourceAddress)
		set("h6/address", "va6", "10.1.1.7/32", routing.SourceAddress)
		set("h7/address", "va7", "10.1.1.8/32", routing.SourceAddress)
		if got := fmt.Sprint(neighbors()); got != "[10.1.1.5 10.1.1.6 10.1.1.7]" || l.refused("limit") != 1 {
			t.Errorf("at a limit of 3 the neighbors are %s, %d refused", got, l.refused("limit"))
		}
		// Where one leaves, the one that the limit kept out is let in.
		if err := l.table.Remove("h5/address"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := fmt.Sprint(neighbors()); got != "[10.1.1.5 10.1.1.7 10.1.1.8]" {
			t.Errorf("after one has left the neighbors are %s", got)
		}
	})
}

func TestAnASThatIsNotOfTheSetIsShut(t *testing.T) {
	inLab(t, `bgp:
  asn: 65001
  router-id: 10.1.1.1
  listen: [{range: 10.1.1.0/24, peer-group: spokes}]
  peer-groups: {spokes: {remote-asn: [65010, 65011]}}
`, func(l *lab) {
		one := l.spoke(2)
		_ = one
		if l.refused("asn") != 1 || !one.closed {
			t.Errorf("AS 65001: refused %d, closed %v", l.refused("asn"), one.closed)
		}
		if err := l.table.Remove("h2/address"); err != nil {
			t.Fatal(err)
		}
		_ = l.table.Set("h3/address", routing.Announcement{Interface: "va3", Source: routing.SourceAddress, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.1.3/32")}})
		synctest.Wait()
		two := l.up(netip.MustParseAddr("10.1.1.3"), 65011)
		two.Update(netip.MustParsePrefix("10.7.0.0/16"), &Attributes{NextHop: two.to.address, ASPath: []Segment{{ASNs: []uint32{65011}}}})
		l.has("10.7.0.0/16 via 10.1.1.3 dev va3 metric 20 proto 179", true)
	})
}

// The decision, step by step: in each pair the first path wins (RFC 4271 section 9.1.2.2, RFC 4456 section 9).
func TestDecision(t *testing.T) {
	from := func(a string, internal bool) *peer {
		return &peer{address: netip.MustParseAddr(a), routerID: netip.MustParseAddr(a), internal: internal}
	}
	low, high, ebgp := from("10.0.0.1", true), from("10.0.0.2", true), from("10.0.0.9", false)
	way := func(from *peer, a Attributes) *path {
		if a.LocalPref == 0 {
			a.LocalPref = 100
		}
		return &path{from: from, attrs: a}
	}
	as := func(n ...uint32) []Segment { return []Segment{{ASNs: n}} }
	for name, pair := range map[string][2]*path{
		"ours goes first":                         {way(nil, Attributes{}), way(low, Attributes{LocalPref: 900})},
		"higher local preference":                 {way(high, Attributes{LocalPref: 200}), way(low, Attributes{})},
		"shorter AS path":                         {way(high, Attributes{ASPath: as(1)}), way(low, Attributes{ASPath: as(1, 2)})},
		"a set counts once":                       {way(high, Attributes{ASPath: []Segment{{Set: true, ASNs: []uint32{1, 2, 3}}}}), way(low, Attributes{ASPath: as(1, 2)})},
		"lower origin":                            {way(high, Attributes{}), way(low, Attributes{Origin: 2})},
		"lower MED from the same AS":              {way(high, Attributes{ASPath: as(1), MED: 1}), way(low, Attributes{ASPath: as(1), MED: 2})},
		"MED of different AS is not compared":     {way(low, Attributes{ASPath: as(1), MED: 9}), way(high, Attributes{ASPath: as(2), MED: 2})},
		"eBGP before iBGP":                        {way(ebgp, Attributes{}), way(low, Attributes{})},
		"lower router id":                         {way(low, Attributes{}), way(high, Attributes{})},
		"the originator stands for the router id": {way(high, Attributes{Originator: netip.MustParseAddr("9.0.0.1")}), way(low, Attributes{})},
		"shorter cluster list":                    {way(high, Attributes{Originator: low.address}), way(low, Attributes{ClusterList: []netip.Addr{low.address}})},
	} {
		if compare(pair[0], pair[1]) >= 0 || compare(pair[1], pair[0]) <= 0 {
			t.Errorf("%s: compared %d and %d", name, compare(pair[0], pair[1]), compare(pair[1], pair[0]))
		}
	}
}
