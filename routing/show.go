package routing

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"flexvpn/dataplane"
	"flexvpn/ops/view"
)

// Routes are the best ways to all prefixes that the RIB knows, by VRF and prefix, each with what lost
// against it.
func (t *Table) Routes() []view.Route {
	t.mu.Lock()
	all := make([]view.Route, 0, len(t.entries))
	for d, e := range t.entries {
		if v, ok := e.view(d); ok {
			all = append(all, v)
		}
	}
	t.mu.Unlock()
	slices.SortFunc(all, func(a, b view.Route) int {
		if c := strings.Compare(a.VRF, b.VRF); c != 0 {
			return c
		}
		if c := a.Prefix.Addr().Compare(b.Prefix.Addr()); c != 0 {
			return c
		}
		return a.Prefix.Bits() - b.Prefix.Bits()
	})
	return all
}

// maxLosers bounds what is told of one prefix: many spokes may announce the same.
const maxLosers = 8

func (e *entry) view(d dest) (view.Route, bool) {
	w := e.winner()
	var v view.Route
	if w != nil {
		v = viewOf(w)
		v.NextHops = hopsText(e.hops(w), w.discard)
		v.Installed = e.stands || sourceOf(w.source).protocol == 0
		v.Problem = e.problem
	}
	for c := range e.all {
		if c == w || w != nil && w.share && c.share && c.usable() && c.preference() == w.preference() {
			continue
		}
		if w == nil {
			w, v = c, viewOf(c)
			v.Problem = c.why
			continue
		}
		if len(v.Others) == maxLosers {
			break
		}
		v.Others = append(v.Others, view.OtherRoute{
			Source: c.source, Distance: c.distance, Interface: interfaceOf(c), NextHops: hopsText(c.hops, c.discard),
			Session: sessionShown(c.key), Identity: c.identity, Since: c.since, Why: c.lostTo(w),
		})
	}
	v.VRF, v.Prefix = d.vrf, d.prefix
	return v, w != nil
}

func viewOf(c *claim) view.Route {
	return view.Route{
		Interface: interfaceOf(c), Source: c.source, Session: sessionShown(c.key),
		Identity: c.identity, Distance: c.distance, Tag: c.tag, Since: c.since,
	}
}

// sessionOf is the session that a key belongs to.
func sessionOf(key string) string {
	session, _, _ := strings.Cut(key, "/")
	return session
}

// sessionShown is the session that a claim is of; empty for those of the configuration, of interfaces and
// of BGP.
func sessionShown(key string) string {
	switch s := sessionOf(key); s {
	case SourceConnected, SourceStatic, "bgp":
		return ""
	default:
		return s
	}
}

func interfaceOf(c *claim) string {
	if hops := c.wanted(); len(hops) > 0 {
		return hops[0].Interface
	}
	return ""
}

// lostTo says why c is not used and w is.
func (c *claim) lostTo(w *claim) string {
	a, b := c.preference(), w.preference()
	switch {
	case !c.usable():
		return c.why
	case a.class != b.class:
		return w.source + " goes before " + c.source
	case a.distance != b.distance:
		return fmt.Sprintf("distance %d against %d", a.distance, b.distance)
	case a.order != b.order:
		return fmt.Sprintf("%s goes before %s at the same distance", w.source, c.source)
	}
	return "older than that of " + sessionOf(w.key)
}

func hopsText(hops []dataplane.Hop, discard bool) []string {
	if discard {
		return []string{"discard"}
	}
	out := make([]string, 0, len(hops))
	for _, h := range hops {
		if h.Via == farEnd {
			h.Via = netip.Addr{}
		}
		out = append(out, hopText(h))
	}
	return out
}

func hopText(h dataplane.Hop) string {
	if h.Via.IsValid() {
		return h.Via.String() + " dev " + h.Interface
	}
	return "dev " + h.Interface
}
