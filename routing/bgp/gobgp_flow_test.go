package bgp

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"flexvpn/routing"
)

// A neighbor that announces the same prefixes as fast as it can, while the speaker is kept from taking
// anything in, has to wait, is counted, and fills no memory; another neighbor's prefix gets through while
// the flood goes on. What the library would have read of the flood takes some ten times the bound.
func TestAFloodOfTheSamePrefixesWaitsAtItsOwnConnection(t *testing.T) {
	const flooded, bound = 4 << 20, 64 << 20
	l := newLab(t, `bgp: {asn: 65001, router-id: 10.1.1.1, listen: [{range: 127.0.0.0/8, peer-group: s}], peer-groups: {s: {maximum-prefix: 30}}}
`, false)
	l.s.lib = newGoBGP(65001, netip.MustParseAddr("10.1.1.1"))
	slow := &slowRIB{Table: l.table, open: make(chan struct{})}
	l.s.rib = slow
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _ = l.s.Run(ctx) })
	letGo := sync.OnceFunc(func() { close(slow.open) })
	defer letGo()

	quiet, flooder := l.caller(t, 3), l.caller(t, 2)
	before := heap()
	past, stop := make(chan struct{}), make(chan struct{})
	running.Go(func() { flooder.flood(flooded, past, stop) })
	defer flooder.Close()
	defer close(stop)

	flooder.link.waitHeld(t, past)
	if grown := heap() - before; grown > bound {
		t.Errorf("the flood takes %d MiB of memory, want at most %d", grown>>20, bound>>20)
	}
	letGo()
	_, _ = quiet.Write(announcement(quiet.address, 0, "198.51.100.0/24"))
	eventually(t, "the quiet neighbor's prefix arrives, and the flooder is counted", func() bool {
		v, err := l.s.View(ctx, netip.Addr{})
		if err != nil || len(v.Neighbors) != 2 {
			t.Fatalf("%+v, %v", v, err)
		}
		one, two := v.Neighbors[0], v.Neighbors[1]
		return two.Accepted == 1 && two.HeldBack == 0 && one.HeldBack == 1 && !one.HeldBackSince.IsZero() && one.Drops == 0 && l.stats().BGPHeldBack == 1
	})
	if grown := heap() - before; grown > bound {
		t.Errorf("as it goes on, the flood takes %d MiB of memory, want at most %d", grown>>20, bound>>20)
	}
	cancel()
	<-l.s.done
	if n := strings.Count(l.log.String(), `"bgp neighbor held back" neighbor=127.0.0.2`); n != 1 {
		t.Errorf("the log has %d lines about it:\n%s", n, l.log)
	}
}

// waitHeld waits until the neighbor is held back, or all of a flood has been read without that.
func (s *gobgpSession) waitHeld(t *testing.T, past <-chan struct{}) {
	t.Helper()
	eventually(t, "the flooder is held back", func() bool {
		select {
		case <-past:
			t.Error("all of the flood was read while nothing was taken in")
			return true
		default:
			return s.flow.holding.Load()
		}
	})
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within two minutes: %s", what)
		}
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A slowRIB takes no path of BGP before it is opened.
type slowRIB struct {
	*routing.Table
	open chan struct{}
}

func (r *slowRIB) SetPath(key string, p routing.Path) error {
	<-r.open
	return r.Table.SetPath(key, p)
}

// A caller is a neighbor of the test's own making: it says what it is told to, and hears nothing.
type caller struct {
	*net.TCPConn
	address netip.Addr
	link    *gobgpSession // the speaker's end
}

// caller is a spoke at 127.0.0.n whose session with the lab's speaker is up.
func (l *lab) caller(t *testing.T, n byte) *caller {
	t.Helper()
	a := netip.AddrFrom4([4]byte{127, 0, 0, n})
	if err := l.table.Set(fmt.Sprintf("h%d/address", n), routing.Announcement{
		Interface: "va", Source: routing.SourceAddress, Prefixes: []netip.Prefix{netip.PrefixFrom(a, 32)},
	}); err != nil {
		t.Fatal(err)
	}
	at := func(ask func(p *peer) bool) func() bool {
		return func() (yes bool) {
			_ = l.s.ask(t.Context(), func() { p := l.s.peers[a]; yes = p != nil && ask(p) })
			return yes
		}
	}
	eventually(t, "the neighbor is there", at(func(*peer) bool { return true }))
	ours, theirs := pipeFrom(t, a)
	l.s.do(func() { l.s.accepted(ours) })
	c := &caller{TCPConn: theirs, address: a}
	go func() { _, _ = io.Copy(io.Discard, c) }()
	for _, m := range []*bgp.BGPMessage{bgp.NewBGPOpenMessage(65001, 90, a.String(), nil), bgp.NewBGPKeepAliveMessage()} {
		_, _ = c.Write(wire(m))
	}
	eventually(t, "the session is up", at(func(p *peer) bool {
		c.link, _ = p.link.(*gobgpSession)
		return p.up
	}))
	return c
}

// pipeFrom is a connection of the host with itself, from an address, with little room in the kernel.
func pipeFrom(t *testing.T, from netip.Addr) (ours, theirs *net.TCPConn) {
	t.Helper()
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	theirs, err = net.DialTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), listener.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	if ours, err = listener.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	_ = ours.SetReadBuffer(64 << 10)
	_ = theirs.SetWriteBuffer(64 << 10)
	return ours, theirs
}

// flood announces the same prefixes again and again, each time with another MED. It closes past when it
// has written so many bytes, and goes on until the connection or the test ends.
func (c *caller) flood(bytes int, past, stop chan struct{}) {
	var prefixes []string
	for i := range 20 {
		prefixes = append(prefixes, fmt.Sprintf("172.16.%d.0/24", i))
	}
	both := append(announcement(c.address, 1, prefixes...), announcement(c.address, 2, prefixes...)...)
	done := sync.OnceFunc(func() { close(past) })
	for written := 0; ; written += len(both) {
		if written > bytes {
			done()
		}
		select {
		case <-stop:
			return
		default:
		}
		if _, err := c.Write(both); err != nil {
			return
		}
	}
}

func announcement(from netip.Addr, med uint32, prefixes ...string) []byte {
	var nlri []*bgp.IPAddrPrefix
	for _, p := range prefixes {
		q := netip.MustParsePrefix(p)
		nlri = append(nlri, bgp.NewIPAddrPrefix(uint8(q.Bits()), q.Addr().String()))
	}
	return wire(bgp.NewBGPUpdateMessage(nil, []bgp.PathAttributeInterface{
		bgp.NewPathAttributeOrigin(0), bgp.NewPathAttributeAsPath(nil), bgp.NewPathAttributeNextHop(from.String()),
		bgp.NewPathAttributeMultiExitDisc(med), bgp.NewPathAttributeLocalPref(100),
	}, nlri))
}

func wire(m *bgp.BGPMessage) []byte {
	b, err := m.Serialize()
	if err != nil {
		panic(err)
	}
	return b
}
