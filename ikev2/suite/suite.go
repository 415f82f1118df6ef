// Package suite is the cryptography of IKEv2 and ESP as tables: transforms, their keys, the
// choice among proposals, key derivation, and sealing of protected messages.
package suite

import "flexvpn/secret"

// IKE names the algorithms of one IKE SA by IANA number. It is comparable and can be written down.
type IKE struct {
	Encr    uint16
	KeyBits uint16 // key length attribute, 0 for fixed-size ciphers
	PRF     uint16
	Integ   uint16 // 0 with an AEAD cipher
	Group   uint16
}

// ESP names the algorithms of one Child SA by IANA number. It is comparable and can be written down.
type ESP struct {
	Encr    uint16
	KeyBits uint16
	Integ   uint16 // 0 with an AEAD cipher
	Group   uint16 // key exchange of its rekeying; 0: none
	ESN     bool
}

// IKEKeys are the keys of one IKE SA, RFC 7296 section 2.14. It can be written down.
type IKEKeys struct {
	D, AI, AR, EI, ER, PI, PR secret.Bytes
}

// A Proposal is one proposal of ours: for each transform type the numbers allowed, best first.
type Proposal struct {
	Name  string
	Encr  []Cipher
	PRF   []uint16 // IKE only
	Integ []uint16 // empty with AEAD ciphers
	Group []uint16 // ESP: empty for none
	ESN   []uint16 // ESP only: 1 with extended sequence numbers, 0 without
}

// Cipher is an encryption transform with its key length in bits (0 for fixed-size keys).
type Cipher struct{ ID, KeyBits uint16 }
