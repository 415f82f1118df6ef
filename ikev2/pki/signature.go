package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha1" // method 1
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"flexvpn/ikev2/wire"
)

// Bounds of RSA keys: shorter ones are broken or nearly so (RFC 8247 section 4), longer ones let a
// peer burn our CPU with one packet.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// errMismatch is a signature that does not fit: the peer has not the key of its certificate, or the
// octets it signed are not those we saw.
var errMismatch = errors.New("the signature is wrong: the peer does not hold the private key of its certificate, or somebody changed the handshake on its way")

// VerifySignature checks a peer's AUTH data over the signed octets: methods 14 (RFC 7427), 9, 10 and
// 11 (RFC 4754), and, only with allowSHA1, method 1 (RFC 7296 section 3.8). pub is the public key of
// the verified certificate.
func VerifySignature(pub any, method wire.AuthMethod, data, octets []byte, allowSHA1 bool) error {
	switch method {
	case wire.AuthDigital:
		return verifyDigital(pub, data, octets)
	case wire.AuthECDSA256, wire.AuthECDSA384, wire.AuthECDSA521:
		return verifyRaw(pub, method, data, octets)
	case wire.AuthRSA:
		if !allowSHA1 {
			return errors.New("the peer signed with RSA and SHA-1 (method 1), which is not permitted: let it use RFC 7427 signatures or an ECDSA certificate")
		}
		return verifyRSA(pub, scheme{family: pkcs1, hash: crypto.SHA1}, data, octets)
	}
	return fmt.Errorf("authentication method %d is no signature: the peer has to use a certificate as configured", uint8(method))
}

func verifyDigital(pub any, data, octets []byte) error {
	if len(data) < 1 || len(data)-1 < int(data[0]) {
		return errors.New("the signature is cut short")
	}
	algorithm, sig := data[1:1+int(data[0])], data[1+int(data[0]):]
	s, err := parseScheme(algorithm)
	if err != nil {
		return err
	}
	switch s.family {
	case pkcs1, pss:
		return verifyRSA(pub, s, sig, octets)
	case ecdsaDER:
		return verifyECDSA(pub, s.hash, sig, octets)
	case ed:
		return verifyEd25519(pub, sig, octets)
	}
	return errAlgorithm
}

func verifyRSA(pub any, s scheme, sig, octets []byte) error {
	key, ok := pub.(*rsa.PublicKey)
	if !ok {
		return wrongKey("RSA", pub)
	}
	if err := checkRSA(key); err != nil {
		return err
	}
	var err error
	if s.family == pss {
		err = rsa.VerifyPSS(key, s.hash, digest(s.hash, octets), sig, &rsa.PSSOptions{SaltLength: s.salt, Hash: s.hash})
	} else {
		err = rsa.VerifyPKCS1v15(key, s.hash, digest(s.hash, octets), sig)
	}
	if err != nil {
		return errMismatch
	}
	return nil
}

func checkRSA(key *rsa.PublicKey) error {
	if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("an RSA key of %d bits is not accepted: it has to have %d to %d", bits, minRSABits, maxRSABits)
	}
	return nil
}

func verifyECDSA(pub any, hash crypto.Hash, sig, octets []byte) error {
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return wrongKey("ECDSA", pub)
	}
	if !ecdsa.VerifyASN1(key, digest(hash, octets), sig) {
		return errMismatch
	}
	return nil
}

// verifyRaw checks r and s side by side, with the hash that RFC 4754 fixes for the curve.
func verifyRaw(pub any, method wire.AuthMethod, sig, octets []byte) error {
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return wrongKey("ECDSA", pub)
	}
	row := curveOf(key)
	if row == nil || row.method != method {
		return fmt.Errorf("authentication method %d is for another curve than the key of the peer's certificate", uint8(method))
	}
	if len(sig) != 2*row.size {
		return fmt.Errorf("the signature has %d octets, %d are right for %s", len(sig), 2*row.size, row.name)
	}
	der, err := asn1.Marshal(ecdsaSignature{
		R: new(big.Int).SetBytes(sig[:row.size]),
		S: new(big.Int).SetBytes(sig[row.size:]),
	})
	if err != nil {
		return errMismatch
	}
	return verifyECDSA(pub, row.hash, der, octets)
}

func verifyEd25519(pub any, sig, octets []byte) error {
	key, ok := pub.(ed25519.PublicKey)
	if !ok {
		return wrongKey("Ed25519", pub)
	}
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, octets, sig) {
		return errMismatch
	}
	return nil
}

func wrongKey(signed string, pub any) error {
	return fmt.Errorf("the peer signed with %s, but its certificate has %s", signed, keyKind(pub))
}

func keyKind(pub any) string {
	switch pub.(type) {
	case *rsa.PublicKey:
		return "an RSA key"
	case *ecdsa.PublicKey:
		return "an ECDSA key"
	case ed25519.PublicKey:
		return "an Ed25519 key"
	}
	return "a key of a kind that is not supported: RSA, ECDSA and Ed25519 are"
}
