package dhcp

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"flexvpn/store"
)

// A world is a pool with hosts that send it messages, in virtual time.
type world struct {
	*server
	t     *testing.T
	log   *strings.Builder
	disk  store.Store
	mu    sync.Mutex
	taken map[string]bool // addresses that somebody has, but not by DHCP
	sent  []*dhcpv4.DHCPv4
}

func lan() Pool {
	a := netip.MustParseAddr
	return Pool{
		Name: "lan", Interface: "eth1", Network: netip.MustParsePrefix("172.16.1.0/24"), Lease: time.Hour,
		Ranges: []Range{{a("172.16.1.100"), a("172.16.1.102")}}, Routers: []netip.Addr{a("172.16.1.1")},
		Hosts: []Host{{"printer", "02:00:00:00:00:50", a("172.16.1.50")}}, ImportDNS: true, ImportWINS: true, ImportDomain: true,
	}
}

func inWorld(t *testing.T, p Pool, f func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, disk: store.Memory(), taken: map[string]bool{}}
		w.restart(p)
		f(w)
		synctest.Wait()
	})
}

// restart starts the server anew over the same disk.
func (w *world) restart(p Pool) {
	w.t.Helper()
	w.log = &strings.Builder{}
	s, err := New(Config{
		Pools: []Pool{p}, Store: w.disk, Log: slog.New(slog.NewTextHandler(w.log, nil)),
		Probe: func(ctx context.Context, _ string, a netip.Addr, _ net.HardwareAddr) (bool, error) {
			time.Sleep(probeTime)
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.taken[a.String()], ctx.Err()
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.server = s.pools[0]
	w.own = netip.MustParseAddr("172.16.1.1")
}

// mac is the hardware address of the host of a number.
func mac(n int) net.HardwareAddr {
	return net.HardwareAddr{2, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)}
}

func build(host int, kind dhcpv4.MessageType, change ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(mac(host)), dhcpv4.WithMessageType(kind)}, change...)...)
	if err != nil {
		panic(err)
	}
	return m
}

func asking(a string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(a)))
}

func having(a string) dhcpv4.Modifier { return dhcpv4.WithClientIP(net.ParseIP(a)) }

var ours = dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(172, 16, 1, 1)))

// say sends a host's message and returns the answer once everybody has finished reacting: nil if none.
func (w *world) say(m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	w.t.Helper()
	w.receive(w.t.Context(), m.ToBytes(), func(d *dhcpv4.DHCPv4) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.sent = append(w.sent, d)
	})
	time.Sleep(probeTime)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sent) == 0 {
		return nil
	}
	d := w.sent[0]
	w.sent = nil
	if d.TransactionID != m.TransactionID || d.ClientHWAddr.String() != m.ClientHWAddr.String() || addrOf(d.ServerIdentifier()) != w.own {
		w.t.Errorf("%s does not answer %s", d, m)
	}
	// What is sent is read again, as a host would.
	d, err := dhcpv4.FromBytes(d.ToBytes())
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) want(what string, m *dhcpv4.DHCPv4, want string) *dhcpv4.DHCPv4 {
	w.t.Helper()
	d := w.say(m)
	got := "silence"
	if d != nil {
		got = strings.TrimSpace(d.MessageType().String() + " " + strings.TrimPrefix(addrOf(d.YourIPAddr).String(), "invalid IP"))
	}
	if got != want {
		w.t.Errorf("%s: %s, want %s", what, got, want)
	}
	return d
}

// lease gets a host an address the usual way.
func (w *world) lease(host int, want string) *dhcpv4.DHCPv4 {
	w.t.Helper()
	w.want("discover", build(host, dhcpv4.MessageTypeDiscover), "OFFER "+want)
	return w.want("request", build(host, dhcpv4.MessageTypeRequest, ours, asking(want)), "ACK "+want)
}

func TestAHostGetsAnAddress(t *testing.T) {
	inWorld(t, lan(), func(w *world) {
		d := w.lease(1, "172.16.1.100")
		if d.IPAddressLeaseTime(0) != time.Hour || d.IPAddressRenewalTime(0) != 30*time.Minute || d.IPAddressRebindingTime(0) != 52*time.Minute+30*time.Second {
			t.Errorf("the times are %s", d.Summary())
		}
		if fmt.Sprint(d.Router()) != "[172.16.1.1]" || d.SubnetMask().String() != "ffffff00" {
			t.Errorf("the settings are %s", d.Summary())
		}
		w.lease(2, "172.16.1.101")
		w.want("it asks again", build(1, dhcpv4.MessageTypeDiscover), "OFFER 172.16.1.100")
		w.lease(0x50, "172.16.1.50")
	})
}

