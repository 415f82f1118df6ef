package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const prefixRuleDoc = "Lists of prefixes by name. A rule is text as on IOS: `permit` or `deny`, a prefix or `any`, and `ge N`, `le N` for the lengths that fit; without them only the prefix itself does. The first rule that fits decides; what none fits is denied."

func prefixRule(into *given[PrefixRule]) part {
	return scalar(into, "rule of a prefix list", func(s string) (PrefixRule, error) {
		words := strings.Fields(s)
		if len(words) < 2 || words[0] != "permit" && words[0] != "deny" {
			return PrefixRule{}, problem{fmt.Sprintf("must begin with permit or deny and a prefix, not %s", quote(s)), "for example: permit 10.0.0.0/8 le 24"}
		}
		r := PrefixRule{Permit: words[0] == "permit"}
		if words[1] == "any" {
			return r, problem{"has any, which has no family", "write 0.0.0.0/0 le 32, or ::/0 le 128"}
		}
		p, err := parsePrefix(words[1])
		if err != nil {
			return r, err
		}
		r.Prefix, r.Least, r.Most = p, p.Bits(), p.Bits()
		return r, r.lengths(words[2:])
	})
}

// lengths reads ge and le.
func (r *PrefixRule) lengths(words []string) error {
	longest := r.Prefix.Addr().BitLen()
	ge := false
	for i := 0; i < len(words); i += 2 {
		if i+1 == len(words) || words[i] != "ge" && words[i] != "le" {
			return problem{fmt.Sprintf("has %s where only ge N and le N can stand", quote(strings.Join(words[i:], " "))), ""}
		}
		n, err := strconv.Atoi(words[i+1])
		if err != nil || n < r.Prefix.Bits() || n > longest {
			return problem{fmt.Sprintf("has %s %s: a length here is %d to %d", words[i], words[i+1], r.Prefix.Bits(), longest), ""}
		}
		if words[i] == "ge" {
			r.Least, ge = n, true
			r.Most = max(r.Most, longest)
		} else {
			r.Most = n
		}
	}
	if ge && r.Least > r.Most {
		return problem{fmt.Sprintf("fits nothing: ge %d is more than le %d", r.Least, r.Most), ""}
	}
	return nil
}

func prefixList(into *[]given[PrefixRule]) part { return oneOrListOf(into, prefixRule) }

func prefixLists(raw []entry[[]given[PrefixRule]]) map[string]*PrefixList {
	if len(raw) == 0 {
		return nil
	}
	out := make(map[string]*PrefixList, len(raw))
	for _, e := range raw {
		out[e.name] = &PrefixList{Name: e.name, Rules: valid(e.v)}
	}
	return out
}

// filterName refuses the words that stand for filters themselves.
func filterName(s string) string {
	if s == "any" || s == "none" || s == "interface" {
		return "it is a word of its own"
	}
	return word(s)
}

// filter is any, none or the name of a prefix list.
func filter(into *given[string]) part {
	return scalar(into, "name of a prefix list, `any` or `none`", func(s string) (string, error) {
		if wrong := word(s); wrong != "" {
			return "", problem{text: wrong}
		}
		return s, nil
	})
}

// filterOf resolves a filter.
func (r *reader) filterOf(g given[string], cfg *Config, in string) Filter {
	switch {
	case !g.ok || g.v == "none":
		return Filter{}
	case g.v == "any":
		return Filter{Any: true}
	}
	l := cfg.PrefixLists[g.v]
	if l == nil {
		r.dangling(g, "prefix-list", in, mapKeys(cfg.PrefixLists))
	}
	return Filter{List: l}
}

// rawStatic mirrors one static route.
type rawStatic struct {
	header
	prefix   given[netip.Prefix]
	via      given[netip.Addr]
	device   given[string]
	discard  given[bool]
	vrf      given[string]
	distance given[int]
	tag      given[int]
}

func (s *rawStatic) keys() []key {
	return []key{
		{name: "prefix", part: network(&s.prefix), required: true, example: "10.0.0.0/8", doc: "Where it leads to."},
		{name: "via", part: unicast(&s.via), otherwise: "on the link of `interface`", example: "192.0.2.254", doc: "The next hop. Without `interface` the way to it is looked up among the other routes."},
		{name: "interface", part: named(&s.device, interfaceName), otherwise: "that of `via`", example: "eth1", doc: "The interface."},
		{name: "discard", part: boolean(&s.discard), def: "false", example: "true", doc: "Packets are dropped, as with `Null0`."},
		{name: "vrf", part: named(&s.vrf, interfaceName), otherwise: "the main table", example: "red", doc: "The VRF's device."},
		{name: "distance", part: integer(&s.distance, 1, 255), def: "1", example: "250", doc: "Administrative distance: the least wins. With 250 it stands in for what BGP does not know."},
		{name: "tag", part: integer(&s.tag, 0, 497777), def: "0", example: "100", doc: "For display."},
	}
}

func (r *reader) statics(raw []rawStatic) []StaticRoute {
	var out []StaticRoute
	for i := range raw {
		s := &raw[i]
		made := StaticRoute{
			Prefix: s.prefix.v, Via: s.via.v, Interface: s.device.v, Discard: s.discard.v, VRF: s.vrf.v,
			Distance: uint8(s.distance.v), Tag: uint32(s.tag.v),
		}
		switch {
		case s.discard.v && (s.via.typed || s.device.typed):
			r.fail(s.discard.at, "remove one of them", "a static route that discards has no via and no interface")
		case !s.discard.v && !s.via.typed && !s.device.typed:
			r.fail(s.at, "give it via, interface or discard: true", "a static route leads nowhere")
		case s.prefix.ok && s.via.ok && s.via.v.Is4() != s.prefix.v.Addr().Is4():
			r.fail(s.via.at, "", "a static route to %s cannot go by %s: they are of different families", s.prefix.v, s.via.v)
		case s.prefix.ok && slices.ContainsFunc(out, func(o StaticRoute) bool {
			return o.Prefix == made.Prefix && o.VRF == made.VRF && o.Via == made.Via && o.Interface == made.Interface
		}):
			r.fail(s.at, "remove one", "the static route to %s is given twice", s.prefix.v)
		}
		out = append(out, made)
	}
	return out
}
