// Package floor is the bare cryptography of one handshake, straight from the standard library: the
// yardstick of the bench figure handshake_cpu_over_crypto. Nothing but benchmarks uses it.
package floor

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
)

// Sizes of a handshake with X25519, AES-256-GCM and PRF-SHA2-384, as our own two ends exchange it.
const (
	prfSize     = 48
	cipherKey   = 36 // AES-256 and salt
	initMessage = 400
	authRequest = 350
	authReply   = 300
	nonceSize   = 32
)

// peer is the other end: its work is not measured.
var peer = newPeer()

type remote struct {
	public                      []byte
	initRequest, initReply      []byte
	psk, nonces, spis, identity []byte
	request, reply              []byte
}

func newPeer() remote {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		panic("BUG: floor: " + err.Error())
	}
	return remote{
		public:      key.PublicKey().Bytes(),
		initRequest: make([]byte, initMessage), initReply: make([]byte, initMessage),
		psk: make([]byte, 32), nonces: make([]byte, 2*nonceSize), spis: make([]byte, 16), identity: make([]byte, 32),
		request: make([]byte, authRequest), reply: make([]byte, authReply),
	}
}

// Handshake does once what a responder computes in a handshake with a pre-shared key: a key pair of
// X25519 and the shared secret; SKEYSEED and the seven keys; the peer's AUTH value and its own; the
// keys of the first Child SA; one message opened, one sealed. It returns what it made, so that
// nothing can be optimized away.
func Handshake() byte {
	shared := exchange()
	seed := prf(peer.nonces, shared)
	keys := expand(seed, 3*prfSize+2*cipherKey, peer.nonces, peer.spis)
	d, ei, er := keys[:prfSize], keys[prfSize:prfSize+cipherKey], keys[prfSize+cipherKey:prfSize+2*cipherKey]
	pi, pr := keys[len(keys)-2*prfSize:len(keys)-prfSize], keys[len(keys)-prfSize:]

	opened := open(ei, peer.request)
	theirs := auth(pi, peer.initRequest)
	ours := auth(pr, peer.initReply)
	children := expand(d, 2*cipherKey, peer.nonces)
	sealed := seal(er, peer.reply)
	return byte(subtle.ConstantTimeCompare(theirs, ours)) ^ children[0] ^ sealed[0] ^ opened[0]
}

func exchange() []byte {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		panic("BUG: floor: " + err.Error())
	}
	public, err := ecdh.X25519().NewPublicKey(peer.public)
	if err != nil {
		panic("BUG: floor: " + err.Error())
	}
	shared, err := key.ECDH(public)
	if err != nil {
		panic("BUG: floor: " + err.Error())
	}
	return shared
}

func prf(key []byte, data ...[]byte) []byte {
	mac := hmac.New(sha512.New384, key)
	for _, d := range data {
		mac.Write(d)
	}
	return mac.Sum(nil)
}

func expand(key []byte, n int, seed ...[]byte) []byte {
	mac := hmac.New(sha512.New384, key)
	out := make([]byte, 0, n+prfSize)
	for i := byte(1); len(out) < n; i++ {
		if i > 1 {
			mac.Reset()
			mac.Write(out[len(out)-prfSize:])
		}
		for _, s := range seed {
			mac.Write(s)
		}
		mac.Write([]byte{i})
		out = mac.Sum(out)
	}
	return out[:n]
}

func auth(key, message []byte) []byte {
	id := prf(key, peer.identity)
	return prf(prf(peer.psk, []byte("Key Pad for IKEv2")), message, peer.nonces[:nonceSize], id)
}

func gcm(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key[:32])
	if err != nil {
		panic("BUG: floor: " + err.Error())
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("BUG: floor: " + err.Error())
	}
	return aead
}

// nonce has zeros where a message has its IV.
func nonce(key []byte) []byte { return append(key[32:cipherKey:cipherKey], make([]byte, 8)...) }

func seal(key, message []byte) []byte {
	return gcm(key).Seal(nil, nonce(key), message, peer.spis)
}

// open seals as well: nobody has sealed a message with keys that are as new as these, and in GCM
// either direction is the same work.
func open(key, message []byte) []byte { return seal(key, message) }
