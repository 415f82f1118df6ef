package pki

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"flexvpn/ikev2/wire"
)

// Bounds on what a peer sends before it is authenticated.
const (
	maxCerts    = 10
	maxCertSize = 16 << 10
)

// Verify builds and checks the chain of a peer's certificates up to one of roots, and that the leaf
// proves the identity the peer claims in its ID payload. leafFirst holds the CERT payloads in their
// order, DER: the first has the key that signs AUTH (RFC 7296 section 3.6), the others may help to
// build the chain, in any order.
func Verify(now time.Time, leafFirst [][]byte, roots *x509.CertPool, idType wire.IDType, id string) (*x509.Certificate, error) {
	if roots == nil { // crypto/x509 would take the machine's trust anchors then
		return nil, errors.New("no trust anchors are configured: name the CA that signs the peers' certificates")
	}
	leaf, intermediates, err := parse(leafFirst)
	if err != nil {
		return nil, err
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // crypto/x509 does not know those of IKE
	})
	if err != nil {
		return nil, explain(leaf, err)
	}
	if err := checkUsage(leaf, chains); err != nil {
		return nil, err
	}
	if err := checkIdentity(leaf, idType, id); err != nil {
		return nil, err
	}
	return leaf, nil
}

func parse(leafFirst [][]byte) (leaf *x509.Certificate, intermediates *x509.CertPool, err error) {
	if len(leafFirst) == 0 {
		return nil, nil, errors.New("the peer sent no certificate: it has to send its own, and those of intermediate CAs")
	}
	if len(leafFirst) > maxCerts {
		return nil, nil, fmt.Errorf("the peer sent %d certificates, at most %d are accepted: let it send its own chain only", len(leafFirst), maxCerts)
	}
	intermediates = x509.NewCertPool()
	for i, der := range leafFirst {
		if len(der) > maxCertSize {
			return nil, nil, fmt.Errorf("certificate %d of the peer has %d octets, at most %d are accepted", i+1, len(der), maxCertSize)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, nil, fmt.Errorf("certificate %d of the peer is malformed: %w", i+1, err)
		}
		if err := checkKey(cert); err != nil {
			return nil, nil, err
		}
		if i == 0 {
			leaf = cert
			continue
		}
		intermediates.AddCert(cert)
	}
	return leaf, intermediates, nil
}

// checkKey runs before any signature is computed with a key that a peer brought.
func checkKey(cert *x509.Certificate) error {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if err := checkRSA(key); err != nil {
			return fmt.Errorf("certificate %s: %w", describe(cert), err)
		}
		return nil
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("certificate %s has %s", describe(cert), keyKind(cert.PublicKey))
}

// Extended key usages of IKE: RFC 4945 section 5.1.3.12, and the older one that many CAs still set.
var (
	oidIPsecIKE        = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 17}
	oidIKEIntermediate = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 8, 2, 2}
)

// checkUsage asks that the leaf may sign and that every certificate of one chain may be used for
// IKE. Trust anchors, the last of each chain, are trusted as they are.
func checkUsage(leaf *x509.Certificate, chains [][]*x509.Certificate) error {
	// RFC 4945 section 5.1.3.2: if the extension is there, it has to allow signatures.
	if leaf.KeyUsage != 0 && leaf.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return fmt.Errorf("the peer's certificate %s is not for signatures: issue it with key usage digitalSignature", describe(leaf))
	}
	var bad *x509.Certificate
	for _, chain := range chains {
		i := slices.IndexFunc(chain[:max(len(chain)-1, 1)], func(c *x509.Certificate) bool { return !fitForIKE(c) })
		if i < 0 {
			return nil
		}
		bad = chain[i]
	}
	return fmt.Errorf("certificate %s is for other purposes: issue it without extended key usage, or with serverAuth, clientAuth or ipsecIKE", describe(bad))
}

func fitForIKE(c *x509.Certificate) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	for _, u := range c.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageAny, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth:
			return true
		default:
		}
	}
	return slices.ContainsFunc(c.UnknownExtKeyUsage, func(oid asn1.ObjectIdentifier) bool {
		return oid.Equal(oidIPsecIKE) || oid.Equal(oidIKEIntermediate)
	})
}

// explain turns what crypto/x509 found into what to do about it.
func explain(leaf *x509.Certificate, err error) error {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		cert := invalid.Cert
		return fmt.Errorf("certificate %s is valid from %s to %s only: renew it, or set the clock: %w",
			describe(cert), cert.NotBefore.UTC().Format(time.DateTime), cert.NotAfter.UTC().Format(time.DateTime), err)
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return fmt.Errorf("no configured trust anchor stands behind certificate %s, issued by %.200q: add that CA to the trust anchors, or let the peer send its intermediate certificates: %w",
			describe(leaf), leaf.Issuer.String(), err)
	}
	return fmt.Errorf("the chain of certificate %s does not hold: %w", describe(leaf), err)
}

// describe names a certificate in an error; what a peer wrote into it is quoted and cut.
func describe(c *x509.Certificate) string {
	if subject := c.Subject.String(); subject != "" {
		return fmt.Sprintf("%.200q", subject)
	}
	return fmt.Sprintf("with serial number %.40x", c.SerialNumber)
}