func TestLeasesSurviveARestart(t *testing.T) {
	inWorld(t, lan(), func(w *world) {
		w.lease(1, "172.16.1.100")
		w.restart(lan())
		w.lease(2, "172.16.1.101")
		w.want("it comes back (INIT-REBOOT)", build(1, dhcpv4.MessageTypeRequest, asking("172.16.1.100")), "ACK 172.16.1.100")
		// The configuration no longer has the address.
		p := lan()
		p.Ranges[0].First = netip.MustParseAddr("172.16.1.101")
		w.restart(p)
		w.want("its address is gone from the range", build(1, dhcpv4.MessageTypeRequest, having("172.16.1.100")), "NAK")
		if len(w.book.leases) != 1 {
			t.Errorf("the book has %d leases, want the one that is still allowed", len(w.book.leases))
		}
	})
}

func TestRenewing(t *testing.T) {
	inWorld(t, lan(), func(w *world) {
		w.lease(1, "172.16.1.100")
		time.Sleep(30 * time.Minute)
		w.want("it renews", build(1, dhcpv4.MessageTypeRequest, having("172.16.1.100")), "ACK 172.16.1.100")
		time.Sleep(59 * time.Minute)
		w.want("another host wants it", build(2, dhcpv4.MessageTypeDiscover, asking("172.16.1.100")), "OFFER 172.16.1.101")
		w.want("another host claims it", build(3, dhcpv4.MessageTypeRequest, having("172.16.1.100")), "NAK")
		time.Sleep(2 * time.Minute)
		w.want("it has expired", build(3, dhcpv4.MessageTypeDiscover, asking("172.16.1.100")), "OFFER 172.16.1.100")
		w.want("its host is late", build(1, dhcpv4.MessageTypeRequest, having("172.16.1.100")), "NAK")
	})
}

func TestWhatAHubPushesReachesHostsWhenTheyRenew(t *testing.T) {
	inWorld(t, lan(), func(w *world) {
		told := func(d *dhcpv4.DHCPv4) string {
			return fmt.Sprintf("%v %s %v", d.NetBIOSNameServers(), d.DomainName(), d.DNS())
		}
		if got := told(w.lease(1, "172.16.1.100")); got != "[]  []" {
			t.Errorf("before the tunnel the host is told %s", got)
		}
		a := netip.MustParseAddr
		w.Up(Import{Client: "flex1", WINS: []netip.Addr{a("10.10.210.10")}, DNS: []netip.Addr{a("192.168.10.5"), a("2001:db8::5")}, Domain: "example.net"})
		renew := func() string {
			return told(w.want("it renews", build(1, dhcpv4.MessageTypeRequest, having("172.16.1.100")), "ACK 172.16.1.100"))
		}
		if got := renew(); got != "[10.10.210.10] example.net [192.168.10.5]" {
			t.Errorf("with the tunnel the host is told %s", got)
		}
		w.Up(Import{Client: "flex1", WINS: []netip.Addr{a("10.10.210.11")}, Domain: "example.org"})
		w.Up(Import{Client: "flex2", WINS: []netip.Addr{a("10.10.210.12")}, Domain: "example.com"})
		if got := renew(); got != "[10.10.210.11 10.10.210.12] example.org []" {
			t.Errorf("after a change the host is told %s", got)
		}
		w.Up(Import{Client: "elsewhere", Inside: []string{"eth2"}, WINS: []netip.Addr{a("10.10.210.13")}, Domain: "corp.example"})
		if got := renew(); got != "[10.10.210.11 10.10.210.12] example.org []" || len(w.view(time.Now()).Import) != 2 {
			t.Errorf("with a client whose hosts are behind another interface the host is told %s", got)
		}
		w.Down("flex1", true)
		w.Down("flex2", false)
		if got := renew(); got != "[10.10.210.11] example.org []" {
			t.Errorf("with one hub away and one dismissed the host is told %s", got)
		}
		w.Down("flex1", false)
		if got := renew(); got != "[]  []" {
			t.Errorf("without tunnels the host is told %s", got)
		}
	})
}

func TestThePoolsOwnSettingsGoFirst(t *testing.T) {
	a := netip.MustParseAddr
	p := lan()
	p.DNS, p.Domain, p.ImportWINS = []netip.Addr{a("172.16.1.1")}, "branch.example.net", false
	inWorld(t, p, func(w *world) {
		w.Up(Import{Client: "flex1", WINS: []netip.Addr{a("10.10.210.10")}, DNS: []netip.Addr{a("192.168.10.5")}, Domain: "example.net"})
		d := w.lease(1, "172.16.1.100")
		if got := fmt.Sprintf("%v %s %v", d.NetBIOSNameServers(), d.DomainName(), d.DNS()); got != "[] branch.example.net [172.16.1.1]" {
			t.Errorf("the host is told %s", got)
		}
		if v := w.view(time.Now()).Import; len(v) != 1 || len(v[0].WINS) != 0 || v[0].Domain != "example.net" {
			t.Errorf("show says of the import %+v", v)
		}
	})
}

