package client

import (
	"net/netip"
	"slices"

	"flexvpn/authz"
)

// TunnelUp is what an inside service learns of a tunnel that stands. It shares no memory with the
// session.
type TunnelUp struct {
	Client    string       // the profile's name
	Tunnel    string       // the tunnel interface
	Source    string       // the interface that the tunnel's packets leave by; empty: whichever has Local
	Local     netip.Addr   // the tunnel's outer address on this host
	Addresses []netip.Addr // the overlay addresses that the tunnel has
	Pushed    authz.Pushed // what the hub gave
	Inside    []string     // the profile's inside interfaces; empty: all but Tunnel and Source
}

// TunnelDown is what an inside service learns when a tunnel is gone.
type TunnelDown struct {
	Client string
	// Wanted says that the client goes on trying: the hub is away, not dismissed.
	Wanted bool
}

// Inside is a service for the hosts behind a spoke (DNS, DHCP, NAT). Its methods are called on the
// client's goroutine and must not wait: they note what they are told and return. Up comes when a tunnel
// stands, and again whenever something in it has changed: the newest replaces what was told before.
// Down ends it.
type Inside interface {
	Up(TunnelUp)
	Down(TunnelDown)
}

// tellInside tells every inside service how the tunnel stands: that of the session that carries the
// traffic. When another session takes over, its Up replaces the former one's without a Down between.
func (c *Client) tellInside() {
	s := c.lead
	if s == nil || !s.up || c.tunnel.Name == "" {
		return
	}
	c.told = true
	for _, in := range c.cfg.Inside {
		in.Up(s.tunnelUp())
	}
}

// untellInside takes it back; without an Up before, there is nothing to take back.
func (c *Client) untellInside() {
	if !c.told {
		return
	}
	c.told = false
	for _, in := range c.cfg.Inside {
		in.Down(TunnelDown{Client: c.Name(), Wanted: c.machine.wanted})
	}
}

func (s *session) tunnelUp() TunnelUp {
	u := TunnelUp{
		Client: s.client.Name(), Tunnel: s.client.tunnel.Name, Source: s.from.iface, Local: s.path.Local.Addr(), Pushed: s.pushed.Clone(),
		Inside: slices.Clone(s.client.cfg.Client.Inside),
	}
	for _, p := range s.addresses() {
		u.Addresses = append(u.Addresses, p.Addr())
	}
	return u
}
