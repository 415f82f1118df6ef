package xfrm

import (
	"net/netip"
	"reflect"
	"testing"

	"flexvpn/dataplane/kernel/nlmsg"
)

func sample() State {
	return State{
		ID: ID{Dst: netip.MustParseAddr("2001:db8::"), SPI: 0xdeadbeef}, Src: netip.MustParseAddr("2001:db8:1::"),
		Mode: Tunnel, ReqID: 77, Flags: FlagAFUnspec | FlagESN, Lifetime: Lifetime{1, 2, 3, 4},
	}
}

// The fixed part comes back as it was written; addresses that end in twelve zero octets stay IPv6.
func TestStatesReadBack(t *testing.T) {
	want := sample()
	got, ok := ReadState(want.fixed())
	want.LastUsed = got.LastUsed
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
	b := want.fixed()
	for n := range b {
		if _, ok := ReadState(b[:n]); ok {
			t.Errorf("a state of %d octets was read", n)
		}
	}
}

func TestPoliciesReadBack(t *testing.T) {
	for _, s := range []Selector{
		{Src: netip.MustParsePrefix("0.0.0.0/0"), Dst: netip.MustParsePrefix("0.0.0.0/0")},
		{Src: netip.MustParsePrefix("::/0"), Dst: netip.MustParsePrefix("2001:db8::/32")},
		{Src: netip.MustParsePrefix("240.0.0.1/32"), Dst: netip.MustParsePrefix("240.0.0.2/32"), Protocol: 47},
	} {
		if got := readSelector(s.append(nil)); got != s {
			t.Errorf("read %+v, want %+v", got, s)
		}
	}
}

func TestReplayGoesAhead(t *testing.T) {
	s := State{Window: 32}
	r := Replay(s.replay()).Ahead(1<<32 + 5)
	b := []byte(r)
	if native.Uint32(b[4:]) != 5 || native.Uint32(b[12:]) != 1 {
		t.Errorf("next is %d, %d", native.Uint32(b[12:]), native.Uint32(b[4:]))
	}
}

func FuzzEvents(f *testing.F) {
	s := sample()
	f.Add(uint16(msgExpire), append(s.fixed(), 1, 0, 0, 0, 0, 0, 0, 0))
	f.Add(uint16(msgMapping), make([]byte, lenMapping))
	f.Fuzz(func(_ *testing.T, kind uint16, b []byte) {
		ReadEvent(nlmsg.Reply{Type: kind, Body: b})
		ReadState(b)
		readPolicy(b)
	})
}

// What asks a device for the cryptography (struct xfrm_user_offload), and what says that it took it.
func TestOffloadIsAskedForAndReadBack(t *testing.T) {
	for _, c := range []struct {
		dst     string
		inbound bool
		flags   byte
	}{{"192.0.2.1", false, 0}, {"192.0.2.1", true, 2}, {"2001:db8::1", false, 1}, {"2001:db8::1", true, 3}} {
		s := sample()
		s.Dst, s.OffloadDevice, s.Inbound = netip.MustParseAddr(c.dst), 0x01020304, c.inbound
		got := s.offload()
		if len(got) != 8 || native.Uint32(got) != 0x01020304 || got[4] != c.flags {
			t.Errorf("%+v: asked with %x", c, got)
		}
		attribute := append(u16(u16(nil, 12), attrOffload), got...)
		read, ok := ReadState(append(s.fixed(), attribute...))
		if !ok || !read.Offloaded || read.OffloadDevice != 0x01020304 {
			t.Errorf("%+v: read %+v", c, read)
		}
		if read, _ := ReadState(s.fixed()); read.Offloaded {
			t.Error("a state that no device took is read as offloaded")
		}
	}
}
