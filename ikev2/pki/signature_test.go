package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"

	"flexvpn/ikev2/wire"
)

var octets = []byte("the octets that an AUTH payload signs")

// signers are a key of every kind.
func signers() map[string]crypto.Signer {
	k := keys()
	return map[string]crypto.Signer{"RSA": k.rsa, "P-256": k.p256, "P-384": k.p384, "P-521": k.p521, "Ed25519": k.ed}
}

func TestSignVerify(t *testing.T) {
	for name, key := range signers() {
		for _, pss := range []bool{false, true} {
			for _, hashes := range [][]uint16{{2}, {3}, {4}, SupportedHashes(), {5}, {1, 2, 77}, nil} {
				method, data, err := Options{PSS: pss}.Sign(key, hashes, octets)
				if err != nil {
					continue // TestChoiceOfScheme knows which
				}
				if err := VerifySignature(key.Public(), method, data, octets, false); err != nil {
					t.Errorf("%s, pss %v, hashes %v: method %d: %v", name, pss, hashes, method, err)
				}
				if err := VerifySignature(key.Public(), method, data, append([]byte("x"), octets...), false); !errors.Is(err, errMismatch) {
					t.Errorf("%s, pss %v, hashes %v: other octets: %v", name, pss, hashes, err)
				}
				for other, key := range signers() {
					if err := VerifySignature(key.Public(), method, data, octets, false); err == nil && other != name {
						t.Errorf("%s's signature was taken for %s's", name, other)
					}
				}
			}
		}
	}
}

func TestChoiceOfScheme(t *testing.T) {
	for _, v := range []struct {
		key    string
		opts   Options
		hashes []uint16
		method wire.AuthMethod
		want   scheme // of method 14
		err    string
	}{
		{"RSA", Options{}, []uint16{2, 3, 4, 5}, 14, scheme{pkcs1, crypto.SHA512, 0}, ""},
		{"RSA", Options{}, []uint16{1, 2}, 14, scheme{pkcs1, crypto.SHA256, 0}, ""},
		{"RSA", Options{PSS: true}, []uint16{3, 2}, 14, scheme{pss, crypto.SHA384, 48}, ""},
		{"RSA", Options{}, nil, 0, scheme{}, "no hash better than SHA-1"},
		{"RSA", Options{AllowSHA1: true}, nil, 1, scheme{}, ""},
		{"RSA", Options{AllowSHA1: true}, []uint16{1}, 0, scheme{}, "no hash better than SHA-1"},
		{"RSA", Options{AllowSHA1: true}, []uint16{5}, 0, scheme{}, "no hash better than SHA-1"},
		{"P-256", Options{}, []uint16{2, 3, 4}, 14, scheme{ecdsaDER, crypto.SHA256, 0}, ""},
		{"P-256", Options{}, []uint16{3, 4}, 14, scheme{ecdsaDER, crypto.SHA512, 0}, ""},
		{"P-384", Options{}, []uint16{2, 3, 4}, 14, scheme{ecdsaDER, crypto.SHA384, 0}, ""},
		{"P-521", Options{}, []uint16{2, 3, 4}, 14, scheme{ecdsaDER, crypto.SHA512, 0}, ""},
		{"P-256", Options{}, nil, 9, scheme{}, ""},
		{"P-384", Options{}, []uint16{1}, 10, scheme{}, ""},
		{"P-521", Options{}, nil, 11, scheme{}, ""},
		{"Ed25519", Options{}, []uint16{2, 5}, 14, scheme{ed, 0, 0}, ""},
		{"Ed25519", Options{}, []uint16{2, 3, 4}, 0, scheme{}, "cannot check Ed25519"},
	} {
		method, data, err := v.opts.Sign(signers()[v.key], v.hashes, octets)
		if v.err != "" {
			if err == nil || !strings.Contains(err.Error(), v.err) {
				t.Errorf("%s %+v %v: error %v, want %q", v.key, v.opts, v.hashes, err, v.err)
			}
			continue
		}
		if err != nil || method != v.method {
			t.Errorf("%s %+v %v: method %d (%v), want %d", v.key, v.opts, v.hashes, method, err, v.method)
			continue
		}
		if method == wire.AuthDigital {
			if got, err := parseScheme(data[1 : 1+data[0]]); err != nil || got != v.want {
				t.Errorf("%s %+v %v: scheme %v (%v), want %v", v.key, v.opts, v.hashes, got, err, v.want)
			}
		}
	}
}

