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

// String tells code, identifier and type, RFC 3748 section 4. What follows may be a password.
func (e EAP) String() string {
	if len(e.Packet) < 4 {
		return "no packet"
	}
	about := ""
	if len(e.Packet) > 4 {
		about = " " + eapType(e.Packet[4]).String()
	}
	return fmt.Sprintf("%s %d%s, %d octets", eapCode(e.Packet[0]), e.Packet[1], about, len(e.Packet))
}

type eapType uint8

// eapTypes are those of RFC 3748 section 5 and of the methods that are in use with IKEv2.
var eapTypes = map[eapType]string{
	1: "Identity", 2: "Notification", 3: "Nak", 4: "MD5", 6: "GTC", 13: "TLS", 18: "SIM", 21: "TTLS", 23: "AKA",
	25: "PEAP", 26: "MSCHAPv2", 50: "AKA'", 254: "Expanded",
}

func (t eapType) String() string {
	if n, ok := eapTypes[t]; ok {
		return n
	}
	return unknown("type", t)
}

type eapCode uint8

func (c eapCode) String() string {
	names := [...]string{1: "Request", 2: "Response", 3: "Success", 4: "Failure"}
	if int(c) < len(names) && names[c] != "" {
		return names[c]
	}
	return unknown("code", c)
}
