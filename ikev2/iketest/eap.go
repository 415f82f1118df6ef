package iketest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"time"

	"flexvpn/ikev2"
	"flexvpn/secret"
)

// ByEAP has the hub prove itself by certificate and the spoke by EAP, of which the friendly world's
// method is Knock.
func ByEAP() Option {
	return func(p *Pair) {
		hub := hubCertificate()
		p.Hub.Policy.Credential = ikev2.Credential{Kind: ikev2.AuthCertificate, Key: hub.key, Chain: [][]byte{hub.cert.Raw}}
		p.Hub.Policy.Trust = ikev2.Trust{Kind: ikev2.AuthEAP}
		p.Spoke.Policy.Credential = ikev2.Credential{Kind: ikev2.AuthEAP}
		p.Spoke.Policy.Trust = ikev2.Trust{Kind: ikev2.AuthCertificate, Roots: hub.roots}
	}
}

// Knock is the friendliest EAP method: the hub asks who is there, and whatever the answer is, it is
// let in. Both ends have End.MSK as its key, none unless a test sets it.
func (e *End) Knock(q ikev2.EAP) ikev2.Answer {
	switch {
	case q.Packet == nil:
		return ikev2.EAPAnswer{ID: q.ID, Packet: EAPRequest(1)}
	case q.Packet[0] == 1:
		return ikev2.EAPAnswer{ID: q.ID, Packet: EAPResponse(q.Packet[1], "somebody")}
	case q.Packet[0] == 2:
		return ikev2.EAPAnswer{ID: q.ID, Packet: EAPSuccess(q.Packet[1]), Done: true, MSK: e.MSK, Identity: string(q.Packet[5:])}
	case q.Packet[0] == 3:
		return ikev2.EAPAnswer{ID: q.ID, Done: true, MSK: e.MSK, Identity: "somebody"}
	}
	return ikev2.EAPAnswer{ID: q.ID, Refusal: &ikev2.Refusal{Reason: "the hub says EAP failure"}}
}

// EAPRequest is an EAP request for an identity.
func EAPRequest(id byte) []byte { return []byte{1, id, 0, 5, 1} }

// EAPResponse tells an identity.
func EAPResponse(id byte, identity string) []byte {
	n := 5 + len(identity)
	return append([]byte{2, id, byte(n >> 8), byte(n), 1}, identity...)
}

// EAPSuccess is the success that answers response id.
func EAPSuccess(id byte) []byte { return []byte{3, id, 0, 4} }

// TestMSK is a key as a method would make one; it protects nothing.
func TestMSK() secret.Bytes {
	return secret.FromString("sixty-four octets that an EAP method would have made, all of it!")
}

type certified struct {
	key   crypto.Signer
	cert  *x509.Certificate
	roots *x509.CertPool
}

// hubCertificate is self-signed and valid around Epoch.
var hubCertificate = sync.OnceValue(func() certified {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hub1"}, DNSNames: []string{"hub1.example.net"},
		NotBefore: Epoch.Add(-time.Hour), NotAfter: Epoch.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return certified{key, cert, roots}
})
