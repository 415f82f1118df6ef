package bgp

import (
	"cmp"
	"net/netip"
	"slices"
)

// A destination is a prefix with all paths to it, the best first.
type destination struct {
	paths []*path
	// told is what the RIB has because of it, to write differences only.
	told told
}

// best is the path that is used and told to others, or nil.
func (d *destination) best() *path {
	if len(d.paths) == 0 {
		return nil
	}
	return d.paths[0]
}

// put makes p the path of its source.
func (d *destination) put(p *path) {
	d.remove(p.from, p.local)
	// MED makes the order depend on who is compared with whom: a linear search needs no more of it.
	i := slices.IndexFunc(d.paths, func(o *path) bool { return compare(p, o) < 0 })
	if i < 0 {
		i = len(d.paths)
	}
	d.paths = slices.Insert(d.paths, i, p)
}

// remove withdraws the path of a source and reports whether there was one.
func (d *destination) remove(from *peer, local string) bool {
	i := slices.IndexFunc(d.paths, func(p *path) bool { return p.from == from && p.local == local })
	if i < 0 {
		return false
	}
	d.paths = slices.Delete(d.paths, i, i+1)
	return true
}

// equals are the paths that are as good as the best up to the point where only identifiers decide, at
// most most of them: what maximum-paths divides traffic over.
func (d *destination) equals(most int) []*path {
	best := d.best()
	if best == nil || best.from == nil {
		return nil
	}
	out := []*path{best}
	for _, p := range d.paths[1:] {
		if len(out) >= most || p.from == nil || merit(p, best) != 0 {
			break
		}
		if p.attrs.neighborAS() == best.attrs.neighborAS() && p.attrs.NextHop != best.attrs.NextHop {
			out = append(out, p)
		}
	}
	return out
}

// compare orders paths, the better first: RFC 4271 section 9.1.2.2 with RFC 4456 section 9. Next hops
// are not judged here; the RIB knows which of them lead somewhere.
func compare(a, b *path) int {
	if c := merit(a, b); c != 0 {
		return c
	}
	return cmp.Or(
		a.routerID().Compare(b.routerID()),
		cmp.Compare(len(a.attrs.ClusterList), len(b.attrs.ClusterList)),
		address(a).Compare(address(b)),
		cmp.Compare(a.local, b.local),
	)
}

// merit compares what does not depend on identifiers. A path of ours goes first, as with the weight
// that IOS gives it.
func merit(a, b *path) int {
	med := 0
	if a.attrs.neighborAS() == b.attrs.neighborAS() {
		med = cmp.Compare(a.attrs.MED, b.attrs.MED)
	}
	return cmp.Or(
		order(a.from == nil, b.from == nil),
		cmp.Compare(b.attrs.LocalPref, a.attrs.LocalPref),
		cmp.Compare(a.attrs.pathLength(), b.attrs.pathLength()),
		cmp.Compare(a.attrs.Origin, b.attrs.Origin),
		med,
		order(!a.internal(), !b.internal()),
	)
}

// order puts what is true first.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func address(p *path) (a netip.Addr) {
	if p.from != nil {
		a = p.from.address
	}
	return a
}

// why says why a lost against the best path, in the words of the decision.
func why(a, best *path) string {
	switch {
	case (a.from == nil) != (best.from == nil):
		return "a local path goes first"
	case a.attrs.LocalPref != best.attrs.LocalPref:
		return "lower local preference"
	case a.attrs.pathLength() != best.attrs.pathLength():
		return "longer AS path"
	case a.attrs.Origin != best.attrs.Origin:
		return "higher origin"
	case merit(a, best) != 0 && a.internal() == best.internal():
		return "higher MED"
	case a.internal() != best.internal():
		return "eBGP goes before iBGP"
	case a.routerID() != best.routerID():
		return "higher router id"
	case len(a.attrs.ClusterList) != len(best.attrs.ClusterList):
		return "longer cluster list"
	}
	return "higher neighbor address"
}
