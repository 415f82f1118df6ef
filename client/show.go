package client

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"flexvpn/authz"
	"flexvpn/dataplane"
	"flexvpn/ikev2"
	"flexvpn/ops/view"
	"flexvpn/profile"
)

// totals are the client's counters.
type totals struct {
	up     atomic.Uint64 // 0 or 1
	setups atomic.Uint64
	failed atomic.Uint64

	mu       sync.Mutex
	failures map[string]uint64
	ended    map[string]uint64
}

func (t *totals) init() { t.failures, t.ended = map[string]uint64{}, map[string]uint64{} }

func (t *totals) failedWith(r ikev2.CloseReason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures[string(r)]++
}

func (t *totals) endedWith(r ikev2.CloseReason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended[string(r)]++
}

// Name is the profile's name.
func (c *Client) Name() string { return c.cfg.Client.Name }

// AddTo adds the client's part to v.
func (c *Client) AddTo(v *view.Stats) {
	t := &c.totals
	v.SessionsUp["client"] += t.up.Load()
	v.SetupsTotal["client"] += t.setups.Load()
	t.mu.Lock()
	for reason, n := range t.failures {
		v.FailuresTotal[reason] += n
	}
	for reason, n := range t.ended {
		v.EndedTotal[reason] += n
	}
	t.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	v.Clients[c.Name()] = string(c.status.state)
}

// View is the profile's state for show.
func (c *Client) View() view.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := &c.status
	v := view.Client{
		Name: c.Name(), State: string(st.state), Peer: peerText(c.cfg.Client.Peers[st.peer]),
		Tunnel: c.cfg.Client.Tunnel.Name, Attempt: st.attempt, Since: st.since, LastError: st.lastErr,
	}
	if !st.nextTry.IsZero() {
		next := st.nextTry
		v.NextTry = &next
	}
	for i, p := range c.cfg.Client.Peers {
		v.Peers = append(v.Peers, view.ClientPeer{Sequence: p.Sequence, Peer: peerText(p), Current: i == st.peer, Failures: st.failures[i]})
	}
	if s := st.session; s != nil {
		v.Session, v.Source, v.Addresses = s.name(), s.path.Local.Addr().String(), s.pushed.Addresses
		v.Pushed = pushedAttributes(s.pushed)
	}
	return v
}

func pushedAttributes(p authz.Pushed) []view.Attribute {
	var out []view.Attribute
	add := func(name, value string) {
		if value != "" {
			out = append(out, view.Attribute{Name: name, Value: value, Origin: "hub"})
		}
	}
	add("address", list(p.Addresses))
	add("dns", list(p.DNS))
	add("wins", list(p.WINS))
	add("split-dns", strings.Join(p.SplitDNS, " "))
	add("def-domain", p.DefDomain)
	add("backup-gateways", strings.Join(p.BackupGateways, " "))
	add("banner", p.Banner)
	add("routes", list(p.Routes))
	return out
}

func list[T fmt.Stringer](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.String()
	}
	return strings.Join(texts, " ")
}

// Session is the client's session if it has one that is established; detail adds attributes,
// routes and the SA.
func (c *Client) Session(ctx context.Context, detail bool) (view.Session, bool, error) {
	c.mu.Lock()
	s := c.status.session
	if s == nil || !s.up {
		c.mu.Unlock()
		return view.Session{}, false, nil
	}
	spec, conn := s.spec, s.conn
	v := view.Session{
		ID: s.name(), Role: "client", State: "UP-ACTIVE", Identity: profile.IdentityText(s.remote),
		Profile: c.cfg.Profile.Config.Name, Local: s.path.Local.String(), Remote: s.path.Remote.String(), Encap: s.path.Encap,
		Interface: spec.Name, Mode: spec.Mode.String(), Addresses: s.pushed.Addresses, Since: s.since, Version: s.peerVersion,
	}
	pushed := s.pushed
	c.mu.Unlock()
	counters, ok := c.cfg.Plane.Counters(spec.Name)
	if ok {
		v.InBytes, v.OutBytes, v.InPackets, v.OutPackets = counters.InBytes, counters.OutBytes, counters.InPackets, counters.OutPackets
		if !counters.LastIn.IsZero() {
			v.LastIn = &counters.LastIn
		}
	}
	if !detail {
		return v, true, nil
	}
	v.Attributes = pushedAttributes(pushed)
	d := c.cfg.Profile.Config.DPD
	v.DPD = fmt.Sprintf("%s/%s %s (profile %s)", d.Interval, d.Retry, d.Mode, v.Profile)
	for _, r := range c.cfg.Routes.Routes() {
		if r.Interface == v.Interface {
			v.Routes = append(v.Routes, r)
		}
	}
	facts, err := conn.Facts(ctx)
	if err != nil {
		return v, true, fmt.Errorf("session %s: %w", v.ID, err)
	}
	sa := profile.ViewSA(v.ID, "client", facts)
	profile.AddCounters(&sa, counters)
	v.SA, v.NAT = &sa, facts.NATLocal || facts.NATRemote
	return v, true, nil
}

// Interface is the tunnel as it stands; false when there is none.
func (c *Client) Interface() (view.Interface, bool) {
	c.mu.Lock()
	s := c.status.session
	if s == nil || s.spec.Name == "" {
		c.mu.Unlock()
		return view.Interface{}, false
	}
	spec, name, identity := s.spec, s.name(), profile.IdentityText(s.remote)
	c.mu.Unlock()
	return profile.ViewInterface(name, identity, spec, c.cfg.Plane), true
}

// PlaneEvent follows an event of the data plane that concerns this client's tunnel; false when the
// interface is another's.
func (c *Client) PlaneEvent(e dataplane.Event) bool {
	if e.Interface != c.cfg.Client.Tunnel.Name {
		return false
	}
	c.do(func() {
		s := c.session
		if s == nil || s.conn == nil {
			return
		}
		profile.OnPlaneEvent(s.conn, e, func() { s.close("its interface " + e.Interface + " was removed by somebody else") })
	})
	return true
}
