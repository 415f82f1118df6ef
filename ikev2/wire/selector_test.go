package wire

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
)

// span makes a selector of all protocols and ports.
func span(start, end string) Selector {
	return Selector{EndPort: 65535, Start: netip.MustParseAddr(start), End: netip.MustParseAddr(end)}
}

func (s Selector) withPorts(proto uint8, start, end uint16) Selector {
	s.Protocol, s.StartPort, s.EndPort = proto, start, end
	return s
}

func TestSelectorFromPrefix(t *testing.T) {
	cases := []struct {
		prefix string
		proto  uint8
		want   Selector
		text   string
	}{
		{"0.0.0.0/0", 0, any4, "0.0.0.0/0"},
		{"::/0", 0, any6, "::/0"},
		{"10.0.0.0/8", 0, span("10.0.0.0", "10.255.255.255"), "10.0.0.0/8"},
		{"10.1.2.3/8", 0, span("10.0.0.0", "10.255.255.255"), "10.0.0.0/8"},
		{"10.0.0.1/32", 47, span("10.0.0.1", "10.0.0.1").withPorts(47, 0, 65535), "10.0.0.1 proto 47"},
		{"10.0.0.2/31", 0, span("10.0.0.2", "10.0.0.3"), "10.0.0.2/31"},
		{"2001:db8::/32", 0, span("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"), "2001:db8::/32"},
		{"2001:db8::/64", 0, span("2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"), "2001:db8::/64"},
		{"2001:db8::/65", 0, span("2001:db8::", "2001:db8::7fff:ffff:ffff:ffff"), "2001:db8::/65"},
		{"2001:db8::/63", 0, span("2001:db8::", "2001:db8:0:1:ffff:ffff:ffff:ffff"), "2001:db8::/63"},
		{"2001:db8::1/128", 47, span("2001:db8::1", "2001:db8::1").withPorts(47, 0, 65535), "2001:db8::1 proto 47"},
	}
	for _, c := range cases {
		got := SelectorFromPrefix(netip.MustParsePrefix(c.prefix), c.proto)
		if got != c.want {
			t.Errorf("%s: got %v, want %v", c.prefix, got, c.want)
		}
		if got.String() != c.text {
			t.Errorf("%s: printed %q, want %q", c.prefix, got, c.text)
		}
		if list := got.Prefixes(); len(list) != 1 || list[0] != netip.MustParsePrefix(c.prefix).Masked() {
			t.Errorf("%s: came back as %v", c.prefix, list)
		}
	}
	if got := SelectorFromPrefix(netip.Prefix{}, 0); got.Start.IsValid() || got.Prefixes() != nil {
		t.Errorf("no prefix gave %v", got)
	}
}

func TestSelectorPrefixes(t *testing.T) {
	cases := []struct {
		s    Selector
		want []string
	}{
		{span("10.0.0.0", "10.0.0.0"), []string{"10.0.0.0/32"}},
		{span("10.0.0.1", "10.0.0.4"), []string{"10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/32"}},
		{span("192.0.2.0", "192.0.2.9"), []string{"192.0.2.0/29", "192.0.2.8/31"}},
		{span("127.255.255.255", "128.0.0.0"), []string{"127.255.255.255/32", "128.0.0.0/32"}},
		{span("255.255.255.254", "255.255.255.255"), []string{"255.255.255.254/31"}},
		{span("2001:db8::1", "2001:db8::2"), []string{"2001:db8::1/128", "2001:db8::2/128"}},
		{
			span("2001:db8::ffff:ffff:ffff:ffff", "2001:db8:0:1::"),
			[]string{"2001:db8::ffff:ffff:ffff:ffff/128", "2001:db8:0:1::/128"},
		},
		{span("10.0.0.2", "10.0.0.1"), nil},
		{Selector{}, nil},
		{Selector{Start: netip.MustParseAddr("10.0.0.0"), End: netip.MustParseAddr("::1")}, nil},
	}
	for _, c := range cases {
		var want []netip.Prefix
		for _, p := range c.want {
			want = append(want, netip.MustParsePrefix(p))
		}
		if got := c.s.Prefixes(); !reflect.DeepEqual(got, want) {
			t.Errorf("%v: got %v, want %v", c.s, got, want)
		}
	}
}

// The worst ranges there are: a peer cannot make a list longer than this.
func TestSelectorPrefixesAreBounded(t *testing.T) {
	if n := len(span("0.0.0.1", "255.255.255.254").Prefixes()); n != 62 {
		t.Errorf("IPv4: %d prefixes, want 62", n)
	}
	if n := len(span("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe").Prefixes()); n != 254 {
		t.Errorf("IPv6: %d prefixes, want 254", n)
	}
}

