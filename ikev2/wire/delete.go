package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Delete is the Delete payload, section 3.11. For IKE it has no SPIs, for ESP 4-octet ones.
type Delete struct {
	Protocol ProtocolID
	SPIs     []uint32
}

// Kind returns PayloadDelete.
func (Delete) Kind() PayloadType { return PayloadDelete }

func (d *Delete) decode(r *reader) {
	d.Protocol = ProtocolID(r.u8())
	size, count := int(r.u8()), int(r.u16())
	list := r.rest()
	switch {
	case size*count != len(list) || size == 0 && count > 0:
		r.fail("SPIs do not fill the payload")
	case d.Protocol == ProtoIKE && count > 0:
		r.fail("SPIs for the IKE SA itself")
	case (d.Protocol == ProtoAH || d.Protocol == ProtoESP) && count > 0 && size != 4:
		r.fail("SPIs that are not 4 octets long")
	case size == 4 && count > 0:
		d.SPIs = make([]uint32, count)
		for i := range d.SPIs {
			d.SPIs[i] = binary.BigEndian.Uint32(list[4*i:])
		}
	}
	// SPIs of another size belong to a protocol that we do not speak and delete nothing here.
}

func (d Delete) appendTo(b []byte) []byte {
	size := uint8(4)
	if d.Protocol == ProtoIKE {
		size = 0
	}
	b = append(b, uint8(d.Protocol), size)
	b = binary.BigEndian.AppendUint16(b, uint16(len(d.SPIs)))
	for _, spi := range d.SPIs {
		b = binary.BigEndian.AppendUint32(b, spi)
	}
	return b
}

// String is "ESP c0ffee12 c0ffee13".
func (d Delete) String() string {
	var b strings.Builder
	b.WriteString(d.Protocol.String())
	for _, spi := range d.SPIs {
		fmt.Fprintf(&b, " %08x", spi)
	}
	return b.String()
}
