package planetest

import (
	"encoding/binary"
	"net/netip"
)

// UDP is an inner packet: a UDP datagram in IPv4 or IPv6 with right checksums.
func UDP(src, dst netip.AddrPort, payload []byte) []byte {
	u := binary.BigEndian.AppendUint16(nil, src.Port())
	u = binary.BigEndian.AppendUint16(u, dst.Port())
	u = binary.BigEndian.AppendUint16(u, uint16(8+len(payload)))
	u = append(append(u, 0, 0), payload...)
	return ip(src.Addr(), dst.Addr(), 17, u, 6)
}

// SYN is an inner packet: a TCP SYN that offers a maximum segment size, behind odd options.
func SYN(src, dst netip.AddrPort, mss uint16, odd bool) []byte {
	options := []byte{2, 4, byte(mss >> 8), byte(mss), 1, 3, 3, 7}
	if odd {
		options = []byte{1, 2, 4, byte(mss >> 8), byte(mss), 3, 3, 7}
	}
	return TCP(src, dst, 1, 0x02, options, nil)
}

// TCP is an inner packet: a TCP segment.
func TCP(src, dst netip.AddrPort, seq uint32, flags byte, options, payload []byte) []byte {
	t := binary.BigEndian.AppendUint16(nil, src.Port())
	t = binary.BigEndian.AppendUint16(t, dst.Port())
	t = binary.BigEndian.AppendUint32(t, seq)
	t = binary.BigEndian.AppendUint32(t, 77)
	t = append(t, byte(20+len(options))/4<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
	t = append(append(t, options...), payload...)
	return ip(src.Addr(), dst.Addr(), 6, t, 16)
}

// MSS reads the offered segment size of a SYN and whether all checksums are right.
func MSS(p []byte) (mss uint16, valid bool) {
	at, pseudo := 20, pseudoHeader(p, 6, len(p)-20)
	if p[0]>>4 == 6 {
		at, pseudo = 40, pseudoHeader(p, 6, len(p)-40)
	}
	t := p[at:]
	for i := 20; i+3 < int(t[12]>>4)*4; i++ {
		if t[i] == 2 && t[i+1] == 4 {
			return binary.BigEndian.Uint16(t[i+2:]), checksum(append(pseudo, t...)) == 0
		}
	}
	return 0, false
}

// ip wraps a transport payload whose checksum field is at an offset.
func ip(src, dst netip.Addr, protocol uint8, payload []byte, field int) []byte {
	var p []byte
	if src.Is4() {
		p = []byte{0x45, 0, byte((20 + len(payload)) >> 8), byte(20 + len(payload)), 0x12, 0x34, 0, 0, 64, protocol, 0, 0}
		p = append(append(p, src.AsSlice()...), dst.AsSlice()...)
		binary.BigEndian.PutUint16(p[10:], checksum(p))
	} else {
		p = []byte{0x60, 0, 0, 0, byte(len(payload) >> 8), byte(len(payload)), protocol, 64}
		p = append(append(p, src.AsSlice()...), dst.AsSlice()...)
	}
	binary.BigEndian.PutUint16(payload[field:], checksum(append(pseudoHeader(p, protocol, len(payload)), payload...)))
	return append(p, payload...)
}

func pseudoHeader(p []byte, protocol uint8, n int) []byte {
	var h []byte
	if p[0]>>4 == 4 {
		h = append(h, p[12:20]...)
	} else {
		h = append(h, p[8:40]...)
	}
	return append(h, 0, protocol, byte(n>>8), byte(n))
}

// checksum is RFC 1071, word by word.
func checksum(b []byte) uint16 {
	var s uint32
	for i, c := range b {
		if i%2 == 0 {
			s += uint32(c) << 8
		} else {
			s += uint32(c)
		}
	}
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}
