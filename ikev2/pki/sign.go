package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"flexvpn/ikev2/wire"
)

// Options are choices in how this end signs.
type Options struct {
	PSS bool // sign with RSASSA-PSS rather than PKCS#1 v1.5
	// AllowSHA1 lets an RSA key sign with SHA-1 (method 1) for a peer that knows no RFC 7427.
	AllowSHA1 bool
}

// Sign makes the AUTH data over the signed octets with the default Options.
func Sign(key crypto.Signer, peerHashes []uint16, octets []byte) (wire.AuthMethod, []byte, error) {
	return Options{}.Sign(key, peerHashes, octets)
}

// Sign makes the AUTH data over the signed octets. peerHashes is what the peer sent in
// SIGNATURE_HASH_ALGORITHMS, empty if nothing: then only the older methods may be used (RFC 7427
// section 4). Of several hashes the strongest that suits the key is taken.
func (o Options) Sign(key crypto.Signer, peerHashes []uint16, octets []byte) (wire.AuthMethod, []byte, error) {
	switch pub := key.Public().(type) {
	case *rsa.PublicKey:
		if err := checkRSA(pub); err != nil {
			return 0, nil, fmt.Errorf("our own key: %w", err)
		}
		return o.signRSA(key, peerHashes, octets)
	case *ecdsa.PublicKey:
		return signECDSA(key, pub, peerHashes, octets)
	case ed25519.PublicKey:
		if !slices.Contains(peerHashes, hashIdentity) {
			return 0, nil, errors.New("the peer cannot check Ed25519 signatures (RFC 8420): use an ECDSA or RSA certificate for it")
		}
		return signScheme(key, schemeFor(ed, hashIdentity), octets)
	}
	return 0, nil, fmt.Errorf("our own key is a %T: use an RSA, ECDSA or Ed25519 key", key.Public())
}

func (o Options) signRSA(key crypto.Signer, peerHashes []uint16, octets []byte) (wire.AuthMethod, []byte, error) {
	kind := pkcs1
	if o.PSS {
		kind = pss
	}
	for _, h := range []uint16{hashSHA512, hashSHA384, hashSHA256} {
		if slices.Contains(peerHashes, h) {
			return signScheme(key, schemeFor(kind, h), octets)
		}
	}
	if len(peerHashes) > 0 || !o.AllowSHA1 {
		return 0, nil, errors.New("the peer offers no hash better than SHA-1 for RSA signatures (RFC 7427): update it, use an ECDSA certificate, or a pre-shared key")
	}
	sig, err := key.Sign(rand.Reader, digest(crypto.SHA1, octets), crypto.SHA1)
	if err != nil {
		return 0, nil, fmt.Errorf("sign with our own key: %w", err)
	}
	return wire.AuthRSA, sig, nil
}

// A curveRow is one ECDSA curve: its method of RFC 4754 with the hash that is fixed for it, and the
// hashes that suit it under RFC 7427, best first: its own loses no octet of the hash.
type curveRow struct {
	name   string
	method wire.AuthMethod
	hash   crypto.Hash
	size   int // octets of r and of s
	hashes []uint16
}

var curves = [...]curveRow{
	{"P-256", wire.AuthECDSA256, crypto.SHA256, 32, []uint16{hashSHA256, hashSHA512, hashSHA384}},
	{"P-384", wire.AuthECDSA384, crypto.SHA384, 48, []uint16{hashSHA384, hashSHA512, hashSHA256}},
	{"P-521", wire.AuthECDSA521, crypto.SHA512, 66, []uint16{hashSHA512, hashSHA384, hashSHA256}},
}

func curveOf(pub *ecdsa.PublicKey) *curveRow {
	for i := range curves {
		if pub.Curve != nil && pub.Curve.Params().Name == curves[i].name {
			return &curves[i]
		}
	}
	return nil
}

func signECDSA(key crypto.Signer, pub *ecdsa.PublicKey, peerHashes []uint16, octets []byte) (wire.AuthMethod, []byte, error) {
	row := curveOf(pub)
	if row == nil {
		return 0, nil, errors.New("our own ECDSA key is on another curve than P-256, P-384 and P-521: make a new one")
	}
	for _, h := range row.hashes {
		if slices.Contains(peerHashes, h) {
			return signScheme(key, schemeFor(ecdsaDER, h), octets)
		}
	}
	return signRaw(key, row, octets)
}

// signRaw signs by RFC 4754, for peers without RFC 7427: r and s side by side.
func signRaw(key crypto.Signer, row *curveRow, octets []byte) (wire.AuthMethod, []byte, error) {
	der, err := key.Sign(rand.Reader, digest(row.hash, octets), row.hash)
	if err != nil {
		return 0, nil, fmt.Errorf("sign with our own key: %w", err)
	}
	var sig ecdsaSignature
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return 0, nil, fmt.Errorf("sign with our own key: it made a malformed signature: %w", err)
	}
	if sig.R.Sign() < 0 || sig.S.Sign() < 0 || sig.R.BitLen() > 8*row.size || sig.S.BitLen() > 8*row.size {
		return 0, nil, errors.New("sign with our own key: it made a signature of another curve")
	}
	raw := make([]byte, 2*row.size)
	sig.R.FillBytes(raw[:row.size])
	sig.S.FillBytes(raw[row.size:])
	return row.method, raw, nil
}

// ecdsaSignature is ECDSA-Sig-Value, RFC 3279 section 2.2.3.
type ecdsaSignature struct{ R, S *big.Int }

func schemeFor(f family, ike uint16) *schemeRow {
	for i := range schemes {
		if schemes[i].family == f && schemes[i].ike == ike {
			return &schemes[i]
		}
	}
	panic("BUG: pki: a signature scheme without a row")
}

// signScheme makes the data of method 14, RFC 7427 section 3:
//
//	length of AlgorithmIdentifier (1 octet) | AlgorithmIdentifier | signature
func signScheme(key crypto.Signer, row *schemeRow, octets []byte) (wire.AuthMethod, []byte, error) {
	var opts crypto.SignerOpts = row.hash
	if row.family == pss {
		opts = &rsa.PSSOptions{SaltLength: row.salt, Hash: row.hash}
	}
	sig, err := key.Sign(rand.Reader, digest(row.hash, octets), opts)
	if err != nil {
		return 0, nil, fmt.Errorf("sign with our own key: %w", err)
	}
	out := append([]byte{byte(len(row.algorithm))}, row.algorithm...)
	return wire.AuthDigital, append(out, sig...), nil
}
