package suite

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"testing"
)

// The standard library's HMAC is the judge, for keys and data on both sides of a block, and nothing
// may be left of a key in memory that another one uses next.
func TestMACsOfManyKeys(t *testing.T) {
	for id, h := range map[uint16]func() hash.Hash{2: sha1.New, 5: sha256.New, 6: sha512.New384, 7: sha512.New} {
		row := findPRF(id)
		for _, n := range []int{200, 0, 129, 128, 65, 64, 63, 1, 127} {
			key, data := bytes.Repeat([]byte{0xa5}, n), bytes.Repeat([]byte{0x3c}, 2*n+1)
			want := hmac.New(h, key)
			want.Write(data)
			if got := row.sum(key, data[:n], data[n:]); !bytes.Equal(got, want.Sum(nil)) {
				t.Errorf("%s, a key of %d octets: %x, want %x", row.name, n, got, want.Sum(nil))
			}
			m := row.take(key)
			m.save()
			m.inner.Write(data)
			m.sum(nil)
			m.wipe()
			for _, left := range [][]byte{m.pad, m.saved[0], m.saved[1]} {
				if len(bytes.Trim(left, "\x00")) > 0 {
					t.Errorf("%s, a key of %d octets: %x is left of it", row.name, n, left)
				}
			}
			if !bytes.Equal(appendState(nil, m.inner), m.fresh) || !bytes.Equal(appendState(nil, m.outer), m.fresh) {
				t.Errorf("%s, a key of %d octets: a hash still has it", row.name, n)
			}
		}
	}
}
