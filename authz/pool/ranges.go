package pool

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
)

// A span is one range of one pool; spans are sorted and do not overlap.
type span struct {
	Range
	pool *pool
}

type spans []span

// spansOf checks the ranges of all pools against each other.
func spansOf(defs []Definition, byName map[string]*pool) (spans, error) {
	var all spans
	for _, d := range defs {
		for _, r := range d.Ranges {
			if !r.First.IsValid() || r.First.BitLen() != r.Last.BitLen() || r.First.Zone()+r.Last.Zone() != "" ||
				r.First.Is4In6() || r.Last.Less(r.First) {
				return nil, fmt.Errorf("pool %s: %s is no range of addresses", d.Name, r)
			}
			if r.First.BitLen() != d.Ranges[0].First.BitLen() {
				return nil, fmt.Errorf("pool %s mixes IPv4 and IPv6: make one pool for each family", d.Name)
			}
			all = append(all, span{r, byName[d.Name]})
		}
	}
	slices.SortFunc(all, func(a, b span) int { return a.First.Compare(b.First) })
	for i := 1; i < len(all); i++ {
		if a, b := all[i-1], all[i]; !a.Last.Less(b.First) {
			return nil, fmt.Errorf("pools overlap: %s of %s and %s of %s", a.Range, a.pool.Name, b.Range, b.pool.Name)
		}
	}
	return all, nil
}

// find is the pool that has addr, or nil.
func (s spans) find(addr netip.Addr) *pool {
	i, found := slices.BinarySearchFunc(s, addr, func(at span, a netip.Addr) int { return at.First.Compare(a) })
	if !found {
		i--
	}
	if i < 0 || s[i].First.BitLen() != addr.BitLen() || s[i].Last.Less(addr) {
		return nil
	}
	return s[i].pool
}

// String is the range as it is configured.
func (r Range) String() string {
	if r.First == r.Last {
		return r.First.String()
	}
	return r.First.String() + "-" + r.Last.String()
}

func text(ranges []Range) string {
	var all []string
	for _, r := range ranges {
		all = append(all, r.String())
	}
	return strings.Join(all, ", ")
}

// size counts the addresses; it stops at the largest uint64, which only IPv6 ranges reach.
func size(ranges []Range) uint64 {
	total := uint64(0)
	for _, r := range ranges {
		first, last := r.First.As16(), r.Last.As16()
		low, borrow := bits.Sub64(binary.BigEndian.Uint64(last[8:]), binary.BigEndian.Uint64(first[8:]), 0)
		high, _ := bits.Sub64(binary.BigEndian.Uint64(last[:8]), binary.BigEndian.Uint64(first[:8]), borrow)
		sum, carry := bits.Add64(total, low, 1)
		if high != 0 || carry != 0 {
			return math.MaxUint64
		}
		total = sum
	}
	return total
}
