package config

import (
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"
)

// rawPool mirrors one pool.
type rawPool struct {
	header
	ranges []given[Range]
}

func (p *rawPool) keys() []key {
	return []key{
		{name: "range", part: oneOrListOf(&p.ranges, addressRange), required: true, example: "10.1.1.2-10.1.1.254", doc: "Addresses to assign, all of one family. A prefix stands for its addresses without the first and, in IPv4, the last (network and broadcast)."},
	}
}

func addressRange(into *given[Range]) part {
	return scalar(into, "range FIRST-LAST, prefix or address", parseRange)
}

func parseRange(s string) (Range, error) {
	if first, last, ok := strings.Cut(s, "-"); ok {
		a, err1 := netip.ParseAddr(strings.TrimSpace(first))
		b, err2 := netip.ParseAddr(strings.TrimSpace(last))
		switch {
		case err1 != nil || err2 != nil || a.Zone() != "" || b.Zone() != "" || a.Is4In6() || b.Is4In6():
			return Range{}, fmt.Errorf("no range")
		case a.Is4() != b.Is4():
			return Range{}, problem{text: fmt.Sprintf("must have both ends in one family, not %s", quote(s))}
		case b.Less(a):
			return Range{}, problem{fmt.Sprintf("ends before it begins: %s", quote(s)), fmt.Sprintf("did you mean %s-%s?", b, a)}
		}
		return Range{a, b}, nil
	}
	p, err := parsePrefix(s)
	if err != nil {
		return Range{}, err
	}
	if p.IsSingleIP() {
		return Range{p.Addr(), p.Addr()}, nil
	}
	if p != p.Masked() {
		return Range{}, problem{fmt.Sprintf("%s has bits set outside its prefix length", quote(s)), fmt.Sprintf("did you mean %s?", p.Masked())}
	}
	return usable(p), nil
}

// usable leaves out the addresses of a prefix that are not a host's: network and broadcast in IPv4,
// but not of a /31 (RFC 3021), and the subnet-router anycast address in IPv6 (RFC 4291 section 2.6.1).
func usable(p netip.Prefix) Range {
	first, last := p.Addr(), lastOf(p)
	if p.Addr().BitLen()-p.Bits() == 1 {
		return Range{first, last}
	}
	if p.Addr().Is4() {
		last = last.Prev()
	}
	return Range{first.Next(), last}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

func (p *Pool) is6() bool { return len(p.Ranges) > 0 && p.Ranges[0].First.Is6() }

// size is the number of addresses; a pool of IPv6 may have more than a uint64 counts.
func (p *Pool) size() *big.Int {
	sum := new(big.Int)
	for _, r := range p.Ranges {
		first, last := new(big.Int).SetBytes(r.First.AsSlice()), new(big.Int).SetBytes(r.Last.AsSlice())
		sum.Add(sum, last.Sub(last, first)).Add(sum, big.NewInt(1))
	}
	return sum
}

func (r *reader) pools(raw []entry[rawPool]) map[string]*Pool {
	out := make(map[string]*Pool, len(raw))
	for i := range raw {
		p := &Pool{Name: raw[i].name}
		for _, g := range raw[i].v.ranges {
			if !g.ok {
				continue
			}
			if len(p.Ranges) > 0 && p.is6() != g.v.First.Is6() {
				r.fail(g.at, "make one pool for each family: pool and ipv6-pool", "pool %s mixes IPv4 and IPv6", p.Name)
				continue
			}
			p.Ranges = append(p.Ranges, g.v)
		}
		out[p.Name] = p
	}
	r.overlaps(raw)
	return out
}

// String is the range as it stands in a file.
func (r Range) String() string {
	if r.First == r.Last {
		return r.First.String()
	}
	return r.First.String() + "-" + r.Last.String()
}

// A claim is a range of addresses with the one it belongs to.
type claim struct {
	Range
	owner string
	at    place
}

// overlaps finds ranges that share addresses, within one pool too: one address would go to two
// spokes. Sorted by their first address, a range that meets any earlier one meets the one that
// reaches farthest.
func (r *reader) overlaps(raw []entry[rawPool]) {
	claims := poolClaims(raw)
	if len(claims) == 0 {
		return
	}
	farthest := claims[0]
	for _, c := range claims[1:] {
		if c.First.Compare(farthest.Last) <= 0 && c.First.BitLen() == farthest.First.BitLen() {
			here, there := c, farthest
			if here.at.line < there.at.line || here.at.line == there.at.line && here.at.column < there.at.column {
				here, there = there, here
			}
			r.fail(here.at, "", "range %s of %s overlaps %s of %s in line %d",
				here.Range, here.owner, there.Range, there.owner, there.at.line)
		}
		if c.First.BitLen() != farthest.First.BitLen() || farthest.Last.Less(c.Last) {
			farthest = c
		}
	}
}

func poolClaims(raw []entry[rawPool]) []claim {
	var claims []claim
	for i := range raw {
		for _, g := range raw[i].v.ranges {
			if g.ok {
				claims = append(claims, claim{g.v, "pool " + raw[i].name, g.at})
			}
		}
	}
	slices.SortStableFunc(claims, func(a, b claim) int { return a.First.Compare(b.First) })
	return claims
}

// ownAddresses refuses a pool that would hand an interface's own address to a spoke.
func (r *reader) ownAddresses(raw []entry[rawPool], interfaces []claim) {
	claims := poolClaims(raw)
	for _, own := range interfaces {
		i, found := slices.BinarySearchFunc(claims, own.First, func(c claim, a netip.Addr) int { return c.First.Compare(a) })
		if !found {
			i--
		}
		if i >= 0 && i < len(claims) && own.First.Compare(claims[i].Last) <= 0 {
			r.fail(claims[i].at, "leave it out of the range", "range %s of %s contains %s, the address of %s in line %d",
				claims[i].Range, claims[i].owner, own.First, own.owner, own.at.line)
		}
	}
}
