package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"flexvpn/client"
	"flexvpn/ikev2"
	"flexvpn/ops"
	"flexvpn/ops/view"
	"flexvpn/profile"
)

// Node implements ops.Node.
var _ ops.Node = (*Node)(nil)

// Sessions implements ops.Node.
func (n *Node) Sessions(ctx context.Context, filter view.SessionFilter) ([]view.Session, error) {
	var all []view.Session
	if n.hub != nil {
		all = n.hub.Sessions()
	}
	for _, c := range n.clients {
		v, ok, err := c.Session(ctx, false)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, v)
		}
	}
	out := all[:0]
	for _, s := range all {
		if (filter.Role == "" || filter.Role == s.Role) && ops.MatchesPeer(filter.Peer, s.Identity, s.Remote) {
			out = append(out, s)
		}
	}
	return out, nil
}

// Session implements ops.Node.
func (n *Node) Session(ctx context.Context, id string) (view.Session, error) {
	if n.hub != nil {
		if v, ok, err := n.hub.Session(ctx, id); ok {
			return v, err
		}
	}
	for _, c := range n.clients {
		v, ok, err := c.Session(ctx, true)
		if ok && (v.ID == id || v.Identity == id || v.Interface == id) {
			return v, err
		}
	}
	return view.Session{}, noSession(id)
}

func noSession(id string) error {
	return ops.NotFound(fmt.Sprintf("there is no session %q", id), "flexvpn show sessions lists them; flexvpn show sessions --failed tells who was refused and why")
}

// Failed implements ops.Node.
func (n *Node) Failed() []view.Failed {
	if n.hub == nil {
		return nil
	}
	return n.hub.Failed()
}

// SAs implements ops.Node.
func (n *Node) SAs(ctx context.Context) (out []view.SA, err error) {
	if n.hub != nil {
		if out, err = n.hub.SAs(ctx); err != nil {
			return nil, err
		}
	}
	for _, c := range n.clients {
		if v, ok, err := c.Session(ctx, true); err == nil && ok && v.SA != nil {
			out = append(out, *v.SA)
		}
	}
	return out, nil
}

// Pools implements ops.Node.
func (n *Node) Pools(leases bool) []view.Pool {
	out := n.pools.Usage()
	if leases {
		for i := range out {
			out[i].Leases = n.pools.Leases(out[i].Name)
		}
	}
	return out
}

// Interfaces implements ops.Node.
func (n *Node) Interfaces() (out []view.Interface) {
	if n.hub != nil {
		out = n.hub.Interfaces()
	}
	for _, c := range n.clients {
		if v, ok := c.Interface(); ok {
			out = append(out, v)
		}
	}
	n.addLost(out)
	return out
}

// Routes implements ops.Node.
func (n *Node) Routes() []view.Route { return n.routes.Routes() }

// Clients implements ops.Node.
func (n *Node) Clients() (out []view.Client) {
	for _, c := range n.clients {
		out = append(out, c.View())
	}
	return out
}

// ClearSession implements ops.Node.
func (n *Node) ClearSession(ctx context.Context, id string) error {
	if n.hub != nil && n.hub.Clear(id) {
		return nil
	}
	for _, c := range n.clients {
		v, ok, err := c.Session(ctx, false)
		if err == nil && ok && (v.ID == id || v.Identity == id || v.Interface == id) {
			return c.Clear()
		}
	}
	return noSession(id)
}

// Rekey implements ops.Node.
func (n *Node) Rekey(ctx context.Context, id string, kind view.RekeyKind) error {
	if n.hub != nil && n.hub.Rekey(id, kind) {
		return nil
	}
	for _, c := range n.clients {
		v, ok, err := c.Session(ctx, false)
		if err == nil && ok && (v.ID == id || v.Identity == id || v.Interface == id) {
			return c.Rekey(kind)
		}
	}
	return noSession(id)
}

