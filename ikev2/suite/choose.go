package suite

import (
	"slices"

	"flexvpn/ikev2/wire"
)

// ChooseIKE chooses among a peer's proposals for an IKE SA. Our order of preference decides: of
// proposals first, then of ciphers, then of the rest. The reply has the peer's number, one
// transform of each type, and still the peer's SPI, which the caller replaces by its own.
func ChooseIKE(ours []Proposal, offered []wire.Proposal) (s IKE, reply wire.Proposal, ok bool) {
	p, ok := choose(ours, offered, wire.ProtoIKE, true)
	if !ok {
		return IKE{}, wire.Proposal{}, false
	}
	return p.ike(), p.reply(), true
}

// ChooseESP chooses among a peer's proposals for a Child SA, as ChooseIKE does. Without withKE, in
// IKE_AUTH, key exchange transforms are ignored and Group is 0.
func ChooseESP(ours []Proposal, offered []wire.Proposal, withKE bool) (s ESP, reply wire.Proposal, ok bool) {
	p, ok := choose(ours, offered, wire.ProtoESP, withKE)
	if !ok {
		return ESP{}, wire.Proposal{}, false
	}
	return p.esp(), p.reply(), true
}

// A pick is one transform of each type out of one offered proposal.
type pick struct {
	from                   *wire.Proposal
	menu                   menu
	encr                   Cipher
	prf, integ, group, esn uint16
}

// choose makes one pass over what the peer offers, which may be 64 KiB of it before anybody is
// authenticated, and keeps the pick that stands first in our order.
func choose(ours []Proposal, offered []wire.Proposal, proto wire.ProtocolID, withKE bool) (pick, bool) {
	var room [16]want // for more than a configuration has: nothing is allocated
	wants := ranked(room[:0], ours, proto, withKE)
	var best pick
	for i := range offered {
		m, ok := readMenu(&offered[i], proto, withKE)
		if !ok {
			continue
		}
		for rank, w := range wants {
			if p, ok := w.from(m); ok {
				p.from = &offered[i]
				best = p
				wants = wants[:rank] // only something better is of interest now
				break
			}
		}
	}
	return best, best.from != nil
}

// A want is one cipher of ours with what may go with it; 0 among the numbers means "none".
type want struct {
	encr                   Cipher
	prf, integ, group, esn []uint16
}

// zero is the list of nothing.
var zero = []uint16{none}

// ranked appends what we accept, best first.
func ranked(out []want, ours []Proposal, proto wire.ProtocolID, withKE bool) []want {
	for _, p := range ours {
		for _, c := range p.Encr {
			if findCipher(c) == nil {
				continue
			}
			w := want{encr: c, prf: p.PRF, integ: p.Integ, group: p.Group, esn: zero}
			if c.isAEAD() {
				w.integ = zero
			}
			if proto == wire.ProtoESP {
				w.prf, w.esn = zero, p.sequenceNumbers()
				if !withKE || len(p.Group) == 0 {
					w.group = zero
				}
			}
			out = append(out, w)
		}
	}
	return out
}

// from picks from a menu, or says that something is missing.
func (w want) from(m menu) (pick, bool) {
	p := pick{menu: m, encr: w.encr}
	if !m.hasCipher(w.encr) || w.encr.isAEAD() && m.integrity {
		return p, false
	}
	ok := true
	first := func(t wire.TransformType, ours []uint16) uint16 {
		i := slices.IndexFunc(ours, func(id uint16) bool { return m.has(t, id) })
		if i < 0 {
			ok = false
			return 0
		}
		return ours[i]
	}
	p.prf = first(wire.TransformPRF, w.prf)
	p.integ = first(wire.TransformINTEG, w.integ)
	p.group = first(wire.TransformKE, w.group)
	p.esn = first(wire.TransformESN, w.esn)
	if !w.encr.isAEAD() && p.integ == none {
		ok = false // encryption without integrity, whoever asks for it
	}
	return p, ok
}

