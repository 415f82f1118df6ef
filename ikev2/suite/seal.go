package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"

	"flexvpn/secret"
)

// Why a protected message could not be opened.
var (
	// ErrIntegrity says that nothing in the message can be believed: it is too short, or it was not
	// sealed with this key.
	ErrIntegrity = errors.New("integrity check failed")
	// ErrPadding says that the peer itself sealed something malformed.
	ErrPadding = errors.New("the padding of an authentic message is longer than the message")
)

// An Encrypted payload's body, RFC 7296 section 3.14 and RFC 5282 section 3:
//
//	IV (8 with an AEAD, 16 with AES-CBC) | ciphertext of: payloads, padding, pad length | ICV
const (
	aeadIV  = 8
	aeadICV = 16
)

// SealedLen is the length of what Seal appends for a plaintext.
func (s IKE) SealedLen(plain int) int {
	if s.cipher().aead != nil {
		return aeadIV + plain + 1 + aeadICV
	}
	return aes.BlockSize + padded(plain) + mustInteg(s.Integ).icv
}

// padded is the length of plain octets with padding and pad length, whole blocks of AES-CBC.
func padded(plain int) int { return (plain/aes.BlockSize + 1) * aes.BlockSize }

// Seal appends IV, ciphertext and integrity check value to dst, which holds the whole message up to
// there: the IKE header and the generic header of the SK or SKF payload, lengths included. All of
// dst is authenticated with the plaintext. plain must not overlap dst.
func (s IKE) Seal(dst []byte, encr, integ secret.Bytes, plain []byte) []byte {
	row := s.cipher()
	if row.aead == nil {
		return sealCBC(dst, encr.Reveal(), mustInteg(s.Integ), integ.Reveal(), plain)
	}
	aead, salt := row.open(encr)
	iv := nonceIV(dst)
	nonce := append(append(make([]byte, 0, saltSize+aeadIV), salt...), iv[:]...)
	start := len(dst)
	dst = slices.Grow(dst, aeadIV+len(plain)+1+aeadICV)
	dst = append(dst, iv[:]...)
	dst = append(dst, plain...)
	dst = append(dst, 0) // pad length: RFC 5282 section 3 asks for no padding
	return aead.Seal(dst[:start+aeadIV], nonce, dst[start+aeadIV:], dst[:start])
}

// open makes the AEAD of a key with its salt.
func (row *cipherRow) open(encr secret.Bytes) (aead cipher.AEAD, salt []byte) {
	key := encr.Reveal()
	if len(key) != row.key {
		panic("BUG: suite: a key of the wrong length for " + row.config)
	}
	aead, err := row.aead(key[:len(key)-saltSize])
	if err != nil {
		panic("BUG: suite: " + row.config + ": " + err.Error())
	}
	return aead, key[len(key)-saltSize:]
}

// nonceIV is the IV of an AEAD, which must never repeat under one key (RFC 5282 section 3.1). A key
// serves one end of an SA, whose messages differ in response flag, message id and fragment number:
//
//	response flag 1 bit | message id 31 bits | fragment number 8 bits | random 24 bits
//
// The random part is for messages that are sealed a second time with other contents, such as those
// of an SA that was restored from a state written down a little earlier.
func nonceIV(message []byte) (iv [aeadIV]byte) {
	const (
		nextPayload = 16 // offsets in the IKE header, RFC 7296 section 3.1
		flags       = 19
		messageID   = 20
		header      = 28
		response    = 0x20
		fragment    = 53 // SKF, whose header ends in number and total, RFC 7383 section 2.5
	)
	_, _ = rand.Read(iv[:]) // cannot fail: crypto/rand stops the program rather
	if len(message) < header+4 {
		return iv
	}
	id := binary.BigEndian.Uint32(message[messageID:]) &^ (1 << 31)
	if message[flags]&response != 0 {
		id |= 1 << 31
	}
	binary.BigEndian.PutUint32(iv[:], id)
	iv[4] = 0
	if message[nextPayload] == fragment {
		iv[4] = message[len(message)-3]
	}
	return iv
}

// sealCBC encrypts, then authenticates everything from the header on (RFC 7296 section 3.14).
func sealCBC(dst, encr []byte, row *integRow, integ, plain []byte) []byte {
	size := padded(len(plain))
	dst = slices.Grow(dst, aes.BlockSize+size+row.icv)
	start := len(dst)
	dst = dst[:start+aes.BlockSize+size]
	iv, text := dst[start:start+aes.BlockSize], dst[start+aes.BlockSize:]
	_, _ = rand.Read(iv) // unpredictable, as CBC needs it
	clear(text[copy(text, plain):])
	text[size-1] = byte(size - len(plain) - 1)
	cipher.NewCBCEncrypter(newAES(encr), iv).CryptBlocks(text, text)
	return append(dst, checkValue(row, integ, dst)...)
}

func checkValue(row *integRow, key, data []byte) []byte {
	mac := hmac.New(row.hash, key)
	mac.Write(data)
	return mac.Sum(nil)[:row.icv]
}

func newAES(key []byte) cipher.Block {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("BUG: suite: " + err.Error())
	}
	return block
}

// Open checks and decrypts a protected message whose IV starts at offset. The plaintext is freshly
// allocated, without padding; datagram stays as it is. Nothing is decrypted that was not
// authenticated. Any input is safe; the error is ErrIntegrity or ErrPadding.
func (s IKE) Open(datagram []byte, offset int, encr, integ secret.Bytes) (plain []byte, err error) {
	if offset < 0 || offset > len(datagram) {
		return nil, ErrIntegrity
	}
	row := s.cipher()
	if row.aead == nil {
		plain, err = openCBC(datagram, offset, encr.Reveal(), mustInteg(s.Integ), integ.Reveal())
	} else {
		plain, err = row.openAEAD(datagram, offset, encr)
	}
	if err != nil {
		return nil, err
	}
	return unpad(plain)
}

func (row *cipherRow) openAEAD(datagram []byte, offset int, encr secret.Bytes) ([]byte, error) {
	body := datagram[offset:]
	if len(body) < aeadIV+1+aeadICV {
		return nil, ErrIntegrity
	}
	aead, salt := row.open(encr)
	nonce := append(append(make([]byte, 0, saltSize+aeadIV), salt...), body[:aeadIV]...)
	plain, err := aead.Open(nil, nonce, body[aeadIV:], datagram[:offset])
	if err != nil {
		return nil, ErrIntegrity
	}
	return plain, nil
}

func openCBC(datagram []byte, offset int, encr []byte, row *integRow, integ []byte) ([]byte, error) {
	end := len(datagram) - row.icv
	size := end - offset - aes.BlockSize
	if size < aes.BlockSize || size%aes.BlockSize != 0 {
		return nil, ErrIntegrity
	}
	if !hmac.Equal(checkValue(row, integ, datagram[:end]), datagram[end:]) {
		return nil, ErrIntegrity
	}
	plain := make([]byte, size)
	iv, text := datagram[offset:offset+aes.BlockSize], datagram[offset+aes.BlockSize:end]
	cipher.NewCBCDecrypter(newAES(encr), iv).CryptBlocks(plain, text)
	return plain, nil
}

// unpad takes padding and pad length off. Peers may pad as they like (RFC 7296 section 3.14). This
// runs on authentic text only, so its timing tells nothing to a forger.
func unpad(plain []byte) ([]byte, error) {
	last := len(plain) - 1
	pad := int(plain[last])
	if pad > last {
		return nil, ErrPadding
	}
	return plain[:last-pad], nil
}
