package wire

import "encoding/binary"

// A reader consumes octets from the front. It remembers its first fault and gives zeroes from
// then on, so that a decoder reads straight through and its caller asks once.
type reader struct {
	b    []byte
	what string // the first fault; empty: none
}

const cutShort = "cut short"

func (r *reader) failed() bool { return r.what != "" }

func (r *reader) fail(what string) {
	if r.what == "" {
		r.what = what
	}
	r.b = nil
}

// bytes consumes n octets. The result aliases the input and cannot grow into what follows it.
func (r *reader) bytes(n int) []byte {
	if n > len(r.b) {
		r.fail(cutShort)
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) rest() []byte { return r.bytes(len(r.b)) }

func (r *reader) u8() uint8 {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// substructure consumes a substructure of length octets of which already are read, and gives a
// reader that holds exactly what remains of it.
func (r *reader) substructure(length uint16, already int) reader {
	if r.failed() {
		return reader{what: r.what}
	}
	if int(length) < already {
		r.fail("length smaller than its own header")
		return reader{what: r.what}
	}
	b := r.bytes(int(length) - already)
	return reader{b: b, what: r.what}
}

// end demands that everything was consumed, and hands a fault to the reader around.
func (r *reader) end(parent *reader) {
	if len(r.b) > 0 {
		r.fail("octets left over")
	}
	if r.failed() {
		parent.fail(r.what)
	}
}

// appendLength appends a 16-bit length field that patchLength fills in later.
func appendLength(b []byte) []byte { return append(b, 0, 0) }

// patchLength writes the length of everything from start on into the length field at field. What
// 16 bits cannot hold is written as 65535: no datagram carries that much, and a peer refuses it.
func patchLength(b []byte, start, field int) {
	binary.BigEndian.PutUint16(b[field:], uint16(min(len(b)-start, 0xffff)))
}
