// Package pki proves identities by certificates: it verifies a peer's chain and identity, and makes
// and checks the signatures of the AUTH payload (RFC 7296 section 2.15, RFC 7427, RFC 4754,
// RFC 8420). It does no I/O, reads no clock and keeps no state.
package pki

import (
	"crypto"
	"crypto/x509"
	"time"

	"flexvpn/ikev2/wire"
)

// Options are choices in how this end signs.
type Options struct {
	PSS       bool // sign with RSASSA-PSS rather than PKCS#1 v1.5
	AllowSHA1 bool // sign RSA with SHA-1 (method 1) for a peer that knows no RFC 7427
}

func Verify(now time.Time, leafFirst [][]byte, roots *x509.CertPool, idType wire.IDType, id string) (*x509.Certificate, error) {
	panic("BUG: being built")
}
func CertReq(rootSubjectKeys [][]byte) wire.CertReq { panic("BUG: being built") }
func SubjectKeyHash(cert *x509.Certificate) []byte  { panic("BUG: being built") }
func SupportedHashes() []uint16                     { panic("BUG: being built") }
func EncodeHashes(hashes []uint16) []byte           { panic("BUG: being built") }
func DecodeHashes(data []byte) []uint16             { panic("BUG: being built") }
func Sign(key crypto.Signer, peerHashes []uint16, octets []byte) (wire.AuthMethod, []byte, error) {
	return Options{}.Sign(key, peerHashes, octets)
}

func (o Options) Sign(key crypto.Signer, peerHashes []uint16, octets []byte) (wire.AuthMethod, []byte, error) {
	panic("BUG: being built")
}

func VerifySignature(pub any, method wire.AuthMethod, data, octets []byte, allowSHA1 bool) error {
	panic("BUG: being built")
}
