package ikev2

import (
	"bytes"
	"net/netip"
	"testing"

	"flexvpn/ikev2/wire"
)

// The octets of RFC 4555 section 4.2, both ways.
func TestMOBIKEOctets(t *testing.T) {
	four := Path{Local: netip.MustParseAddrPort("192.0.2.10:4500"), Remote: netip.MustParseAddrPort("203.0.113.1:500")}
	six := Path{Local: netip.MustParseAddrPort("[2001:db8::a]:4500"), Remote: netip.MustParseAddrPort("[2001:db8::1]:500")}
	if got, want := noNATs(four), []byte{192, 0, 2, 10, 203, 0, 113, 1, 0x11, 0x94, 0x01, 0xf4}; !bytes.Equal(got, want) {
		t.Errorf("NO_NATS_ALLOWED is %x, want %x", got, want)
	}
	if got := noNATs(six); len(got) != 36 || got[15] != 10 || got[31] != 1 || got[32] != 0x11 || got[35] != 0xf4 {
		t.Errorf("NO_NATS_ALLOWED of IPv6 is %x", got)
	}
	list := []netip.Addr{netip.MustParseAddr("203.0.113.2"), netip.MustParseAddr("2001:db8::2")}
	_, b := wire.AppendPayloads(nil, append(addressPayloads(list), &wire.Notify{Type: wire.UpdateSAAddresses}, &wire.Notify{Type: wire.MOBIKESupported})...)
	want := []byte{
		41, 0, 0, 12, 0, 0, 0x40, 0x0d, 203, 0, 113, 2, // ADDITIONAL_IP4_ADDRESS
		41, 0, 0, 24, 0, 0, 0x40, 0x0e, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, // ADDITIONAL_IP6_ADDRESS
		41, 0, 0, 8, 0, 0, 0x40, 0x10, // UPDATE_SA_ADDRESSES
		0, 0, 0, 8, 0, 0, 0x40, 0x0c, // MOBIKE_SUPPORTED
	}
	if !bytes.Equal(b, want) {
		t.Fatalf("the payloads are\n%x, want\n%x", b, want)
	}
	ps, err := wire.ParseInner(wire.PayloadNotify, b)
	if err != nil {
		t.Fatal(err)
	}
	if got, told := toldAddresses(ps); !told || len(got) != 2 || got[0] != list[0] || got[1] != list[1] {
		t.Errorf("read back as %v", got)
	}
	for _, wrong := range []*wire.Notify{
		{Type: wire.AdditionalIP4Address, Data: make([]byte, 16)},
		{Type: wire.AdditionalIP6Address, Data: []byte{203, 0, 113, 2}},
		{Type: wire.AdditionalIP4Address, Data: []byte{203, 0, 113}},
		{Type: wire.AdditionalIP6Address, Data: netip.MustParseAddr("::ffff:203.0.113.2").AsSlice()},
	} {
		if got, told := toldAddresses(&wire.Payloads{Notifies: []wire.Notify{*wrong}}); !told || len(got) != 0 {
			t.Errorf("%s of %x is read as %v", wrong.Type, wrong.Data, got)
		}
	}
}
