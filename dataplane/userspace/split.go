package userspace

import (
	"encoding/binary"
	"errors"
)

var errSplit = errors.New("a segmentation header that does not fit its packet")

// splitter cuts a packet that stands for many (TCP or UDP segmentation offload) into the packets
// that go on the wire, one by one, each written where the caller wants it. An ordinary packet is
// one segment. Checksums that the kernel left to the device are completed.
type splitter struct {
	packet    []byte
	kind      uint8 // gso*
	transport int   // offset of the TCP or UDP header
	headers   int   // octets repeated in each segment
	size      int   // payload of a segment
	next      int   // offset of the next segment's payload
	index     int
}

// start takes a packet as it was read from the device. It changes the packet.
func (s *splitter) start(h vnet, packet []byte) error {
	*s = splitter{packet: packet, kind: h.gsoType, transport: int(h.csumStart), size: len(packet)}
	if h.gsoType == gsoNone {
		if h.flags&vnetNeedsCsum != 0 {
			return completeChecksum(h, packet)
		}
		return nil
	}
	ip := ip4Header
	if packet[0]>>4 == 6 {
		ip = ip6Header
	}
	if s.transport < ip || h.size == 0 || h.flags&vnetNeedsCsum == 0 {
		return errSplit
	}
	switch h.gsoType {
	case gsoTCPv4, gsoTCPv6:
		if len(packet) < s.transport+tcpHeader {
			return errSplit
		}
		s.headers = s.transport + int(packet[s.transport+12]>>4)*4
		if s.headers < s.transport+tcpHeader {
			return errSplit
		}
	case gsoUDP:
		s.headers = s.transport + udpHeader
	default:
		return errSplit
	}
	if len(packet) <= s.headers {
		return errSplit
	}
	s.size, s.next = int(h.size), s.headers
	return nil
}

// length of the next segment; 0 when there is none left.
func (s *splitter) length() int {
	left := len(s.packet) - s.next
	if left <= 0 {
		return 0
	}
	return s.headers + min(left, s.size)
}

// write puts the next segment into dst, which is as long as length says.
func (s *splitter) write(dst []byte) {
	copy(dst, s.packet[:s.headers])
	n := copy(dst[s.headers:], s.packet[s.next:])
	s.next += n
	if s.kind == gsoNone {
		return
	}
	s.fixIP(dst)
	t := dst[s.transport:]
	field := 6
	protocol := uint8(protoUDP)
	if s.kind == gsoUDP {
		binary.BigEndian.PutUint16(t[4:], uint16(len(t)))
	} else {
		field, protocol = 16, protoTCP
		s.fixTCP(t)
	}
	t[field], t[field+1] = 0, 0
	check := ^sum(t, pseudoSum(dst, protocol, len(t)))
	if check == 0 && s.kind == gsoUDP {
		check = 0xffff // zero says "no checksum", RFC 768
	}
	binary.BigEndian.PutUint16(t[field:], check)
	s.index++
}

// fixIP sets the lengths, the identification (each segment its own: RFC 6864 section 4.3 lets
// them count) and the header checksum.
func (s *splitter) fixIP(p []byte) {
	if p[0]>>4 == 6 {
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-ip6Header))
		return
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint16(p[4:], binary.BigEndian.Uint16(p[4:])+uint16(s.index))
	setIP4Checksum(p)
}

// fixTCP advances the sequence number. FIN and PSH belong to the last segment only, CWR to the
// first (RFC 3168 section 6.1.2).
func (s *splitter) fixTCP(t []byte) {
	offset := uint32(s.index * s.size)
	binary.BigEndian.PutUint32(t[4:], binary.BigEndian.Uint32(t[4:])+offset)
	if s.next < len(s.packet) {
		t[13] &^= tcpFIN | tcpPSH
	}
	if s.index > 0 {
		t[13] &^= tcpCWR
	}
}

func setIP4Checksum(p []byte) {
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], ^sum(p[:int(p[0]&0xf)*4], 0))
}

// completeChecksum does what the kernel left to the device.
func completeChecksum(h vnet, p []byte) error {
	start, at := int(h.csumStart), int(h.csumStart)+int(h.csumOffset)
	if start > len(p) || at+2 > len(p) {
		return errSplit
	}
	// The field holds the sum of the pseudo-header: it is part of what is added up.
	check := ^sum(p[start:], 0)
	if check == 0 && h.csumOffset == 6 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(p[at:], check)
	return nil
}
