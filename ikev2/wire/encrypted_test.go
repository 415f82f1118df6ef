package wire

import (
	"bytes"
	"testing"
)

var testHeader = Header{
	SPIi: 0x0102030405060708, SPIr: 0x1112131415161718, Major: MajorVersion,
	Exchange: IKEAuth, Flags: FlagInitiator, MessageID: 1,
}

// protected is a message whose sealed body is what the caller gives.
func protected(inner PayloadType, body []byte) []byte {
	return append(AppendEncryptedHeader(nil, testHeader, inner, len(body)), body...)
}

func fragment(inner PayloadType, number, total uint16, body []byte) []byte {
	return append(AppendFragmentHeader(nil, testHeader, inner, number, total, len(body)), body...)
}

func TestEncrypted(t *testing.T) {
	datagram := protected(PayloadIDi, []byte("IV, ciphertext, ICV"))
	want := unhex(t, `
		0102030405060708 1112131415161718 2e 20 23 08 00000001 00000033
		23 00 0017
		49562c20636970686572746578742c20494356
	`)
	if !bytes.Equal(datagram, want) {
		t.Errorf("got\n%x, want\n%x", datagram, want)
	}
	p, err := ParsePayloads(PayloadEncrypted, datagram, HeaderLen)
	if err != nil {
		t.Fatal(err)
	}
	e := p.Encrypted
	if e.Inner != PayloadIDi || e.Offset != 32 || string(e.Body) != "IV, ciphertext, ICV" {
		t.Errorf("got %+v", e)
	}
	if e.String() != "19 octets, IDi first" {
		t.Errorf("printed %q", e)
	}
	if &e.Body[0] != &datagram[e.Offset] {
		t.Error("Body is a copy: it cannot be opened in place")
	}
}

// The header is appended to whatever stands in the buffer, a non-ESP marker for instance.
func TestEncryptedHeaderBehindMarker(t *testing.T) {
	marker := []byte{0, 0, 0, 0}
	with := AppendEncryptedHeader(marker, testHeader, PayloadIDi, 9)
	if !bytes.Equal(with[4:], AppendEncryptedHeader(nil, testHeader, PayloadIDi, 9)) {
		t.Errorf("got %x", with)
	}
	withFragment := AppendFragmentHeader(marker, testHeader, PayloadIDi, 1, 2, 9)
	if !bytes.Equal(withFragment[4:], AppendFragmentHeader(nil, testHeader, PayloadIDi, 1, 2, 9)) {
		t.Errorf("got %x", withFragment)
	}
}

// Payloads before the encrypted one are allowed, section 3.14, and are authenticated data too.
func TestEncryptedAfterOthers(t *testing.T) {
	chain := []byte{46, 0, 0, 8, 0, 0, 0x40, 0, 33, 0, 0, 5, 0xaa}
	p, err := ParsePayloads(PayloadNotify, chain, 0)
	if err != nil {
		t.Fatal(err)
	}
	if p.Notify(InitialContact) == nil || p.Encrypted.Offset != 12 || p.Encrypted.Inner != PayloadSA {
		t.Errorf("got %v, %+v", p, p.Encrypted)
	}
}

// RFC 7296 section 3.14: "The payload … MUST be the last payload in the message."
func TestEncryptedIsLast(t *testing.T) {
	for _, kind := range []PayloadType{PayloadEncrypted, PayloadFragment} {
		chain := []byte{41, 0, 0, 12, 0, 1, 0, 1, 1, 2, 3, 4, 0, 0, 0, 8, 0, 0, 0x40, 0}
		_, err := ParsePayloads(kind, chain, 0)
		wantSyntax(t, err, NoNext, "octets after the last payload")
	}
}

func TestEncryptedInside(t *testing.T) {
	const what = "inside an encrypted payload"
	_, err := ParseInner(PayloadEncrypted, []byte{0, 0, 0, 8, 1, 2, 3, 4})
	wantSyntax(t, err, PayloadEncrypted, what)
	_, err = ParseInner(PayloadFragment, []byte{0, 0, 0, 9, 0, 1, 0, 1, 0})
	wantSyntax(t, err, PayloadFragment, what)
}

func TestFragment(t *testing.T) {
	datagram := fragment(PayloadIDi, 1, 3, []byte("sealed"))
	want := unhex(t, `
		0102030405060708 1112131415161718 35 20 23 08 00000001 0000002a
		23 00 000e  0001 0003
		7365616c6564
	`)
	if !bytes.Equal(datagram, want) {
		t.Errorf("got\n%x, want\n%x", datagram, want)
	}
	p, err := ParsePayloads(PayloadFragment, datagram, HeaderLen)
	if err != nil {
		t.Fatal(err)
	}
	f := p.Fragment
	if f.Inner != PayloadIDi || f.Number != 1 || f.Total != 3 || f.Offset != 36 || string(f.Body) != "sealed" {
		t.Errorf("got %+v", f)
	}
	if p.String() != "SKF(1/3)" || f.String() != "1 of 3, 6 octets" {
		t.Errorf("printed %q, %q", p, f)
	}
	if &f.Body[0] != &datagram[f.Offset] {
		t.Error("Body is a copy: it cannot be opened in place")
	}
}

// RFC 7383 section 2.5: only the first fragment announces a payload, in all others the field is 0.
func TestFragmentInner(t *testing.T) {
	if second := fragment(PayloadIDi, 2, 3, nil); second[HeaderLen] != 0 {
		t.Errorf("the second fragment announces payload %d", second[HeaderLen])
	}
	second := fragment(0, 2, 3, nil)
	second[HeaderLen] = uint8(PayloadIDi)
	p, err := ParsePayloads(PayloadFragment, second, HeaderLen)
	if err != nil || p.Fragment.Inner != NoNext {
		t.Errorf("got %+v, %v, want the announcement ignored", p.Fragment, err)
	}
}

func TestFragmentRefused(t *testing.T) {
	const what = "fragment number outside 1 to total"
	for _, c := range []struct{ number, total uint16 }{{0, 0}, {0, 1}, {1, 0}, {2, 1}, {65535, 1}} {
		_, err := ParsePayloads(PayloadFragment, fragment(0, c.number, c.total, []byte("x")), HeaderLen)
		wantSyntax(t, err, PayloadFragment, what)
	}
	for n := range fragmentLen {
		_, err := ParsePayloads(PayloadFragment, wrap([]byte{0, 1, 0, 1}[:n]), 0)
		wantSyntax(t, err, PayloadFragment, cutShort)
	}
}
