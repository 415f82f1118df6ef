package suite_test

import (
	"testing"

	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/suite/floor"
	"flexvpn/secret"
)

// BenchmarkFloor is the bare cryptography of a handshake.
func BenchmarkFloor(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		floor.Handshake()
	}
}

// BenchmarkResponderCrypto is the same work through this package: compare it with BenchmarkFloor.
func BenchmarkResponderCrypto(b *testing.B) {
	s := suite.IKE{Encr: 20, KeyBits: 256, PRF: 6, Group: 31}
	esp := suite.ESP{Encr: 20, KeyBits: 256}
	peer, err := suite.NewKE(31)
	if err != nil {
		b.Fatal(err)
	}
	psk, ni, nr := secret.New(make([]byte, 32)), make([]byte, 32), make([]byte, 32)
	message, id, plain := make([]byte, 400), make([]byte, 32), make([]byte, 300)
	head := make([]byte, 32, 1024)
	b.ReportAllocs()
	for b.Loop() {
		ke, err := suite.NewKE(31)
		if err != nil {
			b.Fatal(err)
		}
		shared, err := ke.Shared(peer.Public())
		if err != nil {
			b.Fatal(err)
		}
		keys := s.Derive(ni, nr, shared, 1, 2)
		request := s.Seal(head, keys.EI, keys.AI, plain)
		if _, err := s.Open(request, len(head), keys.EI, keys.AI); err != nil {
			b.Fatal(err)
		}
		suite.PSKAuth(s, psk, suite.SignedOctets(s, message, nr, keys.PI, id))
		suite.PSKAuth(s, psk, suite.SignedOctets(s, message, ni, keys.PR, id))
		suite.ChildKeys(s, keys.D, esp, secret.Bytes{}, ni, nr)
	}
}
