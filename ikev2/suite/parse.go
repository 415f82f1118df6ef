package suite

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ParseProposal turns the names of the configuration into numbers, and says everything that is
// wrong with them. Groups may be given by number; case does not matter. esn is "" or "prefer"
// (offer both), "yes" or "no". A mix of AEAD and other ciphers is right: see Proposal.Wire.
func ParseProposal(name string, encr, prf, integ, groups []string, esn string, forESP bool) (Proposal, []error) {
	p := parser{}
	out := Proposal{Name: name}
	for _, s := range encr {
		if row := p.cipher(s); row != nil {
			out.Encr = append(out.Encr, row.Cipher)
		}
	}
	out.PRF = p.numbers("PRF", prf, prfNames())
	out.Integ = p.numbers("integrity algorithm", integ, integNames())
	out.Group = p.numbers("group", groups, groupNames())
	if forESP {
		out.ESN = p.esn(esn)
	}
	if len(p.errs) == 0 { // a name that is missing would only bring up errors that are not there
		p.complete(out, esn, forESP)
	}
	if len(p.errs) > 0 {
		return Proposal{}, p.errs
	}
	return out, nil
}

// A parser collects the errors of one proposal.
type parser struct{ errs []error }

func (p *parser) fail(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

// complete checks what belongs together.
func (p *parser) complete(out Proposal, esn string, forESP bool) {
	if len(out.Encr) == 0 {
		p.fail("no encryption algorithm is given: add one, for example %s", "aes-gcm-256")
	}
	aead := func(c Cipher) bool { return c.isAEAD() }
	plain := func(c Cipher) bool { return !c.isAEAD() }
	if slices.ContainsFunc(out.Encr, plain) && len(out.Integ) == 0 {
		p.fail("aes-cbc does not protect integrity: add an integrity algorithm, for example sha256, or use aes-gcm")
	}
	if slices.ContainsFunc(out.Encr, aead) && !slices.ContainsFunc(out.Encr, plain) && len(out.Integ) > 0 {
		p.fail("these ciphers protect integrity themselves: remove the integrity algorithms, or add an aes-cbc that needs them (RFC 7296 section 3.3)")
	}
	if forESP {
		if len(out.PRF) > 0 {
			p.fail("a PRF belongs to IKE proposals: remove it here")
		}
		return
	}
	if len(out.PRF) == 0 {
		p.fail("an IKE proposal needs a PRF: add one, for example sha384")
	}
	if len(out.Group) == 0 {
		p.fail("an IKE proposal needs a group: add one, for example x25519")
	}
	if esn != "" {
		p.errs = append(p.errs, errors.New("extended sequence numbers belong to ESP proposals: remove esn here"))
	}
}

func (p *parser) cipher(s string) *cipherRow {
	known := make([]string, 0, len(ciphers))
	for i := range ciphers {
		if ciphers[i].config == strings.ToLower(s) {
			return &ciphers[i]
		}
		known = append(known, ciphers[i].config)
	}
	p.unknown("encryption algorithm", s, known)
	return nil
}

// An algorithm is a name with its number.
type algorithm struct {
	name string
	id   uint16
}

func (p *parser) numbers(noun string, names []string, table []algorithm) []uint16 {
	var out []uint16
	for _, s := range names {
		i := slices.IndexFunc(table, func(a algorithm) bool {
			return a.name == strings.ToLower(s) || noun == "group" && strconv.Itoa(int(a.id)) == s
		})
		if i >= 0 {
			out = append(out, table[i].id)
			continue
		}
		known := make([]string, 0, len(table))
		for _, a := range table {
			known = append(known, a.name)
		}
		p.unknown(noun, s, known)
	}
	return out
}

func prfNames() (out []algorithm) {
	for i := range prfs {
		out = append(out, algorithm{prfs[i].config, prfs[i].id})
	}
	return out
}

func integNames() (out []algorithm) {
	for i := range integs {
		out = append(out, algorithm{integs[i].config, integs[i].id})
	}
	return out
}

func groupNames() (out []algorithm) {
	for i := range groups {
		out = append(out, algorithm{groups[i].name, groups[i].id})
	}
	return out
}

func (p *parser) esn(s string) []uint16 {
	switch s {
	case "", "prefer":
		return []uint16{1, 0}
	case "yes":
		return []uint16{1}
	case "no":
		return []uint16{0}
	}
	p.unknown("choice of extended sequence numbers", s, []string{"prefer", "yes", "no"})
	return nil
}

func (p *parser) unknown(noun, s string, known []string) {
	list := strings.Join(known, ", ")
	if near := nearest(strings.ToLower(s), known); near != "" {
		p.fail("unknown %s %.64q: did you mean %s? Known are %s", noun, s, near, list)
		return
	}
	p.fail("unknown %s %.64q: known are %s", noun, s, list)
}

// nearest is the known name that s was most likely meant to be, or "".
func nearest(s string, known []string) string {
	best, found := len(s)/3+1, ""
	for _, k := range known {
		if d := distance(s, k); d <= best && d < len(k) && (found == "" || d < best) {
			best, found = d, k
		}
	}
	return found
}

// distance is the number of letters to add, remove or change between a and b.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
