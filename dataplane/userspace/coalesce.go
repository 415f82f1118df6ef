package userspace

import (
	"bytes"
	"encoding/binary"
)

const (
	maxRuns  = 8   // flows that are merged at once
	maxParts = 128 // packets merged into one
	maxIP    = 65535
)

// packetWriter takes one packet with its virtio header, in parts.
type packetWriter interface {
	writePacket(parts [][]byte) error
}

// coalescer merges the consecutive segments of a TCP connection, and the datagrams of a UDP flow,
// into one packet with a segmentation header (generic receive offload), so that the network stack
// is walked once for many packets. Nothing is copied: the packets stay where they are until flush,
// and leave as a list of parts.
//
// It merges only what the sender's stack or ours would split into the same packets again; anything
// else passes as it is. Packets of one flow keep their order; packets of different flows may change
// places, as on any network.
type coalescer struct {
	out  packetWriter
	udp  bool // the device takes gsoUDP
	n    int  // of runs in use, oldest first
	runs [maxRuns]run
	head [vnetSize]byte
	vec  [][]byte
	lost int // packets that could not be written
}

func newCoalescer() *coalescer {
	c := &coalescer{vec: make([][]byte, 0, maxParts+1)}
	for i := range c.runs {
		c.runs[i].parts = make([][]byte, 0, maxParts)
	}
	return c
}

// flow names a connection; packets of one flow must not overtake each other.
type flow struct {
	src, dst [16]byte
	ports    uint32
	version  uint8
	protocol uint8
}

// segment is what decides whether a packet can join others.
type segment struct {
	flow
	transport int // offset of the TCP or UDP header
	payload   int // offset of the payload
	mergeable bool
	last      bool // nothing can follow it in a run: PSH
}

// run is a growing merged packet.
type run struct {
	segment          // of the first packet
	parts   [][]byte // the first packet whole, then payloads
	size    int      // payload of the first
	total   int      // length of the merged packet
	next    uint32   // TCP sequence number expected
	full    bool     // a shorter or pushed segment ended it
	checked bool     // the first packet's checksum was verified
}

// add takes a whole IP packet, which must stay untouched until flush.
func (c *coalescer) add(p []byte) {
	var s segment
	if !s.parse(p) {
		c.writeOne(p)
		return
	}
	i := c.find(&s.flow)
	if i >= 0 {
		if s.mergeable && c.runs[i].join(p, &s) {
			if c.runs[i].full {
				c.flushRun(i)
			}
			return
		}
		c.flushRun(i)
	}
	if !s.mergeable || s.last || s.protocol == protoUDP && !c.udp {
		c.writeOne(p)
		return
	}
	if c.n == maxRuns {
		c.flushRun(0)
	}
	c.runs[c.n].begin(p, &s)
	c.n++
}

// flush writes everything that is held.
func (c *coalescer) flush() {
	for i := range c.n {
		c.write(&c.runs[i])
	}
	c.n = 0
}

func (c *coalescer) find(f *flow) int {
	for i := range c.n {
		if c.runs[i].flow == *f {
			return i
		}
	}
	return -1
}

// flushRun writes one run and closes the gap it leaves, which keeps the others in order.
func (c *coalescer) flushRun(i int) {
	c.write(&c.runs[i])
	done := c.runs[i]
	copy(c.runs[i:c.n], c.runs[i+1:c.n])
	c.n--
	c.runs[c.n] = done
}

// parse reads the headers; ok is false when the packet has no flow we know of.
func (s *segment) parse(p []byte) (ok bool) {
	s.version = p[0] >> 4
	protocol, at, ok := transport(p)
	if !ok || len(p) < at+udpHeader || protocol != protoTCP && protocol != protoUDP {
		return false
	}
	s.protocol, s.transport = protocol, at
	s.ports = binary.BigEndian.Uint32(p[at:])
	plain := at == ip6Header // without extension headers
	if s.version == 4 {
		*(*[4]byte)(s.src[:]), *(*[4]byte)(s.dst[:]) = [4]byte(p[12:]), [4]byte(p[16:])
		plain = at == ip4Header // without options
	} else {
		s.src, s.dst = [16]byte(p[8:]), [16]byte(p[24:])
	}
	if protocol == protoUDP {
		s.parseUDP(p[at:])
	} else {
		s.parseTCP(p[at:])
	}
	s.mergeable = s.mergeable && plain
	return true
}

func (s *segment) parseUDP(u []byte) {
	s.payload = s.transport + udpHeader
	s.mergeable = len(u) > udpHeader && int(binary.BigEndian.Uint16(u[4:])) == len(u) && (u[6] != 0 || u[7] != 0)
}

