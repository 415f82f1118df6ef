package wire

import (
	"encoding/binary"
	"fmt"
)

// Notify is the Notify payload, section 3.10.
type Notify struct {
	Protocol ProtocolID // 0 unless it concerns a Child SA
	Type     NotifyType
	SPI      []byte // aliases the datagram
	Data     []byte // aliases the datagram
}

// IsError reports whether t is in the error range, RFC 7296 section 3.10.1.
func (t NotifyType) IsError() bool { return t < 16384 }

// Kind returns PayloadNotify.
func (Notify) Kind() PayloadType { return PayloadNotify }

func (n *Notify) decode(r *reader) {
	n.Protocol = ProtocolID(r.u8())
	spiLen := int(r.u8())
	n.Type = NotifyType(r.u16())
	n.SPI = r.bytes(spiLen)
	n.Data = r.rest()
}

func (n Notify) appendTo(b []byte) []byte {
	b = append(b, uint8(n.Protocol), uint8(len(n.SPI)))
	b = binary.BigEndian.AppendUint16(b, uint16(n.Type))
	return append(append(b, n.SPI...), n.Data...)
}

// String is "N(REKEY_SA) ESP c0ffee12" and says how much data there is, never what: cookies and
// tickets are credentials.
func (n Notify) String() string {
	s := "N(" + n.Type.String() + ")"
	if n.Protocol != ProtoNone {
		s += " " + n.Protocol.String()
	}
	if len(n.SPI) > 0 {
		s += fmt.Sprintf(" %x", n.SPI)
	}
	switch {
	case n.Type == InvalidKEPayload && len(n.Data) == 2:
		s += " wants " + transformName(TransformKE, binary.BigEndian.Uint16(n.Data), 0)
	case n.Type == SetWindowSize && len(n.Data) == 4:
		s += fmt.Sprintf(" %d", binary.BigEndian.Uint32(n.Data))
	case n.Type == UnsupportedCriticalPayload && len(n.Data) == 1:
		s += " " + PayloadType(n.Data[0]).String()
	case len(n.Data) > 0:
		s += fmt.Sprintf(", %d octets", len(n.Data))
	}
	return s
}
