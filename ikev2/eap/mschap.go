package eap

import (
	"crypto/des" //nolint:gosec // MSCHAPv2 is defined over it
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"unicode/utf16"

	//lint:ignore SA1019 MSCHAPv2 is defined over MD4 (RFC 2759 section 8.3)
	"golang.org/x/crypto/md4" //nolint:staticcheck // likewise

	"flexvpn/secret"
)

// The computations of MSCHAPv2 (RFC 2759 section 8) and of its key (RFC 3079 section 3). DES, MD4 and
// SHA-1 are its own; what protects a login here is the IKE SA around it.

const (
	challengeLen = 16
	ntHashLen    = 16
	ntRespLen    = 24
)

// NTHash is what a password is to MSCHAPv2: MD4 over UTF-16LE (RFC 2759 section 8.3).
func NTHash(password secret.Bytes) secret.Bytes {
	text := utf16.Encode([]rune(string(password.Reveal())))
	le := make([]byte, 0, 2*len(text))
	for _, u := range text {
		le = binary.LittleEndian.AppendUint16(le, u)
	}
	clear(text)
	defer clear(le)
	return secret.New(md4Sum(le))
}

func md4Sum(b []byte) []byte {
	h := md4.New()
	_, _ = h.Write(b)
	return h.Sum(nil)
}

func sha1Sum(parts ...[]byte) []byte {
	h := sha1.New()
	for _, p := range parts {
		_, _ = h.Write(p)
	}
	return h.Sum(nil)
}

// challengeHash is section 8.2; a domain before the name does not count.
func challengeHash(peer, server []byte, user string) []byte {
	if _, name, ok := strings.Cut(user, `\`); ok {
		user = name
	}
	return sha1Sum(peer, server, []byte(user))[:8]
}

// ntResponse is what proves the password: three DES blocks under the hash, filled up with zeros
// (sections 8.1 and 8.5).
func ntResponse(ntHash secret.Bytes, challenge []byte) []byte {
	key := make([]byte, 21)
	copy(key, ntHash.Reveal())
	defer clear(key)
	out := make([]byte, 0, ntRespLen)
	for i := range 3 {
		block, err := des.NewCipher(desKey(key[7*i : 7*i+7])) //nolint:gosec // see above
		if err != nil {
			panic("BUG: eap: " + err.Error())
		}
		var sealed [8]byte
		block.Encrypt(sealed[:], challenge)
		out = append(out, sealed[:]...)
	}
	return out
}

// desKey spreads 56 bits over eight octets, whose lowest bit is parity and does not count.
func desKey(b []byte) []byte {
	var n uint64
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	key := make([]byte, 8)
	for i := range key {
		key[i] = byte(n>>(49-7*i)) << 1
	}
	return key
}

// The texts of RFC 2759 section 8.7 and RFC 3079 section 3.4.
const (
	magicSigning = "Magic server to client signing constant"
	magicPad     = "Pad to make it do more than one iteration"
	magicMaster  = "This is the MPPE Master Key"
	magicSend    = "On the client side, this is the send key; on the server side, it is the receive key."
	magicReceive = "On the client side, this is the receive key; on the server side, it is the send key."
)

// authenticatorResponse is how the server proves that it knows the password too: "S=" and 40 digits.
func authenticatorResponse(ntHash secret.Bytes, ntResponse, challenge []byte) string {
	digest := sha1Sum(md4Sum(ntHash.Reveal()), ntResponse, []byte(magicSigning))
	digest = sha1Sum(digest, challenge, []byte(magicPad))
	return "S=" + strings.ToUpper(hex.EncodeToString(digest))
}

// mschapKey is the MSK of EAP-MSCHAPv2: the server's receive and send key of RFC 3079 with 128 bits
// each, filled up with zeros to 64 octets.
func mschapKey(ntHash secret.Bytes, ntResponse []byte) secret.Bytes {
	master := sha1Sum(md4Sum(ntHash.Reveal()), ntResponse, []byte(magicMaster))[:16]
	defer clear(master)
	pad1, pad2 := make([]byte, 40), []byte(strings.Repeat("\xf2", 40))
	msk := make([]byte, 64)
	copy(msk, sha1Sum(master, pad1, []byte(magicSend), pad2)[:16])
	copy(msk[16:], sha1Sum(master, pad1, []byte(magicReceive), pad2)[:16])
	return secret.New(msk)
}
