package suite

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"flexvpn/secret"
)

// suites has every cipher, the ones without AEAD with every integrity algorithm.
func suites() []IKE {
	var out []IKE
	for _, c := range ciphers {
		if c.isAEAD() {
			out = append(out, IKE{Encr: c.ID, KeyBits: c.KeyBits, PRF: 5, Group: 31})
			continue
		}
		for _, i := range integs {
			out = append(out, IKE{Encr: c.ID, KeyBits: c.KeyBits, PRF: 5, Integ: i.id, Group: 31})
		}
	}
	return out
}

func keysFor(s IKE) IKEKeys {
	return s.Derive([]byte("nonce of the initiator"), []byte("nonce of the responder"), secret.FromString("shared"), 1, 2)
}

// message is a header of IKE with the generic header of SK or SKF, as Seal wants it.
func message(next byte, id uint32, response bool, fragment uint16) []byte {
	m := make([]byte, 28, 64)
	m[16], m[17], m[18] = next, 0x20, 35
	if response {
		m[19] = 0x20
	}
	binary.BigEndian.PutUint32(m[20:], id)
	m = append(m, 33, 0, 1, 0)
	if next == 53 {
		m = binary.BigEndian.AppendUint16(m, fragment)
		m = binary.BigEndian.AppendUint16(m, 9)
	}
	return m
}

func TestSealOpen(t *testing.T) {
	for _, s := range suites() {
		t.Run(s.String(), func(t *testing.T) {
			k := keysFor(s)
			for n := range 70 {
				plain := bytes.Repeat([]byte{byte(n)}, n)
				head := message(46, uint32(n), false, 0)
				sealed := s.Seal(bytes.Clone(head), k.EI, k.AI, plain)
				if got := len(sealed) - len(head); got != s.SealedLen(n) {
					t.Fatalf("%d octets became %d, SealedLen says %d", n, got, s.SealedLen(n))
				}
				if !bytes.Equal(sealed[:len(head)], head) {
					t.Fatal("the header was changed")
				}
				before := bytes.Clone(sealed)
				got, err := s.Open(sealed, len(head), k.EI, k.AI)
				if err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("opened %x (%v), want %x", got, err, plain)
				}
				if !bytes.Equal(sealed, before) {
					t.Fatal("Open changed the datagram")
				}
				if _, err := s.Open(sealed, len(head), k.ER, k.AR); !errors.Is(err, ErrIntegrity) {
					t.Fatalf("the other direction's keys open it: %v", err)
				}
			}
		})
	}
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	for _, s := range suites() {
		k := keysFor(s)
		head := message(46, 7, false, 0)
		sealed := s.Seal(head, k.EI, k.AI, []byte("sixteen octets ++ and then some"))
		for i := range 8 * len(sealed) {
			bad := bytes.Clone(sealed)
			bad[i/8] ^= 1 << (i % 8)
			if _, err := s.Open(bad, len(head), k.EI, k.AI); !errors.Is(err, ErrIntegrity) {
				t.Errorf("%s: bit %d flipped: %v", s, i, err)
			}
		}
	}
}

func TestEveryPrefixIsRefused(t *testing.T) {
	for _, s := range suites() {
		k := keysFor(s)
		head := message(46, 7, false, 0)
		sealed := s.Seal(head, k.EI, k.AI, []byte("sixteen octets ++ and then some"))
		for n := range sealed {
			for _, offset := range []int{0, min(n, len(head)), n, n + 1, -1} {
				if _, err := s.Open(sealed[:n], offset, k.EI, k.AI); !errors.Is(err, ErrIntegrity) {
					t.Errorf("%s: cut to %d octets, opened at %d: %v", s, n, offset, err)
				}
			}
		}
	}
}

// RFC 7634 appendix B: a whole message of IKEv2.
func TestChaCha20Poly1305Vector(t *testing.T) {
	s := IKE{Encr: encrChaCha20, PRF: 5, Group: 31}
	key := unhex(t, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f a0a1a2a3")
	datagram := unhex(t, "c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d72e202500000000090000004529000029"+
		"1011121314151617"+"610394701f8d017f7c12924889"+"6b71bfe25236efd7cdc67066906315b2")
	got, err := s.Open(datagram, 32, secret.New(key), secret.Bytes{})
	if want := unhex(t, "0000000c000040010000000a"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("opened %x (%v), want %x", got, err, want)
	}
	if len(datagram)-32 != s.SealedLen(12) {
		t.Errorf("SealedLen is %d, the vector has %d octets", s.SealedLen(12), len(datagram)-32)
	}
}

// RFC 5282 and RFC 3602 have no vectors for IKE: the layout is taken apart by hand.
func TestLayoutByHand(t *testing.T) {
	plain := []byte("payloads")
	head := message(46, 7, false, 0)

	gcm := IKE{Encr: encrAESGCM, KeyBits: 256, PRF: 6, Group: 31}
	k := keysFor(gcm)
	sealed := gcm.Seal(bytes.Clone(head), k.EI, k.AI, plain)
	key := k.EI.Reveal()
	block, err := aes.NewCipher(key[:32])
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := append(bytes.Clone(key[32:36]), sealed[32:40]...)
	if got, err := aead.Open(nil, nonce, sealed[40:], head); err != nil || !bytes.Equal(got, append(plain, 0)) {
		t.Errorf("AES-GCM: %x (%v)", got, err)
	}

	cbc := IKE{Encr: encrAESCBC, KeyBits: 128, PRF: 5, Integ: 12, Group: 31}
	k = keysFor(cbc)
	sealed = cbc.Seal(bytes.Clone(head), k.EI, k.AI, plain)
	end := len(sealed) - 16
	if mac := (IKE{PRF: 5}).Sum(k.AI, sealed[:end]); !bytes.Equal(mac[:16], sealed[end:]) {
		t.Error("AES-CBC: the integrity check value does not cover header to ciphertext")
	}
	if block, err = aes.NewCipher(k.EI.Reveal()); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, end-48)
	cipher.NewCBCDecrypter(block, sealed[32:48]).CryptBlocks(text, sealed[48:end])
	if want := append([]byte("payloads"), 0, 0, 0, 0, 0, 0, 0, 7); !bytes.Equal(text, want) {
		t.Errorf("AES-CBC: %x, want %x", text, want)
	}
}

