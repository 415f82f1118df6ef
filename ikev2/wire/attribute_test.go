package wire

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestAttrAddr(t *testing.T) {
	cases := []struct {
		kind  AttributeType
		addr  string
		bits  int
		value string
		text  string
	}{
		{InternalIP4Address, "10.1.1.2", 32, `0a010102`, "INTERNAL_IP4_ADDRESS=10.1.1.2"},
		{InternalIP4Address, "::ffff:10.1.1.2", 32, `0a010102`, "INTERNAL_IP4_ADDRESS=10.1.1.2"},
		{InternalIP4Netmask, "255.255.255.0", 32, `ffffff00`, "INTERNAL_IP4_NETMASK=255.255.255.0"},
		{InternalIP4DNS, "192.168.10.5", 32, `c0a80a05`, "INTERNAL_IP4_DNS=192.168.10.5"},
		{InternalIP4NBNS, "10.10.210.10", 32, `0a0ad20a`, "INTERNAL_IP4_NBNS=10.10.210.10"},
		{InternalIP6Address, "2001:db8::2", 128, `20010db8000000000000000000000002 80`, "INTERNAL_IP6_ADDRESS=2001:db8::2/128"},
		{InternalIP6Address, "2001:db8::2", 64, `20010db8000000000000000000000002 40`, "INTERNAL_IP6_ADDRESS=2001:db8::2/64"},
		{InternalIP6DNS, "2001:db8::53", 128, `20010db8000000000000000000000053`, "INTERNAL_IP6_DNS=2001:db8::53"},
	}
	for _, c := range cases {
		a := AttrAddr(c.kind, netip.MustParseAddr(c.addr), c.bits)
		if !bytes.Equal(a.Value, unhex(t, c.value)) || a.Type != c.kind {
			t.Errorf("%s: got %v %x, want %s", c.addr, a.Type, a.Value, c.value)
		}
		addr, bits, ok := a.Addr()
		if addr != netip.MustParseAddr(c.addr).Unmap() || bits != c.bits || !ok {
			t.Errorf("%s: came back as %v/%d, %v", c.addr, addr, bits, ok)
		}
		if a.String() != c.text {
			t.Errorf("printed %q, want %q", a, c.text)
		}
	}
}

func TestAttrPrefix(t *testing.T) {
	cases := []struct {
		prefix string
		kind   AttributeType
		value  string
	}{
		{"0.0.0.0/0", InternalIP4Subnet, `00000000 00000000`},
		{"10.0.0.0/8", InternalIP4Subnet, `0a000000 ff000000`},
		{"10.1.1.1/8", InternalIP4Subnet, `0a000000 ff000000`},
		{"10.1.1.1/32", InternalIP4Subnet, `0a010101 ffffffff`},
		{"::/0", InternalIP6Subnet, `00000000000000000000000000000000 00`},
		{"2001:db8::1/64", InternalIP6Subnet, `20010db8000000000000000000000000 40`},
		{"3001::1/128", InternalIP6Subnet, `30010000000000000000000000000001 80`},
	}
	for _, c := range cases {
		p := netip.MustParsePrefix(c.prefix)
		a := AttrPrefix(p)
		if !bytes.Equal(a.Value, unhex(t, c.value)) || a.Type != c.kind {
			t.Errorf("%s: got %v %x, want %v %s", c.prefix, a.Type, a.Value, c.kind, c.value)
		}
		if got, ok := a.Prefix(); got != p.Masked() || !ok {
			t.Errorf("%s: came back as %v, %v", c.prefix, got, ok)
		}
		if want := c.kind.String() + "=" + p.Masked().String(); a.String() != want {
			t.Errorf("printed %q, want %q", a, want)
		}
		if _, _, ok := a.Addr(); ok && c.kind == InternalIP4Subnet {
			t.Errorf("%s is a prefix and was taken for an address", c.prefix)
		}
	}
}

// What is no prefix, or no address, is not guessed at.
func TestAttributeOfAnotherKind(t *testing.T) {
	cases := []Attribute{
		{InternalIP4Subnet, nil},
		{InternalIP4Subnet, []byte{10, 0, 0, 0, 255, 0, 255, 0}}, // a mask with a hole
		{InternalIP4Subnet, []byte{10, 0, 0, 0, 0, 0, 0, 255}},
		{InternalIP4Subnet, []byte{10, 0, 0, 0, 8}},
		{InternalIP6Subnet, make([]byte, 16)},
		{InternalIP6Subnet, append(make([]byte, 16), 129)},
		{InternalIP4Address, []byte{10, 0, 0, 0, 255, 0, 0, 0}},
		{CiscoSplitInclude, []byte{10, 0, 0, 0, 255, 0, 0, 0}},
	}
	for _, a := range cases {
		if p, ok := a.Prefix(); ok {
			t.Errorf("%v %x was taken for the prefix %v", a.Type, a.Value, p)
		}
	}
	for _, a := range []Attribute{
		{InternalIP4Address, nil},
		{InternalIP4Address, []byte{10, 0, 0}},
		{InternalIP6Address, make([]byte, 16)},
		{InternalIP6Address, append(make([]byte, 16), 200)},
		{CiscoBanner, []byte{10, 0, 0, 1}},
		{5, []byte{0, 0, 14, 16}}, // INTERNAL_ADDRESS_EXPIRY
	} {
		if addr, _, ok := a.Addr(); ok {
			t.Errorf("%v %x was taken for the address %v", a.Type, a.Value, addr)
		}
	}
	if got := AttrPrefix(netip.Prefix{}); len(got.Value) == 8 {
		t.Errorf("no prefix became %v", got)
	}
}

