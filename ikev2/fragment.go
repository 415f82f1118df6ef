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
	first    wire.PayloadType
	digest   uint64 // of the datagram with fragment 1
	pieces   [][]byte
	have     int
	size     int
	deadline time.Time
}

// collect takes an authentic fragment; whole is the message's plaintext once nothing is missing.
func (sa *SA) collect(now time.Time, g *generation, h wire.Header, f *wire.Fragment, sum uint64, plain []byte) (whole []byte, r *reassembly) {
	r = g.reassembly(now, h, f)
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
	*g.partsOf(h) = nil
	return whole, r
}

// partsOf is where the fragments of a request, or of a response, are collected: both may be on their
// way at once.
func (g *generation) partsOf(h wire.Header) **reassembly {
	if h.Flags&wire.FlagResponse != 0 {
		return &g.parts[1]
	}
	return &g.parts[0]
}

// reassembly is the one a fragment belongs to, or nil when it belongs nowhere. A greater total
// number means that the sender tries smaller fragments: what is there is void (section 2.6).
func (g *generation) reassembly(now time.Time, h wire.Header, f *wire.Fragment) *reassembly {
	total := int(f.Total)
	if f.Number > f.Total || total > maxFragments {
		return nil
	}
	parts := g.partsOf(h)
	if r := *parts; r != nil && r.id == h.MessageID && total <= len(r.pieces) {
		if total < len(r.pieces) {
			return nil
		}
		return r
	}
	*parts = &reassembly{id: h.MessageID, pieces: make([][]byte, total), deadline: now.Add(reassemblyTimeout)}
	return *parts
}

// advanceFragments gives up on messages whose fragments stay away.
func (sa *SA) advanceFragments(now time.Time) {
	sa.generations(func(g *generation) bool {
		for i, r := range g.parts {
			if r != nil && due(r.deadline, now) {
				g.parts[i] = nil
				sa.c.Counters.BadFragments.Add(1)
			}
		}
		return true
	})
}

func (sa *SA) nextFragment() time.Time {
	var n time.Time
	sa.generations(func(g *generation) bool {
		for _, r := range g.parts {
			if r != nil {
				n = earliest(n, r.deadline)
			}
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
