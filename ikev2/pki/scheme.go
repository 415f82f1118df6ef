package pki

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"encoding/hex"
	"errors"
)

// A family is a kind of key with a way to sign.
type family uint8

const (
	pkcs1 family = iota + 1
	pss
	ecdsaDER
	ed
)

// A scheme is a signature algorithm as its AlgorithmIdentifier says it.
type scheme struct {
	family family
	hash   crypto.Hash // 0: none
	salt   int         // of pss
}

// schemeRow is a scheme with its number for the hash negotiation and its encoding.
type schemeRow struct {
	scheme
	ike       uint16
	algorithm []byte // the AlgorithmIdentifier, DER: RFC 7427 appendix A, RFC 8420 appendix A
}

// schemes are what we sign with. With pss the salt is as long as the hash.
var schemes = [...]schemeRow{
	{scheme{pkcs1, crypto.SHA256, 0}, hashSHA256, unhex("300d06092a864886f70d01010b0500")},
	{scheme{pkcs1, crypto.SHA384, 0}, hashSHA384, unhex("300d06092a864886f70d01010c0500")},
	{scheme{pkcs1, crypto.SHA512, 0}, hashSHA512, unhex("300d06092a864886f70d01010d0500")},
	{scheme{ecdsaDER, crypto.SHA256, 0}, hashSHA256, unhex("300a06082a8648ce3d040302")},
	{scheme{ecdsaDER, crypto.SHA384, 0}, hashSHA384, unhex("300a06082a8648ce3d040303")},
	{scheme{ecdsaDER, crypto.SHA512, 0}, hashSHA512, unhex("300a06082a8648ce3d040304")},
	{scheme{ed, 0, 0}, hashIdentity, unhex("300506032b6570")},
	{scheme{pss, crypto.SHA256, 32}, hashSHA256, pssAlgorithm("01", "20")},
	{scheme{pss, crypto.SHA384, 48}, hashSHA384, pssAlgorithm("02", "30")},
	{scheme{pss, crypto.SHA512, 64}, hashSHA512, pssAlgorithm("03", "40")},
}

// pssAlgorithm is id-RSASSA-PSS with hash, MGF1 of the same hash, and salt length; the trailer field
// has its default and is left out, as DER asks (RFC 4055 section 3.1).
func pssAlgorithm(hash, salt string) []byte {
	algorithm := "300d06096086480165030402" + hash + "0500"
	return unhex("3041" + "06092a864886f70d01010a" + "3034" +
		"a00f" + algorithm +
		"a11c301a06092a864886f70d010108" + algorithm +
		"a203" + "0201" + salt)
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("BUG: pki: " + err.Error())
	}
	return b
}

var errAlgorithm = errors.New("the signature algorithm is unknown: the peer has to sign with RSA, ECDSA (both with SHA-256, SHA-384 or SHA-512) or Ed25519")

// parseScheme reads the AlgorithmIdentifier of a peer's signature.
func parseScheme(der []byte) (scheme, error) {
	for i := range schemes {
		if bytes.Equal(schemes[i].algorithm, der) {
			return schemes[i].scheme, nil
		}
	}
	var a algorithmIdentifier
	if rest, err := asn1.Unmarshal(der, &a); err != nil || len(rest) > 0 {
		return scheme{}, errAlgorithm
	}
	if a.Algorithm.Equal(oidPSS) {
		return parsePSS(a.Parameters.FullBytes)
	}
	return withoutNull(a)
}

// withoutNull knows the RSA algorithms with their NULL left out, which receivers have to accept
// (RFC 4055 section 5).
func withoutNull(a algorithmIdentifier) (scheme, error) {
	if len(a.Parameters.FullBytes) > 0 {
		return scheme{}, errAlgorithm
	}
	for oid, hash := range map[string]crypto.Hash{
		"1.2.840.113549.1.1.11": crypto.SHA256,
		"1.2.840.113549.1.1.12": crypto.SHA384,
		"1.2.840.113549.1.1.13": crypto.SHA512,
	} {
		if a.Algorithm.String() == oid {
			return scheme{family: pkcs1, hash: hash}, nil
		}
	}
	return scheme{}, errAlgorithm
}

type algorithmIdentifier struct {
	Algorithm  asn1.ObjectIdentifier
	Parameters asn1.RawValue `asn1:"optional"`
}

// pssParameters is RSASSA-PSS-params, RFC 4055 section 3.1. Hash and MGF are mandatory here: their
// defaults are SHA-1.
type pssParameters struct {
	Hash    algorithmIdentifier `asn1:"explicit,tag:0"`
	MGF     algorithmIdentifier `asn1:"explicit,tag:1"`
	Salt    int                 `asn1:"optional,explicit,tag:2,default:20"`
	Trailer int                 `asn1:"optional,explicit,tag:3,default:1"`
}

var (
	oidPSS  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
)

// parsePSS reads parameters that are not spelled as ours: another salt length, an explicit trailer
// field, a NULL left out.
func parsePSS(der []byte) (scheme, error) {
	var p pssParameters
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 {
		return scheme{}, errors.New("the parameters of RSASSA-PSS are malformed or stand for SHA-1: the peer has to name SHA-256, SHA-384 or SHA-512")
	}
	var inner algorithmIdentifier
	if rest, err := asn1.Unmarshal(p.MGF.Parameters.FullBytes, &inner); err != nil || len(rest) > 0 || !p.MGF.Algorithm.Equal(oidMGF1) {
		return scheme{}, errors.New("the mask generation function of RSASSA-PSS is not MGF1")
	}
	hash, ok := hashByOID(p.Hash.Algorithm)
	if mgf, _ := hashByOID(inner.Algorithm); !ok || mgf != hash {
		return scheme{}, errors.New("RSASSA-PSS has to use SHA-256, SHA-384 or SHA-512, and the same one in MGF1")
	}
	// A salt of 0 octets is refused because crypto/rsa takes 0 for "any"; nobody sends it.
	if p.Trailer != 1 || p.Salt < 1 || p.Salt > maxRSABits/8 {
		return scheme{}, errors.New("the salt length or trailer field of RSASSA-PSS is out of range")
	}
	return scheme{pss, hash, p.Salt}, nil
}

func hashByOID(oid asn1.ObjectIdentifier) (crypto.Hash, bool) {
	switch oid.String() {
	case "2.16.840.1.101.3.4.2.1":
		return crypto.SHA256, true
	case "2.16.840.1.101.3.4.2.2":
		return crypto.SHA384, true
	case "2.16.840.1.101.3.4.2.3":
		return crypto.SHA512, true
	}
	return 0, false
}