// Keys of ours that nobody should use, and a key store that breaks.
func TestSignRefuses(t *testing.T) {
	for what, key := range map[string]crypto.Signer{
		"another curve than":   keys().p224,
		"1024 bits":            keys().rsa1024,
		"is a string":          broken{pub: "none"},
		"the token is gone":    broken{pub: keys().p256.Public()},
		"malformed signature":  broken{pub: keys().p256.Public(), sig: []byte("x")},
		"sign with our own":    broken{pub: keys().rsa.Public()},
		"signature of another": broken{pub: keys().p256.Public(), sig: derOf(t, new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))},
	} {
		if _, _, err := Sign(key, []uint16{}, octets); what != "sign with our own" && (err == nil || !strings.Contains(err.Error(), what)) {
			t.Errorf("%s: %v", what, err)
		}
		if b, ok := key.(broken); ok && b.sig == nil {
			if _, _, err := Sign(key, SupportedHashes(), octets); err == nil {
				t.Errorf("%s: signed", what)
			}
		}
	}
}

type broken struct {
	pub any
	sig []byte
}

func (b broken) Public() crypto.PublicKey { return b.pub }

func (b broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	if b.sig == nil {
		return nil, errors.New("the token is gone")
	}
	return b.sig, nil
}

func derOf(t *testing.T, r, s *big.Int) []byte {
	t.Helper()
	der, err := asn1.Marshal(ecdsaSignature{r, s})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Method 1 is SHA-1: "…verify only when allowed".
func TestMethod1(t *testing.T) {
	method, data, err := Options{AllowSHA1: true}.Sign(keys().rsa, nil, octets)
	if err != nil || method != wire.AuthRSA {
		t.Fatalf("method %d (%v)", method, err)
	}
	if err := VerifySignature(keys().rsa.Public(), method, data, octets, true); err != nil {
		t.Errorf("allowed: %v", err)
	}
	if err := VerifySignature(keys().rsa.Public(), method, data, octets, false); err == nil || !strings.Contains(err.Error(), "not permitted") {
		t.Errorf("not allowed: %v", err)
	}
}

func TestEveryChangedOctetIsRefused(t *testing.T) {
	for name, key := range signers() {
		for _, hashes := range [][]uint16{SupportedHashes(), nil} {
			method, data, err := Sign(key, hashes, octets)
			if err != nil {
				continue
			}
			for i := range data {
				bad := bytes.Clone(data)
				bad[i] ^= 1 << (i % 8)
				if err := VerifySignature(key.Public(), method, bad, octets, false); err == nil {
					t.Errorf("%s, method %d: octet %d changed is accepted", name, method, i)
				}
			}
			for n := range data {
				if err := VerifySignature(key.Public(), method, data[:n], octets, false); err == nil {
					t.Errorf("%s, method %d: cut to %d octets is accepted", name, method, n)
				}
			}
			if err := VerifySignature(key.Public(), method, append(bytes.Clone(data), 0), octets, false); err == nil {
				t.Errorf("%s, method %d: with an octet more it is accepted", name, method)
			}
		}
	}
}

func TestVerifySignatureErrors(t *testing.T) {
	k := keys()
	_, good, err := Sign(k.rsa, SupportedHashes(), octets)
	if err != nil {
		t.Fatal(err)
	}
	digital := func(algorithm string) []byte {
		a := unhex(algorithm)
		return append(append([]byte{byte(len(a))}, a...), "signature"...)
	}
	for _, v := range []struct {
		what   string
		pub    any
		method wire.AuthMethod
		data   []byte
		want   string
	}{
		{"a pre-shared key", k.rsa.Public(), 2, good, "method 2 is no signature"},
		{"nothing", k.rsa.Public(), 14, nil, "cut short"},
		{"a length beyond the end", k.rsa.Public(), 14, []byte{200, 1}, "cut short"},
		{"sha1WithRSAEncryption", k.rsa.Public(), 14, digital("300d06092a864886f70d0101050500"), "algorithm is unknown"},
		{"ecdsa-with-SHA1", k.p256.Public(), 14, digital("300906072a8648ce3d0401"), "algorithm is unknown"},
		{"RSASSA-PSS with its defaults, SHA-1", k.rsa.Public(), 14, digital("300d06092a864886f70d01010a3000"), "stand for SHA-1"},
		{"RSASSA-PSS without parameters", k.rsa.Public(), 14, digital("300b06092a864886f70d01010a"), "stand for SHA-1"},
		{"no DER", k.rsa.Public(), 14, digital("ffff"), "algorithm is unknown"},
		{"ECDSA by an RSA key", k.rsa.Public(), 14, digital("300a06082a8648ce3d040302"), "signed with ECDSA, but its certificate has an RSA key"},
		{"RSA by an ECDSA key", k.p256.Public(), 14, digital("300d06092a864886f70d01010b0500"), "signed with RSA, but its certificate has an ECDSA key"},
		{"Ed25519 by an ECDSA key", k.p256.Public(), 14, digital("300506032b6570"), "signed with Ed25519"},
		{"RSA by an Ed25519 key", k.ed.Public(), 14, digital("300d06092a864886f70d01010b0500"), "an Ed25519 key"},
		{"a key nobody knows", "key", 14, digital("300506032b6570"), "not supported"},
		{"a short RSA key", k.rsa1024.Public(), 14, digital("300d06092a864886f70d01010b0500"), "1024 bits"},
		{"a giant RSA key", &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 16000), E: 65537}, 14, digital("300d06092a864886f70d01010b0500"), "16001 bits"},
		{"method 10 by P-256", k.p256.Public(), 10, make([]byte, 96), "another curve"},
		{"method 9 by RSA", k.rsa.Public(), 9, make([]byte, 64), "signed with ECDSA"},
		{"method 9 of zeros", k.p256.Public(), 9, make([]byte, 64), "signature is wrong"},
		{"method 9 too short", k.p256.Public(), 9, make([]byte, 63), "63 octets, 64 are right"},
	} {
		err := VerifySignature(v.pub, v.method, v.data, octets, false)
		if err == nil || !strings.Contains(err.Error(), v.want) {
			t.Errorf("%s: error %v, want %q", v.what, err, v.want)
		}
	}
}

