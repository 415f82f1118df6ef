package edge

import (
	"flag"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
)

var update = flag.Bool("update", false, "write testdata")

func TestAnInputListDecidesWhatAPeerMaySend(t *testing.T) {
	t.Parallel()
	r := newRig(t, list(t, "from-spokes",
		"permit tcp 10.1.1.0/24 host 192.168.10.5 eq 8080",
		"permit tcp 2001:db8:1::/64 2001:db8:10::/64 range 8080 8081",
		"permit icmp any any",
		"deny tcp any any eq 7777",
	))
	r.apply(func(i *dataplane.Interface) { i.FilterIn = "from-spokes" })
	for _, port := range []string{":8080", ":9090"} {
		r.serve(r.lan, "192.168.10.5"+port)
		r.serve(r.lan, "[2001:db8:10::5]"+port)
		r.serve(r.hub, "10.1.1.1"+port)
	}
	denied := func() uint64 { return r.lost("va1").FilterIn }
	r.connects(r.far, "192.168.10.5:8080")
	r.connects(r.far, "[2001:db8:10::5]:8080")
	r.in(r.far, "ping -c 1 -W 20 192.168.10.5")
	r.in(r.far, "ping -c 1 -W 20 2001:db8:10::5")
	if n := denied(); n != 0 {
		t.Errorf("%d packets were denied before any should", n)
	}
	r.denied(r.far, "192.168.10.5:9090", denied)
	r.denied(r.far, "[2001:db8:10::5]:9090", denied)
	r.denied(r.far, "10.1.1.1:8080", denied) // what the hub itself serves is behind the list too
	r.denied(r.far, "192.168.10.5:7777", denied)

	lists, err := r.plane.AccessLists()
	if err != nil || len(lists) != 1 {
		t.Fatalf("lists are %v (%v)", lists, err)
	}
	m := lists[0].Matches
	if len(m) != 5 || m[0] == 0 || m[1] == 0 || m[2] < 2 || m[3] == 0 || m[3]+m[4] != denied() {
		t.Errorf("matches are %v with %d denied", m, denied())
	}
	if d := r.plane.Drops(); d["filter_in"] != denied() || d["filter_out"] != 0 {
		t.Errorf("drops are %v, want %d by filter_in", d, denied())
	}
	// Without the list everything passes again.
	r.apply(nil)
	r.connects(r.far, "192.168.10.5:9090")
}

func TestAnOutputListDecidesWhatAPeerGets(t *testing.T) {
	t.Parallel()
	r := newRig(t, list(t, "to-spokes", "permit icmp any any", "permit tcp any any established", "permit udp any gt 1023 10.1.1.0 0.0.0.255 eq syslog"))
	r.apply(func(i *dataplane.Interface) { i.FilterOut = "to-spokes" })
	r.serve(r.far, "10.1.1.2:8080")
	r.serve(r.far, "[2001:db8:1::2]:8080")
	r.serve(r.lan, "192.168.10.5:8080")
	denied := func() uint64 { return r.lost("va1").FilterOut }
	r.connects(r.far, "192.168.10.5:8080") // what answers is established
	r.denied(r.lan, "10.1.1.2:8080", denied)
	r.denied(r.lan, "[2001:db8:1::2]:8080", denied)
	r.denied(r.hub, "10.1.1.2:8080", denied) // the hub's own packets are not excepted
	if n := r.lost("va1").FilterIn; n != 0 {
		t.Errorf("%d packets were counted as denied on the way in", n)
	}
}

// A datagram that travels in fragments passes where its first fragment does.
func TestFragmentsPassWithTheirFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, list(t, "from-spokes", "permit udp any any eq 5000", "permit icmp any any"))
	r.apply(func(i *dataplane.Interface) { i.FilterIn = "from-spokes" })
	for _, c := range []struct{ address, from string }{{"192.168.10.5:5000", "10.1.1.2:0"}, {"[2001:db8:10::5]:5000", "[2001:db8:1::2]:0"}} {
		var server, client net.PacketConn
		r.inside(r.lan, func() { server, _ = net.ListenPacket("udp", c.address) })
		r.inside(r.far, func() { client, _ = net.ListenPacket("udp", c.from) })
		defer server.Close()
		defer client.Close()
		to, _ := net.ResolveUDPAddr("udp", c.address)
		sent := strings.Repeat("0123456789", 400) // three fragments
		if _, err := client.WriteTo([]byte(sent), to); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 5000)
		got := make(chan string, 1)
		go func() {
			n, _, _ := server.ReadFrom(b)
			got <- string(b[:n])
		}()
		r.until("a fragmented datagram arrives or is denied", func() bool { return len(got) > 0 || r.lost("va1").FilterIn > 0 })
		if n := r.lost("va1").FilterIn; n != 0 || <-got != sent {
			t.Errorf("%s: %d fragments were denied", c.address, n)
		}
	}
}

// maxSegment is the segment size that a connection may use.
func maxSegment(t *testing.T, c net.Conn) (size int) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { size, err = syscall.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return size
}

func TestTheSegmentSizeIsLoweredInBothDirections(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.apply(func(i *dataplane.Interface) { i.AdjustMSS = 1000 })
	for _, c := range []struct {
		from, at, address string
		most              int
	}{
		{r.far, r.lan, "192.168.10.5:8080", 1000},
		{r.far, r.lan, "[2001:db8:10::5]:8080", 980},
		{r.lan, r.far, "10.1.1.2:8080", 1000},
		{r.lan, r.far, "[2001:db8:1::2]:8080", 980},
	} {
		l := r.serve(c.at, c.address)
		active := r.connects(c.from, c.address)
		passive, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer passive.Close()
		// Each end has room for options (RFC 6691): the timestamps take 12 octets.
		for which, end := range map[string]net.Conn{"active": active, "passive": passive} {
			if got := maxSegment(t, end); got > c.most || got < c.most-12 {
				t.Errorf("to %s: the %s end may send segments of %d, want %d", c.address, which, got, c.most)
			}
		}
	}
	r.apply(func(i *dataplane.Interface) { i.AdjustMSS = 9000 })
	l := r.serve(r.lan, "192.168.10.5:8081")
	defer l.Close()
	if got := maxSegment(t, r.connects(r.far, "192.168.10.5:8081")); got > 1360 {
		t.Errorf("a size of %d was announced: one must never be raised", got)
	}
}

// The table is what the reference page of operators shows (docs/dataplane.md).
func TestTheTableAsNftShowsIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, list(t, "from-spokes",
		"permit tcp 10.0.0.0/8 host 192.168.10.5 eq 443",
		"permit icmp any any",
		"permit udp any range 67 68 any lt 1024",
		"permit tcp any any established",
		"deny ip 2001:db8::/32 any",
	))
	r.apply(func(i *dataplane.Interface) {
		i.FilterIn, i.FilterOut, i.AdjustMSS = "from-spokes", "from-spokes", 1360
		i.QoS.Police.Bits = 2_000_000
	})
	spec := r.spec(nil)
	spec.Name, spec.Addresses, spec.FilterIn = "va2", nil, "from-spokes"
	if err := r.plane.Apply(spec); err != nil {
		t.Fatal(err)
	}
	got := r.in(r.hub, "nft list ruleset")
	got = regexp.MustCompile(`counter packets \d+ bytes \d+`).ReplaceAllString(got, "counter packets 0 bytes 0")
	got = regexp.MustCompile(`(?s)(timeout 5m\n).*?\t}`).ReplaceAllString(got, "$1\t}") // who sent lately
	const path = "testdata/table.nft"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
