package ikev2

import (
	"errors"
	"slices"

	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
	"flexvpn/secret"
)

// message is what a header says of a message beyond the SPIs.
type message struct {
	exchange wire.ExchangeType
	id       uint32
	response bool
}

// header is the header of a message of this end.
func (g *generation) header(m message) wire.Header {
	h := wire.Header{Major: wire.MajorVersion, Exchange: m.exchange, MessageID: m.id}
	h.SPIi, h.SPIr = g.spis()
	if g.initiator {
		h.Flags |= wire.FlagInitiator
	}
	if m.response {
		h.Flags |= wire.FlagResponse
	}
	return h
}

// sending and receiving are the keys of a direction (RFC 7296 section 2.14).
func (g *generation) sending() (encr, integ secret.Bytes) { return g.keysOf(g.initiator) }

func (g *generation) receiving() (encr, integ secret.Bytes) { return g.keysOf(!g.initiator) }

func (g *generation) keysOf(initiator bool) (encr, integ secret.Bytes) {
	if initiator {
		return g.keys.EI, g.keys.AI
	}
	return g.keys.ER, g.keys.AR
}

// protect seals a message into one datagram, or into fragments when it is long and the peer
// understands them (RFC 7383 section 2.5).
func (sa *SA) protect(g *generation, m message, ps []wire.Payload) [][]byte {
	first, plain := wire.AppendPayloads(make([]byte, 0, 512), ps...)
	h := g.header(m)
	whole := wire.HeaderLen + genericLen + g.suite.SealedLen(len(plain))
	var out [][]byte
	if limit := sa.fragmentLimit(); whole > limit && sa.peer.fragmentation {
		out = g.fragments(h, first, plain, limit)
	} else {
		encr, integ := g.sending()
		d := wire.AppendEncryptedHeader(make([]byte, 0, whole), h, first, whole-wire.HeaderLen-genericLen)
		out = [][]byte{g.suite.Seal(d, encr, integ, plain)}
	}
	sa.traceSent(h, ps, out)
	return out
}

// genericLen is the length of a generic payload header.
const genericLen = 4

// open finds out whether a protected datagram is authentic and what is inside. complete is false
// while fragments are missing. An error other than suite.ErrPadding says that nothing in the
// datagram can be believed.
func (sa *SA) open(g *generation, outer *wire.Outer, b []byte) (first wire.PayloadType, plain []byte, err error) {
	encr, integ := g.receiving()
	if outer.Kind == wire.PayloadEncrypted {
		plain, err = g.suite.Open(b, outer.Encrypted.Offset, encr, integ)
		return outer.Encrypted.Inner, plain, err
	}
	plain, err = g.suite.Open(b, outer.Fragment.Offset, encr, integ)
	return outer.Fragment.Inner, plain, err
}

// believed reports whether an error of open still proves the sender.
func believed(err error) bool { return err == nil || errors.Is(err, suite.ErrPadding) }

// fragments cuts a plaintext and seals each piece (RFC 7383 section 2.5.1).
func (g *generation) fragments(h wire.Header, first wire.PayloadType, plain []byte, limit int) [][]byte {
	size := g.fragmentPlain(limit)
	encr, integ := g.sending()
	total := (len(plain) + size - 1) / size
	out := make([][]byte, 0, total)
	number := uint16(0)
	for piece := range slices.Chunk(plain, size) {
		number++
		sealed := g.suite.SealedLen(len(piece))
		d := make([]byte, 0, fragmentHeaderLen+sealed)
		d = wire.AppendFragmentHeader(d, h, first, number, uint16(total), sealed)
		out = append(out, g.suite.Seal(d, encr, integ, piece))
	}
	return out
}

// fragmentHeaderLen is all that stands in front of a fragment's sealed body.
const fragmentHeaderLen = wire.HeaderLen + genericLen + 4

// fragmentPlain is the most plaintext that fits into a fragment of limit octets.
func (g *generation) fragmentPlain(limit int) int {
	n := max(limit-fragmentHeaderLen, 64)
	for n > 16 && fragmentHeaderLen+g.suite.SealedLen(n) > limit {
		n--
	}
	return n
}
