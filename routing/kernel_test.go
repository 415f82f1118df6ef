package routing

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/rtnl"
	"flexvpn/netlab"
)

// Done when 3: after a random sequence of 1,000 session, BGP and interface events, with strangers who
// flush and add routes between them, the whole RIB stands in the kernel's tables: always equal.
func TestAThousandEventsLeaveTheKernelEqualToTheRIB(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { newMayhem(t, seed).run(1000) })
	}
}

// A mayhem is a RIB over a namespace's kernel, and what happens to both.
type mayhem struct {
	t     *testing.T
	rng   *rand.Rand
	node  *netlab.Node
	table *Table
	fib   *rtnl.Conn
}

func newMayhem(t *testing.T, seed uint64) *mayhem {
	t.Helper()
	lab, err := netlab.New(fmt.Sprintf("fvrib%d", seed))
	must(t, err)
	t.Cleanup(func() { must(t, lab.Close()) })
	n, err := lab.Node("n")
	must(t, err)
	m := &mayhem{t: t, rng: rand.New(rand.NewPCG(seed, 5)), node: n}
	for i := range 6 { // a veth's other end makes each interface independent of the others
		must(t, n.IP(fmt.Sprintf("link add va%d type veth peer name vb%d", i, i), fmt.Sprintf("link set va%d up", i), fmt.Sprintf("link set vb%d up", i)))
	}
	must(t, n.IP("link add eth0 type bridge", "link set eth0 up", "addr add 192.0.2.1/24 dev eth0", "addr add 2001:db8:f::1/64 dev eth0",
		"route add 10.5.0.0/16 via 192.0.2.9 metric 200 proto 99"))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	started := make(chan error)
	go func() {
		defer close(ended)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		fd, err := unix.Open("/run/netns/"+n.Name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			_ = unix.Close(fd)
		}
		if err == nil {
			m.fib, err = rtnl.Open()
		}
		if err != nil {
			started <- err
			return
		}
		m.table = New(m.fib)
		started <- nil
		_ = m.table.Run(ctx, slog.New(slog.DiscardHandler))
	}()
	must(t, <-started)
	t.Cleanup(func() { cancel(); <-ended })
	return m
}

func (m *mayhem) run(events int) {
	m.t.Helper()
	for i := range events {
		m.event()
		if i%50 == 49 {
			m.equal(i + 1)
		}
	}
}

// event is one of what sessions, BGP, interfaces and other people do.
func (m *mayhem) event() {
	r := m.rng
	session := r.IntN(6)
	key := fmt.Sprintf("s%d", session)
	device := fmt.Sprintf("va%d", session)
	switch r.IntN(12) {
	case 0, 1: // a session comes, or says its routes anew
		_ = m.table.Set(key+"/address", Announcement{Interface: device, Source: SourceAddress, Prefixes: prefixes(fmt.Sprintf("10.1.1.%d/32", session+2), fmt.Sprintf("2001:db8:1::%d/128", session+2))})
	case 2, 3:
		a := Announcement{Interface: device, Source: SourceIKEv2, Distance: uint8(1 + r.IntN(3)), Share: r.IntN(2) == 0}
		for p := range 6 {
			if r.IntN(2) == 0 {
				a.Prefixes = append(a.Prefixes, prefixes(fmt.Sprintf("10.%d.0.0/16", p), fmt.Sprintf("2001:db8:%d::/48", 100+p))...)
			}
		}
		_ = m.table.Set(key+"/ikev2", a)
	case 4: // it ends
		_ = m.table.Remove(key + "/ikev2")
		_ = m.table.Remove(key + "/address")
	case 5, 6, 7: // BGP has a path, or several
		four := r.IntN(2) == 0
		p := Path{Prefix: prefixes(fmt.Sprintf("10.%d.0.0/16", r.IntN(6)))[0], Source: SourceIBGP}
		if !four {
			p.Prefix = prefixes(fmt.Sprintf("2001:db8:%d::/48", 100+r.IntN(6)))[0]
		}
		for range 1 + r.IntN(2) {
			p.NextHops = append(p.NextHops, nextHop(four, r.IntN(8)))
		}
		if r.IntN(6) == 0 {
			p.Source, p.NextHops, p.Discard = SourceAggregate, nil, true
		}
		_ = m.table.SetPath("bgp", p)
	case 8:
		_ = m.table.RemovePath("bgp", "", prefixes(fmt.Sprintf("10.%d.0.0/16", r.IntN(6)))[0])
	case 9: // an interface goes down or comes up
		m.ip("link set", device, []string{"up", "down"}[r.IntN(2)])
	case 10: // somebody flushes
		m.ip([]string{"route flush proto 178", "-6 route flush proto 179", "route flush dev " + device, "-6 route flush dev " + device, "addr flush dev eth0"}[r.IntN(5)])
		m.ip("addr replace 192.0.2.1/24 dev eth0")
		m.ip("addr replace 2001:db8:f::1/64 dev eth0")
	case 11: // somebody has a route of his own where ours may be
		m.ip(fmt.Sprintf("route %s 10.%d.0.0/16 via 192.0.2.9 metric 2 proto 99", []string{"add", "del"}[r.IntN(2)], r.IntN(6)))
	}
}

func nextHop(four bool, n int) netip.Addr {
	if four {
		return netip.MustParseAddr(fmt.Sprintf("10.1.1.%d", n+2))
	}
	return netip.MustParseAddr(fmt.Sprintf("2001:db8:1::%d", n+2))
}

// ip runs an ip command that may fail: what it asks for may be so already.
func (m *mayhem) ip(words ...string) {
	_ = exec.Command("ip", append([]string{"-n", m.node.Name}, strings.Fields(strings.Join(words, " "))...)...).Run()
}

// equal waits until the kernel has exactly what the RIB wants, where no stranger is in the way, and
// holds that the strangers' routes are as they were made.
func (m *mayhem) equal(after int) {
	m.t.Helper()
	limit := time.Now().Add(20 * time.Second)
	for {
		want, have, err := m.both()
		if err == nil && slices.Equal(want, have) {
			return
		}
		if time.Now().After(limit) {
			m.t.Fatalf("after %d events (%v) the RIB wants\n%s\nand the kernel has\n%s", after, err, strings.Join(want, "\n"), strings.Join(have, "\n"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (m *mayhem) both() (want, have []string, err error) {
	strangers, err := m.fib.Routes(99)
	if err != nil {
		return nil, nil, err
	}
	m.table.mu.Lock()
	for d, e := range m.table.entries {
		w := e.winner()
		if w == nil || sourceOf(w.source).protocol == 0 {
			continue
		}
		r, noTable := m.table.route(d, e, w)
		if noTable != nil {
			err = noTable
			continue
		}
		if !slices.ContainsFunc(strangers, func(s dataplane.Route) bool { return sameSlot(s, r) }) {
			want = append(want, routeText(r))
		} else if e.stands {
			err = fmt.Errorf("%s is said to stand where a stranger's route does", d.prefix)
		}
	}
	m.table.mu.Unlock()
	for _, protocol := range Protocols {
		some, e := m.fib.Routes(protocol)
		if e != nil {
			return nil, nil, e
		}
		for _, r := range some {
			have = append(have, routeText(r))
		}
	}
	slices.Sort(want)
	slices.Sort(have)
	return want, have, err
}

func routeText(r dataplane.Route) string {
	return fmt.Sprintf("%s %v metric %d proto %d discard %v", r.Prefix, r.Hops(), r.Metric, r.Protocol, r.Discard)
}
