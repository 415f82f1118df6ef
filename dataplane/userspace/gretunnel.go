package userspace

import (
	"encoding/binary"
	"net/netip"
)

// GRE in tunnel mode has an IP header between ESP and GRE (RFC 4303 section 3.1.2, RFC 2784 section
// 3): its addresses are the traffic selectors, which need not be those of the outer packet.

const greTTL = 64

// greIP is that header with lengths and checksum open. The IPv4 one is atomic (RFC 6864 section 4.1):
// Don't Fragment without an identification, since the far end of ESP is that of GRE too.
func greIP(local, remote netip.Addr) []byte {
	var h []byte
	if local.Is4() {
		h = []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, greTTL, protoGRE, 0, 0}
	} else {
		h = []byte{0x60, 0, 0, 0, 0, 0, protoGRE, greTTL}
	}
	return append(append(h, local.AsSlice()...), remote.AsSlice()...)
}

// putGREIP writes the header h for the packet p, which begins with room for it; without h it does
// nothing.
func putGREIP(p, h []byte) {
	copy(p, h)
	switch len(h) {
	case ip4Header:
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		setIP4Checksum(p)
	case ip6Header:
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-ip6Header))
	}
}

// takeGREIP takes the header off. Its addresses must be the selectors' (RFC 4301 section 5.2), and a
// fragment is not put together: who sends GRE into ESP knows the tunnel's MTU.
func (p *policy) takeGREIP(payload []byte, next uint8) ([]byte, dropReason) {
	if next != protoIPv4 && next != protoIPv6 {
		return nil, dropProtocol
	}
	packet, ok := innerPacket(payload)
	if !ok || (packet[0]>>4 == 4) != (next == protoIPv4) {
		return nil, dropMalformed
	}
	src, dst := addresses(packet)
	if !p.remote.has(src) || !p.local.has(dst) {
		return nil, dropSelector
	}
	protocol, at, ok := transport(packet)
	if !ok {
		return nil, dropMalformed
	}
	if protocol != protoGRE {
		return nil, dropProtocol
	}
	return packet[at:], delivered
}
