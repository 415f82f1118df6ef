package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestEmptyChain(t *testing.T) {
	for _, b := range [][]byte{nil, {}} {
		p, err := ParseInner(NoNext, b)
		if err != nil || !reflect.DeepEqual(p, new(Payloads)) {
			t.Errorf("got %+v, %v", p, err)
		}
	}
	datagram := AppendMessage(nil, testHeader)
	p, err := ParsePayloads(NoNext, datagram, HeaderLen)
	if err != nil || p.String() != "" || len(Describe(p)) != 0 {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestChainFaults(t *testing.T) {
	const (
		header = "cut short in the generic header"
		beyond = "length beyond the end of the message"
		small  = "length smaller than the generic header"
	)
	cases := []struct {
		name    string
		first   PayloadType
		bytes   string
		payload PayloadType
		what    string
	}{
		{"announced and not there", PayloadNotify, ``, PayloadNotify, header},
		{"generic header of 3 octets", PayloadNotify, `00 00 00`, PayloadNotify, header},
		{"length 0", PayloadNotify, `00 00 0000`, PayloadNotify, small},
		{"length 3", PayloadNotify, `00 00 0003`, PayloadNotify, small},
		{"length beyond the end", PayloadVendorID, `00 00 0005`, PayloadVendorID, beyond},
		{"length 65535", PayloadVendorID, `00 00 ffff 0000`, PayloadVendorID, beyond},
		{"a second payload announced and not there", PayloadVendorID, `29 00 0004`, PayloadNotify, header},
		{"octets behind the last payload", PayloadVendorID, `00 00 0004 00`, NoNext, "octets after the last payload"},
		{"octets and no payload", NoNext, `00`, NoNext, "octets after the last payload"},
		{"unknown and beyond the end", 200, `00 00 0009 00`, 200, beyond},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := unhex(t, c.bytes)
			_, err := ParseInner(c.first, b)
			wantSyntax(t, err, c.payload, c.what)
			datagram := append(make([]byte, HeaderLen), b...)
			_, err = ParsePayloads(c.first, datagram, HeaderLen)
			wantSyntax(t, err, c.payload, c.what)
		})
	}
}

func TestOffsetOutsideTheDatagram(t *testing.T) {
	for _, offset := range []int{-1, 29, 1 << 40} {
		_, err := ParsePayloads(NoNext, make([]byte, HeaderLen), offset)
		wantSyntax(t, err, NoNext, "the chain starts outside the datagram")
	}
}

// RFC 7296 section 2.5: unknown with the critical bit, the whole message is refused; without, the
// payload is skipped.
func TestUnknownPayloads(t *testing.T) {
	for _, kind := range []PayloadType{1, 32, 49, 50, 51, 52, 54, 127, 128, 255} {
		_, err := ParseInner(kind, []byte{0, 0x80, 0, 6, 1, 2})
		fault, ok := errors.AsType[*CriticalError](err)
		if !ok || fault.Type != kind {
			t.Errorf("payload %d: got %v, want a CriticalError", kind, err)
		}
		p, err := ParseInner(kind, []byte{43, 0x7f, 0, 6, 1, 2, 0, 0, 0, 5, 'x'})
		if err != nil || p.Skipped != 1 || len(p.Vendors) != 1 {
			t.Errorf("payload %d: got %v, %v, want it skipped", kind, p, err)
		} else if got := p.String(); got != "V ?" {
			t.Errorf("printed %q", got)
		} else if lines := Describe(p); lines[1] != "? 1 of unknown type" {
			t.Errorf("described as %q", lines)
		}
	}
}

// Section 2.5: "The critical bit … MUST be ignored by the recipient" where the type is understood;
// the seven reserved bits always are.
func TestReservedBitsOfKnownPayloads(t *testing.T) {
	for _, bits := range []byte{0, 0x80, 0x7f, 0xff} {
		p, err := ParseInner(PayloadVendorID, []byte{0, bits, 0, 5, 'x'})
		if err != nil || string(p.Vendors[0].Data) != "x" {
			t.Errorf("bits %#x: %v", bits, err)
		}
	}
}

