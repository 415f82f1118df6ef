package config

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // CERTREQ names authorities by SHA-1 (RFC 7296 section 3.7)
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
)

// rawCertificate mirrors the certificate section of a profile.
type rawCertificate struct {
	header
	chain given[string]
	key   given[string]
	ca    []given[string]
}

func (c *rawCertificate) keys() []key {
	return []key{
		{name: "chain", part: file(&c.chain), otherwise: "none: right when only the peer has a certificate", example: "/etc/flexvpn/hub1.crt", doc: "PEM file of this node's certificate, followed by those of intermediate authorities."},
		{name: "key", part: file(&c.key), otherwise: "none", example: "/etc/flexvpn/hub1.key", doc: "PEM file of its private key (PKCS #8, PKCS #1 or SEC 1, not encrypted): RSA of at least 2048 bits, ECDSA or Ed25519. It must belong to root or the user of the process, and only the owner may read it."},
		{name: "ca", part: oneOrListOf(&c.ca, file), otherwise: "none: right when the peer has a pre-shared key", example: "[/etc/flexvpn/ca.crt]", doc: "PEM files of the authorities whose certificates peers may show. The system's authorities are never trusted."},
	}
}

// maxBundle is far above a bundle of a hundred authorities.
const maxBundle = 1 << 20

// certificate loads what a profile's methods need: chain and key to prove ourselves (local), ca to
// judge the peer (remote).
func (r *reader) certificate(c *rawCertificate, in string, local, remote bool) *Certificate {
	out := &Certificate{}
	if local {
		r.ownCertificate(c, in, out)
	}
	if remote && len(c.ca) == 0 {
		r.fail(c.at, "ca: [FILE]", "ca is missing in certificate of %s: a peer's certificate needs an authority to trust", in)
	}
	out.Roots = x509.NewCertPool()
	for _, f := range c.ca {
		for _, cert := range r.certificatesIn(f) {
			if cert.BasicConstraintsValid && !cert.IsCA {
				r.fail(f.at, "name the certificate of the authority", "%s in %s is no certificate authority", subjectOf(cert), f.v)
			}
			out.Roots.AddCert(cert)
			if sum, ok := subjectKeyHash(cert); ok {
				out.RootSubjectKeys = append(out.RootSubjectKeys, sum)
			}
		}
	}
	return out
}

func (r *reader) ownCertificate(c *rawCertificate, in string, out *Certificate) {
	r.needFile(c.chain, "chain", in)
	r.needFile(c.key, "key", in)
	if !c.chain.ok || !c.key.ok {
		return
	}
	out.Key = r.privateKey(c.key)
	chain := r.certificatesIn(c.chain)
	if len(chain) == 0 {
		return
	}
	for i, cert := range chain {
		out.Chain = append(out.Chain, cert.Raw)
		if i > 0 && chain[i-1].CheckSignatureFrom(cert) != nil {
			r.fail(c.chain.at, "first this node's certificate, then each one's issuer", "in %s, %s did not sign the certificate before it", c.chain.v, subjectOf(cert))
		}
	}
	leaf := chain[0]
	out.Subject = subjectOf(leaf)
	public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if out.Key != nil && (!ok || !public.Equal(out.Key.Public())) {
		r.fail(c.key.at, "the first certificate of the chain must be that of the key", "the key in %s does not belong to the certificate in %s", c.key.v, c.chain.v)
	}
}

func (r *reader) needFile(f given[string], name, in string) {
	if !f.typed {
		r.fail(f.at, name+": FILE", "%s is missing in certificate of %s: this node has to prove itself", name, in)
	}
}

// certificatesIn is every certificate of a PEM file.
func (r *reader) certificatesIn(f given[string]) []*x509.Certificate {
	if !f.ok {
		return nil
	}
	text, err := readFile(r.path(f.v), maxBundle, func(fs.FileInfo) error { return nil })
	if err != nil {
		r.fail(f.at, "", "certificate file %s %v", f.v, err)
		return nil
	}
	var out []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			r.fail(f.at, "", "certificate %d in %s: %v", len(out)+1, f.v, err)
			return nil
		}
		r.checkCertificate(f, cert)
		out = append(out, cert)
	}
	if len(out) == 0 {
		r.fail(f.at, "openssl x509 -inform DER -in FILE converts from DER", "%s holds no PEM certificate", f.v)
	}
	return out
}