func (s *segment) parseTCP(t []byte) {
	if len(t) < tcpHeader {
		return
	}
	header := int(t[12]>>4) * 4
	s.payload = s.transport + header
	s.last = t[13]&tcpPSH != 0
	// Only plain data: any other flag means that the segment says more than its bytes.
	s.mergeable = header >= tcpHeader && len(t) > header && t[13]&^uint8(tcpPSH) == tcpACK
}

func (r *run) begin(p []byte, s *segment) {
	*r = run{segment: *s, parts: append(r.parts[:0], p), size: len(p) - s.payload, total: len(p)}
	if s.protocol == protoTCP {
		r.next = binary.BigEndian.Uint32(p[s.transport+4:]) + uint32(r.size)
	}
}

// join adds p to the run when it is its exact continuation and its checksum is right: in the merged
// packet nobody could tell any more. (A single packet keeps its checksum, right or wrong.)
func (r *run) join(p []byte, s *segment) bool {
	first, n := r.parts[0], len(p)-s.payload
	if n > r.size || r.total+n > maxIP || len(r.parts) == maxParts || s.payload != r.payload ||
		!sameIP(first, p, len(r.parts)) {
		return false
	}
	if s.protocol == protoTCP && !r.continues(first[r.transport:r.payload], p[r.transport:r.payload]) {
		return false
	}
	if !r.checked {
		if !validChecksum(first, &r.segment) {
			return false
		}
		r.checked = true
	}
	if !validChecksum(p, s) {
		return false
	}
	r.parts = append(r.parts, p[s.payload:])
	r.total += n
	r.next += uint32(n)
	r.full = n < r.size || s.last
	if s.last {
		first[r.transport+13] |= tcpPSH
	}
	return true
}

// sameIP compares what the IP headers of a packet and of the i-th after it must share. IPv4
// identifications count up, or do not matter when the packet may not be fragmented (RFC 6864
// section 4.1).
func sameIP(a, b []byte, i int) bool {
	if a[0]>>4 == 6 {
		return [4]byte(a) == [4]byte(b) && a[7] == b[7] // class and flow label, hop limit
	}
	const dontFragment = 0x40
	return a[1] == b[1] && a[8] == b[8] && a[6] == b[6] &&
		(a[6]&dontFragment != 0 || binary.BigEndian.Uint16(b[4:]) == binary.BigEndian.Uint16(a[4:])+uint16(i))
}

// continues compares TCP headers: the next sequence number, and the same acknowledgement, header
// length, flags, window, urgent pointer and options.
func (r *run) continues(a, b []byte) bool {
	return binary.BigEndian.Uint32(b[4:]) == r.next && [4]byte(a[8:]) == [4]byte(b[8:]) && a[12] == b[12] &&
		[2]byte(a[14:]) == [2]byte(b[14:]) && bytes.Equal(a[18:], b[18:])
}

func validChecksum(p []byte, s *segment) bool {
	t := p[s.transport:]
	return sum(t, pseudoSum(p, s.protocol, len(t))) == 0xffff
}

// write sends a run to the device as one packet.
func (c *coalescer) write(r *run) {
	if len(r.parts) == 1 {
		c.writeOne(r.parts[0])
		return
	}
	p := r.parts[0]
	if r.version == 4 {
		binary.BigEndian.PutUint16(p[2:], uint16(r.total))
		setIP4Checksum(p)
	} else {
		binary.BigEndian.PutUint16(p[4:], uint16(r.total-ip6Header))
	}
	h := vnet{
		flags: vnetNeedsCsum, headers: uint16(r.payload), size: uint16(r.size),
		csumStart: uint16(r.transport), csumOffset: 16, gsoType: gsoTCPv4,
	}
	switch {
	case r.protocol == protoUDP:
		h.gsoType, h.csumOffset = gsoUDP, 6
		binary.BigEndian.PutUint16(p[r.transport+4:], uint16(r.total-r.transport))
	case r.version == 6:
		h.gsoType = gsoTCPv6
	}
	at := r.transport + int(h.csumOffset)
	binary.BigEndian.PutUint16(p[at:], pseudoSum(p, r.protocol, r.total-r.transport))
	h.put(c.head[:])
	c.vec = append(append(c.vec[:0], c.head[:]), r.parts...)
	c.deliver(len(r.parts))
}

func (c *coalescer) writeOne(p []byte) {
	clear(c.head[:])
	c.vec = append(c.vec[:0], c.head[:], p)
	c.deliver(1)
}

func (c *coalescer) deliver(packets int) {
	if err := c.out.writePacket(c.vec); err != nil {
		c.lost += packets
	}
}
