package ikev2

import (
	"net/netip"
	"slices"

	"flexvpn/ikev2/wire"
)

// maxSelectors bounds a narrowed list: an honest one has a handful.
const maxSelectors = 64

// narrow is what is left of a proposed list under what is allowed, in the order allowed (RFC 7296
// section 2.9). Selectors that another one covers are left out.
func narrow(proposed, allowed []wire.Selector) []wire.Selector {
	var out []wire.Selector
	for _, a := range allowed {
		for _, p := range proposed {
			s, ok := p.Intersect(a)
			if !ok || slices.ContainsFunc(out, func(o wire.Selector) bool { return covers(o, s) }) {
				continue
			}
			out = slices.DeleteFunc(out, func(o wire.Selector) bool { return covers(s, o) })
			if out = append(out, s); len(out) == maxSelectors {
				return out
			}
		}
	}
	return out
}

// covers reports whether every packet that fits s fits o too.
func covers(o, s wire.Selector) bool {
	both, ok := o.Intersect(s)
	return ok && both == s
}

// within reports whether a peer's choice is a part of what was proposed.
func within(chosen, proposed []wire.Selector) bool {
	for _, c := range chosen {
		if !slices.ContainsFunc(proposed, func(p wire.Selector) bool { return covers(p, c) }) {
			return false
		}
	}
	return len(chosen) > 0
}

// substitute replaces single addresses by the one seen outside the NAT (RFC 7296 section 2.23.1).
// original is the first address it replaced; invalid if there was none.
func substitute(list []wire.Selector, seen netip.Addr) (out []wire.Selector, original netip.Addr) {
	seen = seen.Unmap()
	out = slices.Clone(list)
	for i := range out {
		s := &out[i]
		if s.Start != s.End || s.Start == seen || s.Start.Is4() != seen.Is4() {
			continue
		}
		if !original.IsValid() {
			original = s.Start
		}
		s.Start, s.End = seen, seen
	}
	return out, original
}

// restore undoes substitute in what goes back to the peer.
func restore(list []wire.Selector, seen, original netip.Addr) []wire.Selector {
	if !original.IsValid() {
		return list
	}
	seen = seen.Unmap()
	out := slices.Clone(list)
	for i := range out {
		if s := &out[i]; s.Start == seen && s.End == seen {
			s.Start, s.End = original, original
		}
	}
	return out
}

// A natView is how the selectors of a transport mode Child SA differ inside and outside of NATs.
type natView struct {
	i, r             netip.Addr // as seen here: the initiator's, the responder's
	insideI, insideR netip.Addr // as in the peer's message; invalid where nothing was replaced
}

// outside is the responder's view of proposed transport mode selectors: behind a NAT the peer's
// address is the one its packets come from, this end's is the one they arrive on.
func (sa *SA) outside(tsi, tsr []wire.Selector) (i, r []wire.Selector, v natView) {
	v = natView{i: sa.path.Remote.Addr(), r: sa.path.Local.Addr()}
	i, r = tsi, tsr
	if sa.nat.remote {
		i, v.insideI = substitute(tsi, v.i)
	}
	if sa.nat.local {
		r, v.insideR = substitute(tsr, v.r)
	}
	return i, r, v
}

// back is the peer's view of what was narrowed.
func (v natView) back(tsi, tsr []wire.Selector) (i, r []wire.Selector) {
	return restore(tsi, v.i, v.insideI), restore(tsr, v.r, v.insideR)
}

// A grant is what a Child SA of a session may carry, once its first one is negotiated: rekeying
// must not widen it (section 2.9.2), and does not ask again.
type grant struct {
	local, remote []wire.Selector
	transport     bool
}