func TestAttributeTexts(t *testing.T) {
	cases := []struct {
		value string
		want  []string
	}{
		{"", []string{}},
		{"example.net", []string{"example.net"}},
		{"example.net,corp.example.net", []string{"example.net", "corp.example.net"}},
		{"a;b c\td\re\nf\x00g\x19h", []string{"a", "b", "c", "d", "e", "f", "g", "h"}},
		{" , a ,, b\x00", []string{"a", "b"}},
		{",;\x00", []string{}},
		{"m\u00fcller.example", []string{"m\u00fcller.example"}},
		{"\xff\xfe,x", []string{"\xff\xfe", "x"}},
	}
	for _, c := range cases {
		got := AttrText(CiscoSplitDNS, c.value).Texts()
		if len(got) != len(c.want) || len(got) > 0 && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.value, got, c.want)
		}
	}
}

func TestAttributeString(t *testing.T) {
	cases := []struct {
		a    Attribute
		want string
	}{
		{Attribute{Type: InternalIP4Address}, "INTERNAL_IP4_ADDRESS"},
		{AttrText(CiscoBanner, "welcome"), "CISCO_BANNER=welcome"},
		{AttrText(CiscoDefaultDomain, "example.net\x00"), "CISCO_DEFAULT_DOMAIN=example.net"},
		{AttrText(ApplicationVersion, "two\nlines"), `APPLICATION_VERSION="two\nlines"`},
		{AttrText(ApplicationVersion, strings.Repeat("v", 257)), "APPLICATION_VERSION=" + strings.Repeat("v", 64) + "… (257 octets)"},
		{Attribute{SupportedAttributes, []byte{0, 1, 0x70, 3}}, "SUPPORTED_ATTRIBUTES=INTERNAL_IP4_ADDRESS,CISCO_SPLIT_DNS"},
		{Attribute{InternalIP4Subnet, []byte{10, 0, 0, 0, 255, 0, 255, 0}}, "INTERNAL_IP4_SUBNET=(8 octets)"},
		// A reconnect token of Cisco's is as good as a password.
		{AttrText(28700, "token"), "attribute(28700)=(5 octets)"},
	}
	for _, c := range cases {
		if got := c.a.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// RFC 7296 section 3.15.1 gives each of these a length; zero asks for a value or acknowledges it.
func TestAttributeLengths(t *testing.T) {
	good := map[AttributeType][]int{
		InternalIP4Address: {0, 4}, InternalIP4Netmask: {0, 4}, InternalIP4DNS: {0, 4}, InternalIP4NBNS: {0, 4},
		5: {0, 4}, InternalIP4DHCP: {0, 4}, 20: {0, 4},
		InternalIP6Address: {0, 17}, InternalIP6Subnet: {0, 17}, InternalIP6DNS: {0, 16}, InternalIP6DHCP: {0, 16}, 21: {0, 16},
		InternalIP4Subnet: {0, 8}, SupportedAttributes: {0, 2, 4, 6, 8, 10, 12, 14, 16, 18},
	}
	for kind, lengths := range good {
		for n := range 20 {
			want := false
			for _, l := range lengths {
				want = want || l == n
			}
			_, err := only(PayloadCP, CP{CFGReply, []Attribute{{kind, make([]byte, n)}}}.appendTo(nil))
			if want != (err == nil) {
				t.Errorf("%v of %d octets: %v", kind, n, err)
			}
		}
	}
	for _, kind := range []AttributeType{ApplicationVersion, InternalDNSDomain, CiscoBanner, CiscoSplitInclude, 23456, 32767} {
		for n := range 20 {
			if _, err := only(PayloadCP, CP{CFGReply, []Attribute{{kind, make([]byte, n)}}}.appendTo(nil)); err != nil {
				t.Errorf("%v of %d octets: %v", kind, n, err)
			}
		}
	}
}

func ExampleAttribute_Texts() {
	fmt.Printf("%q\n", AttrText(CiscoBackupServers, "203.0.113.225, hub2.example.net").Texts())
	// Output: ["203.0.113.225" "hub2.example.net"]
}
