package config

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// identityFiles is a certificate with its key, and, for an authority, what it signs with.
type identityFiles struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func writeFile(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var (
	certFrom = time.Now().Add(-time.Hour)
	certTo   = certFrom.Add(48 * time.Hour)
)

func newAuthority(t *testing.T, name string) identityFiles {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: certFrom, NotAfter: certTo,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	self := identityFiles{template, newKey(t)}
	return self.sign(t, template, self.key)
}

func (ca identityFiles) sign(t *testing.T, template *x509.Certificate, key crypto.Signer) identityFiles {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return identityFiles{cert, key}
}

// issue makes a certificate for a host.
func (ca identityFiles) issue(t *testing.T, name string) identityFiles {
	t.Helper()
	return ca.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: certFrom, NotAfter: certTo, BasicConstraintsValid: true,
	}, newKey(t))
}

func (id identityFiles) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.cert.Raw}))
}

func (id identityFiles) write(t *testing.T, dir, name string) {
	t.Helper()
	writeFile(t, dir, name, id.pem(), 0o644)
}

func (id identityFiles) writeBoth(t *testing.T, dir, name string) {
	t.Helper()
	id.write(t, dir, name+".crt")
	writeFile(t, dir, name+".key", pkcs8(t, id.key), 0o600)
}

func pkcs8(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

const certificateFile = `node: n
ikev2:
  profiles:
    p:
      match: {identity: any}
      identity: {fqdn: hub1.example.net}
      authentication: {local: certificate, remote: certificate}
      certificate: {chain: hub1.crt, key: hub1.key, ca: ca.crt}
      virtual-template: 1
virtual-templates: {1: {address: 10.0.0.1}}
`

// certificateCase loads certificateFile from dir; it returns errors, or warnings, as text without dir.
func certificateCase(t *testing.T, dir string) (*Config, string) {
	t.Helper()
	path := writeFile(t, dir, "n.yaml", certificateFile, 0o644)
	cfg, err := Load(path)
	text := ""
	if err != nil {
		text = err.Error()
	} else {
		text = cfg.Warnings.Error()
	}
	return cfg, strings.ReplaceAll(text, dir+"/", "")
}

func TestCertificateLoads(t *testing.T) {
	dir := t.TempDir()
	root := newAuthority(t, "Root")
	middle := root.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "Middle"}, NotBefore: certFrom, NotAfter: certTo,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, newKey(t))
	leaf := middle.issue(t, "hub1.example.net")
	root.write(t, dir, "ca.crt")
	leaf.writeBoth(t, dir, "hub1")
	writeFile(t, dir, "hub1.crt", "text before\n"+leaf.pem()+middle.pem(), 0o644)
	cfg, text := certificateCase(t, dir)
	if text != "" {
		t.Fatal(text)
	}
	c := cfg.IKEv2.Profiles[0].Certificate
	equal(t, "chain", c.Chain, [][]byte{leaf.cert.Raw, middle.cert.Raw})
	equal(t, "subject", c.Subject, "CN=hub1.example.net")
	if !c.Key.Public().(*ecdsa.PublicKey).Equal(leaf.key.Public()) {
		t.Error("the key is another")
	}
	sum := sha1.Sum(root.cert.RawSubjectPublicKeyInfo)
	equal(t, "CERTREQ hashes", c.RootSubjectKeys, [][]byte{sum[:]})
	pool := x509.NewCertPool()
	pool.AddCert(root.cert)
	if !c.Roots.Equal(pool) {
		t.Error("the anchors are others")
	}
}

