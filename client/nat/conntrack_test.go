package nat

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// message is a connection as the kernel tells it.
func message(protocol uint8, from, to, replyFrom, replyTo netip.AddrPort, status, timeout uint32) []byte {
	nested := func(e *netlink.AttributeEncoder, kind uint16, from, to netip.AddrPort) {
		e.Nested(kind, func(e *netlink.AttributeEncoder) error {
			e.Nested(ctaTupleIP, func(e *netlink.AttributeEncoder) error {
				base := uint16(1)
				if from.Addr().Is6() {
					base = 3
				}
				e.Bytes(base, from.Addr().AsSlice())
				e.Bytes(base+1, to.Addr().AsSlice())
				return nil
			})
			e.Nested(ctaTupleProto, func(e *netlink.AttributeEncoder) error {
				e.ByteOrder = binary.BigEndian
				e.Uint8(1, protocol)
				switch protocol {
				case unix.IPPROTO_ICMP:
					e.Uint16(4, from.Port())
				case unix.IPPROTO_ICMPV6:
					e.Uint16(7, from.Port())
				default:
					e.Uint16(2, from.Port())
					e.Uint16(3, to.Port())
				}
				return nil
			})
			return nil
		})
	}
	e := netlink.NewAttributeEncoder()
	e.ByteOrder = binary.BigEndian
	nested(e, ctaOriginal, from, to)
	nested(e, ctaReply, replyFrom, replyTo)
	e.Uint32(ctaStatus, status)
	e.Uint32(ctaTimeout, timeout)
	b, err := e.Encode()
	if err != nil {
		panic(err)
	}
	return append([]byte{unix.AF_INET, 0, 0, 0}, b...)
}

func TestFlowsAreReadAsTheKernelTellsThem(t *testing.T) {
	ap := netip.MustParseAddrPort
	for _, c := range []struct {
		data []byte
		want string
	}{
		{
			message(unix.IPPROTO_TCP, ap("172.16.1.10:40000"), ap("192.168.10.80:443"), ap("192.168.10.80:443"), ap("10.1.1.2:1024"), statusSourceNAT|8, 431999),
			"tcp 10.1.1.2:1024 172.16.1.10:40000 192.168.10.80:443 192.168.10.80:443 true 119h59m59s",
		},
		{
			message(unix.IPPROTO_ICMP, ap("172.16.1.10:7"), ap("192.168.10.80:0"), ap("192.168.10.80:7"), ap("10.1.1.2:7"), statusSourceNAT, 29),
			"icmp 10.1.1.2:7 172.16.1.10:7 192.168.10.80:7 192.168.10.80:7 true 29s",
		},
		{
			message(unix.IPPROTO_UDP, ap("[2001:db8::1]:5353"), ap("[2001:db8:1::1]:53"), ap("[2001:db8:1::1]:53"), ap("[2001:db8::1]:5353"), 2, 30),
			"udp [2001:db8::1]:5353 [2001:db8::1]:5353 [2001:db8:1::1]:53 [2001:db8:1::1]:53 false 30s",
		},
	} {
		f, err := parseFlow(c.data)
		if err != nil {
			t.Fatal(err)
		}
		v := translation(f, "tunnel1")
		got := fmt.Sprint(v.Protocol, " ", v.InsideGlobal, v.InsideLocal, v.OutsideLocal, v.OutsideGlobal, f.sourceTranslated(), f.timeout)
		if got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func FuzzFlow(f *testing.F) {
	ap := netip.MustParseAddrPort
	f.Add(message(unix.IPPROTO_TCP, ap("172.16.1.10:40000"), ap("192.168.10.80:443"), ap("192.168.10.80:443"), ap("10.1.1.2:1024"), statusSourceNAT, 1))
	f.Add([]byte{2, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if fl, err := parseFlow(b); err == nil && (!fl.original.source.Addr().IsValid() || !fl.reply.source.Addr().IsValid()) {
			t.Errorf("%x became a flow without addresses: %+v", b, fl)
		}
	})
}

func TestRulesForEachInsideAndSource(t *testing.T) {
	p := netip.MustParsePrefix
	r := Rule{Inside: []string{"eth1", "eth2"}, Outside: "tunnel1", Source: []netip.Prefix{p("172.16.0.0/12"), p("2001:db8::/33")}}
	if got := len(r.expressions()); got != 4 {
		t.Errorf("%d rules, want one for each inside interface and source", got)
	}
	if got := fmt.Sprintf("%x %x", netmask(12, 4), netmask(33, 16)); got != "fff00000 ffffffff800000000000000000000000" {
		t.Errorf("the masks are %s", got)
	}
}
