package edge

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/google/nftables"

	"flexvpn/config"
)

// entry is what the table knows of one interface. It is comparable.
type entry struct {
	filterIn, filterOut string // access lists
	linesIn, linesOut   string // their content where it is not of the configuration
	police              config.Rate
	mss4, mss6          uint16
}

// sets are the table's maps and sets, all keyed by the name of an interface. Those that lead to a chain
// are plain sets with a rule for each: the kernel walks the whole of a map of verdicts whenever an
// element comes, to look for loops, so that the ten thousandth spoke would cost more than the first.
type sets struct {
	in, out                      map[string]*nftables.Set // by access list
	police                       map[config.Rate]*nftables.Set
	mss4, mss6                   *nftables.Set // to octets
	deniedIn, deniedOut, policed *nftables.Set // counters
}

// list is all of them.
func (s *sets) list() []*nftables.Set {
	out := []*nftables.Set{s.mss4, s.mss6, s.deniedIn, s.deniedOut, s.policed}
	for _, m := range []map[string]*nftables.Set{s.in, s.out} {
		out = slices.AppendSeq(out, maps.Values(m))
	}
	return slices.AppendSeq(out, maps.Values(s.police))
}

// placed is an element with the set it is in.
type placed struct {
	set     *nftables.Set
	element []nftables.SetElement // one
}

// elements are what e costs.
func (e entry) elements(s *sets, name string) (out []placed) {
	add := func(wanted bool, set *nftables.Set, x nftables.SetElement) {
		if wanted && set != nil { // a set that somebody removed holds nothing
			x.Key = ifname(name)
			out = append(out, placed{set, []nftables.SetElement{x}})
		}
	}
	in, outwards, police := e.filterIn != "", e.filterOut != "", e.police.Bits != 0
	// The counters come before what counts into them.
	add(in, s.deniedIn, nftables.SetElement{})
	add(outwards, s.deniedOut, nftables.SetElement{})
	add(police, s.policed, nftables.SetElement{})
	add(in, s.in[e.filterIn], nftables.SetElement{})
	add(outwards, s.out[e.filterOut], nftables.SetElement{})
	add(police, s.police[e.police], nftables.SetElement{})
	add(e.mss4 != 0, s.mss4, nftables.SetElement{Val: binary.BigEndian.AppendUint16(nil, e.mss4)})
	add(e.mss6 != 0, s.mss6, nftables.SetElement{Val: binary.BigEndian.AppendUint16(nil, e.mss6)})
	return out
}

func contains(list []placed, x placed) bool {
	for _, y := range list {
		if x.set == y.set && sameElement(x.element[0], y.element[0]) {
			return true
		}
	}
	return false
}

func sameElement(a, b nftables.SetElement) bool {
	return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Val, b.Val)
}

// keys is the element as deleting it wants it.
func keys(x []nftables.SetElement) []nftables.SetElement {
	return []nftables.SetElement{{Key: x[0].Key}}
}

// ifname is a name as the kernel compares it: 16 octets, zeros at the end (IFNAMSIZ).
func ifname(name string) []byte {
	b := make([]byte, 16)
	copy(b, name)
	return b
}

func nameOf(key []byte) string { return string(bytes.TrimRight(key, "\x00")) }

// The names of chains.
const (
	fromPeers = "from_peers"
	toPeers   = "to_peers"
	aclIn     = "acl_in_"
	aclOut    = "acl_out_"
)