func TestCertificateRefusals(t *testing.T) {
	ca := newAuthority(t, "Root")
	leaf := ca.issue(t, "hub1.example.net")
	other := ca.issue(t, "other.example.net")
	old := func(id identityFiles, from, to time.Time) identityFiles {
		return ca.sign(t, &x509.Certificate{
			SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "hub1"}, DNSNames: []string{"hub1.example.net"}, NotBefore: from, NotAfter: to,
		}, id.key)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weakLeaf := ca.sign(t, &x509.Certificate{SerialNumber: big.NewInt(5), Subject: pkix.Name{CommonName: "weak"}, DNSNames: []string{"hub1.example.net"}, NotBefore: certFrom, NotAfter: certTo}, weak)
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		want  string
	}{
		{
			"the key of another", func(t *testing.T, dir string) { writeFile(t, dir, "hub1.key", pkcs8(t, other.key), 0o600) },
			"n.yaml:8:43: the key in hub1.key does not belong to the certificate in hub1.crt (the first certificate of the chain must be that of the key)",
		},
		{
			"a key that others can read", func(t *testing.T, dir string) { writeFile(t, dir, "hub1.key", pkcs8(t, leaf.key), 0o640) },
			"n.yaml:8:43: secret file hub1.key can be read or changed by others (mode 0640) (chmod 600 hub1.key)",
		},
		{
			"no key", func(t *testing.T, dir string) { writeFile(t, dir, "hub1.key", "no key here", 0o600) },
			"n.yaml:8:43: private key hub1.key: it holds no PEM private key (openssl pkey -in FILE writes a key that can be read)",
		},
		{"an encrypted key", func(t *testing.T, dir string) {
			writeFile(t, dir, "hub1.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", 0o600)
		}, "n.yaml:8:43: private key hub1.key: it is encrypted: nobody is there at start to type a password (openssl pkey -in FILE writes a key that can be read)"},
		{"a broken key", func(t *testing.T, dir string) {
			writeFile(t, dir, "hub1.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o600)
		}, "n.yaml:8:43: private key hub1.key: its PRIVATE KEY cannot be read (openssl pkey -in FILE writes a key that can be read)"},
		{
			"a short RSA key", weakLeafFiles(weakLeaf),
			"n.yaml:8:28: CN=weak in hub1.crt has an RSA key of 1024 bits (make a key of at least 2048 bits)\n" +
				"n.yaml:8:43: private key hub1.key: it has 1024 bits, and RSA needs at least 2048 (openssl pkey -in FILE writes a key that can be read)",
		},
		{
			"a chain in the wrong order", func(t *testing.T, dir string) { writeFile(t, dir, "hub1.crt", leaf.pem()+other.pem(), 0o644) },
			"n.yaml:8:28: in hub1.crt, CN=other.example.net did not sign the certificate before it (first this node's certificate, then each one's issuer)",
		},
		{
			"no certificate", func(t *testing.T, dir string) { writeFile(t, dir, "hub1.crt", "DER\n", 0o644) },
			"n.yaml:8:28: hub1.crt holds no PEM certificate (openssl x509 -inform DER -in FILE converts from DER)",
		},
		{
			"an empty bundle", func(t *testing.T, dir string) { writeFile(t, dir, "ca.crt", "\n", 0o644) },
			"n.yaml:8:57: certificate file ca.crt is empty",
		},
		{
			"no bundle", func(t *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, "ca.crt")) },
			"n.yaml:8:57: certificate file ca.crt does not exist",
		},
		{
			"a leaf as authority", func(t *testing.T, dir string) { other.write(t, dir, "ca.crt") },
			"n.yaml:8:57: CN=other.example.net in ca.crt is no certificate authority (name the certificate of the authority)",
		},
		{"an expired certificate", func(t *testing.T, dir string) {
			old(leaf, time.Unix(0, 0), time.Unix(86400, 0)).write(t, dir, "hub1.crt")
		}, "n.yaml:8:28: CN=hub1 in hub1.crt expired on 1970-01-02 (renew it)"},
		{"a certificate of tomorrow", func(t *testing.T, dir string) {
			old(leaf, time.Date(2900, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2901, 1, 1, 0, 0, 0, 0, time.UTC)).write(t, dir, "hub1.crt")
		}, "n.yaml:8:28: CN=hub1 in hub1.crt is valid only from 2900-01-01 (is the clock right?)"},
		{
			"the identity of another", func(t *testing.T, dir string) { other.writeBoth(t, dir, "hub1") },
			"n.yaml:6:17: identity hub1.example.net is no subjectAltName of CN=other.example.net: peers will refuse it (add it to the certificate, or leave identity out)",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			ca.write(t, dir, "ca.crt")
			leaf.writeBoth(t, dir, "hub1")
			c.spoil(t, dir)
			if _, got := certificateCase(t, dir); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func weakLeafFiles(id identityFiles) func(*testing.T, string) {
	return func(t *testing.T, dir string) { id.writeBoth(t, dir, "hub1") }
}

func TestPrivateKeyForms(t *testing.T) {
	ec := newKey(t).(*ecdsa.PrivateKey)
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for name, c := range map[string]struct {
		text string
		key  crypto.Signer
	}{
		"PKCS #8 ECDSA":   {pkcs8(t, ec), ec},
		"PKCS #8 Ed25519": {pkcs8(t, ed), ed},
		"PKCS #8 RSA":     {pkcs8(t, rsaKey), rsaKey},
		"PKCS #1":         {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), rsaKey},
		"SEC 1":           {block("EC PARAMETERS", []byte{6, 1, 0}) + block("EC PRIVATE KEY", sec1), ec},
	} {
		got, err := parsePrivateKey([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want, _ := x509.MarshalPKIXPublicKey(c.key.Public())
		have, _ := x509.MarshalPKIXPublicKey(got.Public())
		if !bytes.Equal(want, have) {
			t.Errorf("%s: another key came out", name)
		}
	}
}
