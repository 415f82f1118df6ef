package bgp

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"flexvpn/config"
)

// ears pass on what a session tells.
type ears struct {
	ready chan struct{}
	up    chan established
	down  chan string
	heard chan netip.Prefix
	lost  chan netip.Prefix
}

func newEars() *ears {
	return &ears{make(chan struct{}, 16), make(chan established, 16), make(chan string, 16), make(chan netip.Prefix, 16), make(chan netip.Prefix, 16)}
}

func (e *ears) Ready()                               { e.ready <- struct{}{} }
func (e *ears) Up(s established)                     { e.up <- s }
func (e *ears) Down(reason string)                   { e.down <- reason }
func (e *ears) Failed(reason string)                 { e.down <- reason }
func (e *ears) Update(p netip.Prefix, _ *Attributes) { e.heard <- p }
func (e *ears) Withdrawn(p netip.Prefix)             { e.lost <- p }

func (e *ears) Held() {}

func hear[T any](t *testing.T, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(30 * time.Second):
		t.Fatalf("not within half a minute: %s", what)
	}
	return v
}

// Two of the library's sessions get the ends of one connection through the door that v3.37.0 has, speak,
// and serve the next neighbor after Close.
func TestTheLibraryTakesConnectionsThroughItsDoor(t *testing.T) {
	a, b := newGoBGP(65001, netip.MustParseAddr("10.0.0.1")), newGoBGP(65001, netip.MustParseAddr("10.0.0.2"))
	home := netip.MustParseAddr("127.0.0.1")
	for round := range 2 {
		var sides [2]session
		told := [2]*ears{newEars(), newEars()}
		for i, lib := range []*gobgp{a, b} {
			s, err := lib.Start(neighbor{
				address: home, asn: 65001, id: lib.id, cluster: lib.id,
				peer: &config.BGPPeer{RemoteASNs: []uint32{65001}, Keepalive: time.Second, Hold: 3 * time.Second},
			}, told[i])
			if err != nil {
				t.Fatal(err)
			}
			sides[i] = s
			hear(t, "the library is ready", told[i].ready)
		}
		one, two := pipe(t)
		sides[0].Take(one)
		sides[1].Take(two)
		if up := hear(t, "the session is up", told[0].up); up.asn != 65001 || up.routerID != b.id {
			t.Fatalf("round %d: up with %+v", round, up)
		}
		hear(t, "the session is up", told[1].up)
		p := netip.MustParsePrefix("192.0.2.0/24")
		if err := sides[0].Announce(p, &Attributes{NextHop: netip.IPv4Unspecified(), LocalPref: defaultLocalPref}); err != nil {
			t.Fatal(err)
		}
		if got := hear(t, "the prefix arrives", told[1].heard); got != p {
			t.Fatalf("heard %s", got)
		}
		if err := sides[0].Withdraw(p); err != nil {
			t.Fatal(err)
		}
		hear(t, "the prefix is withdrawn", told[1].lost)
		sides[0].Close()
		hear(t, "the other end hears that the session ended", told[1].down)
		sides[1].Close()
	}
	if len(a.idle) != 1 || len(b.idle) != 1 {
		t.Errorf("%d and %d servers are kept, want the same one each time", len(a.idle), len(b.idle))
	}
}

// pipe is a TCP connection of this host with itself.
func pipe(t *testing.T) (one, two *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn), d.(*net.TCPConn)
}
