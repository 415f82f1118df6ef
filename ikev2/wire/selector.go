package wire

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
)

// A Selector is one traffic selector: an address range, a protocol, a port range, section 3.13.1.
// It is comparable.
//
// Ports 0 to 65535 mean any, 65535 to 0 OPAQUE: packets whose ports cannot be seen. For ICMP a port
// is type and code. A range whose end lies before its start matches nothing.
type Selector struct {
	Protocol  uint8 // 0: any
	StartPort uint16
	EndPort   uint16
	Start     netip.Addr // same family as End
	End       netip.Addr
}

// SelectorFromPrefix selects all ports of proto (0: any protocol) at the addresses of p.
func SelectorFromPrefix(p netip.Prefix, proto uint8) Selector {
	p = p.Masked()
	return Selector{Protocol: proto, EndPort: 65535, Start: p.Addr(), End: last(p)}
}

// last returns the highest address of p.
func last(p netip.Prefix) netip.Addr {
	if !p.IsValid() {
		return netip.Addr{}
	}
	a := addressBits(p.Addr()).or(hostMask(p.Addr().BitLen() - p.Bits()))
	return a.address(p.Addr().Is4())
}

// Prefixes returns the addresses of s as the shortest list of prefixes, in order: at most 62 for
// IPv4 and 254 for IPv6, none for an empty range.
func (s Selector) Prefixes() []netip.Prefix {
	if !s.hasAddresses() {
		return nil
	}
	var list []netip.Prefix
	four := s.Start.Is4()
	width := s.Start.BitLen()
	at, end := addressBits(s.Start), addressBits(s.End)
	for {
		// The largest block that starts here and does not pass the end.
		host := min(at.trailingZeros(), width)
		for end.less(at.or(hostMask(host))) {
			host--
		}
		list = append(list, netip.PrefixFrom(at.address(four), width-host))
		block := at.or(hostMask(host))
		if block == end {
			return list
		}
		at = block.next()
	}
}

// hasAddresses reports whether the address range is of one family and not empty.
func (s Selector) hasAddresses() bool {
	return s.Start.IsValid() && s.Start.BitLen() == s.End.BitLen() && !s.End.Less(s.Start)
}

// Intersect returns what both select, and false if that is nothing: section 2.9 narrows like this.
func (s Selector) Intersect(t Selector) (Selector, bool) {
	if !s.hasAddresses() || !t.hasAddresses() || s.Start.BitLen() != t.Start.BitLen() {
		return Selector{}, false
	}
	out := s
	if t.Start.Compare(out.Start) > 0 {
		out.Start = t.Start
	}
	if t.End.Less(out.End) {
		out.End = t.End
	}
	if s.Protocol == 0 {
		out.Protocol = t.Protocol
	}
	var portsMeet bool
	out.StartPort, out.EndPort, portsMeet = meetPorts(s, t)
	protocolsMeet := s.Protocol == t.Protocol || s.Protocol == 0 || t.Protocol == 0
	if !portsMeet || !protocolsMeet || !out.hasAddresses() {
		return Selector{}, false
	}
	return out, true
}

// meetPorts intersects the ports. OPAQUE is part of any, and of no other range: RFC 4301 section
// 4.4.1.1.
func meetPorts(s, t Selector) (start, end uint16, ok bool) {
	switch {
	case s.anyPort():
		return t.StartPort, t.EndPort, t.opaque() || t.StartPort <= t.EndPort
	case t.anyPort():
		return s.StartPort, s.EndPort, s.opaque() || s.StartPort <= s.EndPort
	case s.opaque() || t.opaque():
		return s.StartPort, s.EndPort, s.opaque() && t.opaque()
	}
	start, end = max(s.StartPort, t.StartPort), min(s.EndPort, t.EndPort)
	return start, end, start <= end
}

func (s Selector) anyPort() bool { return s.StartPort == 0 && s.EndPort == 65535 }
func (s Selector) opaque() bool  { return s.StartPort == 65535 && s.EndPort == 0 }

// String is "10.0.0.0/8", "10.0.0.1 proto 47" or "10.0.0.1-10.0.0.9 proto 6 ports 80-443".
func (s Selector) String() string {
	text := s.addresses()
	if s.Protocol != 0 {
		text += fmt.Sprintf(" proto %d", s.Protocol)
	}
	switch {
	case s.anyPort():
	case s.opaque():
		text += " ports opaque"
	case s.StartPort == s.EndPort:
		text += fmt.Sprintf(" port %d", s.StartPort)
	default:
		text += fmt.Sprintf(" ports %d-%d", s.StartPort, s.EndPort)
	}
	return text
}

func (s Selector) addresses() string {
	if s.Start == s.End && s.Start.IsValid() {
		return s.Start.String()
	}
	if list := s.Prefixes(); len(list) == 1 {
		return list[0].String()
	}
	return s.Start.String() + "-" + s.End.String()
}

// wide is an address as a number of 128 bits; an IPv4 address stands in the low 32.
type wide struct{ hi, lo uint64 }

func addressBits(a netip.Addr) wide {
	if a.Is4() {
		b := a.As4()
		return wide{lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return wide{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (w wide) address(four bool) netip.Addr {
	if four {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(w.lo))))
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], w.hi)
	binary.BigEndian.PutUint64(b[8:], w.lo)
	return netip.AddrFrom16(b)
}

// hostMask has the n low bits set.
func hostMask(n int) wide {
	if n > 64 {
		return wide{1<<(n-64) - 1, ^uint64(0)}
	}
	return wide{0, 1<<n - 1}
}

func (w wide) or(v wide) wide { return wide{w.hi | v.hi, w.lo | v.lo} }

func (w wide) less(v wide) bool { return w.hi < v.hi || w.hi == v.hi && w.lo < v.lo }

func (w wide) next() wide {
	lo, carry := bits.Add64(w.lo, 1, 0)
	return wide{w.hi + carry, lo}
}

func (w wide) trailingZeros() int {
	if w.lo != 0 {
		return bits.TrailingZeros64(w.lo)
	}
	return 64 + bits.TrailingZeros64(w.hi)
}