// Parameters of RSASSA-PSS as others write them: RFC 4055 section 3.1.
func TestPSSParameters(t *testing.T) {
	const (
		oid    = "06092a864886f70d01010a"
		sha256 = "300d06096086480165030402010500"
		short  = "300b0609608648016503040201" // without NULL
		sha512 = "300d06096086480165030402030500"
		sha1   = "300906052b0e03021a0500"
	)
	mgf := func(hash string) string { return tlv("30", "06092a864886f70d010108"+hash) }
	params := func(hash, mgf string, rest ...string) string {
		return tlv("30", oid+tlv("30", tlv("a0", hash)+tlv("a1", mgf)+strings.Join(rest, "")))
	}
	salt := func(n string) string { return tlv("a2", tlv("02", n)) }
	trailer := func(n string) string { return tlv("a3", tlv("02", n)) }
	for _, v := range []struct {
		what, der string
		want      scheme
	}{
		{"ours", params(sha256, mgf(sha256), salt("20")), scheme{pss, crypto.SHA256, 32}},
		{"trailer field spelled out", params(sha256, mgf(sha256), salt("20"), trailer("01")), scheme{pss, crypto.SHA256, 32}},
		{"the longest salt of 2048 bits", params(sha256, mgf(sha256), salt("00de")), scheme{pss, crypto.SHA256, 222}},
		{"the default salt", params(sha512, mgf(sha512)), scheme{pss, crypto.SHA512, 20}},
		{"without NULL", params(short, mgf(short), salt("20")), scheme{pss, crypto.SHA256, 32}},
		{"SHA-1", params(sha1, mgf(sha1), salt("14")), scheme{}},
		{"SHA-1 in MGF1", params(sha256, mgf(sha1), salt("20")), scheme{}},
		{"another hash in MGF1", params(sha256, mgf(sha512), salt("20")), scheme{}},
		{"no MGF1", params(sha256, tlv("30", "06092a864886f70d010109"+sha256), salt("20")), scheme{}},
		{"no salt at all", params(sha256, mgf(sha256), salt("00")), scheme{}},
		{"a negative salt", params(sha256, mgf(sha256), salt("ff")), scheme{}},
		{"a giant salt", params(sha256, mgf(sha256), salt("7fffffff")), scheme{}},
		{"another trailer", params(sha256, mgf(sha256), salt("20"), trailer("02")), scheme{}},
	} {
		got, err := parseScheme(unhex(v.der))
		if got != v.want || (err == nil) != (v.want != scheme{}) {
			t.Errorf("%s: %v (%v), want %v", v.what, got, err, v.want)
		}
	}
	// RFC 4055 section 5: "implementations MUST accept the parameters being absent as well as present".
	if got, err := parseScheme(unhex("300b06092a864886f70d01010c")); err != nil || got != (scheme{family: pkcs1, hash: crypto.SHA384}) {
		t.Errorf("sha384WithRSAEncryption without NULL: %v (%v)", got, err)
	}
	for _, der := range []string{"300a06092a864886f70d0101010c", "300c06092a864886f70d01010c05", "300d06092a864886f70d01010c020100", "300b06092a864886f70d01010c00"} {
		if got, err := parseScheme(unhex(der)); err == nil {
			t.Errorf("%s: %v", der, got)
		}
	}
}

