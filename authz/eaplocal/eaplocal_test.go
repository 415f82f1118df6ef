package eaplocal

import (
	"errors"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"flexvpn/authz"
	"flexvpn/config"
	"flexvpn/ikev2/eap"
	"flexvpn/secret"
)

func testServer(t *testing.T, methods ...config.EAPMethod) *Server {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(config.EAP{Methods: methods, Users: map[string]config.EAPUser{
		"alice": {Password: secret.FromString("sesame")},
		"bob":   {NTHash: eap.NTHash(secret.FromString("sesame"))},
		"carol": {Bcrypt: secret.New(hash)},
	}}, "hub1")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// login runs a peer against the server and gives the server's last word.
func login(t *testing.T, s *Server, name, password string) authz.EAPResult {
	t.Helper()
	conv := s.Begin(authz.EAPPeer{Identity: name})
	defer conv.Close()
	p := eap.NewPeer(eap.Login{Username: name, Password: secret.FromString(password), Methods: []eap.Type{eap.TypeMSCHAPv2, eap.TypeGTC, eap.TypeMD5}})
	packet := eap.IdentityResponse(0, name)
	for range 10 {
		answer := make(chan authz.EAPResult, 1)
		conv.Respond(packet, func(r authz.EAPResult) { answer <- r })
		r := <-answer
		if r.Done || r.Err != nil {
			return r
		}
		packet = p.Receive(r.Packet).Packet
	}
	t.Fatal("the login does not end")
	return authz.EAPResult{}
}

func TestLogins(t *testing.T) {
	for _, c := range []struct {
		methods        []config.EAPMethod
		name, password string
		good           bool
	}{
		{[]config.EAPMethod{config.EAPMSCHAPv2}, "alice", "sesame", true},
		{[]config.EAPMethod{config.EAPMSCHAPv2}, "bob", "sesame", true},
		{[]config.EAPMethod{config.EAPMSCHAPv2}, `EXAMPLE\bob`, "sesame", true},
		{[]config.EAPMethod{config.EAPMSCHAPv2, config.EAPGTC}, "carol", "sesame", true},
		{[]config.EAPMethod{config.EAPMD5}, "alice", "sesame", true},
		{[]config.EAPMethod{config.EAPMSCHAPv2}, "alice", "simsim", false},
		{[]config.EAPMethod{config.EAPGTC}, "carol", "simsim", false},
		{[]config.EAPMethod{config.EAPGTC}, "mallory", "sesame", false},
		{[]config.EAPMethod{config.EAPMSCHAPv2}, "carol", "sesame", false}, // bcrypt serves GTC alone
		{[]config.EAPMethod{config.EAPMSCHAPv2}, "Alice", "sesame", false},
	} {
		r := login(t, testServer(t, c.methods...), c.name, c.password)
		if r.Done != c.good || (r.Err == nil) != c.good {
			t.Errorf("%s by %v: %+v", c.name, c.methods, r.Err)
		}
		if !c.good && !errors.Is(r.Err, authz.ErrEAPRejected) {
			t.Errorf("%s: a refusal is the peer's fault: %v", c.name, r.Err)
		}
		if r.Identity != c.name {
			t.Errorf("%s is called %q", c.name, r.Identity)
		}
	}
}

// Conversations of one server do not disturb each other.
func TestManyLogins(t *testing.T) {
	s := testServer(t, config.EAPMSCHAPv2, config.EAPGTC)
	var all sync.WaitGroup
	for _, name := range []string{"alice", "bob", "carol", "mallory"} {
		for range 5 {
			all.Go(func() {
				if r := login(t, s, name, "sesame"); r.Done == (name == "mallory") {
					t.Errorf("%s: %v", name, r.Err)
				}
			})
		}
	}
	all.Wait()
}
