package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sync/errgroup"

	"flexvpn/config"
	"flexvpn/ops"
	"flexvpn/ops/view"
	"flexvpn/routing"
	"flexvpn/routing/bgp"
)

// buildRouting enters the configuration's routes and makes the BGP speakers.
func (n *Node) buildRouting() error {
	for i, s := range n.cfg.StaticRoutes {
		if err := n.routes.SetPath(fmt.Sprintf("static/%d", i), staticPath(s)); err != nil {
			// What cannot stand now may later: an interface may come, a stranger's route may go.
			n.log.Warn("static route", "prefix", s.Prefix, "err", err)
		}
	}
	for _, c := range n.cfg.BGP {
		n.speakers = append(n.speakers, bgp.New(bgp.Options{Config: c, RIB: n.routes, Log: n.log, Stays: n.kernel != nil, Leave: n.opt.Keep}))
	}
	return nil
}

func staticPath(s config.StaticRoute) routing.Path {
	p := routing.Path{
		VRF: s.VRF, Prefix: s.Prefix, Source: routing.SourceStatic, Interface: s.Interface,
		Discard: s.Discard, Distance: s.Distance, Tag: s.Tag,
	}
	if s.Via.IsValid() {
		p.NextHops = []netip.Addr{s.Via}
	}
	return p
}

// routeTasks runs the RIB as long as the endpoint, the speakers until ctx ends: their neighbors are
// told good-bye through tunnels that still stand.
func (n *Node) routeTasks(g *errgroup.Group, ctx, ike context.Context) {
	g.Go(func() error { return n.routes.Run(ike, n.log) })
	for _, s := range n.speakers {
		g.Go(func() error { return s.Run(ctx) })
	}
}

// noBGP is the answer of a node without a speaker to who asks for one neighbor or prefix. Who asks for
// all of them gets none.
func noBGP() error {
	return ops.NotFound("this node runs no BGP speaker", "add bgp to its configuration")
}

// BGP implements ops.Node.
func (n *Node) BGP(ctx context.Context, neighbor netip.Addr) ([]view.BGP, error) {
	if len(n.speakers) == 0 && neighbor.IsValid() {
		return nil, noBGP()
	}
	var out []view.BGP
	found := !neighbor.IsValid()
	for _, s := range n.speakers {
		v, err := s.View(ctx, neighbor)
		if err != nil {
			return nil, err
		}
		if neighbor.IsValid() && len(v.Neighbors) == 0 {
			continue
		}
		found = true
		out = append(out, v)
	}
	if !found {
		return nil, ops.NotFound(fmt.Sprintf("there is no BGP neighbor %s", neighbor), "flexvpn show bgp summary lists them; one of a listen range is there while its spoke is connected")
	}
	return out, nil
}

// BGPRoutes implements ops.Node.
func (n *Node) BGPRoutes(ctx context.Context, prefix netip.Prefix) (out []view.BGPRoute, err error) {
	if len(n.speakers) == 0 && prefix.IsValid() {
		return nil, noBGP()
	}
	for _, s := range n.speakers {
		some, err := s.Routes(ctx, prefix)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	if prefix.IsValid() && len(out) == 0 {
		return nil, ops.NotFound(fmt.Sprintf("BGP has no path to %s", prefix), "flexvpn show bgp routes lists what it has; flexvpn show bgp neighbors ADDRESS tells what was refused")
	}
	return out, nil
}

// ClearBGP implements ops.Node.
func (n *Node) ClearBGP(ctx context.Context, neighbor netip.Addr) (count int, err error) {
	if len(n.speakers) == 0 {
		return 0, noBGP()
	}
	for _, s := range n.speakers {
		some, e := s.Clear(ctx, neighbor)
		count, err = count+some, errors.Join(err, e)
	}
	if err == nil && neighbor.IsValid() && count == 0 {
		err = ops.NotFound(fmt.Sprintf("there is no BGP neighbor %s", neighbor), "flexvpn show bgp summary lists them")
	}
	return count, err
}

// addRouting adds what RIB and speakers count.
func (n *Node) addRouting(v *view.Stats) {
	c := n.routes.Counters()
	v.FIB = map[string]uint64{"write": c.Writes, "error": c.Errors, "repair": c.Repairs}
	v.BGPNeighbors, v.BGPPrefixes, v.BGPRefused = map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
	for _, s := range n.speakers {
		_ = s.AddTo(context.Background(), v) // one that has stopped has nothing to count
	}
}
