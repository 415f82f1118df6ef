package userspace

// window is the anti-replay window of RFC 4303 section 3.4.3 with the extended sequence numbers of
// its appendix A. It is a ring of bits, one for each of the last sequence numbers, so that moving
// on clears words instead of shifting them (RFC 6479).
//
// Sequence numbers are 64 bits wide here; without ESN their upper half is always zero.
type window struct {
	top  uint64 // highest number seen
	size uint64 // in packets
	ring []uint64
}

const defaultWindow = 1024

func newWindow(packets uint32) window {
	if packets == 0 {
		packets = defaultWindow
	}
	words := uint64(1)
	// One word more than the window needs: the word of top is cleared as a whole when it is entered.
	for words*64 < uint64(packets)+64 {
		words *= 2
	}
	return window{size: uint64(packets), ring: make([]uint64, words)}
}

// extend gives the whole number of which the packet carries the lower half, as RFC 4303 appendix
// A2.2 guesses it: the one that lies in the window or next above it. ok is false when there is
// none.
func (w *window) extend(low uint32, esn bool) (seq uint64, ok bool) {
	if !esn {
		return uint64(low), true
	}
	topHigh, topLow := w.top>>32, uint32(w.top)
	bottom := topLow - uint32(w.size-1) // modulo 2^32
	if uint64(topLow) >= w.size-1 {
		// Case A: the window lies within one subspace.
		if low >= bottom {
			return topHigh<<32 | uint64(low), true
		}
		return (topHigh+1)<<32 | uint64(low), topHigh != 1<<32-1
	}
	// Case B: the window began in the subspace before.
	if low >= bottom {
		return (topHigh-1)<<32 | uint64(low), topHigh != 0
	}
	return topHigh<<32 | uint64(low), true
}

// fresh reports whether seq may still come: it is above the window, or in it and unseen. Zero is
// never sent (RFC 4303 section 2.2).
func (w *window) fresh(seq uint64) bool {
	switch {
	case seq == 0:
		return false
	case seq > w.top:
		return true
	case w.top-seq >= w.size:
		return false
	}
	return w.ring[w.word(seq)]&(1<<(seq%64)) == 0
}

// mark notes seq as seen. It is called after the packet's integrity was verified, and only when
// seq is fresh.
func (w *window) mark(seq uint64) {
	if seq > w.top {
		steps := min(seq/64-w.top/64, uint64(len(w.ring)))
		for i := range steps {
			w.ring[w.word(seq-i*64)] = 0
		}
		w.top = seq
	}
	w.ring[w.word(seq)] |= 1 << (seq % 64)
}

func (w *window) word(seq uint64) uint64 { return seq / 64 & uint64(len(w.ring)-1) }
