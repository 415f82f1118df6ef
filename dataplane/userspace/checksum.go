package userspace

import (
	"encoding/binary"
	"math/bits"
)

// The Internet checksum (RFC 1071). A sum is kept folded to 16 bits, in the byte order of the wire,
// and not complemented, so that sums of parts of even length can be added.

// sum adds the octets of b to a folded sum.
//
// One's complement addition does not care about byte order (RFC 1071 section 2 (B)), so whole
// 64-bit words are added as they lie in memory and the result is turned at the end.
func sum(b []byte, initial uint16) uint16 {
	var acc, carry uint64
	acc = uint64(bits.ReverseBytes16(initial))
	for len(b) >= 64 {
		w := b[:64:64]
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(w[0:]), 0)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(w[8:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(w[16:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(w[24:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(w[32:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(w[40:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(w[48:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(w[56:]), carry)
		acc += carry // cannot carry again: a sum that carried is at most 2^64-2
		b = b[64:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b), 0)
		acc += carry
		b = b[8:]
	}
	var last [8]byte
	if copy(last[:], b) > 0 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(last[:]), 0)
		acc += carry
	}
	return bits.ReverseBytes16(fold(acc))
}

func fold(acc uint64) uint16 {
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return uint16(acc)
}

// add is the one's complement sum of two folded sums.
func add(a, b uint16) uint16 {
	s := uint32(a) + uint32(b)
	return uint16(s) + uint16(s>>16)
}

// pseudoSum is the sum of the pseudo-header of RFC 9293 section 3.1 and RFC 8200 section 8.1, for a
// transport payload of n octets inside the IP packet p.
func pseudoSum(p []byte, protocol uint8, n int) uint16 {
	s := add(uint16(protocol), add(uint16(n>>16), uint16(n)))
	if p[0]>>4 == 4 {
		return sum(p[12:20], s)
	}
	return sum(p[8:40], s)
}

// replaced is the checksum of a header in which the 16-bit word from became to (RFC 1624
// equation 3).
func replaced(checksum, from, to uint16) uint16 {
	return ^add(add(^checksum, ^from), to)
}
