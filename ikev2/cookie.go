package ikev2

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"flexvpn/ikev2/wire"
)

// gateRotation is the life of a secret; a cookie is good for one to two of them.
const gateRotation = time.Minute

// A Gate makes an initiator prove that it receives at its address before anything is kept for it:
// RFC 7296 section 2.6. It keeps nothing per initiator. A cookie is
//
//	version (1 octet) | HMAC-SHA-256(secret of that version, Ni | IPi | port | SPIi), 16 octets
type Gate struct {
	version byte
	rotated time.Time
	secrets [2][32]byte // of this version, of the one before
}

// cookieLen is the length of our cookies.
const cookieLen = 1 + 16

// NewGate makes a gate with a fresh secret.
func NewGate(now time.Time) *Gate {
	g := &Gate{rotated: now}
	_, _ = rand.Read(g.secrets[0][:])
	_, _ = rand.Read(g.secrets[1][:])
	return g
}

// Check looks at an IKE_SA_INIT request that comes without any state here. It is admitted with a
// good cookie; else reply asks for one, or is nil for a datagram that is no such request.
func (g *Gate) Check(now time.Time, p Path, datagram []byte) (admit bool, reply []byte) {
	g.rotate(now)
	h, err := wire.ParseHeader(datagram)
	if err != nil || !isFirst(h) {
		return false, nil
	}
	ps, err := wire.ParsePayloads(h.Next, datagram, wire.HeaderLen)
	if err != nil || ps.SA == nil || ps.KE == nil || ps.Nonce == nil {
		return false, nil
	}
	if c := ps.Notify(wire.Cookie); c != nil && g.good(c.Data, p, h.SPIi, ps.Nonce) {
		return true, nil
	}
	cookie := g.cookie(g.version, p, h.SPIi, ps.Nonce)
	return false, unprotected(h, 0, &wire.Notify{Type: wire.Cookie, Data: cookie[:]})
}

// isFirst reports an IKE_SA_INIT request.
func isFirst(h wire.Header) bool {
	return h.Major == wire.MajorVersion && h.Exchange == wire.IKESAInit && h.MessageID == 0 &&
		h.SPIi != 0 && h.SPIr == 0 && h.Flags&(wire.FlagInitiator|wire.FlagResponse) == wire.FlagInitiator
}

// rotate replaces the secret; a clock that stepped back does not stop it for long.
func (g *Gate) rotate(now time.Time) {
	age := now.Sub(g.rotated)
	if age >= 0 && age < gateRotation {
		return
	}
	g.secrets[1] = g.secrets[0]
	if age >= 2*gateRotation {
		_, _ = rand.Read(g.secrets[1][:]) // nothing that old is good any more
	}
	_, _ = rand.Read(g.secrets[0][:])
	g.version++
	g.rotated = now
}

func (g *Gate) good(cookie []byte, p Path, spi uint64, nonce []byte) bool {
	if len(cookie) != cookieLen {
		return false
	}
	want := g.cookie(cookie[0], p, spi, nonce)
	return hmac.Equal(cookie, want[:])
}

// cookie is the cookie of a version; an unknown version gets one that only the last secret made.
func (g *Gate) cookie(version byte, p Path, spi uint64, nonce []byte) (c [cookieLen]byte) {
	secret := &g.secrets[0]
	if version != g.version {
		secret = &g.secrets[1]
		version = g.version - 1
	}
	mac := hmac.New(sha256.New, secret[:])
	mac.Write(nonce)
	at := p.Remote.Addr().Unmap().As16()
	mac.Write(at[:])
	var tail [10]byte
	binary.BigEndian.PutUint16(tail[:], p.Remote.Port())
	binary.BigEndian.PutUint64(tail[2:], spi)
	mac.Write(tail[:])
	c[0] = version
	copy(c[1:], mac.Sum(nil))
	return c
}

// unprotected is a response to an IKE_SA_INIT request that leaves no state behind, or carries
// this end's SPI.
func unprotected(request wire.Header, spiR uint64, ps ...wire.Payload) []byte {
	return wire.AppendMessage(make([]byte, 0, 512), wire.Header{
		SPIi: request.SPIi, SPIr: spiR, Major: wire.MajorVersion,
		Exchange: request.Exchange, Flags: wire.FlagResponse, MessageID: request.MessageID,
	}, ps...)
}

// Stateless answers a datagram that belongs to no SA, without keeping anything. ok reports whether
// there is something to say; everything else is dropped. RFC 7296 section 2.5 has a request of a
// higher major version answered; section 2.21.4 lets an unknown SPI be ignored, which is what
// keeps forged datagrams from making this host talk.
func Stateless(_ *Common, _ Path, datagram []byte) (reply []byte, ok bool) {
	h, err := wire.ParseHeader(datagram)
	if err != nil || h.Major <= wire.MajorVersion || h.Flags&wire.FlagResponse != 0 {
		return nil, false
	}
	answer := wire.Header{
		SPIi: h.SPIi, SPIr: h.SPIr, Major: wire.MajorVersion, Exchange: h.Exchange,
		Flags: wire.FlagResponse, MessageID: h.MessageID,
	}
	return wire.AppendMessage(nil, answer, &wire.Notify{Type: wire.InvalidMajorVersion}), true
}
