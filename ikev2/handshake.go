package ikev2

import (
	"crypto/rand"
	"time"

	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
	"flexvpn/secret"
)

// A handshake is what only IKE_SA_INIT and IKE_AUTH need. It is gone when the SA stands.
type handshake struct {
	deadline time.Time // responder: forgotten then

	ni, nr            []byte
	request, response []byte // the octets of both IKE_SA_INIT messages: they enter AUTH
	ke                *suite.PrivateKE
	peerKE            []byte   // responder: kept until IKE_AUTH, so that a flood costs no agreement
	hashes            []uint16 // the peer's SIGNATURE_HASH_ALGORITHMS
	certWanted        bool     // the peer asked for certificates

	eap *eapState // nil: no EAP

	// Initiator.
	cookie  []byte
	again   int             // times IKE_SA_INIT was started anew on the peer's demand
	refusal wire.NotifyType // an unauthenticated error: a hint, no more
	spi     uint32          // of the first Child SA

	// Responder, while it answers IKE_AUTH.
	asked   *wire.Payloads
	granted AuthorizeAnswer
}

// maxAgain bounds COOKIE and INVALID_KE_PAYLOAD: both are unauthenticated.
const maxAgain = 5

// nonceLen is at least half the key size of every PRF there is (RFC 7296 section 2.10).
const nonceLen = 32

func newNonce() []byte {
	n := make([]byte, nonceLen)
	_, _ = rand.Read(n) // cannot fail: crypto/rand stops the program rather
	return n
}

func (hs *handshake) wipe() {
	if hs == nil {
		return
	}
	hs.eap.wipe()
	*hs = handshake{}
}

// newChildSPI is a fresh inbound SPI; 1 to 255 are reserved (RFC 4303 section 2.1).
func (sa *SA) newChildSPI() uint32 {
	if sa.c.NewChildSPI != nil {
		return sa.c.NewChildSPI()
	}
	for {
		var b [4]byte
		_, _ = rand.Read(b[:])
		spi := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		if spi > 255 && sa.child(spi) == nil {
			return spi
		}
	}
}

// haveKeys makes sure that a generation's keys are there: a responder agrees on them only when the
// first protected datagram arrives.
func (sa *SA) haveKeys(now time.Time) bool {
	hs := sa.hs
	if hs == nil || hs.peerKE == nil {
		return true
	}
	shared, err := hs.ke.Shared(hs.peerKE)
	if err != nil {
		sa.c.Counters.BadSyntax.Add(1)
		sa.end(Closed{Reason: ReasonSyntax, Detail: "key exchange with the peer: " + err.Error()})
		return false
	}
	sa.derive(sa.cur, shared)
	return true
}

// derive makes the keys of the first generation and lets go of what made them.
func (sa *SA) derive(g *generation, shared secret.Bytes) {
	hs := sa.hs
	i, r := g.spis()
	g.keys = g.suite.Derive(hs.ni, hs.nr, shared, i, r)
	shared.Wipe()
	hs.ke, hs.peerKE = nil, nil
}

// advanceHandshake forgets a handshake that is never finished.
func (sa *SA) advanceHandshake(now time.Time) {
	if sa.hs == nil || !due(sa.hs.deadline, now) || sa.state == stateClosed {
		return
	}
	sa.end(Closed{Reason: ReasonTimeout, Detail: "the peer began a handshake and did not finish it"})
}
