package endpoint

import "encoding/binary"

// The sizes this room knows.
const (
	ikeHeader = 28 // RFC 7296 section 3.1
	markerLen = 4  // RFC 3948 section 2.2
	espLeast  = 8  // SPI and sequence number, RFC 4303 section 2
	// maxIKE bounds what one peer that nobody knows can make a shard hold. Messages that long come
	// in fragments (RFC 7383) from every peer we know.
	maxIKE = 16 << 10
)

// kind is what a datagram on the NAT-traversal port is, RFC 3948 section 2.
type kind uint8

const (
	kindShort kind = iota
	kindKeepalive
	kindIKE // with the non-ESP marker in front
	kindESP
)

// classify looks at one datagram of the NAT-traversal port. An SPI of zero is never on the wire, so
// four zero octets are the marker.
func classify(b []byte) kind {
	switch {
	case len(b) == 1 && b[0] == 0xFF:
		return kindKeepalive
	case len(b) < espLeast:
		return kindShort
	case binary.BigEndian.Uint32(b) == 0:
		return kindIKE
	}
	return kindESP
}

// header is what decides where an IKE datagram goes.
type header struct {
	spiInitiator, spiResponder uint64
	fromInitiator              bool // sent by the original initiator of the IKE SA
	begins                     bool // an IKE_SA_INIT request, or what another major version has there
}

// parseHeader reads the fixed header; false if the datagram is shorter. Whether it makes sense is
// for the engine to say.
func parseHeader(b []byte) (header, bool) {
	if len(b) < ikeHeader {
		return header{}, false
	}
	const (
		initSA        = 34   // exchange type IKE_SA_INIT
		flagInitiator = 0x08 // RFC 7296 section 3.1
		flagResponse  = 0x20
	)
	h := header{
		spiInitiator:  binary.BigEndian.Uint64(b),
		spiResponder:  binary.BigEndian.Uint64(b[8:]),
		fromInitiator: b[19]&flagInitiator != 0,
	}
	request := b[19]&flagResponse == 0
	// RFC 7296 section 2.5: a message of a higher major version is answered, never kept.
	h.begins = h.spiResponder == 0 && h.spiInitiator != 0 && h.fromInitiator && request &&
		b[18] == initSA && b[17]>>4 == 2
	return h, true
}

// local is the SPI that this host chose, if the datagram is for an SA of ours: the sender's role
// says which of the two it is (RFC 7296 section 2.6).
func (h header) local() uint64 {
	if h.fromInitiator {
		return h.spiResponder
	}
	return h.spiInitiator
}