// "…the recipient MUST accept any length that results in proper alignment" (RFC 7296 section 3.14),
// and a length beyond the message is the peer's own mistake.
func TestPeersPadding(t *testing.T) {
	for _, s := range []IKE{{Encr: encrAESGCM, KeyBits: 128, PRF: 5, Group: 31}, {Encr: encrAESCBC, KeyBits: 128, PRF: 5, Integ: 12, Group: 31}} {
		k := keysFor(s)
		for _, pad := range []int{0, 15, 16, 47, 255} {
			for _, lie := range []bool{false, true} {
				body := append([]byte("P"), bytes.Repeat([]byte{0xaa}, pad)...)
				for s.Encr == encrAESCBC && (len(body)+1)%16 != 0 {
					body = append([]byte("P"), body...)
				}
				want := len(body) - pad
				last := byte(pad)
				if lie {
					last = byte(len(body) + 1)
				}
				if lie && len(body)+1 > 255 {
					continue
				}
				head := message(46, 1, false, 0)
				sealed := sealRaw(t, s, k, head, append(body, last))
				got, err := s.Open(sealed, len(head), k.EI, k.AI)
				switch {
				case lie && !errors.Is(err, ErrPadding):
					t.Errorf("%s: pad length %d of %d octets: %v", s, last, len(body), err)
				case !lie && (err != nil || len(got) != want):
					t.Errorf("%s: %d octets of padding: %d octets left (%v), want %d", s, pad, len(got), err, want)
				}
			}
		}
	}
}

// sealRaw seals a plaintext that brings its own padding.
func sealRaw(t *testing.T, s IKE, k IKEKeys, head, padded []byte) []byte {
	t.Helper()
	out := bytes.Clone(head)
	row := s.cipher()
	if row.aead != nil {
		aead, salt := row.open(k.EI)
		iv := []byte("12345678")
		return aead.Seal(append(out, iv...), append(bytes.Clone(salt), iv...), padded, head)
	}
	iv := make([]byte, 16)
	_, _ = rand.Read(iv)
	text := bytes.Clone(padded)
	cipher.NewCBCEncrypter(newAES(k.EI.Reveal()), iv).CryptBlocks(text, text)
	out = append(append(out, iv...), text...)
	return append(out, checkValue(mustInteg(s.Integ), k.AI.Reveal(), out)...)
}

// "…MUST be chosen by the encryptor in a manner that ensures that the same IV value is used only
// once for a given encryption key" (RFC 5282 section 3.1).
func TestIVsNeverRepeat(t *testing.T) {
	s := IKE{Encr: encrAESGCM, KeyBits: 256, PRF: 6, Group: 31}
	k := keysFor(s)
	seen := map[string]string{}
	note := func(what string, head []byte) {
		sealed := s.Seal(bytes.Clone(head), k.EI, k.AI, []byte("plain"))
		fixed := string(sealed[len(head) : len(head)+5]) // what does not depend on chance
		if old, ok := seen[fixed]; ok {
			t.Errorf("%s and %s may have one IV", old, what)
		}
		seen[fixed] = what
	}
	for id := range uint32(300) {
		for _, response := range []bool{false, true} {
			note(fmt.Sprint("message ", id, response), message(46, id, response, 0))
			for fragment := uint16(1); fragment < 10; fragment++ {
				note(fmt.Sprint("fragment ", id, response, fragment), message(53, id, response, fragment))
			}
		}
	}
	head := message(46, 1, false, 0)
	again := map[string]bool{}
	for range 20 {
		again[string(s.Seal(bytes.Clone(head), k.EI, k.AI, nil)[len(head):len(head)+8])] = true
	}
	if len(again) != 20 {
		t.Errorf("a message sealed 20 times has %d IVs", len(again))
	}
}

func FuzzOpen(f *testing.F) {
	for _, s := range suites() {
		k := keysFor(s)
		f.Add(s.Seal(message(46, 7, false, 0), k.ER, k.AR, []byte("seed")), 32)
	}
	f.Fuzz(func(t *testing.T, datagram []byte, offset int) {
		for _, s := range suites() {
			k := keysFor(s)
			if _, err := s.Open(datagram, offset, k.EI, k.AI); !errors.Is(err, ErrIntegrity) {
				t.Errorf("%s: what was never sealed is opened: %v", s, err)
			}
		}
	})
}
