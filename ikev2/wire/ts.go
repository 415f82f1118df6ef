package wire

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// TS is a Traffic Selector payload, section 3.13.
type TS struct {
	Responder bool // TSr rather than TSi
	Selectors []Selector
}

// Traffic selector types, section 3.13.1.
const (
	tsIPv4Range = 7
	tsIPv6Range = 8

	selectorLen = 4 // the least a selector of any type has: type, one octet, length
)

// Kind returns PayloadTSi or PayloadTSr.
func (t TS) Kind() PayloadType {
	if t.Responder {
		return PayloadTSr
	}
	return PayloadTSi
}

func (t *TS) decode(r *reader) {
	count := int(r.u8())
	r.bytes(3)
	if count == 0 {
		r.fail("no selector")
	}
	if count*selectorLen > len(r.b) {
		r.fail("more selectors announced than there are")
	}
	if r.failed() {
		return
	}
	t.Selectors = make([]Selector, 0, min(count, (len(r.b)+15)/16))
	for range count {
		t.decodeSelector(r)
	}
}

// decodeSelector reads one selector. One of unknown type is skipped, and if none remains nothing
// can be agreed on: TS_UNACCEPTABLE, not a fault of syntax (RFC 9478 section 3 relies on that).
func (t *TS) decodeSelector(r *reader) {
	kind := r.u8()
	var s Selector
	s.Protocol = r.u8()
	body := r.substructure(r.u16(), selectorLen)
	if kind != tsIPv4Range && kind != tsIPv6Range {
		body.rest()
		body.end(r)
		return
	}
	s.StartPort, s.EndPort = body.u16(), body.u16()
	if kind == tsIPv4Range {
		s.Start, s.End = addr4(&body), addr4(&body)
	} else {
		s.Start, s.End = addr16(&body), addr16(&body)
	}
	body.end(r)
	t.Selectors = append(t.Selectors, s)
}

func addr4(r *reader) netip.Addr {
	if b := r.bytes(4); b != nil {
		return netip.AddrFrom4([4]byte(b))
	}
	return netip.Addr{}
}

func addr16(r *reader) netip.Addr {
	if b := r.bytes(16); b != nil {
		return netip.AddrFrom16([16]byte(b))
	}
	return netip.Addr{}
}

func (t TS) appendTo(b []byte) []byte {
	b = append(b, uint8(len(t.Selectors)), 0, 0, 0)
	for _, s := range t.Selectors {
		b = s.appendTo(b)
	}
	return b
}

func (s Selector) appendTo(b []byte) []byte {
	start := len(b)
	four := s.Start.Is4() && s.End.Is4()
	kind := uint8(tsIPv6Range)
	if four {
		kind = tsIPv4Range
	}
	b = appendLength(append(b, kind, s.Protocol))
	b = binary.BigEndian.AppendUint16(b, s.StartPort)
	b = binary.BigEndian.AppendUint16(b, s.EndPort)
	if four {
		b = append(b, s.Start.AsSlice()...)
		b = append(b, s.End.AsSlice()...)
	} else {
		first, last := s.Start.As16(), s.End.As16()
		b = append(append(b, first[:]...), last[:]...)
	}
	patchLength(b, start, start+2)
	return b
}

func (t TS) String() string {
	texts := make([]string, len(t.Selectors))
	for i, s := range t.Selectors {
		texts[i] = s.String()
	}
	return strings.Join(texts, ", ")
}
