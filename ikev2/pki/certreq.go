package pki

import (
	"crypto/sha1"
	"crypto/x509"

	"flexvpn/ikev2/wire"
)

// SubjectKeyHash is how a CERTREQ names a trust anchor: the SHA-1 hash of its
// SubjectPublicKeyInfo, RFC 7296 section 3.7. It identifies, it does not protect.
func SubjectKeyHash(cert *x509.Certificate) []byte {
	sum := sha1.Sum(cert.RawSubjectPublicKeyInfo)
	return sum[:]
}

// CertReq asks for a certificate under one of the anchors with these SubjectKeyHashes.
func CertReq(rootSubjectKeys [][]byte) wire.CertReq {
	req := wire.CertReq{Encoding: wire.CertX509}
	for _, h := range rootSubjectKeys {
		req.Authorities = append(req.Authorities, h...)
	}
	return req
}
