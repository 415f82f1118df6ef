package wire

import (
	"bytes"
	"testing"
)

func TestAppendMessage(t *testing.T) {
	h := testHeader
	h.Next, h.Length = PayloadEAP, 12345 // both are filled in, whatever the caller left there
	got := AppendMessage(nil, h, Notify{Type: InitialContact}, Delete{Protocol: ProtoIKE})
	want := unhex(t, `
		0102030405060708 1112131415161718 29 20 23 08 00000001 0000002c
		2a 00 0008  00 00 4000
		00 00 0008  01 00 0000
	`)
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%x, want\n%x", got, want)
	}
	empty := AppendMessage(nil, h)
	if !bytes.Equal(empty, unhex(t, `0102030405060708 1112131415161718 00 20 23 08 00000001 0000001c`)) {
		t.Errorf("no payload: got %x", empty)
	}
}

// A message may be appended behind a non-ESP marker, and to a buffer that is used again.
func TestAppendMessageToBuffer(t *testing.T) {
	plain := AppendMessage(nil, testHeader, VendorID{[]byte("v")})
	buffer := make([]byte, 4, 1500)
	got := AppendMessage(buffer, testHeader, VendorID{[]byte("v")})
	if !bytes.Equal(got[:4], []byte{0, 0, 0, 0}) || !bytes.Equal(got[4:], plain) {
		t.Errorf("got %x, want the marker and %x", got, plain)
	}
	if &got[0] != &buffer[0] {
		t.Error("the buffer had room and was not used")
	}
	sa := &SA{[]Proposal{{Number: 1, Protocol: ProtoIKE, Transforms: make([]Transform, 4)}}}
	ke, nonce, notify := &KE{31, make([]byte, 32)}, &Nonce{make([]byte, 32)}, &Notify{Type: Cookie}
	if n := testing.AllocsPerRun(100, func() { AppendMessage(buffer, testHeader, sa, ke, nonce, notify) }); n != 0 {
		t.Errorf("%v allocations into a buffer with room, want none", n)
	}
}

func TestAppendPayloads(t *testing.T) {
	if first, out := AppendPayloads([]byte("x")); first != NoNext || string(out) != "x" {
		t.Errorf("no payload: got %v, %q", first, out)
	}
	first, out := AppendPayloads(nil, ID{Responder: true, Type: IDKeyID}, EAP{[]byte{3, 0, 0, 4}})
	if first != PayloadIDr || !bytes.Equal(out, unhex(t, `30 00 0008 0b000000  00 00 0008 03000004`)) {
		t.Errorf("got %v, %x", first, out)
	}
}

// Payloads may be given as values or as pointers.
func TestAppendPointers(t *testing.T) {
	_, values := AppendPayloads(nil, KE{Group: 19}, Delete{Protocol: ProtoIKE})
	_, pointers := AppendPayloads(nil, &KE{Group: 19}, &Delete{Protocol: ProtoIKE})
	if !bytes.Equal(values, pointers) {
		t.Errorf("got %x, want %x", pointers, values)
	}
}

// No datagram holds a payload of more than 65535 octets. If one is made nevertheless, its length is
// the largest there is and every receiver refuses it; it does not wrap to a small one.
func TestAppendTooMuch(t *testing.T) {
	first, out := AppendPayloads(nil, Cert{Data: make([]byte, 70000)})
	if out[2] != 0xff || out[3] != 0xff {
		t.Errorf("the length field holds %x", out[2:4])
	}
	_, err := ParseInner(first, out)
	wantSyntax(t, err, NoNext, "octets after the last payload")
	if b := AppendEncryptedHeader(nil, testHeader, PayloadCert, 70000); b[30] != 0xff || b[31] != 0xff {
		t.Errorf("the length field of SK holds %x", b[30:32])
	}
	if a := (Attribute{Type: CiscoBanner, Value: make([]byte, 70000)}).appendTo(nil); a[2] != 0xff || a[3] != 0xff {
		t.Errorf("the length field of an attribute holds %x", a[2:4])
	}
}
