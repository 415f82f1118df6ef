package wire

import "fmt"

// CertReq is the Certificate Request payload, section 3.7.
type CertReq struct {
	Encoding    CertEncoding
	Authorities []byte // concatenated SHA-1 hashes of trust anchors' SubjectPublicKeyInfo; aliases the datagram
}

const authorityLen = 20 // SHA-1

// Kind returns PayloadCertReq.
func (CertReq) Kind() PayloadType { return PayloadCertReq }

func (c *CertReq) decode(r *reader) {
	c.Encoding = CertEncoding(r.u8())
	c.Authorities = r.rest()
	// Other encodings may name their authorities in another way: the request is then of no use to
	// us, but no fault.
	if c.Encoding == CertX509 && len(c.Authorities)%authorityLen != 0 {
		r.fail("authorities that are not hashes of 20 octets")
	}
}

func (c CertReq) appendTo(b []byte) []byte {
	return append(append(b, uint8(c.Encoding)), c.Authorities...)
}

func (c CertReq) String() string {
	return fmt.Sprintf("%s, %d authorities", c.Encoding, len(c.Authorities)/authorityLen)
}
