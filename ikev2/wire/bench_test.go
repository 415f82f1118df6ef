package wire

import (
	"bytes"
	"os"
	"testing"
)

// handshake is what a responder decodes to set up one SA: IKE_SA_INIT, the shell of IKE_AUTH, and
// the chain inside it.
func handshake(t testing.TB) func() {
	init := capturedFile(t, "testdata/messages/strongswan-init-request.hex")
	auth := capturedFile(t, "testdata/messages/auth-request.hex")
	var inner capture
	for _, c := range captures(t, "inner") {
		if c.name == "ios-auth-request-gre" {
			inner = c
		}
	}
	return func() {
		for _, datagram := range [][]byte{init, auth} {
			h, err := ParseHeader(datagram)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParsePayloads(h.Next, datagram, HeaderLen); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ParseInner(inner.first, inner.bytes); err != nil {
			t.Fatal(err)
		}
	}
}

func capturedFile(t testing.TB, name string) []byte {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return unhex(t, string(text))
}

// Twelve: Payloads of three messages, and in them two lists of proposals and two of transforms, two
// of notifies, two of selectors, one of attributes and one of vendor IDs, less what is not there.
func TestHandshakeAllocations(t *testing.T) {
	if n := testing.AllocsPerRun(100, handshake(t)); n > 13 {
		t.Errorf("decoding a handshake takes %v allocations, want 13 at most", n)
	}
}

func BenchmarkDecodeHandshake(b *testing.B) {
	run := handshake(b)
	b.ReportAllocs()
	for b.Loop() {
		run()
	}
}

func BenchmarkRefuseHostileChain(b *testing.B) {
	hostile := bytes.Repeat([]byte{43, 0, 0, 4}, 16000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseInner(PayloadVendorID, hostile); err == nil {
			b.Fatal("accepted")
		}
	}
}