// ClearAll implements ops.Node.
func (n *Node) ClearAll(ctx context.Context) (count int, err error) {
	if n.hub != nil {
		count = n.hub.ClearAll()
	}
	for _, c := range n.clients {
		if _, ok, _ := c.Session(ctx, false); ok {
			count++
			err = errors.Join(err, c.Clear())
		}
	}
	return count, err
}

func (n *Node) client(name string) (*client.Client, error) {
	for _, c := range n.clients {
		if c.Name() == name {
			return c, nil
		}
	}
	return nil, ops.NotFound(fmt.Sprintf("there is no client profile %q", name), "flexvpn show client lists them")
}

// Connect implements ops.Node.
func (n *Node) Connect(_ context.Context, name string) error {
	c, err := n.client(name)
	if err != nil {
		return err
	}
	if c.NeedsTerminal() {
		return ops.Refused("the client "+name+" has no password for EAP", "run flexvpn connect "+name+" on a terminal, or set eap.password in its profile")
	}
	return c.Connect()
}

// Disconnect implements ops.Node.
func (n *Node) Disconnect(_ context.Context, name string) error {
	c, err := n.client(name)
	if err != nil {
		return err
	}
	return c.Disconnect()
}

// ClearClient implements ops.Node.
func (n *Node) ClearClient(_ context.Context, name string) error {
	if name != "" {
		c, err := n.client(name)
		if err != nil {
			return err
		}
		return c.Clear()
	}
	var err error
	for _, c := range n.clients {
		err = errors.Join(err, c.Clear())
	}
	return err
}

// Stats implements ops.Node. Nothing in it walks sessions.
func (n *Node) Stats() view.Stats {
	ike, total := n.endpoint.Counters(), n.plane.Totals()
	v := view.Stats{
		InBytes: total.InBytes, OutBytes: total.OutBytes, InPackets: total.InPackets, OutPackets: total.OutPackets,
		SessionsUp: map[string]uint64{}, SetupsTotal: map[string]uint64{}, FailuresTotal: map[string]uint64{},
		EndedTotal: map[string]uint64{}, Rekeys: map[string]uint64{"ike": ike["rekeys_ike"], "child": ike["rekeys_child"]},
		Moves: map[string]uint64{"done": ike["moves_done"], "refused": ike["moves_refused"], "forged": ike["moves_forged"]}, Clients: map[string]string{},
		HalfOpen: uint64(n.endpoint.HalfOpen()), IKE: ike, Drops: n.plane.Drops(), EventsDropped: n.plane.EventsDropped(), Pools: n.pools.Usage(),
	}
	n.addRouting(&v)
	if n.aaa != nil {
		aaa := n.AAA()
		v.AAA = &aaa
	}
	if n.hub != nil {
		n.hub.AddTo(&v)
	}
	for _, c := range n.clients {
		c.AddTo(&v)
	}
	n.addTracks(&v)
	n.addInside(&v)
	return v
}

// Info implements ops.Node.
func (n *Node) Info() view.Info {
	return view.Info{
		Node: n.cfg.Node, Version: n.opt.Version, Role: n.opt.Role, Plane: n.plane.Name(), PID: os.Getpid(),
		Started: n.started, UptimeSeconds: time.Since(n.started).Seconds(),
	}
}

// Trace implements ops.Node.
func (n *Node) Trace(filter view.TraceFilter, f func(view.TraceLine)) (stop func()) {
	return n.debug.Trace(filter, f)
}

// trace turns the engine's record into what debug prints.
func (n *Node) trace(r ikev2.TraceRecord) {
	n.debug.Emit(view.TraceLine{
		Time: time.Now(), Sent: r.Sent, Local: r.Path.Local.String(), Remote: r.Path.Remote.String(),
		SPIi: fmt.Sprintf("%016x", r.SPIi), SPIr: fmt.Sprintf("%016x", r.SPIr),
		Identity: profile.IdentityText(r.Identity), Message: r.Message, Text: r.Text, Hex: hex.EncodeToString(r.Raw),
	}, r.Raw)
}
