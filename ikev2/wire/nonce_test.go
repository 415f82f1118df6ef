package wire

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func TestNonce(t *testing.T) {
	shortest, longest := bytes.Repeat([]byte{0x5a}, 16), bytes.Repeat([]byte{0xa5}, 256)
	checkSamples(t, []sample{
		{name: "shortest", kind: PayloadNonce, bytes: hex.EncodeToString(shortest), value: Nonce{shortest}, text: "16 octets"},
		{name: "longest", kind: PayloadNonce, bytes: hex.EncodeToString(longest), value: Nonce{longest}, text: "256 octets", open: 240},
	})
}

// RFC 7296 section 3.9: "The size of the Nonce Data MUST be between 16 and 256 octets, inclusive."
func TestNonceRefused(t *testing.T) {
	const what = "not 16 to 256 octets long"
	checkRefusals(t, []refusal{
		{"empty", PayloadNonce, ``, what},
		{"15 octets", PayloadNonce, hex.EncodeToString(make([]byte, 15)), what},
		{"257 octets", PayloadNonce, hex.EncodeToString(make([]byte, 257)), what},
	})
}
