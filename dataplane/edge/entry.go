package edge

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"flexvpn/config"
)

// entry is what the table knows of one interface. It is comparable.
type entry struct {
	filterIn, filterOut string // access lists
	police              config.Rate
	mss4, mss6          uint16
}

// sets are the table's maps and sets, all keyed by the name of an interface.
type sets struct {
	filterIn, filterOut, police  *nftables.Set // to chains
	mss4, mss6                   *nftables.Set // to octets
	deniedIn, deniedOut, policed *nftables.Set // counters
}

// each calls f with every set.
func (s *sets) each(f func(into **nftables.Set, name string, data nftables.SetDatatype)) {
	f(&s.filterIn, "filter_in", nftables.TypeVerdict)
	f(&s.filterOut, "filter_out", nftables.TypeVerdict)
	f(&s.police, "police", nftables.TypeVerdict)
	// A port has the form of a segment size: two octets, the high one first.
	f(&s.mss4, "mss4", nftables.TypeInetService)
	f(&s.mss6, "mss6", nftables.TypeInetService)
	f(&s.deniedIn, "denied_in", nftables.TypeInvalid)
	f(&s.deniedOut, "denied_out", nftables.TypeInvalid)
	f(&s.policed, "policed", nftables.TypeInvalid)
}

// list is all of them.
func (s *sets) list() (out []*nftables.Set) {
	s.each(func(set **nftables.Set, _ string, _ nftables.SetDatatype) { out = append(out, *set) })
	return out
}

// placed is an element with the set it is in.
type placed struct {
	set     *nftables.Set
	element []nftables.SetElement // one
}

// elements are what e costs.
func (e entry) elements(s *sets, name string) (out []placed) {
	add := func(wanted bool, set *nftables.Set, x nftables.SetElement) {
		if wanted {
			x.Key = ifname(name)
			out = append(out, placed{set, []nftables.SetElement{x}})
		}
	}
	jump := func(chain string) nftables.SetElement {
		return nftables.SetElement{VerdictData: &expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
	}
	in, out2, police := e.filterIn != "", e.filterOut != "", e.police.Bits != 0
	// The counters come before what counts into them.
	add(in, s.deniedIn, nftables.SetElement{})
	add(out2, s.deniedOut, nftables.SetElement{})
	add(police, s.policed, nftables.SetElement{})
	add(in, s.filterIn, jump(aclIn+e.filterIn))
	add(out2, s.filterOut, jump(aclOut+e.filterOut))
	add(police, s.police, jump(policeChain(e.police)))
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
	if (a.VerdictData == nil) != (b.VerdictData == nil) || a.VerdictData != nil && *a.VerdictData != *b.VerdictData {
		return false
	}
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

func policeChain(r config.Rate) string { return fmt.Sprintf("police_%d_%d", r.Bits, r.Burst) }
