package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// PolicyMap is how much traffic passes: a shaper for what is sent, a policer for what comes in.
type PolicyMap struct {
	Name          string
	Shape, Police Rate
}

// Rate is a token bucket; zero Bits is none.
type Rate struct {
	Bits  uint64 // a second
	Burst uint32 // octets; 0: what the rate carries in some milliseconds
}

// Limits of rates: the data plane's.
const (
	minRate  = 8000
	maxRate  = 1 << 40
	maxBurst = 1 << 28
)

// rawPolicyMap mirrors one policy-map.
type rawPolicyMap struct {
	header
	shape, police           given[uint64]
	shapeBurst, policeBurst given[int]
}

func (p *rawPolicyMap) keys() []key {
	burst := func(v *given[int]) part { return integer(v, 1500, maxBurst) }
	return []key{
		{name: "shape", part: rate(&p.shape), otherwise: "what is sent is not limited", example: "10m", doc: "Rate to which what is sent is delayed (`shape average`); used as `output`."},
		{name: "shape-burst", part: burst(&p.shapeBurst), otherwise: "what the rate carries in 10 ms, at least two packets", example: "15000", doc: "Octets that may be sent at once."},
		{name: "police", part: rate(&p.police), otherwise: "what is received is not limited", example: "2m", doc: "Rate above which what is received is dropped (`police`); used as `input`."},
		{name: "police-burst", part: burst(&p.policeBurst), otherwise: "what the rate carries in a second", example: "375000", doc: "Octets that may arrive at once, at least what the rate carries in a second: a policer has no queue, and TCP needs room for some round trips."},
	}
}

// rate is a number of bits a second, plain or with a decimal unit.
func rate(into *given[uint64]) part {
	p := scalar(into, "rate", parseRate)
	p.limits = "8k to 1t bits a second; units k, m, g"
	return p
}

func parseRate(s string) (uint64, error) {
	number, factor := s, uint64(1)
	for i, unit := range []string{"k", "m", "g", "t"} {
		if cut, ok := strings.CutSuffix(strings.ToLower(s), unit); ok {
			number, factor = cut, uint64(math.Pow10(3*(i+1)))
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil {
		return 0, problem{fmt.Sprintf("must be a rate in bits a second, not %s", quote(s)), "for example 512k, 10m or 1g"}
	}
	if n > maxRate/factor || n*factor < minRate {
		return 0, problem{text: fmt.Sprintf("must be 8k to 1t bits a second, not %s", s)}
	}
	return n * factor, nil
}

func (r *reader) policyMaps(raw []entry[rawPolicyMap]) map[string]*PolicyMap {
	out := make(map[string]*PolicyMap, len(raw))
	for i := range raw {
		p, name := &raw[i].v, raw[i].name
		out[name] = &PolicyMap{
			Name:   name,
			Shape:  Rate{p.shape.v, uint32(p.shapeBurst.v)},
			Police: Rate{p.police.v, uint32(p.policeBurst.v)},
		}
		if !p.shape.typed && !p.police.typed {
			r.fail(raw[i].at, "shape: 10m, police: 2m, or both", "policy-map %s limits nothing", name)
		}
		if p.shapeBurst.typed && !p.shape.typed {
			r.fail(p.shapeBurst.at, "", "policy-map %s has a shape-burst without a shape", name)
		}
		if p.policeBurst.typed && !p.police.typed {
			r.fail(p.policeBurst.at, "", "policy-map %s has a police-burst without a police", name)
		}
		if second := p.police.v / 8; p.police.typed && p.policeBurst.ok && uint64(p.policeBurst.v) < second {
			r.fail(p.policeBurst.at, "", "police-burst %d of policy-map %s is less than a second of its rate, %d octets", p.policeBurst.v, name, second)
		}
	}
	return out
}
