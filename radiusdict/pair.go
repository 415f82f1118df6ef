// Package radiusdict knows what RADIUS says to a FlexVPN hub: Cisco's AV-pairs in the spellings that
// are seen in the field, and the numbered attributes, as typed values in one [Reply]. It neither
// sends nor decrypts anything.
//
// A pair is "protocol:attribute=value" or, when the hub may do without, "protocol:attribute*value".
// A mandatory pair that this hub does not know, or whose value is nonsense, refuses the session: the
// operator meant something by it, and nobody would notice that it is missing. An optional one is
// noted and left out.
//
// The tables of numbered attributes are written by hand. The generator of layeh.com/radius makes accessors
// that look one attribute up in a packet of that module: they would bring it into this room, and they serve
// who asks for one attribute at a time. A reply is read in one pass and in its order, each attribute under
// this hub's rules (the first or all of them, bounds, what is no host), and the error names it. There are
// forty names and numbers to get wrong; tests compare them with the dictionaries of FreeRADIUS.
package radiusdict

import (
	"fmt"
	"strconv"
	"strings"
)

// A Pair is one Cisco-AVPair (vendor 9, type 1).
type Pair struct {
	Protocol  string // lower case, may be empty; "ip:ipsec" is one too
	Attribute string // lower case, without its number
	Number    int    // of "inacl#10"; -1: none
	Mandatory bool   // "=", not "*"
	Value     string
}

// ParsePair reads protocol:attribute{=|*}value.
func ParsePair(text string) (Pair, error) {
	i := strings.IndexAny(text, "=*")
	if i < 0 {
		return Pair{}, fmt.Errorf("AV-pair %q has neither = nor *: write protocol:attribute=value", clip(text))
	}
	p := Pair{Mandatory: text[i] == '=', Value: strings.TrimSpace(text[i+1:]), Number: -1}
	name := strings.ToLower(strings.TrimSpace(text[:i]))
	if colon := strings.LastIndexByte(name, ':'); colon >= 0 {
		p.Protocol, name = name[:colon], name[colon+1:]
	}
	if hash := strings.IndexByte(name, '#'); hash >= 0 {
		n, err := strconv.Atoi(name[hash+1:])
		if err != nil || n < 0 {
			return Pair{}, fmt.Errorf("AV-pair %q: behind # stands no number", clip(text))
		}
		p.Number, name = n, name[:hash]
	}
	if p.Attribute = strings.TrimSpace(name); p.Attribute == "" {
		return Pair{}, fmt.Errorf("AV-pair %q has no attribute before its %q", clip(text), text[i])
	}
	if strings.ContainsFunc(p.Value, control) || strings.ContainsFunc(p.Attribute, control) {
		return Pair{}, fmt.Errorf("AV-pair %q holds control characters", clip(text))
	}
	return p, nil
}

// Name is the pair without its value, as it is spelled.
func (p Pair) Name() string {
	name := p.Attribute
	if p.Number >= 0 {
		name += "#" + strconv.Itoa(p.Number)
	}
	if p.Protocol != "" {
		name = p.Protocol + ":" + name
	}
	return name
}

func control(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f }

// clip bounds what of a server's text stands in a message, and leaves keys out.
func clip(s string) string { return Redact(s[:min(len(s), 80)]) }

// Redact is a pair's text without what may be a key: whatever stands behind a name with password in it,
// also where the pair is malformed.
func Redact(pair string) string {
	const word = "password"
	for i := 0; i+len(word) <= len(pair); i++ {
		if !strings.EqualFold(pair[i:i+len(word)], word) {
			continue
		}
		shown := i + len(word)
		rest := strings.TrimLeft(pair[shown:], "-abcdefghijklmnopqrstuvwxyz") // of the attribute's name
		if rest != "" && (rest[0] == '=' || rest[0] == '*') {
			shown = len(pair) - len(rest) + 1
		}
		return pair[:shown] + "[redacted]"
	}
	return pair
}

// words are a value's parts: lists are separated by space in the field, by commas in some.
func words(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == ',' || r == ';' || r == '\t' })
}