// What may stand in a message once is refused the second time; what may be repeated is kept.
func TestRepeatedPayloads(t *testing.T) {
	nonce := make([]byte, 16)
	proposal := SA{[]Proposal{{Number: 1, Protocol: ProtoIKE}}}
	once := []Payload{
		proposal,
		KE{Group: 31},
		ID{Type: IDKeyID},
		ID{Responder: true, Type: IDKeyID},
		Auth{Method: 2},
		Nonce{nonce},
		TS{Selectors: []Selector{any4}},
		TS{Responder: true, Selectors: []Selector{any6}},
		CP{Type: CFGSet},
		EAP{[]byte{3, 0, 0, 4}},
	}
	for _, p := range once {
		first, chain := AppendPayloads(nil, p, VendorID{}, p)
		_, err := ParseInner(first, chain)
		wantSyntax(t, err, p.Kind(), "there twice")
	}
	first, chain := AppendPayloads(nil, once...)
	if p, err := ParseInner(first, chain); err != nil || !reflect.DeepEqual(len(inOrder(p, kindsOf(first, chain))), len(once)) {
		t.Errorf("one of each: %v, %v", p, err)
	}
	for _, p := range []Payload{Cert{}, CertReq{}, Notify{Type: 16384}, Delete{Protocol: ProtoIKE}, VendorID{}} {
		first, chain := AppendPayloads(nil, p, p, p)
		got, err := ParseInner(first, chain)
		if err != nil {
			t.Errorf("%v three times: %v", p.Kind(), err)
			continue
		}
		if n := len(got.Certs) + len(got.CertReqs) + len(got.Notifies) + len(got.Deletes) + len(got.Vendors); n != 3 {
			t.Errorf("%v three times: %d were kept", p.Kind(), n)
		}
	}
}

func TestManyPayloads(t *testing.T) {
	list := make([]Payload, maxPayloads+1)
	for i := range list {
		list[i] = VendorID{}
	}
	first, chain := AppendPayloads(nil, list[:maxPayloads]...)
	if p, err := ParseInner(first, chain); err != nil || len(p.Vendors) != maxPayloads {
		t.Errorf("128 payloads: %v", err)
	}
	first, chain = AppendPayloads(nil, list...)
	_, err := ParseInner(first, chain)
	wantSyntax(t, err, NoNext, "more than 128 payloads")

	// Unknown ones count too.
	unknown := bytes.Repeat([]byte{200, 0, 0, 4}, 16000)
	_, err = ParseInner(200, unknown)
	wantSyntax(t, err, NoNext, "more than 128 payloads")
}

// A fault anywhere costs one small error value and nothing that grows with the message.
func TestHostileChainsCostNothing(t *testing.T) {
	hostile := bytes.Repeat([]byte{43, 0, 0, 4}, 16000)
	if n := testing.AllocsPerRun(100, func() { _, _ = ParseInner(PayloadVendorID, hostile) }); n > 1 {
		t.Errorf("a chain of 16000 payloads: %v allocations, want the error alone", n)
	}
	critical := append(bytes.Repeat([]byte{43, 0, 0, 4}, 99), 200, 0, 0, 4, 0, 0x80, 0, 4)
	if n := testing.AllocsPerRun(100, func() { _, _ = ParseInner(PayloadVendorID, critical) }); n > 1 {
		t.Errorf("a critical payload behind 100 others: %v allocations, want the error alone", n)
	}
}

// Everything aliases the datagram, and nothing can grow into its neighbour.
func TestPayloadsAliasTheDatagram(t *testing.T) {
	first, chain := AppendPayloads(nil, KE{31, []byte("public")}, Nonce{bytes.Repeat([]byte("n"), 16)},
		Notify{Type: Cookie, SPI: []byte("spi"), Data: []byte("cookie")}, VendorID{[]byte("vendor")})
	p, err := ParseInner(first, chain)
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(chain)
	for _, s := range [][]byte{p.KE.Data, p.Nonce, p.Notifies[0].SPI, p.Notifies[0].Data, p.Vendors[0].Data} {
		if cap(s) != len(s) {
			t.Errorf("%q has room for %d octets more", s, cap(s)-len(s))
		}
		_ = append(s, "overwritten"...)
	}
	if !bytes.Equal(chain, before) {
		t.Error("appending to a slice changed the datagram")
	}
	chain[8] = 'P'
	if string(p.KE.Data) != "Public" {
		t.Errorf("KE data is %q: a copy", p.KE.Data)
	}
}
