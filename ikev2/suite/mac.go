package suite

import (
	"encoding"
	"hash"
	"sync"
)

// A mac computes HMAC (RFC 2104) with one key after another in the same memory: a handshake has a
// dozen keys that serve once, and the standard library makes six objects for each.
type mac struct {
	inner, outer hash.Hash
	pad          []byte // a block
	fresh        []byte // state of both before a key
	saved        [2][]byte
}

// macs is the pool of one hash function's macs.
func macs(h func() hash.Hash) *sync.Pool {
	return &sync.Pool{New: func() any {
		m := &mac{inner: h(), outer: h()}
		m.pad = make([]byte, m.inner.BlockSize())
		m.fresh = appendState(nil, m.inner)
		return m
	}}
}

func (p *prfRow) take(key []byte) *mac {
	m := p.macs.Get().(*mac)
	m.start(key)
	return m
}

func (p *prfRow) give(m *mac) {
	m.wipe()
	p.macs.Put(m)
}

const (
	innerPad = 0x36 // RFC 2104 section 2
	outerPad = 0x5c
)

// start takes a key; data can be written to inner then.
func (m *mac) start(key []byte) {
	if len(key) > len(m.pad) {
		m.outer.Write(key)
		m.outer.Sum(m.pad[:0])
		m.outer.Reset()
	} else {
		copy(m.pad, key)
	}
	flip(m.pad, innerPad)
	m.inner.Write(m.pad)
	flip(m.pad, innerPad^outerPad)
	m.outer.Write(m.pad)
}

func flip(b []byte, with byte) {
	for i := range b {
		b[i] ^= with
	}
}

// save remembers the state right after start for again.
func (m *mac) save() {
	m.saved[0] = appendState(m.saved[0][:0], m.inner)
	m.saved[1] = appendState(m.saved[1][:0], m.outer)
}

// again is start with the key of before.
func (m *mac) again() {
	setState(m.inner, m.saved[0])
	setState(m.outer, m.saved[1])
}

// sum appends the code of what was written. Before the next one comes again, or wipe.
func (m *mac) sum(to []byte) []byte {
	m.outer.Write(m.inner.Sum(m.pad[:0]))
	return m.outer.Sum(to)
}

// wipe leaves nothing of key and data: the state has what a hash buffers in it.
func (m *mac) wipe() {
	setState(m.inner, m.fresh)
	setState(m.outer, m.fresh)
	clear(m.pad)
	clear(m.saved[0])
	clear(m.saved[1])
}

// appendState writes a hash's state down; all hashes of the standard library can.
func appendState(to []byte, h hash.Hash) []byte {
	b, err := h.(encoding.BinaryAppender).AppendBinary(to)
	if err != nil {
		panic("BUG: suite: " + err.Error())
	}
	return b
}

func setState(h hash.Hash, state []byte) {
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		panic("BUG: suite: " + err.Error())
	}
}
