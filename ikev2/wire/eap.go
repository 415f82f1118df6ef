package wire

import (
	"encoding/binary"
	"fmt"
)

// EAP is the Extensible Authentication payload, section 3.16: a whole EAP packet.
type EAP struct{ Packet []byte }

// Kind returns PayloadEAP.
func (EAP) Kind() PayloadType { return PayloadEAP }

func (e *EAP) decode(r *reader) {
	e.Packet = r.rest()
	switch {
	case len(e.Packet) < 4:
		r.fail(cutShort)
	case int(binary.BigEndian.Uint16(e.Packet[2:])) != len(e.Packet):
		r.fail("packet and payload differ in length")
	}
}

func (e EAP) appendTo(b []byte) []byte { return append(b, e.Packet...) }

// String tells code and identifier, RFC 3748 section 4. What follows may be a password.
func (e EAP) String() string {
	if len(e.Packet) < 4 {
		return "no packet"
	}
	return fmt.Sprintf("%s %d, %d octets", eapCode(e.Packet[0]), e.Packet[1], len(e.Packet))
}

type eapCode uint8

func (c eapCode) String() string {
	names := [...]string{1: "Request", 2: "Response", 3: "Success", 4: "Failure"}
	if int(c) < len(names) && names[c] != "" {
		return names[c]
	}
	return unknown("code", c)
}
