package config

import (
	"slices"
	"strings"
	"time"
)

// rawProposal mirrors one proposal, of IKE or of ESP: the key lists of the two differ.
type rawProposal struct {
	header
	encryption []given[string]
	prf        []given[string]
	integrity  []given[string]
	group      []given[string]
	esn        given[string]
}

func algorithms(into *[]given[string]) part {
	return oneOrListOf(into, func(v *given[string]) part {
		p := named(v, word).(scalarPart[string])
		p.kind = "algorithm"
		return p
	})
}

// ikeProposal and espProposal are the two faces of a rawProposal.
type (
	ikeProposal struct{ *rawProposal }
	espProposal struct{ *rawProposal }
)

func (p ikeProposal) keys() []key {
	return []key{
		{name: "encryption", part: algorithms(&p.encryption), required: true, example: "[aes-gcm-256, aes-cbc-256]", doc: "Ciphers, best first: `aes-gcm-128`, `-192`, `-256`, `chacha20-poly1305`, `aes-cbc-128`, `-192`, `-256`. `aes-cbc` needs `integrity`, the others protect integrity themselves (RFC 7296 section 3.3)."},
		{name: "prf", part: algorithms(&p.prf), required: true, example: "sha384", doc: "Pseudo-random functions: `sha256`, `sha384`, `sha512`, and, weak, `sha1`."},
		{name: "integrity", part: algorithms(&p.integrity), otherwise: "none: right for ciphers with a tag of their own", example: "sha512", doc: "Integrity algorithms for `aes-cbc`: `sha256`, `sha384`, `sha512`, and, weak, `sha1`."},
		{name: "group", part: algorithms(&p.group), required: true, example: "[x25519, ecp384]", doc: "Key exchange groups by name or number, best first: 31 is `x25519`, 19 to 21 are `ecp256`, `ecp384`, `ecp521`, 14 to 16 are `modp2048`, `modp3072`, `modp4096`, and, weak, 2 and 5 are `modp1024`, `modp1536`."},
	}
}

func (p espProposal) keys() []key {
	return []key{
		{name: "encryption", part: algorithms(&p.encryption), required: true, example: "aes-gcm-256", doc: "Ciphers, best first; the names of `ikev2.proposals`."},
		{name: "integrity", part: algorithms(&p.integrity), otherwise: "none: right for ciphers with a tag of their own", example: "sha256", doc: "Integrity algorithms for `aes-cbc`."},
		{name: "group", part: algorithms(&p.group), otherwise: "none: a Child SA is rekeyed from the keys of the IKE SA", example: "x25519", doc: "Groups for a key exchange of its own whenever a Child SA is rekeyed (perfect forward secrecy)."},
		{name: "esn", part: choice(&p.esn, "prefer", "yes", "no"), def: "prefer", example: "no", doc: "Extended sequence numbers of 64 bits (RFC 4303 section 2.2.1): `prefer` offers both."},
	}
}

// rawIPsec mirrors the ipsec section.
type rawIPsec struct {
	header
	proposals    []entry[rawProposal]
	lifetime     rawLifetime
	replayWindow given[int]
}

func (i *rawIPsec) keys() []key {
	return []key{
		{name: "proposals", part: mapOf(&i.proposals, "proposal", word, func(v *rawProposal) part { return object(espProposal{v}) }), otherwise: "the strong algorithms of this version, best first", doc: "Proposals for Child SAs. What stands here replaces the built-in ones, in the order of the file."},
		{name: "lifetime", part: object(&i.lifetime), doc: "When a Child SA is replaced by a fresh one. Rekeying starts a little before."},
		{name: "replay-window", part: integer(&i.replayWindow, 64, 4096), def: "1024", example: "2048", doc: "Packets that may arrive late before they are taken for replays (RFC 4303 section 3.4.3)."},
	}
}

type rawLifetime struct {
	header
	time    given[time.Duration]
	bytes   given[uint64]
	packets given[uint64]
}