// tlv encodes a short element.
func tlv(tag, body string) string { return fmt.Sprintf("%s%02x%s", tag, len(body)/2, body) }

// RFC 4754 section 8.1: r|s over "abc".
func TestRawECDSAVector(t *testing.T) {
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), unhex("04"+
		"2442a5cc0ecd015fa3ca31dc8e2bbc70bf42d60cbca20085e0822cb04235e970"+"6fc98bd7e50211a4a27102fa3549df79ebcb4bf246b80945cddfe7d509bbfd7d"))
	if err != nil {
		t.Fatal(err)
	}
	sig := unhex("cb28e0999b9c7715fd0a80d8e47a77079716cbbf917dd72e97566ea1c066957c" + "86fa3bb4e26cad5bf90b7f81899256ce7594bb1ea0c89212748bff3b3d5b0315")
	if err := VerifySignature(pub, wire.AuthECDSA256, sig, []byte("abc"), false); err != nil {
		t.Error(err)
	}
}

// A small r or s keeps its leading zeros: RFC 4754 section 7.
func TestRawECDSAPads(t *testing.T) {
	key := broken{pub: keys().p384.Public(), sig: derOf(t, big.NewInt(1), big.NewInt(2))}
	method, raw, err := Sign(key, nil, octets)
	if err != nil || method != wire.AuthECDSA384 || len(raw) != 96 || raw[47] != 1 || raw[95] != 2 {
		t.Errorf("method %d, %x (%v)", method, raw, err)
	}
}

func TestHashes(t *testing.T) {
	data := EncodeHashes(SupportedHashes())
	if want := []byte{0, 2, 0, 3, 0, 4, 0, 5}; !bytes.Equal(data, want) {
		t.Errorf("encoded %x, want %x", data, want)
	}
	if got := DecodeHashes(data); !slices.Equal(got, SupportedHashes()) {
		t.Errorf("decoded %v", got)
	}
	if got := DecodeHashes([]byte{0, 1, 0, 4, 0, 2, 0, 4, 9, 9, 0}); !slices.Equal(got, []uint16{4, 2}) {
		t.Errorf("decoded %v, want 4 and 2", got)
	}
	if got := DecodeHashes(bytes.Repeat([]byte{0, 2}, 30000)); len(got) != 1 {
		t.Errorf("%d hashes kept", len(got))
	}
}

func FuzzVerifySignature(f *testing.F) {
	for _, key := range signers() {
		for _, opts := range []Options{{}, {PSS: true}} {
			for _, hashes := range [][]uint16{SupportedHashes(), {2}, nil} {
				if method, data, err := opts.Sign(key, hashes, []byte("other octets")); err == nil {
					f.Add(uint8(method), data)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, method uint8, data []byte) {
		for name, key := range signers() {
			if err := VerifySignature(key.Public(), wire.AuthMethod(method), data, octets, true); err == nil {
				t.Errorf("%s: a signature nobody made is accepted", name)
			}
		}
	})
}

func BenchmarkSign(b *testing.B) {
	for name, key := range signers() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := Sign(key, SupportedHashes(), octets); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
