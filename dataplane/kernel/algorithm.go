package kernel

import (
	"fmt"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/xfrm"
)

// The transforms by IANA number and by the names of the kernel's cryptography (RFC 4106, 7634, 3602,
// 2404, 4868).
const (
	encrCBC      = 12
	encrGCM8     = 18
	encrGCM12    = 19
	encrGCM16    = 20
	encrChaCha20 = 28
)

var integrity = map[uint16]struct {
	name      string
	key, bits int
}{
	2:  {"hmac(sha1)", 20, 96},
	12: {"hmac(sha256)", 32, 128},
	13: {"hmac(sha384)", 48, 192},
	14: {"hmac(sha512)", 64, 256},
}

// algorithms gives a state the transforms of a child with the keys of one direction. The caller
// forgets the state when the kernel has it.
func algorithms(s *xfrm.State, c *dataplane.Child, key, integ []byte) error {
	want := int(c.KeyBits) / 8
	switch c.Encr {
	case encrGCM8, encrGCM12, encrGCM16:
		icv := map[uint16]int{encrGCM8: 64, encrGCM12: 96, encrGCM16: 128}[c.Encr]
		s.AEAD, want = xfrm.Algorithm{Name: "rfc4106(gcm(aes))", Bits: icv, Key: key}, want+4
	case encrChaCha20:
		s.AEAD, want = xfrm.Algorithm{Name: "rfc7539esp(chacha20,poly1305)", Bits: 128, Key: key}, 36
	case encrCBC:
		i, ok := integrity[c.Integ]
		if !ok {
			return fmt.Errorf("integrity algorithm %d: the kernel data plane has none of this number for AES-CBC", c.Integ)
		}
		if len(integ) != i.key {
			return fmt.Errorf("an integrity key of %d octets for %s, want %d", len(integ), i.name, i.key)
		}
		s.Crypt = xfrm.Algorithm{Name: "cbc(aes)", Key: key}
		s.Auth = xfrm.Algorithm{Name: i.name, Bits: i.bits, Key: integ}
	default:
		return fmt.Errorf("encryption algorithm %d: the kernel data plane has none of this number", c.Encr)
	}
	if len(key) != want {
		return fmt.Errorf("a key of %d octets for algorithm %d with %d bits, want %d", len(key), c.Encr, c.KeyBits, want)
	}
	return nil
}

// blank replaces the keys of a state by zeros of their length: a change of a state that stands must
// carry keys, which the kernel does not look at.
func blank(s *xfrm.State) {
	for _, a := range []*xfrm.Algorithm{&s.AEAD, &s.Crypt, &s.Auth} {
		a.Key = make([]byte, len(a.Key))
	}
}
