package wire

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net/netip"
)

// ID is an Identification payload, section 3.5.
type ID struct {
	Responder bool // IDr rather than IDi
	Type      IDType
	Data      []byte // aliases the datagram
}

// Kind returns PayloadIDi or PayloadIDr.
func (id ID) Kind() PayloadType {
	if id.Responder {
		return PayloadIDr
	}
	return PayloadIDi
}

func (id *ID) decode(r *reader) {
	id.Type = IDType(r.u8())
	r.bytes(3)
	id.Data = r.rest()
	switch {
	case id.Type == IDIPv4 && len(id.Data) != 4, id.Type == IDIPv6 && len(id.Data) != 16:
		r.fail("address of a wrong length")
	}
}

func (id ID) appendTo(b []byte) []byte {
	return append(append(b, uint8(id.Type), 0, 0, 0), id.Data...)
}

// String is "ID_FQDN spoke1.example.net". What a peer wrote is quoted if it does not print well.
func (id ID) String() string { return id.Type.String() + " " + id.text() }

func (id ID) text() string {
	switch id.Type {
	case IDIPv4, IDIPv6:
		if a, ok := netip.AddrFromSlice(id.Data); ok {
			return a.String()
		}
	case IDDN:
		var dn pkix.RDNSequence
		if rest, err := asn1.Unmarshal(id.Data, &dn); err == nil && len(rest) == 0 {
			return printable([]byte(dn.String()))
		}
		return fmt.Sprintf("%d octets that are no DN", len(id.Data))
	case IDGN:
		return fmt.Sprintf("%d octets", len(id.Data))
	}
	return printable(id.Data)
}
