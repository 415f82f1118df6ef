package ikev2

import (
	"time"

	"flexvpn/ikev2/wire"
)

// What a reassembly may hold, per generation: the longest honest message is an IKE_AUTH with a
// chain of certificates.
const (
	maxFragments      = 64
	maxReassembled    = 32 << 10
	reassemblyTimeout = 30 * time.Second
)

// A reassembly collects the fragments of one message, RFC 7383 section 2.6. Only fragments that
// proved authentic get here.
type reassembly struct {
	id       uint32
	response bool
	first    wire.PayloadType
	digest   uint64 // of the datagram with fragment 1
	pieces   [][]byte
	have     int
	size     int
	deadline time.Time
}

// collect takes an authentic fragment; whole is the message's plaintext once nothing is missing.
func (sa *SA) collect(now time.Time, g *generation, h wire.Header, f *wire.Fragment, sum uint64, plain []byte) (whole []byte, r *reassembly) {
	r = sa.reassembly(now, g, h, f)
	if r == nil || f.Number < 1 || r.pieces[f.Number-1] != nil || r.size+len(plain) > maxReassembled {
		sa.c.Counters.BadFragments.Add(1)
		return nil, nil
	}
	if f.Number == 1 {
		r.first, r.digest = f.Inner, sum
	}
	r.pieces[f.Number-1] = plain
	r.size += len(plain)
	if r.have++; r.have < len(r.pieces) {
		return nil, nil
	}
	whole = make([]byte, 0, r.size)
	for _, p := range r.pieces {
		whole = append(whole, p...)
	}
	g.parts = nil
	return whole, r
}

// reassembly is the one a fragment belongs to, or nil when it belongs nowhere. A greater total
// number means that the sender tries smaller fragments: what is there is void (section 2.6).
func (sa *SA) reassembly(now time.Time, g *generation, h wire.Header, f *wire.Fragment) *reassembly {
	response := h.Flags&wire.FlagResponse != 0
	total := int(f.Total)
	if f.Number > f.Total || total > maxFragments {
		return nil
	}
	r := g.parts
	if r != nil && r.id == h.MessageID && r.response == response && total <= len(r.pieces) {
		if total < len(r.pieces) {
			return nil
		}
		return r
	}
	g.parts = &reassembly{
		id: h.MessageID, response: response,
		pieces: make([][]byte, total), deadline: now.Add(reassemblyTimeout),
	}
	return g.parts
}

// advanceFragments gives up on messages whose fragments stay away.
func (sa *SA) advanceFragments(now time.Time) {
	sa.generations(func(g *generation) bool {
		if g.parts != nil && due(g.parts.deadline, now) {
			g.parts = nil
			sa.c.Counters.BadFragments.Add(1)
		}
		return true
	})
}

func (sa *SA) nextFragment() time.Time {
	var n time.Time
	sa.generations(func(g *generation) bool {
		if g.parts != nil {
			n = earliest(n, g.parts.deadline)
		}
		return true
	})
	return n
}

// fragmentLimit is the longest datagram that leaves in one piece. 1280 octets is what every path
// carries with IPv6, and the first size RFC 7383 section 2.5.1 proposes.
func (sa *SA) fragmentLimit() int {
	if sa.p != nil && sa.p.FragmentSize > 0 {
		return sa.p.FragmentSize
	}
	const udpAndMarker = 8 + 4
	if sa.path.Remote.Addr().Is4() {
		return 1280 - 20 - udpAndMarker
	}
	return 1280 - 40 - udpAndMarker
}