func (r *reader) checkCertificate(f given[string], cert *x509.Certificate) {
	if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
		r.fail(f.at, "make a key of at least 2048 bits", "%s in %s has an RSA key of %d bits", subjectOf(cert), f.v, key.N.BitLen())
	}
	// A warning only: peers refuse it, but the rest of the configuration still serves.
	if r.now.After(cert.NotAfter) {
		r.warn(f.at, "renew it", "%s in %s expired on %s", subjectOf(cert), f.v, cert.NotAfter.Format("2006-01-02"))
	}
	if r.now.Before(cert.NotBefore) {
		r.warn(f.at, "is the clock right?", "%s in %s is valid only from %s", subjectOf(cert), f.v, cert.NotBefore.Format("2006-01-02"))
	}
}

func (r *reader) privateKey(f given[string]) crypto.Signer {
	text, err := r.secretFile(r.path(f.v))
	if err != nil {
		r.failSecretFile(f.at, f.v, err)
		return nil
	}
	defer clear(text)
	key, err := parsePrivateKey(text)
	if err != nil {
		r.fail(f.at, "openssl pkey -in FILE writes a key that can be read", "private key %s: %v", f.v, err)
		return nil
	}
	return key
}

// parsePrivateKey reads the first private key of a PEM file. Its errors show nothing of the file.
func parsePrivateKey(text []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["Proc-Type"] != "":
			return nil, errors.New("it is encrypted: nobody is there at start to type a password")
		case block.Type == "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case block.Type == "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case block.Type == "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default: // EC PARAMETERS and certificates may stand before it
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("its %s cannot be read", block.Type)
		}
		return usableKey(key)
	}
	return nil, errors.New("it holds no PEM private key")
}

func usableKey(key any) (crypto.Signer, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() < 2048 {
			return nil, fmt.Errorf("it has %d bits, and RSA needs at least 2048", key.N.BitLen())
		}
		return key, nil
	case *ecdsa.PrivateKey:
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, errors.New("it is none of RSA, ECDSA and Ed25519")
}

// subjectKeyHash is the SHA-1 of a certificate's SubjectPublicKeyInfo, as CERTREQ carries it
// (RFC 7296 section 3.7).
func subjectKeyHash(cert *x509.Certificate) ([]byte, bool) {
	sum := sha1.Sum(cert.RawSubjectPublicKeyInfo) //nolint:gosec // see the import
	return sum[:], len(cert.RawSubjectPublicKeyInfo) > 0
}

func subjectOf(cert *x509.Certificate) string {
	var names pkix.RDNSequence
	if _, err := asn1.Unmarshal(cert.RawSubject, &names); err != nil || len(names) == 0 {
		return "a certificate without subject"
	}
	return names.String()
}

// warnForeignIdentity warns of an identity that the certificate does not carry: a peer that compares
// the two, as RFC 7296 section 3.5 and RFC 4945 section 3.1 let it, refuses such a node.
func (r *reader) warnForeignIdentity(id given[Identity], c *Certificate) {
	if !id.ok || len(c.Chain) == 0 {
		return
	}
	leaf, err := x509.ParseCertificate(c.Chain[0])
	if err != nil {
		return
	}
	equal := func(name string) bool { return strings.EqualFold(name, id.v.Value) }
	found := true
	switch id.v.Kind {
	case IDFQDN:
		found = slices.ContainsFunc(leaf.DNSNames, equal)
	case IDEmail:
		found = slices.ContainsFunc(leaf.EmailAddresses, equal)
	case IDAddress:
		own := net.ParseIP(id.v.Value)
		found = slices.ContainsFunc(leaf.IPAddresses, func(ip net.IP) bool { return own.Equal(ip) })
	}
	if !found {
		r.warn(id.at, "add it to the certificate, or leave identity out", "identity %s is no subjectAltName of %s: peers will refuse it", id.v.Value, c.Subject)
	}
}
