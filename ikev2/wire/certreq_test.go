package wire

import (
	"bytes"
	"testing"
)

func TestCertReq(t *testing.T) {
	checkSamples(t, []sample{
		{
			name:  "two authorities",
			kind:  PayloadCertReq,
			bytes: `04 abababababababababababababababababababab abababababababababababababababababababab`,
			value: CertReq{Encoding: CertX509, Authorities: bytes.Repeat([]byte{0xab}, 40)},
			text:  "X.509 Certificate - Signature, 2 authorities",
			cuts:  []int{1, 21},
		},
		{
			name:  "any authority",
			kind:  PayloadCertReq,
			bytes: `04`,
			value: CertReq{Encoding: CertX509, Authorities: []byte{}},
			text:  "X.509 Certificate - Signature, 0 authorities",
		},
		{
			// RFC 4806 section 3.1: the content is another one.
			name:  "OCSP",
			kind:  PayloadCertReq,
			bytes: `0e 0102`,
			value: CertReq{Encoding: 14, Authorities: []byte{1, 2}},
			text:  "OCSP Content, 0 authorities",
			open:  2,
		},
	})
}

func TestCertReqRefused(t *testing.T) {
	const what = "authorities that are not hashes of 20 octets"
	checkRefusals(t, []refusal{
		{"19 octets", PayloadCertReq, `04 ababababababababababababababababababab`, what},
		{"21 octets", PayloadCertReq, `04 ababababababababababababababababababababab`, what},
	})
}
