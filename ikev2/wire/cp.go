package wire

import (
	"encoding/binary"
	"strings"
)

// CP is the Configuration payload, section 3.15.
type CP struct {
	Type       CFGType
	Attributes []Attribute
}

// Kind returns PayloadCP.
func (CP) Kind() PayloadType { return PayloadCP }

func (c *CP) decode(r *reader) {
	c.Type = CFGType(r.u8())
	r.bytes(3)
	if n := countAttributes(r.b); n > 0 {
		c.Attributes = make([]Attribute, n)
	}
	for i := range c.Attributes {
		c.Attributes[i].decode(r)
	}
}

// countAttributes counts attributes as far as the lengths in b lead; decoding finds the fault.
func countAttributes(b []byte) (n int) {
	for len(b) > 0 {
		n++
		if len(b) < attributeLen {
			break
		}
		length := attributeLen + int(binary.BigEndian.Uint16(b[2:]))
		if length > len(b) {
			break
		}
		b = b[length:]
	}
	return n
}

func (c CP) appendTo(b []byte) []byte {
	b = append(b, uint8(c.Type), 0, 0, 0)
	for _, a := range c.Attributes {
		b = a.appendTo(b)
	}
	return b
}

// String is "CFG_REQUEST INTERNAL_IP4_ADDRESS INTERNAL_IP4_DNS".
func (c CP) String() string {
	var b strings.Builder
	b.WriteString(c.Type.String())
	for _, a := range c.Attributes {
		b.WriteString(" " + a.String())
	}
	return b.String()
}
