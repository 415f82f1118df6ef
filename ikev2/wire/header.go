package wire

import (
	"encoding/binary"
	"fmt"
)

// HeaderLen is the length of the IKE header in octets, RFC 7296 section 3.1.
const HeaderLen = 28

// MajorVersion is the major version of IKEv2, RFC 7296 section 3.1. The minor one is 0.
const MajorVersion = 2

// Flags are the flags of the IKE header, RFC 7296 section 3.1.
type Flags uint8

// The flags that are defined. All others are sent as zero and ignored when received.
const (
	FlagInitiator Flags = 0x08 // the sender is the original initiator of the IKE SA
	FlagVersion   Flags = 0x10 // the sender can speak a higher major version
	FlagResponse  Flags = 0x20
)

// A Header is the IKE header, RFC 7296 section 3.1.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------------------------------------------------------+
//	|                  IKE SA initiator's SPI (8)                   |
//	|                  IKE SA responder's SPI (8)                   |
//	+---------------+-------+-------+---------------+---------------+
//	| Next Payload  | Major | Minor | Exchange Type |     Flags     |
//	+---------------+-------+-------+---------------+---------------+
//	|                          Message ID                           |
//	|                  Length, with this header                     |
//	+---------------------------------------------------------------+
type Header struct {
	SPIi, SPIr   uint64
	Next         PayloadType
	Major, Minor uint8
	Exchange     ExchangeType
	Flags        Flags
	MessageID    uint32
	Length       uint32
}

// ParseHeader reads the header of a datagram, from which a non-ESP marker is already stripped. Any
// error is a *SyntaxError. A wrong major version is none: section 2.5 wants it answered.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, &SyntaxError{What: "shorter than the header"}
	}
	h := Header{
		SPIi:      binary.BigEndian.Uint64(b[0:]),
		SPIr:      binary.BigEndian.Uint64(b[8:]),
		Next:      PayloadType(b[16]),
		Major:     b[17] >> 4,
		Minor:     b[17] & 0x0f,
		Exchange:  ExchangeType(b[18]),
		Flags:     Flags(b[19]),
		MessageID: binary.BigEndian.Uint32(b[20:]),
		Length:    binary.BigEndian.Uint32(b[24:]),
	}
	if uint64(h.Length) != uint64(len(b)) {
		return h, &SyntaxError{What: "length differs from the datagram's"}
	}
	return h, nil
}

func (h Header) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, h.SPIi)
	b = binary.BigEndian.AppendUint64(b, h.SPIr)
	b = append(b, uint8(h.Next), h.Major<<4|h.Minor&0x0f, uint8(h.Exchange), uint8(h.Flags))
	b = binary.BigEndian.AppendUint32(b, h.MessageID)
	return binary.BigEndian.AppendUint32(b, h.Length)
}

// String names the message as debug prints it: "IKE_AUTH request 1".
func (h Header) String() string {
	role := "request"
	if h.Flags&FlagResponse != 0 {
		role = "response"
	}
	return fmt.Sprintf("%s %s %d", h.Exchange, role, h.MessageID)
}
