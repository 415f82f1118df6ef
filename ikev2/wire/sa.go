package wire

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
)

// SA is the Security Association payload, section 3.3.
type SA struct{ Proposals []Proposal }

// A Proposal is a proposal substructure, section 3.3.1.
type Proposal struct {
	Number     uint8
	Protocol   ProtocolID
	SPI        []byte // empty in IKE_SA_INIT, 8 octets for an IKE rekey, 4 for ESP; aliases the datagram
	Transforms []Transform
}

// A Transform is a transform substructure, section 3.3.2.
type Transform struct {
	Type    TransformType
	ID      uint16
	KeyBits uint16 // Key Length attribute in bits, 0 when absent
	// Unrecognized is set when an attribute other than one good Key Length was present: section
	// 3.3.6 forbids choosing such a transform. It is only received, never sent.
	Unrecognized bool
}

const (
	proposalLen  = 8 // of a proposal without SPI and transforms
	transformLen = 8 // of a transform without attributes

	// "Last Substruc", sections 3.3.1 and 3.3.2.
	lastSubstructure = 0
	moreProposals    = 2
	moreTransforms   = 3

	keyLengthAttribute = 14     // section 3.3.5
	shortForm          = 0x8000 // the attribute's value stands in place of its length
)

// Kind returns PayloadSA.
func (SA) Kind() PayloadType { return PayloadSA }

func (s *SA) decode(r *reader) {
	proposals, transforms := countSubstructures(r.b)
	if proposals > 255 {
		r.fail("more than 255 proposals")
		return
	}
	s.Proposals = make([]Proposal, proposals)
	// One block for the transforms of all proposals.
	block := make([]Transform, transforms)
	for i := range s.Proposals {
		block = s.Proposals[i].decode(r, block, i == proposals-1)
	}
}

// countSubstructures counts proposals and their transforms as far as the lengths in b lead, and at
// least one proposal: decoding then finds the fault where the lengths lead nowhere.
func countSubstructures(b []byte) (proposals, transforms int) {
	for {
		proposals++
		if len(b) < proposalLen {
			return proposals, transforms
		}
		length := int(binary.BigEndian.Uint16(b[2:]))
		if length < proposalLen || length > len(b) {
			return proposals, transforms
		}
		// The number of transforms is the peer's word: no more of them fit than the length allows.
		transforms += min(int(b[7]), (length-proposalLen)/transformLen)
		if b = b[length:]; len(b) == 0 {
			return proposals, transforms
		}
	}
}

// decode reads one proposal and takes its transforms from the front of block, which it returns.
func (p *Proposal) decode(r *reader, block []Transform, last bool) []Transform {
	more := r.u8()
	r.u8()
	body := r.substructure(r.u16(), 4)
	p.Number = body.u8()
	p.Protocol = ProtocolID(body.u8())
	spiLen := int(body.u8())
	count := int(body.u8())
	p.SPI = body.bytes(spiLen)
	switch {
	case last && more != lastSubstructure || !last && more != moreProposals:
		body.fail("proposals do not end where the payload does")
	case !p.Protocol.spiFits(spiLen):
		body.fail("proposal with a wrong SPI size")
	case count > len(block) || count*transformLen > len(body.b):
		body.fail("more transforms announced than there are")
	}
	if !body.failed() {
		p.Transforms, block = block[:count:count], block[count:]
		for i := range p.Transforms {
			p.Transforms[i].decode(&body, i == count-1)
		}
	}
	body.end(r)
	return block
}

// spiFits reports whether a proposal for p may have an SPI of n octets, section 3.3.1. Protocols
// that are not known keep what they have; negotiation refuses them.
func (p ProtocolID) spiFits(n int) bool {
	switch p {
	case ProtoIKE:
		return n == 0 || n == 8
	case ProtoAH, ProtoESP:
		return n == 4
	default:
		return true
	}
}

func (t *Transform) decode(r *reader, last bool) {
	more := r.u8()
	r.u8()
	body := r.substructure(r.u16(), 4)
	t.Type = TransformType(body.u8())
	body.u8()
	t.ID = body.u16()
	if last && more != lastSubstructure || !last && more != moreTransforms {
		body.fail("transforms do not end where the proposal does")
	}
	for len(body.b) > 0 {
		t.decodeAttribute(&body)
	}
	body.end(r)
}

// decodeAttribute reads one transform attribute, section 3.3.5. What is not a plain Key Length makes
// the transform unfit for use, but not the message: section 3.3.6.
func (t *Transform) decodeAttribute(r *reader) {
	kind, value := r.u16(), r.u16()
	switch {
	case kind&shortForm == 0:
		r.bytes(int(value))
		t.Unrecognized = true
	case kind&^shortForm != keyLengthAttribute || value == 0 || t.KeyBits != 0:
		t.Unrecognized = true
	default:
		t.KeyBits = value
	}
}

func (s SA) appendTo(b []byte) []byte {
	for i, p := range s.Proposals {
		b = p.appendTo(b, i == len(s.Proposals)-1)
	}
	return b
}

func (p Proposal) appendTo(b []byte, last bool) []byte {
	start := len(b)
	b = appendLength(append(b, substructureMark(last, moreProposals), 0))
	b = append(b, p.Number, uint8(p.Protocol), uint8(len(p.SPI)), uint8(len(p.Transforms)))
	b = append(b, p.SPI...)
	for i, t := range p.Transforms {
		b = t.appendTo(b, i == len(p.Transforms)-1)
	}
	patchLength(b, start, start+2)
	return b
}

func (t Transform) appendTo(b []byte, last bool) []byte {
	start := len(b)
	b = appendLength(append(b, substructureMark(last, moreTransforms), 0))
	b = append(b, uint8(t.Type), 0)
	b = binary.BigEndian.AppendUint16(b, t.ID)
	if t.KeyBits != 0 {
		b = binary.BigEndian.AppendUint16(b, shortForm|keyLengthAttribute)
		b = binary.BigEndian.AppendUint16(b, t.KeyBits)
	}
	patchLength(b, start, start+2)
	return b
}

func substructureMark(last bool, more uint8) uint8 {
	if last {
		return lastSubstructure
	}
	return more
}

func (s SA) String() string {
	texts := make([]string, len(s.Proposals))
	for i, p := range s.Proposals {
		texts[i] = p.String()
	}
	return strings.Join(texts, "; ")
}

// String is "1 ESP c0ffee12: ENCR_AES_GCM_16-256 ESN_NO".
func (p Proposal) String() string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(int(p.Number)) + " " + p.Protocol.String())
	if len(p.SPI) > 0 {
		b.WriteString(" " + hex.EncodeToString(p.SPI))
	}
	b.WriteByte(':')
	for _, t := range p.Transforms {
		b.WriteString(" " + t.String())
	}
	return b.String()
}

func (t Transform) String() string {
	name := transformName(t.Type, t.ID, t.KeyBits)
	if t.Unrecognized {
		name += " with unknown attributes"
	}
	return name
}
