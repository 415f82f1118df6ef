package userspace

import (
	"encoding/binary"
	"errors"
)

// GRE, RFC 2784 with the key and sequence number of RFC 2890:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|C| |K|S| Reserved0       | Ver |         Protocol Type         |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|      Checksum (optional)      |       Reserved1 (Optional)    |
//	|                         Key (optional)                        |
//	|                   Sequence Number (optional)                  |
//
// We send the four octets only: ESP below protects and orders.
const (
	greHeader = 4

	greChecksum = 0x8000
	greRouting  = 0x4000
	greKey      = 0x2000
	greSequence = 0x1000
	// greRefused are the routing bit and reserved bits 4 and 5, set by implementations of RFC 1701
	// only: RFC 2784 section 2.3 wants such packets dropped.
	greRefused = greRouting | 0x0c00
	greVersion = 0x0007

	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
)

var (
	errGRE         = errors.New("not a GRE packet of RFC 2784")
	errGREProtocol = errors.New("GRE carries neither IPv4 nor IPv6")
)

// putGRE writes the header for an inner IP packet of the version.
func putGRE(b []byte, version uint8) {
	b[0], b[1] = 0, 0
	ether := uint16(etherIPv4)
	if version == 6 {
		ether = etherIPv6
	}
	binary.BigEndian.PutUint16(b[2:], ether)
}

// parseGRE gives the payload of a GRE packet, which begins with an IP header of the version that
// the protocol type tells.
func parseGRE(p []byte) ([]byte, error) {
	if len(p) < greHeader {
		return nil, errGRE
	}
	flags := binary.BigEndian.Uint16(p)
	if flags&(greRefused|greVersion) != 0 {
		return nil, errGRE
	}
	n := greHeader
	for _, f := range [...]uint16{greChecksum, greKey, greSequence} {
		if flags&f != 0 {
			n += 4
		}
	}
	if len(p) < n {
		return nil, errGRE
	}
	// The checksum covers header and payload (RFC 2784 section 2.5), so no padding may follow it.
	if flags&greChecksum != 0 && sum(p, 0) != 0xffff {
		return nil, errGRE
	}
	var version uint8
	switch binary.BigEndian.Uint16(p[2:]) {
	case etherIPv4:
		version = 4
	case etherIPv6:
		version = 6
	default:
		return nil, errGREProtocol
	}
	p = p[n:]
	if len(p) == 0 || p[0]>>4 != version {
		return nil, errGRE
	}
	return p, nil
}
