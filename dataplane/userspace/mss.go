package userspace

import "encoding/binary"

// TCP flags of a SYN segment's 14th octet.
const (
	tcpFIN = 0x01
	tcpSYN = 0x02
	tcpPSH = 0x08
	tcpACK = 0x10
	tcpCWR = 0x80
)

const (
	optionEnd = 0
	optionNOP = 1
	optionMSS = 2
)

// clampMSS lowers the maximum segment size that a TCP SYN inside p offers (RFC 9293 section
// 3.7.1) to at most mss over IPv4, and 20 less over IPv6, whose header is 20 octets longer. The
// checksum of p must be complete. mss 0 leaves everything untouched.
func clampMSS(p []byte, mss uint16) {
	if mss == 0 {
		return
	}
	protocol, at, ok := transport(p)
	if !ok || protocol != protoTCP || len(p) < at+tcpHeader {
		return
	}
	tcp := p[at:]
	if tcp[13]&tcpSYN == 0 {
		return
	}
	if p[0]>>4 == 6 {
		mss -= min(mss, ip6Header-ip4Header)
	}
	end := int(tcp[12]>>4) * 4
	if end > len(tcp) {
		return
	}
	for i := tcpHeader; i < end; {
		switch tcp[i] {
		case optionEnd:
			return
		case optionNOP:
			i++
			continue
		}
		if i+1 >= end || tcp[i+1] < 2 || i+int(tcp[i+1]) > end {
			return
		}
		if tcp[i] == optionMSS && tcp[i+1] == 4 {
			lowerMSS(tcp, i+2, mss)
			return
		}
		i += int(tcp[i+1])
	}
}

// lowerMSS writes the smaller value at an offset of the TCP header and mends the checksum. When the
// option lies at an odd offset its octets are halves of two checksum words; swapping the octets of
// both values gives the same difference (RFC 1071 section 2 (B)).
func lowerMSS(tcp []byte, at int, mss uint16) {
	old := binary.BigEndian.Uint16(tcp[at:])
	if old <= mss {
		return
	}
	binary.BigEndian.PutUint16(tcp[at:], mss)
	from, to := old, mss
	if at%2 != 0 {
		from, to = from<<8|from>>8, to<<8|to>>8
	}
	binary.BigEndian.PutUint16(tcp[16:], replaced(binary.BigEndian.Uint16(tcp[16:]), from, to))
}