// defaultChildLife is written down once for the page and for profiles, whose lifetime falls back on
// that of the ipsec section.
const defaultChildLife = "1h"

func (l *rawLifetime) keys() []key {
	return []key{
		{name: "time", part: duration(&l.time, time.Minute, 30*24*time.Hour), def: defaultChildLife, example: "4h", doc: "Age at which a Child SA is rekeyed."},
		{name: "bytes", part: volume(&l.bytes, 1<<20), otherwise: "no limit", example: "100GiB", doc: "Octets in one direction after which a Child SA is rekeyed."},
		{name: "packets", part: count(&l.packets, 1000), otherwise: "no limit", example: "1000000000", doc: "Packets in one direction after which a Child SA is rekeyed."},
	}
}

func (l *rawLifetime) lifetime() Lifetime {
	return Lifetime{Time: l.time.v, Bytes: l.bytes.v, Packets: l.packets.v}
}

// proposals resolves a section's proposals; esp selects the registry of Child SAs.
func (r *reader) proposals(raw []entry[rawProposal], esp bool) []Proposal {
	out := make([]Proposal, 0, len(raw))
	for i := range raw {
		p := &raw[i].v
		made := Proposal{
			Name: raw[i].name, Encryption: r.words(p.encryption), PRF: r.words(p.prf),
			Integrity: r.words(p.integrity), Groups: r.words(p.group), ESN: p.esn.v,
		}
		if p.seen && r.checkProposal != nil && allOK(p.encryption, p.prf, p.integrity, p.group) && len(p.encryption) > 0 && (esp || len(p.prf) > 0 && len(p.group) > 0) {
			for _, err := range r.checkProposal(made, esp) {
				r.fail(raw[i].at, "", "proposal %s: %v", raw[i].name, err)
			}
		}
		r.warnWeak(p)
		out = append(out, made)
	}
	return out
}

func allOK(lists ...[]given[string]) bool {
	return !slices.ContainsFunc(slices.Concat(lists...), func(g given[string]) bool { return !g.ok })
}

// words is the values of a list; a value that stands in it twice is refused.
func (r *reader) words(list []given[string]) []string {
	var out []string
	for _, g := range list {
		if g.ok && slices.Contains(out, g.v) {
			r.fail(g.at, "remove one of them", "%s is given twice", quote(g.v))
		}
		out = append(out, g.v)
	}
	return out
}

// warnWeak is deliberately no table of algorithms: it only knows the families that RFC 8221
// and RFC 8247 advise against, by the part of the name that every spelling of them has.
func (r *reader) warnWeak(p *rawProposal) {
	for _, g := range slices.Concat(p.encryption, p.prf, p.integrity, p.group) {
		name := strings.ReplaceAll(strings.ToLower(g.v), "-", "")
		for _, weak := range []string{"sha1", "md5", "3des", "modp768", "modp1024", "modp1536"} {
			if strings.Contains(name, weak) {
				r.warnOf(g)
			}
		}
	}
	for _, g := range p.group {
		if g.v == "2" || g.v == "5" { // the same by number
			r.warnOf(g)
		}
	}
}

func (r *reader) warnOf(weak given[string]) {
	r.warn(weak.at, "use it only for a peer that has nothing better", "%s is weak (RFC 8221, RFC 8247)", quote(weak.v))
}

// pick finds the proposals that a profile names; none named: all of the section's.
func (r *reader) pick(names []given[string], from []Proposal, noun, in string) []Proposal {
	if len(names) == 0 {
		return from
	}
	r.words(names)
	known := make([]string, len(from))
	for i := range from {
		known[i] = from[i].Name
	}
	var out []Proposal
	for _, n := range names {
		if !n.ok {
			continue
		}
		if i := slices.Index(known, n.v); i >= 0 {
			out = append(out, from[i])
		} else {
			r.dangling(n, noun, in, known)
		}
	}
	return out
}
