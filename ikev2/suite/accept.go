package suite

import (
	"errors"
	"fmt"

	"flexvpn/ikev2/wire"
)

// AcceptIKE checks a responder's choice for an IKE SA: exactly one proposal, one that we made, with
// one transform of each type (RFC 7296 section 2.7).
func AcceptIKE(ours []Proposal, reply []wire.Proposal) (IKE, error) {
	p, err := accept(Offer(ours, wire.ProtoIKE, nil, true), reply)
	if err != nil {
		return IKE{}, err
	}
	return p.ike(), nil
}

// AcceptESP checks a responder's choice for a Child SA, as AcceptIKE does.
func AcceptESP(ours []Proposal, reply []wire.Proposal, withKE bool) (ESP, error) {
	p, err := accept(Offer(ours, wire.ProtoESP, nil, withKE), reply)
	if err != nil {
		return ESP{}, err
	}
	if !usableSPI(reply[0].SPI) {
		return ESP{}, fmt.Errorf("the peer's proposal has the ESP SPI %x: 4 octets above 255 are right", reply[0].SPI)
	}
	return p.esp(), nil
}

// usableSPI reports whether ESP can carry an SPI: 0 would look like the non-ESP marker of RFC 3948,
// and 1 to 255 are reserved (RFC 4303 section 2.1).
func usableSPI(spi []byte) bool { return len(spi) == 4 && (spi[0]|spi[1]|spi[2]) != 0 }

func accept(made, reply []wire.Proposal) (pick, error) {
	if len(reply) != 1 {
		return pick{}, fmt.Errorf("the peer answered with %d proposals, it has to choose one", len(reply))
	}
	got := &reply[0]
	if got.Number < 1 || int(got.Number) > len(made) {
		return pick{}, fmt.Errorf("the peer chose proposal %d of %d", got.Number, len(made))
	}
	offered := made[got.Number-1]
	if got.Protocol != offered.Protocol {
		return pick{}, fmt.Errorf("the peer chose protocol %d, offered was %d", got.Protocol, offered.Protocol)
	}
	chosen, err := oneEach(got.Transforms, offered.Transforms)
	if err != nil {
		return pick{}, err
	}
	for _, t := range offered.Transforms {
		if chosen[t.Type] == nil && (t.Type != wire.TransformESN || !holds(offered.Transforms, noESN)) {
			return pick{}, fmt.Errorf("the peer chose no %s", typeName(t.Type))
		}
	}
	return picked(chosen), nil
}

// noESN is what a peer that leaves ESN out of its answer has chosen, if we offered it.
var noESN = wire.Transform{Type: wire.TransformESN, ID: none}

// choices holds one transform of each type.
type choices [wire.TransformESN + 1]*wire.Transform

// oneEach checks that every transform was offered and none stands beside another of its type.
func oneEach(got, offered []wire.Transform) (chosen choices, err error) {
	for i := range got {
		t := &got[i]
		if !holds(offered, *t) {
			return chosen, fmt.Errorf("the peer chose %s %d (key length %d), which was not offered", typeName(t.Type), t.ID, t.KeyBits)
		}
		if chosen[t.Type] != nil {
			return chosen, fmt.Errorf("the peer chose more than one %s", typeName(t.Type))
		}
		chosen[t.Type] = t
	}
	if chosen[wire.TransformENCR] == nil {
		return chosen, errors.New("the peer chose no ENCR")
	}
	return chosen, nil
}

func picked(chosen choices) pick {
	id := func(t wire.TransformType) uint16 {
		if chosen[t] == nil {
			return none
		}
		return chosen[t].ID
	}
	encr := chosen[wire.TransformENCR]
	return pick{
		encr:  Cipher{encr.ID, encr.KeyBits},
		prf:   id(wire.TransformPRF),
		integ: id(wire.TransformINTEG),
		group: id(wire.TransformKE),
		esn:   id(wire.TransformESN),
	}
}

func holds(list []wire.Transform, t wire.Transform) bool {
	for _, o := range list {
		if o == t {
			return true
		}
	}
	return false
}

// typeName is a transform type as RFC 7296 section 3.3.2 abbreviates it.
func typeName(t wire.TransformType) string {
	switch t {
	case wire.TransformENCR:
		return "ENCR"
	case wire.TransformPRF:
		return "PRF"
	case wire.TransformINTEG:
		return "INTEG"
	case wire.TransformKE:
		return "KE"
	case wire.TransformESN:
		return "ESN"
	}
	return fmt.Sprintf("transform type %d", uint8(t))
}
