package suite

import (
	"encoding/binary"

	"flexvpn/secret"
)

// Sum is the negotiated prf(key, data), the data joined.
func (s IKE) Sum(key secret.Bytes, data ...[]byte) []byte {
	return s.prf().sum(key.Reveal(), data...)
}

func (p *prfRow) sum(key []byte, data ...[]byte) []byte {
	m := p.take(key)
	defer p.give(m)
	for _, d := range data {
		m.inner.Write(d)
	}
	return m.sum(make([]byte, 0, p.size))
}

// expand is prf+ for n octets, RFC 7296 section 2.13:
//
//	prf+(K,S) = T1 | T2 | …   T1 = prf(K, S | 0x01)   Tn = prf(K, Tn-1 | S | n)
func (p *prfRow) expand(key []byte, n int, seed ...[]byte) []byte {
	m := p.take(key)
	defer p.give(m)
	m.save()
	out := make([]byte, 0, n+p.size)
	for i := byte(1); len(out) < n; i++ {
		if i > 1 {
			m.again()
			m.inner.Write(out[len(out)-p.size:])
		}
		for _, s := range seed {
			m.inner.Write(s)
		}
		m.inner.Write([]byte{i})
		out = m.sum(out)
	}
	return out[:n]
}

// Derive makes the keys of a new IKE SA, RFC 7296 section 2.14: SKEYSEED = prf(Ni | Nr, g^ir).
func (s IKE) Derive(ni, nr []byte, shared secret.Bytes, spii, spir uint64) IKEKeys {
	nonces := append(append(make([]byte, 0, len(ni)+len(nr)), ni...), nr...)
	return s.keys(s.prf().sum(nonces, shared.Reveal()), ni, nr, spii, spir)
}

// DeriveRekey makes the keys of an IKE SA that replaces another, RFC 7296 section 2.18: SKEYSEED is
// prf(SK_d (old), g^ir (new) | Ni | Nr) by the old SA's prf, the rest follows by the new one's.
func (s IKE) DeriveRekey(old IKE, oldD, shared secret.Bytes, ni, nr []byte, spii, spir uint64) IKEKeys {
	return s.keys(old.prf().sum(oldD.Reveal(), shared.Reveal(), ni, nr), ni, nr, spii, spir)
}

// keys is the second half of both: {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr}
// = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr).
func (s IKE) keys(seed, ni, nr []byte, spii, spir uint64) IKEKeys {
	var spis [16]byte
	binary.BigEndian.PutUint64(spis[:8], spii)
	binary.BigEndian.PutUint64(spis[8:], spir)
	prf, encr, integ := s.prf(), s.cipher().key, s.integKey()
	material := prf.expand(seed, 3*prf.size+2*encr+2*integ, ni, nr, spis[:])
	clear(seed)
	return IKEKeys{
		D:  cut(&material, prf.size),
		AI: cut(&material, integ),
		AR: cut(&material, integ),
		EI: cut(&material, encr),
		ER: cut(&material, encr),
		PI: cut(&material, prf.size),
		PR: cut(&material, prf.size),
	}
}

// integKey is the length of SK_a: none with an AEAD cipher (RFC 5282 section 7.1).
func (s IKE) integKey() int { return integKey(Cipher{s.Encr, s.KeyBits}, s.Integ) }

func integKey(c Cipher, integ uint16) int {
	if c.isAEAD() {
		return 0
	}
	return mustInteg(integ).key
}

// ChildKeys makes the keys of a Child SA, RFC 7296 section 2.17: KEYMAT = prf+(SK_d, [g^ir] | Ni | Nr),
// the initiator's direction first, encryption before integrity. I is the exchange's initiator, R
// its responder. Encryption keys carry the salt of AEAD ciphers at their end; shared is empty
// without a key exchange, integrity keys are with AEAD ciphers.
func ChildKeys(ike IKE, d secret.Bytes, s ESP, shared secret.Bytes, ni, nr []byte) (encrI, integI, encrR, integR secret.Bytes) {
	encr, integ := s.cipher().key, integKey(Cipher{s.Encr, s.KeyBits}, s.Integ)
	material := ike.prf().expand(d.Reveal(), 2*encr+2*integ, shared.Reveal(), ni, nr)
	encrI, integI = cut(&material, encr), cut(&material, integ)
	encrR, integR = cut(&material, encr), cut(&material, integ)
	return encrI, integI, encrR, integR
}

// cut takes the next n octets of keying material. The keys of one derivation share its memory.
func cut(material *[]byte, n int) secret.Bytes {
	if n == 0 {
		return secret.Bytes{}
	}
	key := (*material)[:n:n]
	*material = (*material)[n:]
	return secret.New(key)
}
