package bgp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"flexvpn/ops/view"
)

// counters are a speaker's, owned by its goroutine.
type counters struct {
	in, out int // prefixes accepted and advertised now
	downs   uint64
	held    uint64
	refused map[string]uint64
}

// errStopped is what questions get after the end of Run.
var errStopped = errors.New("the BGP speaker has stopped")

// ask runs f on the speaker's goroutine and waits for it.
func (s *Speaker) ask(ctx context.Context, f func()) error {
	done := make(chan struct{})
	if !s.do(func() { f(); close(done) }) {
		return errStopped
	}
	select {
	case <-done:
		return nil
	case <-s.done:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// AddTo adds the speaker's counters to the node's. It walks no neighbors.
func (s *Speaker) AddTo(ctx context.Context, v *view.Stats) error {
	return s.ask(ctx, func() {
		v.BGPNeighbors["established"] += uint64(s.ups)
		v.BGPNeighbors["waiting"] += uint64(len(s.peers) - s.ups - s.shut)
		v.BGPNeighbors["blocked"] += uint64(s.shut)
		v.BGPPrefixes["in"] += uint64(s.counters.in)
		v.BGPPrefixes["out"] += uint64(s.counters.out)
		v.BGPDowns += s.counters.downs
		v.BGPHeldBack += s.counters.held
		for kind, n := range s.counters.refused {
			v.BGPRefused[kind] += n
		}
	})
}

// View tells about the speaker and its neighbors; with one address, everything about that one.
func (s *Speaker) View(ctx context.Context, only netip.Addr) (view.BGP, error) {
	v := view.BGP{VRF: s.cfg.VRF, ASN: s.cfg.ASN, RouterID: s.cfg.RouterID, ClusterID: s.cfg.ClusterID, ListenLimit: s.cfg.ListenLimit}
	for _, l := range s.cfg.Listen {
		v.ListenRanges = append(v.ListenRanges, l.Range)
	}
	var links []session
	err := s.ask(ctx, func() {
		v.Dynamic, v.Prefixes, v.Paths = s.dynamic, len(s.table), s.counters.in
		for _, p := range s.peers {
			if only.IsValid() && p.address != only {
				continue
			}
			v.Neighbors, links = append(v.Neighbors, p.view(only.IsValid())), append(links, p.link)
		}
	})
	for i := range v.Neighbors {
		if links[i] != nil {
			v.Neighbors[i] = withStatus(v.Neighbors[i], links[i].Status())
		}
	}
	slices.SortFunc(v.Neighbors, func(a, b view.BGPNeighbor) int { return a.Address.Compare(b.Address) })
	return v, err
}

func (p *peer) view(all bool) view.BGPNeighbor {
	v := view.BGPNeighbor{
		Address: p.address, Dynamic: p.dynamic, PeerGroup: p.cfg.Group, Description: p.cfg.Description, ASN: p.asn, Internal: p.internal,
		RouterID: p.routerID, Blocked: p.blocked, Since: p.since, LastReset: p.lastDown, Drops: p.flaps, HeldBack: p.held, HeldBackSince: p.heldAt,
		Session: p.session, Identity: p.identity, Interface: p.device, Local: p.local, State: "Idle",
		Accepted: len(p.paths), Refused: len(p.refused), MaxPrefixes: p.cfg.MaxPrefixes, Advertised: len(p.sent),
		MD5: !p.cfg.Password.IsEmpty(), Client: p.cfg.Client, NextHopSelf: string(p.cfg.NextHopSelf),
	}
	if v.ASN == 0 && len(p.cfg.RemoteASNs) == 1 {
		v.ASN, v.Internal = p.cfg.RemoteASNs[0], p.cfg.Internal(p.speaker.cfg.ASN)
	}
	if !p.dynamic {
		v.Interface, v.Session = p.way.Interface, ""
	}
	if !all {
		return v
	}
	for prefix := range p.paths {
		v.AcceptedPrefixes = append(v.AcceptedPrefixes, prefix)
	}
	for prefix := range p.sent {
		v.SentPrefixes = append(v.SentPrefixes, prefix)
	}
	for prefix, kind := range p.refused {
		v.RefusedPrefixes = append(v.RefusedPrefixes, view.BGPRefused{Prefix: prefix, Kind: kind})
	}
	slices.SortFunc(v.AcceptedPrefixes, comparePrefixes)
	slices.SortFunc(v.SentPrefixes, comparePrefixes)
	slices.SortFunc(v.RefusedPrefixes, func(a, b view.BGPRefused) int { return comparePrefixes(a.Prefix, b.Prefix) })
	return v
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

func withStatus(v view.BGPNeighbor, st status) view.BGPNeighbor {
	if st.State != "" && v.Blocked == "" {
		v.State = st.State
	}
	v.MessagesIn, v.MessagesOut, v.UpdatesIn, v.UpdatesOut = st.Received, st.Sent, st.ReceivedUpdates, st.SentUpdates
	v.HoldTime, v.Keepalive = st.Hold.Seconds(), st.Keepalive.Seconds()
	v.GracefulRestart, v.Restarting, v.Capabilities = st.GracefulRestart, st.Stale, st.Capabilities
	return v
}

// Routes are the prefixes of the table, or that one of them.
func (s *Speaker) Routes(ctx context.Context, only netip.Prefix) (out []view.BGPRoute, err error) {
	err = s.ask(ctx, func() {
		if only.IsValid() {
			if d := s.table[only]; d != nil {
				out = append(out, s.viewRoute(only, d))
			}
			return
		}
		for prefix, d := range s.table {
			out = append(out, s.viewRoute(prefix, d))
		}
	})
	slices.SortFunc(out, func(a, b view.BGPRoute) int { return comparePrefixes(a.Prefix, b.Prefix) })
	return out, err
}

var originNames = [...]string{"IGP", "EGP", "incomplete"}

func (s *Speaker) viewRoute(prefix netip.Prefix, d *destination) view.BGPRoute {
	v := view.BGPRoute{VRF: s.cfg.VRF, Prefix: prefix, Suppressed: s.suppressed(prefix)}
	equals := d.equals(s.cfg.MaxPaths)
	for i, p := range d.paths {
		a := p.attrs
		out := view.BGPPath{
			Best: i == 0, Multipath: len(equals) > 1 && slices.Contains(equals, p), Local: p.local, Internal: p.internal(), NextHop: a.NextHop,
			LocalPref: a.LocalPref, MED: a.MED, ASPath: pathText(a.ASPath), Originator: a.Originator, ClusterList: a.ClusterList, Since: p.since,
			Origin: originNames[min(int(a.Origin), len(originNames)-1)],
		}
		if p.from != nil {
			out.Neighbor = p.from.address
		}
		for _, c := range a.Communities {
			out.Communities = append(out.Communities, fmt.Sprintf("%d:%d", c>>16, c&0xffff))
		}
		if i > 0 && !out.Multipath {
			out.Why = why(p, d.paths[0])
		}
		v.Paths = append(v.Paths, out)
	}
	return v
}

func pathText(segments []Segment) string {
	var parts []string
	for _, s := range segments {
		text := strings.Trim(strings.ReplaceAll(fmt.Sprint(s.ASNs), " ", " "), "[]")
		if s.Set {
			text = "{" + strings.ReplaceAll(text, " ", ",") + "}"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}

// Clear begins sessions anew: that with one neighbor, or with an invalid address all. It says how many.
func (s *Speaker) Clear(ctx context.Context, only netip.Addr) (n int, err error) {
	err = s.ask(ctx, func() {
		for _, p := range slices.Collect(maps.Values(s.peers)) {
			a := p.address
			if only.IsValid() && a != only {
				continue
			}
			n++
			if !p.dynamic {
				s.restart(p, "User reset")
				continue
			}
			again := s.best[netip.PrefixFrom(a, a.BitLen())]
			s.removePeer(p, "User reset")
			if again.Source != "" {
				s.spoke(again)
			}
		}
	})
	return n, err
}
