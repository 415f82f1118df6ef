package wire

import "fmt"

// Encrypted is the Encrypted (SK) payload, section 3.14, still closed.
type Encrypted struct {
	Inner  PayloadType // first payload inside
	Offset int         // where the body starts in the datagram: everything before it is authenticated data
	Body   []byte      // IV, ciphertext, integrity check value; aliases the datagram
}

func (e *Encrypted) decode(l link, r *reader) {
	e.Inner = l.next
	e.Offset = l.start
	e.Body = r.rest()
}

func (e Encrypted) String() string {
	return fmt.Sprintf("%d octets, %s first", len(e.Body), e.Inner)
}

// Fragment is the Encrypted Fragment (SKF) payload, RFC 7383 section 2.5, still closed.
type Fragment struct {
	Inner  PayloadType // first payload of the whole message; only in fragment 1, else 0
	Number uint16      // 1 to Total
	Total  uint16
	Offset int    // where Body starts in the datagram
	Body   []byte // IV, ciphertext, integrity check value; aliases the datagram
}

func (f *Fragment) decode(l link, r *reader) {
	f.Number, f.Total = r.u16(), r.u16()
	f.Offset = l.start + fragmentLen
	f.Body = r.rest()
	if f.Number == 0 || f.Number > f.Total {
		r.fail("fragment number outside 1 to total")
	}
	// All but the first announce nothing and anything else there means nothing.
	if f.Number == 1 {
		f.Inner = l.next
	}
}

func (f Fragment) String() string {
	return fmt.Sprintf("%d of %d, %d octets", f.Number, f.Total, len(f.Body))
}
