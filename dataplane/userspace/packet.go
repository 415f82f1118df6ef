package userspace

import (
	"encoding/binary"
	"net/netip"
)

// Protocol numbers, as next headers of IPv6 and of ESP too.
const (
	protoHopByHop = 0
	protoIPv4     = 4
	protoTCP      = 6
	protoUDP      = 17
	protoIPv6     = 41
	protoRouting  = 43
	protoFragment = 44
	protoGRE      = 47
	protoNone     = 59 // no next header; in ESP a dummy packet, RFC 4303 section 2.6
	protoDestOpts = 60
)

const (
	ip4Header = 20
	ip6Header = 40
	tcpHeader = 20
	udpHeader = 8
)

// innerPacket cuts p to the length its IP header tells: what follows is traffic-flow
// confidentiality padding (RFC 4303 section 2.7). ok is false when p is no whole IP packet.
func innerPacket(p []byte) (packet []byte, ok bool) {
	if len(p) == 0 {
		return nil, false
	}
	var n int
	switch p[0] >> 4 {
	case 4:
		if len(p) < ip4Header || p[0]&0xf < 5 {
			return nil, false
		}
		n = int(binary.BigEndian.Uint16(p[2:]))
		if n < int(p[0]&0xf)*4 {
			return nil, false
		}
	case 6:
		if len(p) < ip6Header {
			return nil, false
		}
		n = ip6Header + int(binary.BigEndian.Uint16(p[4:]))
	default:
		return nil, false
	}
	if n > len(p) {
		return nil, false
	}
	return p[:n], true
}

// addresses are the source and the destination of a whole IP packet.
func addresses(p []byte) (src, dst netip.Addr) {
	if p[0]>>4 == 4 {
		return netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
	}
	return netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
}

// transport finds the transport header of a whole IP packet: its protocol and offset. ok is false
// for a fragment and for a header chain that is too long or cut.
func transport(p []byte) (protocol uint8, offset int, ok bool) {
	if p[0]>>4 == 4 {
		if binary.BigEndian.Uint16(p[6:])&0x3fff != 0 { // more fragments, or not the first
			return 0, 0, false
		}
		return p[9], int(p[0]&0xf) * 4, true
	}
	protocol, offset = p[6], ip6Header
	for range 8 { // a bound on a stranger's chain; RFC 8200 section 4.1 has seven headers
		switch protocol {
		case protoHopByHop, protoRouting, protoDestOpts:
			if len(p) < offset+8 {
				return 0, 0, false
			}
			protocol, offset = p[offset], offset+8+int(p[offset+1])*8
		case protoFragment:
			return 0, 0, false
		default:
			return protocol, offset, offset <= len(p)
		}
	}
	return 0, 0, false
}
