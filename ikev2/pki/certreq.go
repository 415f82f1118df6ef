package pki

import "flexvpn/ikev2/wire"

// CertReq asks for a certificate under one of the anchors that have these SHA-1 hashes of their
// SubjectPublicKeyInfo, RFC 7296 section 3.7. A hash identifies here, it does not protect.
func CertReq(rootSubjectKeys [][]byte) wire.CertReq {
	req := wire.CertReq{Encoding: wire.CertX509}
	for _, h := range rootSubjectKeys {
		req.Authorities = append(req.Authorities, h...)
	}
	return req
}
