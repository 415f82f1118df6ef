package eap

import (
	"bytes"
	"encoding/hex"
	"testing"

	"flexvpn/secret"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The published vectors: RFC 2759 section 9.2 (also with a domain before the name, section 8.2) and
// RFC 3079 section 3.5.3.
func TestVectorsOfRFC2759(t *testing.T) {
	server, peer := unhex(t, "5B5D7C7D7B3F2F3E3C2C602132262628"), unhex(t, "21402324255E262A28295F2B3A337C7E")
	hash := NTHash(secret.FromString("clientPass"))
	if want := unhex(t, "44EBBA8D5312B8D611474411F56989AE"); !bytes.Equal(hash.Reveal(), want) {
		t.Errorf("PasswordHash is %x", hash.Reveal())
	}
	if got, want := md4Sum(hash.Reveal()), unhex(t, "41C00C584BD2D91C4017A2A12FA59F3F"); !bytes.Equal(got, want) {
		t.Errorf("PasswordHashHash is %x", got)
	}
	for _, user := range []string{"User", `DOMAIN\User`} {
		challenge := challengeHash(peer, server, user)
		if want := unhex(t, "D02E4386BCE91226"); !bytes.Equal(challenge, want) {
			t.Errorf("the challenge for %s is %x", user, challenge)
		}
		response := ntResponse(hash, challenge)
		if want := unhex(t, "82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF"); !bytes.Equal(response, want) {
			t.Errorf("NT-Response is %x", response)
		}
		if got := authenticatorResponse(hash, response, challenge); got != "S=407A5589115FD0D6209F510FE9C04566932CDA56" {
			t.Errorf("the authenticator response is %s", got)
		}
		msk := mschapKey(hash, response)
		want := append(unhex(t, "D5F0E9521E3EA9589645E86051C822268B7CDC149B993A1BA118CB153F56DCCB"), make([]byte, 32)...)
		if !bytes.Equal(msk.Reveal(), want) {
			t.Errorf("the MSK is %x", msk.Reveal())
		}
	}
	// The value that RFC 3079 section 3.5.3 gives for SendSessionKey's start key of the server.
	if got := mschapKey(hash, unhex(t, "82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")).Reveal()[16:32]; !bytes.Equal(got, unhex(t, "8B7CDC149B993A1BA118CB153F56DCCB")) {
		t.Errorf("the server's send key is %x", got)
	}
}

// A password of the world is hashed as UTF-16, also beyond its first plane.
func TestNTHashOfUnicode(t *testing.T) {
	if a, b := NTHash(secret.FromString("Größe€😀")), NTHash(secret.FromString("Grosse€😀")); a.Equal(b) || a.Len() != ntHashLen {
		t.Error("two passwords have one hash")
	}
	// MD4 of nothing, RFC 1320 appendix A.5.
	if got := NTHash(secret.Bytes{}).Reveal(); !bytes.Equal(got, unhex(t, "31D6CFE0D16AE931B73C59D7E0C089C0")) {
		t.Errorf("the hash of an empty password is %x", got)
	}
}
