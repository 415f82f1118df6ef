package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"flexvpn/ikev2/wire"
)

// OpenSSL judges the encodings: it checks what we sign, we check what it signs, and both write the
// same AlgorithmIdentifier.

// openssl runs the program that these tests cannot do without.
func openssl(t *testing.T, args ...string) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("openssl", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %s: %v: %s (Debian has it in the package openssl)", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// A case is one scheme with the words that openssl has for it.
type opensslCase struct {
	name    string
	key     crypto.Signer
	opts    Options
	hashes  []uint16
	digest  string   // empty: Ed25519
	sigopts []string // padding
}

func opensslCases() []opensslCase {
	k := keys()
	var out []opensslCase
	for i, bits := range []string{"256", "384", "512"} {
		hashes := []uint16{uint16(2 + i)}
		pss := []string{"-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest", "-sigopt", "rsa_mgf1_md:sha" + bits}
		out = append(
			out,
			opensslCase{"RSA-" + bits, k.rsa, Options{}, hashes, "-sha" + bits, nil},
			opensslCase{"PSS-" + bits, k.rsa, Options{PSS: true}, hashes, "-sha" + bits, pss},
			opensslCase{"P256-" + bits, k.p256, Options{}, hashes, "-sha" + bits, nil},
			opensslCase{"P384-" + bits, k.p384, Options{}, hashes, "-sha" + bits, nil},
			opensslCase{"P521-" + bits, k.p521, Options{}, hashes, "-sha" + bits, nil},
		)
	}
	return append(out, opensslCase{"Ed25519", k.ed, Options{}, []uint16{5}, "", nil})
}

// files writes a key pair and the octets to sign.
func (c opensslCase) files(t *testing.T) (private, public, data string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		text := der
		if kind != "" {
			text = pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.key)
	private = write("key", "PRIVATE KEY", key, err)
	pub, err := x509.MarshalPKIXPublicKey(c.key.Public())
	public = write("pub", "PUBLIC KEY", pub, err)
	return private, public, write("data", "", octets, nil)
}

// sign and check are openssl's two directions.
func (c opensslCase) sign(t *testing.T, private, data string) []byte {
	if c.digest == "" {
		return openssl(t, "pkeyutl", "-sign", "-inkey", private, "-rawin", "-in", data)
	}
	return openssl(t, append(append([]string{"dgst", c.digest, "-sign", private}, c.sigopts...), data)...)
}

func (c opensslCase) check(t *testing.T, public, data string, sig []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sig")
	if err := os.WriteFile(file, sig, 0o600); err != nil {
		t.Fatal(err)
	}
	if c.digest == "" {
		openssl(t, "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", data, "-sigfile", file)
		return
	}
	openssl(t, append(append([]string{"dgst", c.digest, "-verify", public, "-signature", file}, c.sigopts...), data)...)
}

// algorithm is the AlgorithmIdentifier that openssl writes into a certificate.
func (c opensslCase) algorithm(t *testing.T, private string) []byte {
	t.Helper()
	args := []string{"req", "-x509", "-new", "-key", private, "-subj", "/CN=x", "-outform", "DER"}
	if c.digest != "" {
		args = append(args, c.digest)
	}
	var cert struct{ TBS, Algorithm, Signature asn1.RawValue }
	if _, err := asn1.Unmarshal(openssl(t, append(args, c.sigopts...)...), &cert); err != nil {
		t.Fatal(err)
	}
	return cert.Algorithm.FullBytes
}

func TestAgainstOpenSSL(t *testing.T) {
	for _, c := range opensslCases() {
		t.Run(c.name, func(t *testing.T) {
			private, public, data := c.files(t)
			method, ours, err := c.opts.Sign(c.key, c.hashes, octets)
			if err != nil || method != wire.AuthDigital {
				t.Fatalf("method %d (%v)", method, err)
			}
			algorithm := ours[1 : 1+ours[0]]
			c.check(t, public, data, ours[1+ours[0]:])

			theirs := c.algorithm(t, private)
			if !bytes.Equal(algorithm, theirs) {
				t.Errorf("our AlgorithmIdentifier is\n%x, OpenSSL's\n%x", algorithm, theirs)
			}
			foreign := append([]byte{byte(len(theirs))}, theirs...)
			foreign = append(foreign, c.sign(t, private, data)...)
			if err := VerifySignature(c.key.Public(), wire.AuthDigital, foreign, octets, false); err != nil {
				t.Errorf("OpenSSL's signature: %v", err)
			}
		})
	}
}

// OpenSSL's own choice of salt is the longest that fits; the parameters say so.
func TestOpenSSLLongSalt(t *testing.T) {
	c := opensslCase{
		"PSS", keys().rsa,
		Options{PSS: true},
		[]uint16{2},
		"-sha256",
		[]string{"-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:max"},
	}
	private, _, data := c.files(t)
	algorithm := c.algorithm(t, private)
	auth := append(append([]byte{byte(len(algorithm))}, algorithm...), c.sign(t, private, data)...)
	if err := VerifySignature(c.key.Public(), wire.AuthDigital, auth, octets, false); err != nil {
		t.Errorf("salt of 222 octets: %v", err)
	}
	if s, err := parseScheme(algorithm); err != nil || s.salt != 222 {
		t.Errorf("scheme %v (%v)", s, err)
	}
}

// The older methods: r|s of RFC 4754 and RSA with SHA-1.
func TestOldMethodsAgainstOpenSSL(t *testing.T) {
	k := keys()
	for _, v := range []struct {
		method wire.AuthMethod
		digest string
		key    crypto.Signer
		size   int
	}{
		{wire.AuthECDSA256, "-sha256", k.p256, 32},
		{wire.AuthECDSA384, "-sha384", k.p384, 48},
		{wire.AuthECDSA521, "-sha512", k.p521, 66},
		{wire.AuthRSA, "-sha1", k.rsa, 0},
	} {
		t.Run(fmt.Sprint(v.method), func(t *testing.T) {
			c := opensslCase{key: v.key, digest: v.digest}
			private, public, data := c.files(t)
			method, ours, err := Options{AllowSHA1: true}.Sign(v.key, nil, octets)
			if err != nil || method != v.method {
				t.Fatalf("method %d (%v)", method, err)
			}
			theirs := c.sign(t, private, data)
			if v.size > 0 {
				ours, theirs = toDER(t, ours), toRaw(t, theirs, v.size)
			}
			c.check(t, public, data, ours)
			if err := VerifySignature(v.key.Public(), method, theirs, octets, true); err != nil {
				t.Errorf("OpenSSL's signature: %v", err)
			}
		})
	}
}

func toDER(t *testing.T, raw []byte) []byte {
	t.Helper()
	half := len(raw) / 2
	return derOf(t, new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:]))
}

func toRaw(t *testing.T, der []byte, size int) []byte {
	t.Helper()
	var sig ecdsaSignature
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		t.Fatal(err)
	}
	return append(sig.R.FillBytes(make([]byte, size)), sig.S.FillBytes(make([]byte, size))...)
}
