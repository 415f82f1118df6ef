package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// now is when all certificates of these tests are looked at; they live a day around it.
var now = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// keys are made once: RSA takes its time.
var keys = sync.OnceValue(func() (k struct {
	rsa, rsa1024   *rsa.PrivateKey
	p256, p384     *ecdsa.PrivateKey
	p521, p224     *ecdsa.PrivateKey
	ed             ed25519.PrivateKey
	ca, inter, new *ecdsa.PrivateKey
},
) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var err error
	k.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	k.rsa1024, err = rsa.GenerateKey(rand.Reader, 1024)
	must(err)
	for curve, into := range map[elliptic.Curve][]**ecdsa.PrivateKey{
		elliptic.P224(): {&k.p224}, elliptic.P256(): {&k.p256, &k.ca, &k.inter, &k.new}, elliptic.P384(): {&k.p384}, elliptic.P521(): {&k.p521},
	} {
		for _, p := range into {
			*p, err = ecdsa.GenerateKey(curve, rand.Reader)
			must(err)
		}
	}
	_, k.ed, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	return k
})

// An authority issues certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  crypto.Signer
}

func newRoot(t testing.TB, name string) authority {
	t.Helper()
	a := authority{t: t, key: keys().ca}
	template := caTemplate(name)
	a.cert = template
	a.cert = a.issue(keys().ca.Public(), template)
	return a
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-12 * time.Hour), NotAfter: now.Add(12 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
}

func (a authority) issue(pub any, template *x509.Certificate) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, pub, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// sub is a CA below a.
func (a authority) sub(name string, change func(*x509.Certificate)) authority {
	template := caTemplate(name)
	if change != nil {
		change(template)
	}
	return authority{t: a.t, key: keys().inter, cert: a.issue(keys().inter.Public(), template)}
}

// leaf is a certificate of an end; change may be nil.
func (a authority) leaf(change func(*x509.Certificate)) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "Spoke 1", Organization: []string{"Example"}},
		NotBefore:    now.Add(-12 * time.Hour), NotAfter: now.Add(12 * time.Hour),
		DNSNames: []string{"spoke1.example.net"}, EmailAddresses: []string{"Ops@Example.net"},
		IPAddresses:  []net.IP{net.IPv4(192, 0, 2, 1).To4(), net.ParseIP("2001:db8::1")},
		SubjectKeyId: []byte{0xca, 0xfe},
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	if change != nil {
		change(template)
	}
	return a.issue(keys().p256.Public(), template)
}

func (a authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}
