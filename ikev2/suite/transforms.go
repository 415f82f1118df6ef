package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

// IANA numbers of the transforms that rules in this package mention. All others stand in the tables only.
const (
	encrAESCBC   uint16 = 12
	encrAESGCM   uint16 = 20
	encrChaCha20 uint16 = 28

	prfSHA1   uint16 = 2
	integSHA1 uint16 = 2
	none      uint16 = 0 // INTEG, KE: none; ESN: 32-bit sequence numbers
)

// saltSize is the implicit part of an AEAD nonce: it stands behind the key in keying material
// (RFC 5282 section 7.1, RFC 7634 section 2).
const saltSize = 4

// A cipherRow is one encryption transform at one key size.
type cipherRow struct {
	Cipher
	name   string // as show prints it, without the key size
	config string // as the configuration spells it
	key    int    // octets of keying material, salt included
	aead   func(key []byte) (cipher.AEAD, error)
}

// ciphers are the encryption transforms: RFC 3602, RFC 5282, RFC 7634. The menu of a peer's
// proposal keeps one bit for each row.
var ciphers = [...]cipherRow{
	{Cipher{encrAESCBC, 128}, "AES-CBC", "aes-cbc-128", 16, nil},
	{Cipher{encrAESCBC, 192}, "AES-CBC", "aes-cbc-192", 24, nil},
	{Cipher{encrAESCBC, 256}, "AES-CBC", "aes-cbc-256", 32, nil},
	{Cipher{encrAESGCM, 128}, "AES-GCM", "aes-gcm-128", 16 + saltSize, newGCM},
	{Cipher{encrAESGCM, 192}, "AES-GCM", "aes-gcm-192", 24 + saltSize, newGCM},
	{Cipher{encrAESGCM, 256}, "AES-GCM", "aes-gcm-256", 32 + saltSize, newGCM},
	// The key length attribute is absent: RFC 7634 section 4.
	{Cipher{encrChaCha20, 0}, "ChaCha20-Poly1305", "chacha20-poly1305", 32 + saltSize, chacha20poly1305.New},
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// A prfRow is one pseudo-random function; all of ours are HMACs, which take a key of any length.
type prfRow struct {
	id     uint16
	name   string
	config string
	macs   *sync.Pool
	size   int // of output and of derived keys
}

// prfs are the pseudo-random functions: RFC 2104, RFC 4868.
var prfs = [...]prfRow{
	{prfSHA1, "SHA1", "sha1", macs(sha1.New), 20},
	{5, "SHA256", "sha256", macs(sha256.New), 32},
	{6, "SHA384", "sha384", macs(sha512.New384), 48},
	{7, "SHA512", "sha512", macs(sha512.New), 64},
}

// An integRow is one integrity transform.
type integRow struct {
	id     uint16
	name   string
	config string
	hash   func() hash.Hash
	key    int // octets
	icv    int // octets that travel
}

// integs are the integrity transforms: RFC 2404, RFC 4868.
var integs = [...]integRow{
	{integSHA1, "SHA1", "sha1", sha1.New, 20, 12},
	{12, "SHA256", "sha256", sha256.New, 32, 16},
	{13, "SHA384", "sha384", sha512.New384, 48, 24},
	{14, "SHA512", "sha512", sha512.New, 64, 32},
}

// A groupRow is one key exchange method; how it works stands in ke.go.
type groupRow struct {
	id     uint16
	name   string // as show and the configuration have it
	method method
}

// groups are the key exchange methods: RFC 2409, RFC 3526, RFC 5903, RFC 8031.
var groups = [...]groupRow{
	{2, "modp1024", modp1024},
	{5, "modp1536", modp1536},
	{14, "modp2048", modp2048},
	{15, "modp3072", modp3072},
	{16, "modp4096", modp4096},
	{19, "ecp256", ecp256},
	{20, "ecp384", ecp384},
	{21, "ecp521", ecp521},
	{31, "x25519", x25519},
}

func findCipher(c Cipher) *cipherRow {
	for i := range ciphers {
		if ciphers[i].Cipher == c {
			return &ciphers[i]
		}
	}
	return nil
}

func findPRF(id uint16) *prfRow {
	for i := range prfs {
		if prfs[i].id == id {
			return &prfs[i]
		}
	}
	return nil
}

func findInteg(id uint16) *integRow {
	for i := range integs {
		if integs[i].id == id {
			return &integs[i]
		}
	}
	return nil
}

func findGroup(id uint16) *groupRow {
	for i := range groups {
		if groups[i].id == id {
			return &groups[i]
		}
	}
	return nil
}

// isAEAD reports whether a cipher brings its own integrity (RFC 5282).
func (c Cipher) isAEAD() bool { return c.ID == encrAESGCM || c.ID == encrChaCha20 }

// cipher is the row of s. Whoever holds an IKE or ESP got it from Choose or Accept, which give
// only what the tables have.
func (s IKE) cipher() *cipherRow { return mustCipher(Cipher{s.Encr, s.KeyBits}) }

func (s ESP) cipher() *cipherRow { return mustCipher(Cipher{s.Encr, s.KeyBits}) }

func (s IKE) prf() *prfRow {
	row := findPRF(s.PRF)
	if row == nil {
		panic("BUG: suite: an IKE suite with a PRF that was never negotiated: " + s.String())
	}
	return row
}

func mustCipher(c Cipher) *cipherRow {
	row := findCipher(c)
	if row == nil {
		panic("BUG: suite: a cipher that was never negotiated: " + cipherText(c))
	}
	return row
}

// mustInteg is the integrity transform that a cipher without its own needs.
func mustInteg(id uint16) *integRow {
	row := findInteg(id)
	if row == nil {
		panic("BUG: suite: an integrity algorithm that was never negotiated: " + IntegName(id))
	}
	return row
}
