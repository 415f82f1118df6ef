package dhcp

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"flexvpn/ops/view"
	"flexvpn/store"
)

type viewBinding = view.DHCPBinding

// Whatever a host sends, the server lives, answers only with what can be read again, and holds no more
// addresses than the pool has.
func FuzzMessage(f *testing.F) {
	for _, m := range []*dhcpv4.DHCPv4{
		build(1, dhcpv4.MessageTypeDiscover), build(1, dhcpv4.MessageTypeRequest, ours, asking("172.16.1.100")),
		build(1, dhcpv4.MessageTypeRequest, having("172.16.1.100")), build(1, dhcpv4.MessageTypeDecline, ours, asking("172.16.1.100")),
		build(1, dhcpv4.MessageTypeRelease, ours, having("172.16.1.100")), build(1, dhcpv4.MessageTypeInform, having("172.16.1.9")),
	} {
		f.Add(m.ToBytes())
	}
	s, err := New(Config{
		Pools: []Pool{lan()}, Store: store.Memory(), Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Probe: func(context.Context, string, netip.Addr, net.HardwareAddr) (bool, error) { return false, nil },
	})
	if err != nil {
		f.Fatal(err)
	}
	p := s.pools[0]
	p.own = netip.MustParseAddr("172.16.1.1")
	p.unknown, p.known = newBucket(1e12, 1e12), newBucket(1e12, 1e12)
	f.Fuzz(func(t *testing.T, b []byte) {
		p.receive(t.Context(), b, func(d *dhcpv4.DHCPv4) {
			if got, err := dhcpv4.FromBytes(d.ToBytes()); err != nil || got.OpCode != dhcpv4.OpcodeBootReply {
				t.Errorf("%x is answered with %s (%v)", b, d, err)
			}
		})
		s.flying.Wait()
		if len(p.book.leases) > p.book.size+len(p.pool.Hosts) || len(p.book.leases) != len(p.book.hosts) {
			t.Errorf("%d leases of %d hosts", len(p.book.leases), len(p.book.hosts))
		}
	})
}

// Whatever is on the wire, only a whole ARP message of somebody else claims an address.
func FuzzARP(f *testing.F) {
	a, own := netip.MustParseAddr("172.16.1.100"), mac(0xff)
	good := whoHas(mac(9), a)
	copy(good[14:], a.AsSlice())
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		if claims(b, a, mac(1), own) && (len(b) < arpSize || string(b[14:18]) != string(a.AsSlice())) {
			t.Errorf("%x claims %s", b, a)
		}
	})
}

func TestWhoClaimsAnAddress(t *testing.T) {
	a := netip.MustParseAddr("172.16.1.100")
	from := func(host int) []byte {
		b := whoHas(mac(host), netip.MustParseAddr("172.16.1.1"))
		copy(b[14:], a.AsSlice())
		return b
	}
	if !claims(from(9), a, mac(1), mac(0xff)) {
		t.Error("somebody else does")
	}
	if claims(from(1), a, mac(1), mac(0xff)) || claims(from(0xff), a, mac(1), mac(0xff)) {
		t.Error("neither the host itself nor we do")
	}
	if claims(whoHas(mac(9), a), a, mac(1), mac(0xff)) {
		t.Error("a probe of another host claims nothing yet")
	}
	for n := range from(9) {
		if claims(from(9)[:n], a, mac(1), mac(0xff)) {
			t.Errorf("%d octets claim it", n)
		}
	}
}
