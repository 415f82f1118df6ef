package wire

import "testing"

func TestCert(t *testing.T) {
	checkSamples(t, []sample{
		{
			name:  "X.509",
			kind:  PayloadCert,
			bytes: `04 3003020101`,
			value: Cert{Encoding: CertX509, Data: []byte{0x30, 3, 2, 1, 1}},
			text:  "X.509 Certificate - Signature, 5 octets",
			open:  5,
		},
		{
			// Section 3.6: a SHA-1 hash and a URL.
			name:  "hash and URL",
			kind:  PayloadCert,
			bytes: `0c 000102030405060708090a0b0c0d0e0f10111213 687474703a2f2f612f62`,
			value: Cert{Encoding: CertHashURL, Data: []byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13http://a/b")},
			text:  "Hash and URL of X.509 certificate, 30 octets",
			open:  30,
		},
		{
			name:  "an encoding nobody knows",
			kind:  PayloadCert,
			bytes: `c8`,
			value: Cert{Encoding: 200, Data: []byte{}},
			text:  "certificate encoding(200), 0 octets",
		},
	})
}

// A chain of certificates arrives as one payload for each, leaf first, and stays in that order.
func TestCertsKeepTheirOrder(t *testing.T) {
	first, chain := AppendPayloads(nil, Cert{CertX509, []byte("leaf")}, Nonce{make([]byte, 16)}, Cert{CertX509, []byte("issuer")})
	p, err := ParseInner(first, chain)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Certs) != 2 || string(p.Certs[0].Data) != "leaf" || string(p.Certs[1].Data) != "issuer" {
		t.Errorf("got %v", p.Certs)
	}
}
