package wire

import "fmt"

// Cert is the Certificate payload, section 3.6.
type Cert struct {
	Encoding CertEncoding
	Data     []byte // aliases the datagram
}

// Kind returns PayloadCert.
func (Cert) Kind() PayloadType { return PayloadCert }

func (c *Cert) decode(r *reader) {
	c.Encoding = CertEncoding(r.u8())
	c.Data = r.rest()
}

func (c Cert) appendTo(b []byte) []byte { return append(append(b, uint8(c.Encoding)), c.Data...) }

func (c Cert) String() string { return fmt.Sprintf("%s, %d octets", c.Encoding, len(c.Data)) }
