package userspace

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // HMAC-SHA1-96 of RFC 2404, only when configured
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"

	"flexvpn/dataplane"
	"flexvpn/secret"
)

// Transforms by IANA number (RFC 7296 section 3.3.2).
const (
	encrAESCBC           = 12
	encrAESGCM16         = 20
	encrChaCha20Poly1305 = 28

	integSHA1_96     = 2
	integSHA256_128  = 12
	integSHA384_192  = 13
	integSHA512_256  = 14
	espHeader        = 8 // SPI and sequence number
	saltSize         = 4
	aeadIV           = 8
	aeadTag          = 16
	espTrailer       = 2 // pad length and next header
	maxPad           = 255
	sequenceHighSize = 4
)

// shape is what a transform adds to a packet.
type shape struct {
	iv, icv int
	align   int // of the encrypted part
}

// padded is the length of the encrypted part: payload, padding, pad length and next header.
func (s shape) padded(payload int) int {
	return (payload + espTrailer + s.align - 1) / s.align * s.align
}

// size is the length of the ESP packet that carries payload octets.
func (s shape) size(payload int) int { return espHeader + s.iv + s.padded(payload) + s.icv }

// A sealer protects packets of one direction of an SA. It is used by one goroutine at a time.
type sealer interface {
	// seal takes a whole ESP packet whose header and padded plaintext stand in place; it writes
	// the IV, encrypts in place, and writes the ICV. seq must never be used twice.
	seal(packet []byte, seq uint64)
}

// An opener is the other direction.
type opener interface {
	// open verifies and decrypts in place. What it returns is the padded plaintext. A packet whose
	// integrity fails is left as undefined octets.
	open(packet []byte, seq uint64) (plaintext []byte, ok bool)
}

// newSealer and newOpener check the keys of one direction of a child.
func newSealer(c *dataplane.Child) (sealer, shape, error) {
	return newTransform(c, c.KeyOut, c.IntegOut)
}

func newOpener(c *dataplane.Child) (opener, shape, error) { return newTransform(c, c.KeyIn, c.IntegIn) }

type transform interface {
	sealer
	opener
}

func newTransform(c *dataplane.Child, key, integ secret.Bytes) (transform, shape, error) {
	switch c.Encr {
	case encrAESGCM16, encrChaCha20Poly1305:
		if c.Integ != 0 {
			return nil, shape{}, fmt.Errorf("integrity algorithm %d beside a combined-mode cipher: must be 0", c.Integ)
		}
		return newAEAD(c, key.Reveal())
	case encrAESCBC:
		return newCBC(c, key.Reveal(), integ.Reveal())
	}
	return nil, shape{}, fmt.Errorf("encryption algorithm %d: this plane has 12 (AES-CBC), 20 (AES-GCM) and 28 (ChaCha20-Poly1305)", c.Encr)
}

// aead is AES-GCM with a 16-octet ICV (RFC 4106) or ChaCha20-Poly1305 (RFC 7634). In both the nonce
// is the salt and the IV; the IV on the wire is the sequence number, which never repeats.
type aead struct {
	cipher.AEAD
	esn   bool
	nonce [saltSize + aeadIV]byte
	aad   [espHeader + sequenceHighSize]byte
}

func newAEAD(c *dataplane.Child, key []byte) (transform, shape, error) {
	want := int(c.KeyBits) / 8
	if c.Encr == encrChaCha20Poly1305 {
		want = chacha20poly1305.KeySize
	}
	if err := checkKey(c, key, want+saltSize); err != nil {
		return nil, shape{}, err
	}
	key, salt := key[:want], key[want:]
	a := &aead{esn: c.ESN}
	copy(a.nonce[:], salt)
	var err error
	if c.Encr == encrChaCha20Poly1305 {
		a.AEAD, err = chacha20poly1305.New(key)
	} else {
		var block cipher.Block
		if block, err = aes.NewCipher(key); err == nil {
			a.AEAD, err = cipher.NewGCM(block)
		}
	}
	return a, shape{iv: aeadIV, icv: aeadTag, align: 4}, err
}

func (a *aead) seal(packet []byte, seq uint64) {
	binary.BigEndian.PutUint64(packet[espHeader:], seq)
	copy(a.nonce[saltSize:], packet[espHeader:espHeader+aeadIV])
	body := packet[espHeader+aeadIV : len(packet)-aeadTag]
	a.Seal(body[:0], a.nonce[:], body, a.additional(packet, seq))
}

func (a *aead) open(packet []byte, seq uint64) ([]byte, bool) {
	copy(a.nonce[saltSize:], packet[espHeader:espHeader+aeadIV])
	body := packet[espHeader+aeadIV:]
	plain, err := a.Open(body[:0], a.nonce[:], body, a.additional(packet, seq))
	return plain, err == nil
}

