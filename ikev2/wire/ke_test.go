package wire

import (
	"bytes"
	"testing"
)

func TestKE(t *testing.T) {
	checkSamples(t, []sample{
		{
			name:  "X25519",
			kind:  PayloadKE,
			bytes: `001f 0000 8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a`, // RFC 7748 section 6.1
			value: KE{Group: 31, Data: []byte("\x85\x20\xf0\x09\x89\x30\xa7\x54\x74\x8b\x7d\xdc\xb4\x3e\xf7\x5a" +
				"\x0d\xbf\x3a\x0d\x26\x38\x1a\xf4\xeb\xa4\xa9\x8e\xaa\x9b\x4e\x6a")},
			text: "KE_CURVE25519, 32 octets",
			open: 32,
		},
		{
			name:  "a group nobody knows",
			kind:  PayloadKE,
			bytes: `0400 0000 01`,
			value: KE{Group: 1024, Data: []byte{1}},
			text:  "KE(1024), 1 octets",
			open:  1,
		},
	})
}

func TestKEReservedOctets(t *testing.T) {
	p, err := only(PayloadKE, unhex(t, `001f ffff 01`))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.appendTo(nil); !bytes.Equal(got, []byte{0, 31, 0, 0, 1}) {
		t.Errorf("got %x, want reserved octets of zero", got)
	}
}
