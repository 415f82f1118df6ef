package suite

import (
	"slices"

	"flexvpn/secret"
)

// keyPad strengthens a pre-shared key, RFC 7296 section 2.15.
const keyPad = "Key Pad for IKEv2"

// Signed is what an end authenticates, its parts in their order; it aliases the messages.
type Signed [3][]byte

// Octets are the parts joined, for who must have them so.
func (s *Signed) Octets() []byte { return slices.Concat(s[:]...) }

// SignedOctets is what an end authenticates, RFC 7296 section 2.15: its first message as it was
// sent, the peer's nonce, and prf(SK_p, the body of its ID payload).
func SignedOctets(s IKE, message, nonce []byte, skp secret.Bytes, idBody []byte) Signed {
	return Signed{message, nonce, s.prf().sum(skp.Reveal(), idBody)}
}

// PSKAuth is the AUTH data of a pre-shared key, RFC 7296 section 2.15: prf(prf(Shared Secret,
// "Key Pad for IKEv2"), signed octets). Compare it with hmac.Equal.
func PSKAuth(s IKE, psk secret.Bytes, signed Signed) []byte {
	prf := s.prf()
	key := prf.sum(psk.Reveal(), []byte(keyPad))
	defer clear(key)
	return prf.sum(key, signed[:]...)
}
