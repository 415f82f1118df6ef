package pki

import (
	"crypto"
	"encoding/binary"
	"slices"

	// The hashes that crypto.Hash is asked for below.
	_ "crypto/sha256"
	_ "crypto/sha512"
)

// Numbers of the registry "IKEv2 Hash Algorithms", RFC 7427 section 7 and RFC 8420. SHA-1, number 1,
// is never offered nor accepted there.
const (
	hashSHA256   uint16 = 2
	hashSHA384   uint16 = 3
	hashSHA512   uint16 = 4
	hashIdentity uint16 = 5
)

// SupportedHashes are the hashes we can check signatures of, for SIGNATURE_HASH_ALGORITHMS.
func SupportedHashes() []uint16 {
	return []uint16{hashSHA256, hashSHA384, hashSHA512, hashIdentity}
}

// EncodeHashes is the data of a SIGNATURE_HASH_ALGORITHMS notify, RFC 7427 section 4.
func EncodeHashes(hashes []uint16) []byte {
	out := make([]byte, 0, 2*len(hashes))
	for _, h := range hashes {
		out = binary.BigEndian.AppendUint16(out, h)
	}
	return out
}

// DecodeHashes reads the data of a SIGNATURE_HASH_ALGORITHMS notify and keeps the hashes we know.
// They come before the peer is authenticated, so the result is no longer than SupportedHashes.
func DecodeHashes(data []byte) []uint16 {
	var out []uint16
	for ; len(data) >= 2; data = data[2:] {
		h := binary.BigEndian.Uint16(data)
		if slices.Contains(SupportedHashes(), h) && !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out
}

// digest hashes the signed octets; Ed25519 takes them as they are (RFC 8420).
func digest(h crypto.Hash, octets []byte) []byte {
	if h == 0 {
		return octets
	}
	sum := h.New()
	sum.Write(octets)
	return sum.Sum(nil)
}