func TestSelectorIntersect(t *testing.T) {
	ten := span("10.0.0.0", "10.255.255.255")
	opaque := ten.withPorts(6, 65535, 0)
	cases := []struct {
		name string
		a, b Selector
		want Selector
		ok   bool
	}{
		{"any and a host", any4, span("10.1.1.2", "10.1.1.2"), span("10.1.1.2", "10.1.1.2"), true},
		{"the same", ten, ten, ten, true},
		{"overlap", ten, span("10.255.0.0", "11.0.0.0"), span("10.255.0.0", "10.255.255.255"), true},
		{"one address", ten, span("10.255.255.255", "11.0.0.0"), span("10.255.255.255", "10.255.255.255"), true},
		{"apart", ten, span("11.0.0.0", "11.0.0.1"), Selector{}, false},
		{"IPv6 overlap", any6, span("2001:db8::", "2001:db8::5"), span("2001:db8::", "2001:db8::5"), true},
		{"families differ", any4, any6, Selector{}, false},
		{"IPv4 in IPv6 is IPv6", any4, span("::ffff:10.0.0.1", "::ffff:10.0.0.2"), Selector{}, false},
		{"inverted range", any4, span("10.0.0.2", "10.0.0.1"), Selector{}, false},
		{"nothing", any4, Selector{}, Selector{}, false},
		{"any protocol and GRE", any4, ten.withPorts(47, 0, 65535), ten.withPorts(47, 0, 65535), true},
		{"TCP and UDP", ten.withPorts(6, 0, 65535), ten.withPorts(17, 0, 65535), Selector{}, false},
		{"any port and one", any4, ten.withPorts(6, 80, 80), ten.withPorts(6, 80, 80), true},
		{"ports overlap", ten.withPorts(6, 80, 443), ten.withPorts(6, 400, 500), ten.withPorts(6, 400, 443), true},
		{"ports touch", ten.withPorts(6, 80, 443), ten.withPorts(6, 443, 500), ten.withPorts(6, 443, 443), true},
		{"ports apart", ten.withPorts(6, 80, 443), ten.withPorts(6, 444, 500), Selector{}, false},
		{"inverted ports", any4, ten.withPorts(6, 500, 400), Selector{}, false},
		// RFC 4301 section 4.4.1.1: any includes OPAQUE, a single port does not.
		{"any port and opaque", any4, opaque, opaque, true},
		{"opaque and opaque", opaque, opaque, opaque, true},
		{"opaque and one port", opaque, ten.withPorts(6, 80, 80), Selector{}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, pair := range [][2]Selector{{c.a, c.b}, {c.b, c.a}} {
				got, ok := pair[0].Intersect(pair[1])
				if got != c.want || ok != c.ok {
					t.Errorf("%v with %v: got %v, %v, want %v, %v", pair[0], pair[1], got, ok, c.want, c.ok)
				}
			}
		})
	}
}

func TestSelectorString(t *testing.T) {
	cases := []struct {
		s    Selector
		want string
	}{
		{any4, "0.0.0.0/0"},
		{span("10.0.0.1", "10.0.0.9"), "10.0.0.1-10.0.0.9"},
		{span("10.0.0.1", "10.0.0.1").withPorts(6, 443, 443), "10.0.0.1 proto 6 port 443"},
		{span("10.0.0.0", "10.0.0.255").withPorts(17, 1, 1023), "10.0.0.0/24 proto 17 ports 1-1023"},
		{any6.withPorts(6, 65535, 0), "::/0 proto 6 ports opaque"},
		{Selector{EndPort: 65535}, "invalid IP-invalid IP"},
	}
	for _, c := range cases {
		if got := c.s.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// Selectors that were never on the wire: the encoder does not panic, and IPv6 is the larger form.
func TestSelectorOfMixedFamilies(t *testing.T) {
	for _, s := range []Selector{{}, {Start: any4.Start}, {Start: any4.Start, End: any6.End}, {Start: any6.Start, End: any4.End}} {
		if n := len(s.appendTo(nil)); n != 40 {
			t.Errorf("%v takes %d octets, want 40", s, n)
		}
	}
}

func ExampleSelector_Prefixes() {
	fmt.Println(Selector{Start: netip.MustParseAddr("10.0.0.1"), End: netip.MustParseAddr("10.0.0.7")}.Prefixes())
	// Output: [10.0.0.1/32 10.0.0.2/31 10.0.0.4/30]
}