func TestAnAddressThatSomebodyHasIsPutAside(t *testing.T) {
	inWorld(t, lan(), func(w *world) {
		w.taken["172.16.1.100"] = true
		w.want("the first address is taken", build(1, dhcpv4.MessageTypeDiscover), "silence")
		w.lease(1, "172.16.1.101")
		if c := w.view(time.Now()).Conflicts; len(c) != 1 || c[0].Address.String() != "172.16.1.100" || c[0].Method != "arp" {
			t.Errorf("show has the conflicts %+v", c)
		}
		if !strings.Contains(w.log.String(), "dhcp address conflict") {
			t.Error("the log does not say so")
		}
		// A host that finds out by itself, RFC 2131 section 4.3.3.
		w.want("it declines", build(1, dhcpv4.MessageTypeDecline, ours, asking("172.16.1.101")), "silence")
		w.lease(1, "172.16.1.102")
		w.want("a stranger declines what is not its", build(2, dhcpv4.MessageTypeDecline, ours, asking("172.16.1.102")), "silence")
		w.want("it renews", build(1, dhcpv4.MessageTypeRequest, having("172.16.1.102")), "ACK 172.16.1.102")
		w.want("nothing is left", build(2, dhcpv4.MessageTypeDiscover), "silence")
		delete(w.taken, "172.16.1.100")
		time.Sleep(conflictLife)
		w.lease(2, "172.16.1.100")
	})
}

func TestAFullPoolGivesBackWhatWasGivenUp(t *testing.T) {
	inWorld(t, lan(), func(w *world) {
		for i := range 3 {
			w.lease(i+1, fmt.Sprintf("172.16.1.%d", 100+i))
		}
		w.want("full", build(4, dhcpv4.MessageTypeDiscover), "silence")
		if w.Stats().Drops["exhausted"] != 1 {
			t.Errorf("the counters are %+v", w.Stats())
		}
		w.want("a stranger releases", build(4, dhcpv4.MessageTypeRelease, ours, having("172.16.1.101")), "silence")
		w.want("still full", build(4, dhcpv4.MessageTypeDiscover), "silence")
		w.want("a host releases", build(2, dhcpv4.MessageTypeRelease, ours, having("172.16.1.101")), "silence")
		w.lease(4, "172.16.1.101")
	})
}

func TestRequestsThatAreNotForUs(t *testing.T) {
	inWorld(t, lan(), func(w *world) {
		w.want("an offer", build(1, dhcpv4.MessageTypeDiscover), "OFFER 172.16.1.100")
		other := dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(172, 16, 1, 2)))
		w.want("it takes another server's", build(1, dhcpv4.MessageTypeRequest, other, asking("172.16.1.77")), "silence")
		w.want("ours is free again", build(2, dhcpv4.MessageTypeDiscover, asking("172.16.1.100")), "OFFER 172.16.1.100")
		w.want("an address that was not offered", build(2, dhcpv4.MessageTypeRequest, ours, asking("172.16.1.101")), "NAK")
		w.want("of another network (INIT-REBOOT)", build(3, dhcpv4.MessageTypeRequest, asking("192.0.2.7")), "NAK")
		// RFC 2131 section 4.3.2: "If the DHCP server has no record of this client, then it MUST remain silent".
		w.want("unknown (INIT-REBOOT)", build(3, dhcpv4.MessageTypeRequest, asking("172.16.1.102")), "silence")
		d := w.want("inform", build(3, dhcpv4.MessageTypeInform, having("172.16.1.9")), "ACK")
		if d.IPAddressLeaseTime(0) != 0 || fmt.Sprint(d.Router()) != "[172.16.1.1]" || destination(d).String() != "172.16.1.9:68" {
			t.Errorf("inform is answered with %s", d.Summary())
		}
		time.Sleep(offerLife)
		w.want("an offer that has expired", build(2, dhcpv4.MessageTypeRequest, ours, asking("172.16.1.100")), "NAK")
	})
}

