package suite

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"flexvpn/secret"
)

// RFC 4231 sections 4.3 and 4.7, RFC 2202 section 3: a short key, and one longer than a block.
func TestPRFVectors(t *testing.T) {
	for _, v := range []struct {
		prf            uint16
		key, data, out string
	}{
		{2, "Jefe", "what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
		{5, "Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{6, "Jefe", "what do ya want for nothing?", "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"},
		{7, "Jefe", "what do ya want for nothing?", "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
		{5, strings.Repeat("\xaa", 131), "Test Using Larger Than Block-Size Key - Hash Key First", "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
	} {
		want := unhex(t, v.out)
		s := IKE{PRF: v.prf}
		if got := s.Sum(secret.FromString(v.key), []byte(v.data)); !bytes.Equal(got, want) {
			t.Errorf("prf %d of %q: %x, want %x", v.prf, v.data, got, want)
		}
		if got := s.Sum(secret.FromString(v.key), []byte(v.data[:5]), nil, []byte(v.data[5:])); !bytes.Equal(got, want) {
			t.Errorf("prf %d of %q in pieces: %x, want %x", v.prf, v.data, got, want)
		}
	}
}

// One of NIST's validation vectors for the IKEv2 key derivation (CAVP, SP 800-135), with SHA-1.
var cavp = struct{ shared, newShared, ni, nr, seed, keys, child, childKE, rekeySeed string }{
	shared:    "4b2c1f971981a8ad8d0abeafabf38cf75fc8349c148142465ed9c8b516b8be52",
	newShared: "863f3c9d06efd39d2b907b97f8699e5dd5251ef64a2a176f36ee40c87d4f9330",
	ni:        "32b50d5f4a3763f3",
	nr:        "9206a04b26564cb1",
	seed:      "a9a7b222b59f8f48645f28a1db5b5f5d7479cba7",
	keys:      "a14293677cc80ff8f9cc0eee30d895da9d8f405666e30ef0dfcb63c634a46002a2a63080e514a062768b76606f9fa5e992204fc5a670bde3f10d6b027113936a5c55b648a194ae587b0088d52204b702c979fa280870d2ed41efa9c549fd11198af1670b143d384bd275c5f594cf266b05ebadca855e4249520a441a81157435a7a56cc4",
	child:     "8059e3ee8810e6c3a91bc8bcd2a7a41151b8d0e6ae239c7b38093ad85ef4c5811a8e7b5d1cdabd9560b2d5e092d1f24e2d4b85eccdf0ad0dc9abd94b51ee71814ca6dbc8bb51b6309f5b9545c7eb35cf5580b1e521a8fe20754a2d883ba0c2cf285f524aea6545b33106bc03e614296d319d41d4b50b3f510b1c0a22f3e66499",
	childKE:   "bb43244c1860ad65ee1e211ffe8bb3661750c8f89cb9f547df7f4fa61d37301628190e38c66232eab4b3ab14c400a5197dd3730ed4820a8a10394d51e1c0400052f63ebd36b0e7ef53aaed31eba4a5080d7d4b5666023a8bbb5ffb7857240f9a05884d1b7d2f933708450b7b3288f1fc863ab49fa901227cffc06e27899c7054",
	rekeySeed: "63e81194946ebd05df7df5ebf5d8750056bf1f1d",
}

const (
	cavpSPIi = 0x34c9e7c188868785
	cavpSPIr = 0x3ff77d760d2b2199
)

// sha1Suite needs exactly the 132 octets of the vector: 20 + 2*20 + 2*16 + 2*20.
var sha1Suite = IKE{Encr: encrAESCBC, KeyBits: 128, PRF: prfSHA1, Integ: integSHA1, Group: 14}

func joined(all ...secret.Bytes) []byte {
	var out []byte
	for _, b := range all {
		out = append(out, b.Reveal()...)
	}
	return out
}

func (k IKEKeys) inOrder() []secret.Bytes {
	return []secret.Bytes{k.D, k.AI, k.AR, k.EI, k.ER, k.PI, k.PR}
}

func TestDeriveVector(t *testing.T) {
	ni, nr := unhex(t, cavp.ni), unhex(t, cavp.nr)
	keys := sha1Suite.Derive(ni, nr, secret.New(unhex(t, cavp.shared)), cavpSPIi, cavpSPIr)
	if got := joined(keys.inOrder()...); !bytes.Equal(got, unhex(t, cavp.keys)) {
		t.Errorf("SK_d | SK_ai | … is %x, want %s", got, cavp.keys)
	}
	// 2*32 + 2*32 octets of the 132.
	esp := ESP{Encr: encrAESCBC, KeyBits: 256, Integ: 12}
	for _, v := range []struct{ shared, want string }{{"", cavp.child}, {cavp.newShared, cavp.childKE}} {
		got := joined(listed(ChildKeys(sha1Suite, keys.D, esp, secret.New(unhex(t, v.shared)), ni, nr))...)
		if !bytes.Equal(got, unhex(t, v.want)) {
			t.Errorf("KEYMAT with g^ir %q is %x, want %s", v.shared, got, v.want)
		}
	}
	// The new SA has another PRF: SKEYSEED comes from the old one's, the keys from the new one's.
	next := IKE{Encr: encrAESGCM, KeyBits: 256, PRF: 6, Group: 31}
	got := next.DeriveRekey(sha1Suite, keys.D, secret.New(unhex(t, cavp.newShared)), ni, nr, 1, 2)
	want := next.keys(unhex(t, cavp.rekeySeed), ni, nr, 1, 2)
	if !bytes.Equal(joined(got.inOrder()...), joined(want.inOrder()...)) {
		t.Error("the keys of a rekeyed IKE SA do not follow from SKEYSEED(rekey)")
	}
}

func listed(a, b, c, d secret.Bytes) []secret.Bytes { return []secret.Bytes{a, b, c, d} }

// The lengths by the tables, AEAD salt included (RFC 5282 section 7.1, RFC 7634 section 2).
func TestKeyLengths(t *testing.T) {
	for _, v := range []struct {
		encr        Cipher
		integ       uint16
		key, mac    int
		prf, prfLen int
	}{
		{Cipher{12, 128}, 2, 16, 20, 2, 20},
		{Cipher{12, 192}, 12, 24, 32, 5, 32},
		{Cipher{12, 256}, 13, 32, 48, 6, 48},
		{Cipher{12, 256}, 14, 32, 64, 7, 64},
		{Cipher{20, 128}, 0, 20, 0, 5, 32},
		{Cipher{20, 192}, 0, 28, 0, 6, 48},
		{Cipher{20, 256}, 0, 36, 0, 7, 64},
		{Cipher{28, 0}, 0, 36, 0, 5, 32},
	} {
		s := IKE{Encr: v.encr.ID, KeyBits: v.encr.KeyBits, PRF: uint16(v.prf), Integ: v.integ, Group: 31}
		k := s.Derive([]byte("ni"), []byte("nr"), secret.FromString("shared"), 1, 2)
		var got []int
		for _, b := range k.inOrder() {
			got = append(got, b.Len())
		}
		if want := []int{v.prfLen, v.mac, v.mac, v.key, v.key, v.prfLen, v.prfLen}; !slices.Equal(got, want) {
			t.Errorf("%s: key lengths %v, want %v", s, got, want)
		}
		esp := ESP{Encr: v.encr.ID, KeyBits: v.encr.KeyBits, Integ: v.integ}
		got = nil
		for _, b := range listed(ChildKeys(s, k.D, esp, secret.Bytes{}, []byte("ni"), []byte("nr"))) {
			got = append(got, b.Len())
		}
		if want := []int{v.key, v.mac, v.key, v.mac}; !slices.Equal(got, want) {
			t.Errorf("%s: child key lengths %v, want %v", esp, got, want)
		}
	}
}

// Wiping or changing one key must not reach into its neighbours.
func TestKeysDoNotOverlap(t *testing.T) {
	s := IKE{Encr: encrAESGCM, KeyBits: 256, PRF: 6, Group: 31}
	k := s.Derive([]byte("ni"), []byte("nr"), secret.FromString("shared"), 1, 2)
	before := bytes.Clone(k.EI.Reveal())
	_ = append(k.D.Reveal(), 1, 2, 3)
	k.D.Wipe()
	if !bytes.Equal(before, k.EI.Reveal()) {
		t.Error("SK_d and SK_ei share octets")
	}
}

// RFC 7296 section 2.15, written out with crypto/hmac.
func TestPSKAuth(t *testing.T) {
	prf := func(key, data []byte) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write(data)
		return mac.Sum(nil)
	}
	s := IKE{PRF: 5}
	message, nonce, skp, id := []byte("the first message"), []byte("the peer's nonce"), []byte("SK_pi"), []byte("\x02\x00\x00\x00spoke1")
	signed := SignedOctets(s, message, nonce, secret.New(skp), id)
	want := slices.Concat(message, nonce, prf(skp, id))
	if !bytes.Equal(signed.Octets(), want) {
		t.Errorf("signed octets %x, want %x", signed.Octets(), want)
	}
	auth := PSKAuth(s, secret.FromString("secret"), signed)
	if want := prf(prf([]byte("secret"), []byte("Key Pad for IKEv2")), want); !bytes.Equal(auth, want) {
		t.Errorf("AUTH %x, want %x", auth, want)
	}
}
