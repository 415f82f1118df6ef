package wire

import (
	"strings"
	"testing"
)

func TestAuth(t *testing.T) {
	checkSamples(t, []sample{
		{
			name:  "pre-shared key",
			kind:  PayloadAuth,
			bytes: `02 000000 00112233445566778899aabbccddeeff00112233`,
			value: Auth{Method: AuthSharedKey, Data: []byte("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff\x00\x11\x22\x33")},
			text:  "Shared Key Message Integrity Code, 20 octets",
			open:  20,
		},
		{
			// RFC 7427 section 3: length of the AlgorithmIdentifier, itself (Ed25519), the signature.
			name:  "digital signature",
			kind:  PayloadAuth,
			bytes: `0e 000000 07 300506032b6570 0102`,
			value: Auth{Method: AuthDigital, Data: []byte{7, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 1, 2}},
			text:  "Digital Signature, 10 octets",
			open:  10,
		},
		{
			name:  "a method nobody knows",
			kind:  PayloadAuth,
			bytes: `c8 000000`,
			value: Auth{Method: 200, Data: []byte{}},
			text:  "authentication method(200), 0 octets",
		},
	})
}

// An AUTH payload must never look like none at all, which stands for EAP (section 2.16).
func TestAuthRefused(t *testing.T) {
	checkRefusals(t, []refusal{{"method 0", PayloadAuth, `00 000000 0102`, "reserved method 0"}})
}

func TestAuthKeepsItsData(t *testing.T) {
	a := Auth{Method: AuthSharedKey, Data: []byte("tell-tale")}
	line := Describe(&Payloads{Auth: &a})[0]
	if strings.Contains(line, "tell") || strings.Contains(line, "74656c6c") {
		t.Errorf("debug shows AUTH data: %s", line)
	}
}