func TestWhatIsMalformed(t *testing.T) {
	inWorld(t, lan(), func(w *world) {
		good := build(1, dhcpv4.MessageTypeDiscover)
		relayed := build(1, dhcpv4.MessageTypeDiscover, dhcpv4.WithGatewayIP(net.IPv4(172, 16, 9, 1)))
		reply := build(1, dhcpv4.MessageTypeDiscover)
		reply.OpCode = dhcpv4.OpcodeBootReply
		group := build(1, dhcpv4.MessageTypeDiscover, dhcpv4.WithHwAddr(net.HardwareAddr{3, 0, 0, 0, 0, 1}))
		short := build(1, dhcpv4.MessageTypeDiscover, dhcpv4.WithHwAddr(net.HardwareAddr{2, 0}))
		bootp := build(1, dhcpv4.MessageTypeNone)
		for _, m := range []*dhcpv4.DHCPv4{relayed, reply, group, short, bootp} {
			w.want(m.Summary(), m, "silence")
		}
		for n := range good.ToBytes() {
			w.receive(w.t.Context(), good.ToBytes()[:min(n, 240)], func(d *dhcpv4.DHCPv4) { t.Errorf("%d octets were answered with %s", n, d) })
		}
		if d := w.Stats().Drops; d["relayed"] != 1 || d["malformed"] < 100 {
			t.Errorf("the counters are %v", d)
		}
		if len(w.book.leases) != 0 {
			t.Error("something was offered")
		}
	})
}

// "a DHCP flood": strangers without end. What they cause is bounded, and a host with a lease renews.
func TestAFloodIsBounded(t *testing.T) {
	p := lan()
	p.Ranges = []Range{{netip.MustParseAddr("172.16.1.100"), netip.MustParseAddr("172.16.1.250")}}
	inWorld(t, p, func(w *world) {
		w.lease(1, "172.16.1.100")
		answers := 0
		for i := range 5000 {
			w.receive(w.t.Context(), build(100+i, dhcpv4.MessageTypeDiscover).ToBytes(), func(*dhcpv4.DHCPv4) {
				w.mu.Lock()
				defer w.mu.Unlock()
				answers++
			})
		}
		if probes := len(w.probes); probes > maxProbes {
			t.Errorf("%d probes are under way", probes)
		}
		w.want("a host renews meanwhile", build(1, dhcpv4.MessageTypeRequest, having("172.16.1.100")), "ACK 172.16.1.100")
		if answers > maxProbes || len(w.book.leases) > 1+60 || len(w.book.leases) != len(w.book.hosts) {
			t.Errorf("%d offers were sent and %d addresses are held", answers, len(w.book.leases))
		}
		if w.Stats().Drops["overload"] < 4900 {
			t.Errorf("the counters are %v", w.Stats().Drops)
		}
		var kept int
		_ = w.disk.ForEach(bucketName("lan"), func(_, _ []byte) error { kept++; return nil })
		if kept != 1 {
			t.Errorf("%d leases are on disk, want the one that was taken: asking costs no disk", kept)
		}
		time.Sleep(offerLife)
		w.lease(2, w.say(build(2, dhcpv4.MessageTypeDiscover)).YourIPAddr.String())
	})
}

func TestAHostIsItsClientIdentifier(t *testing.T) {
	inWorld(t, lan(), func(w *world) {
		id := dhcpv4.WithOption(dhcpv4.OptClientIdentifier([]byte{0, 'a', 'b'}))
		d := w.want("discover", build(1, dhcpv4.MessageTypeDiscover, id), "OFFER 172.16.1.100")
		if got := d.GetOneOption(dhcpv4.OptionClientIdentifier); string(got) != "\x00ab" { // RFC 6842 section 3
			t.Errorf("the identifier comes back as %q", got)
		}
		w.want("another card of the same host", build(2, dhcpv4.MessageTypeDiscover, id), "OFFER 172.16.1.100")
		w.want("another host", build(1, dhcpv4.MessageTypeDiscover), "OFFER 172.16.1.101")
	})
}

func TestNamesOfHostsAreMadeSafe(t *testing.T) {
	inWorld(t, lan(), func(w *world) {
		name := dhcpv4.WithOption(dhcpv4.OptHostName("pc\x1b[31m\xff1\n"))
		w.want("discover", build(1, dhcpv4.MessageTypeDiscover, name), "OFFER 172.16.1.100")
		if b := w.view(time.Now()).Bindings; !slices.ContainsFunc(b, func(b viewBinding) bool { return b.Name == "pc[31m1" }) {
			t.Errorf("the bindings are %+v", b)
		}
	})
}

func TestTheServersOwnAddressIsNobodyElses(t *testing.T) {
	p := lan()
	p.Ranges = []Range{{netip.MustParseAddr("172.16.1.1"), netip.MustParseAddr("172.16.1.2")}}
	inWorld(t, p, func(w *world) {
		w.want("a host wants it", build(1, dhcpv4.MessageTypeDiscover, asking("172.16.1.1")), "OFFER 172.16.1.2")
		w.want("another", build(2, dhcpv4.MessageTypeDiscover), "silence")
		w.want("and claims it", build(3, dhcpv4.MessageTypeRequest, having("172.16.1.1")), "NAK")
	})
}
