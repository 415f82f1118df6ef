package client

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"flexvpn/authz"
	"flexvpn/ops/view"
	"flexvpn/profile"
)

// Name is the profile's name.
func (c *Client) Name() string { return c.cfg.Client.Name }

// status is what show reads of the machine: a copy, made after each of its steps.
type status struct {
	view    view.Client
	since   time.Time
	session *session // that carries or will carry; nil: none
}

// look copies what show reads.
func (c *Client) look(now time.Time) {
	m := c.machine
	v := view.Client{
		Name: c.Name(), State: string(m.state), Why: m.why, Attempt: m.failures, Connect: c.cfg.Client.Connect,
		Reactivate: c.cfg.Client.Reactivate, BackupGroup: c.cfg.Client.BackupGroup, Tunnel: c.cfg.Client.Tunnel.Name,
		VRF: c.cfg.Client.Tunnel.VRF, TransportVRF: c.cfg.Client.Tunnel.FrontVRF,
	}
	if at := m.retryAt; m.state == backingOff {
		v.NextTry = &at
	}
	current := m.resume
	if m.main != nil {
		current = m.main.peer
		v.Source, v.SourceInterface = addressText(m.main.from.addr), m.main.from.iface
	}
	switch m.state {
	case resolving, connecting:
		v.Attempt++
	case active:
		v.Attempt = 0
	}
	if current != nil {
		v.Peer = current.String()
	}
	for _, p := range m.peers {
		v.Peers = append(v.Peers, viewPeer(p, p == current, m.unavailable(now, p)))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen.view.State != v.State {
		c.seen.since = now
	}
	v.Since = c.seen.since
	c.seen.view, c.seen.session = v, nil
	if m.main != nil {
		c.seen.session = c.legs[m.main.id]
	}
}

func viewPeer(p *peer, current bool, unavailable string) view.ClientPeer {
	v := view.ClientPeer{
		Sequence: p.Sequence, Peer: p.String(), Current: current, Failures: p.failures, LastError: p.lastErr,
		Available: unavailable == "", Unavailable: unavailable,
	}
	if p.FQDN != "" {
		v.Addresses = slices.Clone(p.addrs)
	}
	if p.origin != nil {
		v.PushedBy = p.origin.String()
	}
	if p.Track.Number != 0 {
		v.Track = p.Track.String()
	}
	return v
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// View is the profile's state for show.
func (c *Client) View() view.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.seen.view
	v.Peers = slices.Clone(v.Peers)
	for _, p := range v.Peers {
		if p.Current {
			v.LastError = p.LastError
		}
	}
	if v.LastError == "" {
		v.LastError = v.Why
	}
	if s := c.seen.session; s != nil {
		v.Session = s.name()
		if s.up {
			v.Source, v.Addresses = s.path.Local.Addr().String(), s.pushed.Addresses
			v.Pushed = pushedAttributes(s.pushed)
		}
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
	for _, r := range p.Refused {
		add("refused", r.String())
	}
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
	s := c.seen.session
	if s == nil || !s.up {
		c.mu.Unlock()
		return view.Session{}, false, nil
	}
	spec, conn := c.tunnel, s.conn
	v := view.Session{
		ID: s.name(), Role: "client", State: "UP-ACTIVE", Identity: profile.IdentityText(s.remote),
		Profile: c.cfg.Profile.Config.Name, Local: s.path.Local.String(), Remote: s.path.Remote.String(), Encap: s.path.Encap,
		Interface: spec.Name, Mode: spec.Mode.String(), Addresses: s.pushed.Addresses, Since: s.since, Version: s.peerVersion,
		EAPMethod: s.eapMethod, EAPName: s.eapName,
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
	spec, s := c.tunnel, c.seen.session
	if spec.Name == "" || s == nil {
		c.mu.Unlock()
		return view.Interface{}, false
	}
	name, identity := s.name(), profile.IdentityText(s.remote)
	c.mu.Unlock()
	return profile.ViewInterface(name, identity, spec, c.cfg.Plane), true
}
