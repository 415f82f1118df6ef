package wire

import (
	"encoding/binary"
	"fmt"
)

// KE is the Key Exchange payload, section 3.4. Whether the length of Data suits the group is for
// those to judge who know the group.
type KE struct {
	Group uint16
	Data  []byte // aliases the datagram
}

// Kind returns PayloadKE.
func (KE) Kind() PayloadType { return PayloadKE }

func (k *KE) decode(r *reader) {
	k.Group = r.u16()
	r.u16()
	k.Data = r.rest()
}

func (k KE) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, k.Group)
	return append(append(b, 0, 0), k.Data...)
}

// String names the group and the length; the value itself is of no use in a log.
func (k KE) String() string {
	return fmt.Sprintf("%s, %d octets", transformName(TransformKE, k.Group, 0), len(k.Data))
}