// additional is the authenticated data of RFC 4106 section 5: the SPI and the sequence number, the
// latter whole when it is extended.
func (a *aead) additional(packet []byte, seq uint64) []byte {
	if !a.esn {
		return packet[:espHeader]
	}
	copy(a.aad[:4], packet)
	binary.BigEndian.PutUint64(a.aad[4:], seq)
	return a.aad[:]
}

// cbc is AES-CBC (RFC 3602) with an HMAC over everything before it (RFC 4303 section 3.3.2.1).
type cbc struct {
	encrypt, decrypt blockMode
	mac              hash.Hash
	icv              int
	esn              bool
	high             [sequenceHighSize]byte
	full             [sha512.Size]byte
}

// blockMode is what the standard library's CBC modes are besides cipher.BlockMode: crypto/tls counts
// on it too. It saves making a mode for every packet.
type blockMode interface {
	cipher.BlockMode
	SetIV(iv []byte)
}

// mac is one HMAC of RFC 2404 or RFC 4868.
type mac struct {
	key, icv int
	hash     func() hash.Hash
}

var macs = map[uint16]mac{
	integSHA1_96:    {key: 20, icv: 12, hash: sha1.New},
	integSHA256_128: {key: 32, icv: 16, hash: sha256.New},
	integSHA384_192: {key: 48, icv: 24, hash: sha512.New384},
	integSHA512_256: {key: 64, icv: 32, hash: sha512.New},
}

func newCBC(c *dataplane.Child, key, integ []byte) (transform, shape, error) {
	if err := checkKey(c, key, int(c.KeyBits)/8); err != nil {
		return nil, shape{}, err
	}
	m, ok := macs[c.Integ]
	if !ok {
		return nil, shape{}, fmt.Errorf("integrity algorithm %d: this plane has 2 (HMAC-SHA1-96), 12, 13 and 14 (HMAC-SHA2)", c.Integ)
	}
	if len(integ) != m.key {
		return nil, shape{}, fmt.Errorf("integrity algorithm %d: its key has %d octets, must be %d", c.Integ, len(integ), m.key)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, shape{}, err
	}
	iv := make([]byte, aes.BlockSize)
	enc, okEnc := cipher.NewCBCEncrypter(block, iv).(blockMode)
	dec, okDec := cipher.NewCBCDecrypter(block, iv).(blockMode)
	if !okEnc || !okDec {
		return nil, shape{}, fmt.Errorf("encryption algorithm %d: this build's AES-CBC cannot change its IV", c.Encr)
	}
	t := &cbc{encrypt: enc, decrypt: dec, mac: hmac.New(m.hash, integ), icv: m.icv, esn: c.ESN}
	return t, shape{iv: aes.BlockSize, icv: m.icv, align: aes.BlockSize}, nil
}

func (t *cbc) seal(packet []byte, seq uint64) {
	// RFC 3602 section 3: the IV must be unpredictable.
	iv := packet[espHeader : espHeader+aes.BlockSize]
	_, _ = rand.Read(iv) // never fails: the runtime ends the process instead
	body := packet[espHeader+aes.BlockSize : len(packet)-t.icv]
	t.encrypt.SetIV(iv)
	t.encrypt.CryptBlocks(body, body)
	copy(packet[len(packet)-t.icv:], t.sum(packet[:len(packet)-t.icv], seq))
}

func (t *cbc) open(packet []byte, seq uint64) ([]byte, bool) {
	signed, icv := packet[:len(packet)-t.icv], packet[len(packet)-t.icv:]
	body := signed[espHeader+aes.BlockSize:]
	if subtle.ConstantTimeCompare(t.sum(signed, seq), icv) != 1 || len(body)%aes.BlockSize != 0 {
		return nil, false
	}
	t.decrypt.SetIV(signed[espHeader : espHeader+aes.BlockSize])
	t.decrypt.CryptBlocks(body, body)
	return body, true
}

// sum is the ICV. With ESN the upper half of the sequence number is signed, not sent: RFC 4303
// section 2.2.1.
func (t *cbc) sum(signed []byte, seq uint64) []byte {
	t.mac.Reset()
	t.mac.Write(signed)
	if t.esn {
		binary.BigEndian.PutUint32(t.high[:], uint32(seq>>32))
		t.mac.Write(t.high[:])
	}
	return t.mac.Sum(t.full[:0])[:t.icv]
}

func checkKey(c *dataplane.Child, key []byte, want int) error {
	if c.Encr != encrChaCha20Poly1305 && c.KeyBits != 128 && c.KeyBits != 192 && c.KeyBits != 256 {
		return fmt.Errorf("encryption algorithm %d with a key of %d bits: must be 128, 192 or 256", c.Encr, c.KeyBits)
	}
	if len(key) != want {
		return fmt.Errorf("encryption algorithm %d: its key has %d octets, must be %d with the salt", c.Encr, len(key), want)
	}
	return nil
}