// A menu is one offered proposal as sets. All numbers we know are below 64.
type menu struct {
	ciphers   uint16 // one bit for each row of the table
	ids       [wire.TransformESN + 1]uint64
	present   [wire.TransformESN + 1]bool
	integrity bool // an INTEG other than NONE is among the transforms
}

// readMenu reads an offered proposal. It refuses another protocol and transform types that this
// protocol does not have: RFC 7296 section 3.3.6 forbids choosing such a proposal.
func readMenu(o *wire.Proposal, proto wire.ProtocolID, withKE bool) (m menu, ok bool) {
	if o.Protocol != proto || proto == wire.ProtoESP && !usableSPI(o.SPI) {
		return m, false
	}
	for _, t := range o.Transforms {
		if !belongs(t.Type, proto) {
			return m, false
		}
		if t.Type == wire.TransformKE && !withKE {
			continue
		}
		m.add(t)
	}
	return m, true
}

func (m *menu) add(t wire.Transform) {
	m.present[t.Type] = true
	if t.Type == wire.TransformINTEG && t.ID != none {
		m.integrity = true
	}
	if t.Unrecognized {
		return // section 3.3.6: never chosen
	}
	if t.Type == wire.TransformENCR {
		for i := range ciphers {
			if (ciphers[i].Cipher == Cipher{t.ID, t.KeyBits}) {
				m.ciphers |= 1 << i
			}
		}
		return
	}
	// The key length attribute belongs to ciphers of variable key size only (section 3.3.5).
	if t.KeyBits == 0 && t.ID < 64 {
		m.ids[t.Type] |= 1 << t.ID
	}
}

// belongs says which transform types a protocol has, RFC 7296 section 3.3.3.
func belongs(t wire.TransformType, proto wire.ProtocolID) bool {
	switch t {
	case wire.TransformENCR, wire.TransformINTEG, wire.TransformKE:
		return true
	case wire.TransformPRF:
		return proto == wire.ProtoIKE
	case wire.TransformESN:
		return proto == wire.ProtoESP
	}
	return false
}

func (m *menu) hasCipher(c Cipher) bool {
	for i := range ciphers {
		if ciphers[i].Cipher == c {
			return m.ciphers&(1<<i) != 0
		}
	}
	return false
}

// has reports whether id can be chosen. A type that is absent offers "none": no integrity, no key
// exchange, no extended sequence numbers.
func (m *menu) has(t wire.TransformType, id uint16) bool {
	if !m.present[t] {
		return id == none
	}
	return id < 64 && m.ids[t]&(1<<id) != 0
}

func (p *pick) ike() IKE {
	return IKE{Encr: p.encr.ID, KeyBits: p.encr.KeyBits, PRF: p.prf, Integ: p.integ, Group: p.group}
}

func (p *pick) esp() ESP {
	return ESP{Encr: p.encr.ID, KeyBits: p.encr.KeyBits, Integ: p.integ, Group: p.group, ESN: p.esn == 1}
}

// reply is the accepted proposal: one transform of each type that was offered (section 2.7).
func (p *pick) reply() wire.Proposal {
	out := wire.Proposal{Number: p.from.Number, Protocol: p.from.Protocol, SPI: p.from.SPI, Transforms: make([]wire.Transform, 0, 5)}
	out.Transforms = append(out.Transforms, wire.Transform{Type: wire.TransformENCR, ID: p.encr.ID, KeyBits: p.encr.KeyBits})
	for _, c := range []struct {
		t  wire.TransformType
		id uint16
	}{
		{wire.TransformPRF, p.prf},
		{wire.TransformINTEG, p.integ},
		{wire.TransformKE, p.group},
		{wire.TransformESN, p.esn},
	} {
		if p.menu.present[c.t] {
			out.Transforms = append(out.Transforms, wire.Transform{Type: c.t, ID: c.id})
		}
	}
	return out
}
