// Package opstest has a fake node for tests of the control socket and of the commands: it answers
// from canned views and remembers what it was told to do.
package opstest

import (
	"context"
	"slices"
	"sync"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

// Node is a fake ops.Node. Set its fields before it is served; its zero value is an empty hub.
type Node struct {
	ops.Debug

	Is         view.Info
	Full       []view.Session // with everything; lists show them without detail
	Refused    []view.Failed
	PoolList   []view.Pool // with leases
	Given      []view.Policy
	Interfaced []view.Interface
	Routed     []view.Route
	Profiles   []view.Client
	Tracked    []view.Track
	Speakers   []view.BGP
	Paths      []view.BGPRoute
	Counted    view.Stats
	Named      view.DNS
	Asked      view.AAA
	Translated view.NAT
	Addressed  view.DHCP
	Asking     bool  // Login asks for a name and a password
	Fail       error // what every method that can fail returns, when set

	mu    sync.Mutex
	calls []string

	password string
	meeting  chan struct{}
}

// Calls is what the node was told to do so far.
func (n *Node) Calls() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.calls)
}

func (n *Node) did(call string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.Fail == nil {
		n.calls = append(n.calls, call)
	}
	return n.Fail
}

// Sessions implements ops.Node.
func (n *Node) Sessions(ctx context.Context, f view.SessionFilter) ([]view.Session, error) {
	var out []view.Session
	for _, s := range n.Full {
		if (f.Role == "" || f.Role == s.Role) && ops.MatchesPeer(f.Peer, s.Identity, s.Remote) {
			s.Attributes, s.Routes, s.SA, s.DPD = nil, nil, nil, ""
			out = append(out, s)
		}
	}
	return out, firstError(n.Fail, ctx.Err())
}

// Session implements ops.Node.
func (n *Node) Session(_ context.Context, id string) (view.Session, error) {
	for _, s := range n.Full {
		if id == s.ID || id == s.Identity || id == s.Interface {
			return s, n.Fail
		}
	}
	return view.Session{}, firstError(n.Fail, ops.NotFound("no session "+id, "flexvpn show sessions lists those that stand"))
}

// SAs implements ops.Node.
func (n *Node) SAs(context.Context) ([]view.SA, error) {
	var out []view.SA
	for _, s := range n.Full {
		if s.SA != nil {
			out = append(out, *s.SA)
		}
	}
	return out, n.Fail
}

// Pools implements ops.Node.
func (n *Node) Pools(leases bool) []view.Pool {
	out := slices.Clone(n.PoolList)
	for i := range out {
		if !leases {
			out[i].Leases = nil
		}
	}
	return out
}

// Failed implements ops.Node.
func (n *Node) Failed() []view.Failed { return n.Refused }

// Interfaces implements ops.Node.
func (n *Node) Interfaces() []view.Interface { return n.Interfaced }

// Routes implements ops.Node.
func (n *Node) Routes() []view.Route { return n.Routed }

// Clients implements ops.Node.
func (n *Node) Clients() []view.Client { return n.Profiles }

// Stats implements ops.Node.
func (n *Node) Stats() view.Stats { return n.Counted }

// Info implements ops.Node.
func (n *Node) Info() view.Info { return n.Is }

// ClearSession implements ops.Node.
func (n *Node) ClearSession(ctx context.Context, id string) error {
	if _, err := n.Session(ctx, id); err != nil {
		return err
	}
	return n.did("clear session " + id)
}

// Rekey implements ops.Node.
func (n *Node) Rekey(ctx context.Context, id string, kind view.RekeyKind) error {
	if _, err := n.Session(ctx, id); err != nil {
		return err
	}
	return n.did("rekey " + string(kind) + " " + id)
}

// ClearAll implements ops.Node.
func (n *Node) ClearAll(context.Context) (int, error) {
	return len(n.Full), n.did("clear all")
}

// Connect implements ops.Node.
func (n *Node) Connect(_ context.Context, client string) error { return n.client("connect", client) }

// Disconnect implements ops.Node.
func (n *Node) Disconnect(_ context.Context, client string) error {
	return n.client("disconnect", client)
}

// ClearClient implements ops.Node.
func (n *Node) ClearClient(_ context.Context, name string) error {
	if name == "" {
		return n.did("clear all clients")
	}
	return n.client("clear client", name)
}

func (n *Node) client(verb, name string) error {
	if !slices.ContainsFunc(n.Profiles, func(c view.Client) bool { return c.Name == name }) {
		return ops.NotFound("no client profile "+name, "flexvpn show client lists them")
	}
	return n.did(verb + " " + name)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
