package suite

import (
	"slices"

	"flexvpn/ikev2/wire"
)

// Wire is p as proposals for the wire, numbered from number on. A mix of AEAD and other ciphers
// becomes two proposals, the kind of the first cipher first (RFC 7296 section 3.3).
func (p Proposal) Wire(number uint8, proto wire.ProtocolID, spi []byte) []wire.Proposal {
	var out []wire.Proposal
	for _, part := range p.parts() {
		out = append(out, wire.Proposal{
			Number:     number + uint8(len(out)),
			Protocol:   proto,
			SPI:        spi,
			Transforms: part.transforms(proto),
		})
	}
	return out
}

// Offer is what an initiator proposes, numbered from 1 (RFC 7296 section 3.3.1). Without withKE,
// in IKE_AUTH, key exchanges are left out: there is none in that exchange (section 1.2).
func Offer(ours []Proposal, proto wire.ProtocolID, spi []byte, withKE bool) []wire.Proposal {
	var out []wire.Proposal
	for _, p := range ours {
		if proto == wire.ProtoESP && !withKE {
			p.Group = nil
		}
		if len(out)+2 > 255 {
			break // the number is one octet
		}
		out = append(out, p.Wire(uint8(len(out)+1), proto, spi)...)
	}
	return out
}

// parts separates AEAD ciphers from those that need an integrity transform: RFC 7296 section 3.3
// forbids them in one proposal.
func (p Proposal) parts() []Proposal {
	var out []Proposal
	for _, aead := range []bool{p.startsAEAD(), !p.startsAEAD()} {
		part := p
		part.Encr = slices.DeleteFunc(slices.Clone(p.Encr), func(c Cipher) bool { return c.isAEAD() != aead })
		if aead {
			part.Integ = nil
		}
		if len(part.Encr) > 0 {
			out = append(out, part)
		}
	}
	return out
}

func (p Proposal) startsAEAD() bool { return len(p.Encr) > 0 && p.Encr[0].isAEAD() }

// transforms is one part as transforms. An AEAD part has no INTEG at all rather than NONE, which
// RFC 7296 section 3.3 recommends; ESN is always there for ESP, where it is mandatory (3.3.3).
func (p Proposal) transforms(proto wire.ProtocolID) []wire.Transform {
	var out []wire.Transform
	for _, c := range p.Encr {
		out = append(out, wire.Transform{Type: wire.TransformENCR, ID: c.ID, KeyBits: c.KeyBits})
	}
	add := func(t wire.TransformType, ids []uint16) {
		for _, id := range ids {
			out = append(out, wire.Transform{Type: t, ID: id})
		}
	}
	if proto == wire.ProtoIKE {
		add(wire.TransformPRF, p.PRF)
	}
	add(wire.TransformINTEG, p.Integ)
	add(wire.TransformKE, p.Group)
	if proto == wire.ProtoESP {
		add(wire.TransformESN, p.sequenceNumbers())
	}
	return out
}

// sequenceNumbers is what p allows of ESN; nothing said means 32 bits.
func (p Proposal) sequenceNumbers() []uint16 {
	if len(p.ESN) == 0 {
		return []uint16{none}
	}
	return p.ESN
}
