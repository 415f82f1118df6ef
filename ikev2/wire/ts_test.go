package wire

import (
	"bytes"
	"net/netip"
	"testing"
)

var (
	any4 = Selector{EndPort: 65535, Start: netip.MustParseAddr("0.0.0.0"), End: netip.MustParseAddr("255.255.255.255")}
	any6 = Selector{EndPort: 65535, Start: netip.MustParseAddr("::"), End: netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}
)

func TestTS(t *testing.T) {
	checkSamples(t, []sample{
		{
			// RFC 7296 section 2.9.1's example has selectors of this form.
			name: "any IPv4",
			kind: PayloadTSi,
			bytes: `
				01 000000
				07 00 0010 0000 ffff  00000000 ffffffff
			`,
			value: TS{Selectors: []Selector{any4}},
			text:  "0.0.0.0/0",
		},
		{
			name: "any of both families, the overlay of a FlexVPN tunnel",
			kind: PayloadTSr,
			bytes: `
				02 000000
				07 00 0010 0000 ffff  00000000 ffffffff
				08 00 0028 0000 ffff  00000000000000000000000000000000 ffffffffffffffffffffffffffffffff
			`,
			value: TS{Responder: true, Selectors: []Selector{any4, any6}},
			text:  "0.0.0.0/0, ::/0",
		},
		{
			name: "GRE between two hosts",
			kind: PayloadTSi,
			bytes: `
				01 000000
				07 2f 0010 0000 ffff  c6336402 c6336402
			`,
			value: TS{Selectors: []Selector{{
				Protocol: 47, EndPort: 65535,
				Start: netip.MustParseAddr("198.51.100.2"), End: netip.MustParseAddr("198.51.100.2"),
			}}},
			text: "198.51.100.2 proto 47",
		},
		{
			name: "ports",
			kind: PayloadTSr,
			bytes: `
				02 000000
				08 11 0028 0035 0035  20010db8000000000000000000000000 20010db800000000ffffffffffffffff
				07 06 0010 1f90 1f99  c0000200 c000020a
			`,
			value: TS{Responder: true, Selectors: []Selector{
				{
					Protocol: 17, StartPort: 53, EndPort: 53,
					Start: netip.MustParseAddr("2001:db8::"), End: netip.MustParseAddr("2001:db8::ffff:ffff:ffff:ffff"),
				},
				{
					Protocol: 6, StartPort: 8080, EndPort: 8089,
					Start: netip.MustParseAddr("192.0.2.0"), End: netip.MustParseAddr("192.0.2.10"),
				},
			}},
			text: "2001:db8::/64 proto 17 port 53, 192.0.2.0-192.0.2.10 proto 6 ports 8080-8089",
		},
		{
			// Nothing matches a range that ends before it starts. Negotiation says so, not the codec.
			name: "inverted range",
			kind: PayloadTSi,
			bytes: `
				01 000000
				07 00 0010 0000 ffff  0a000002 0a000001
			`,
			value: TS{Selectors: []Selector{{
				EndPort: 65535,
				Start:   netip.MustParseAddr("10.0.0.2"), End: netip.MustParseAddr("10.0.0.1"),
			}}},
			text: "10.0.0.2-10.0.0.1",
		},
	})
}

func TestTSRefused(t *testing.T) {
	checkRefusals(t, []refusal{
		{"no selector", PayloadTSi, `00 000000`, "no selector"},
		{"no selector, but octets", PayloadTSi, `00 000000 07 00 0010 0000 ffff 00000000 ffffffff`, "no selector"},
		{"more selectors than fit", PayloadTSr, `ff 000000 07 00 0010 0000 ffff 00000000 ffffffff`, "more selectors announced than there are"},
		{"one selector too many", PayloadTSr, `02 000000 07 00 0010 0000 ffff 00000000 ffffffff`, cutShort},
		{
			"one selector too few", PayloadTSr,
			`01 000000 07 00 0010 0000 ffff 00000000 ffffffff 07 00 0010 0000 ffff 00000000 ffffffff`, "octets left over",
		},
		{"length 0", PayloadTSi, `01 000000 07 00 0000 0000 ffff 00000000 ffffffff`, "length smaller than its own header"},
		{"length 15", PayloadTSi, `01 000000 07 00 000f 0000 ffff 00000000 ffffff`, cutShort},
		{"length 17", PayloadTSi, `01 000000 07 00 0011 0000 ffff 00000000 ffffffff 00`, "octets left over"},
		{"IPv6 with the length of IPv4", PayloadTSi, `01 000000 08 00 0010 0000 ffff 00000000 ffffffff`, cutShort},
		{"IPv4 with the length of IPv6", PayloadTSi, `01 000000 07 00 0028 0000 ffff
			00000000000000000000000000000000 ffffffffffffffffffffffffffffffff`, "octets left over"},
		{"unknown type that passes the end", PayloadTSi, `01 000000 0a 00 0009 61626364`, cutShort},
		{"unknown type of length 3", PayloadTSi, `01 000000 0a 00 0003 61626364`, "length smaller than its own header"},
	})
}

// RFC 9478 puts a security label beside address ranges, as selector type 10: skipped.
func TestTSOfUnknownType(t *testing.T) {
	mixed := unhex(t, `
		02 000000
		0a 00 0008 61626364
		07 00 0010 0000 ffff  00000000 ffffffff
	`)
	p, err := only(PayloadTSi, mixed)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.(TS).Selectors; len(got) != 1 || got[0] != any4 {
		t.Errorf("got %v, want the range alone", got)
	}
	checkPrefixes(t, PayloadTSi, mixed, 0)

	p, err = only(PayloadTSr, unhex(t, `01 000000  0a 00 0004`))
	if err != nil || len(p.(TS).Selectors) != 0 {
		t.Errorf("got %v, %v, want no selector and no error", p, err)
	}
}

func TestTSOfManySelectors(t *testing.T) {
	want := TS{Selectors: make([]Selector, 255)}
	for i := range want.Selectors {
		want.Selectors[i] = any4
	}
	body := want.appendTo(nil)
	p, err := only(PayloadTSi, body)
	if err != nil || len(p.(TS).Selectors) != 255 {
		t.Fatalf("255 selectors: %v", err)
	}
	if !bytes.Equal(p.appendTo(nil), body) {
		t.Error("255 selectors change on the way")
	}
}
