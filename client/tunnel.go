package client

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"flexvpn/dataplane"
	"flexvpn/vtemplate"
)

// sessions are those that may have something in the tunnel, the one that carries the traffic first.
func (c *Client) sessions() []*session {
	var out []*session
	for _, s := range c.legs {
		if s.why == "" && !s.over {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *session) int {
		switch {
		case a == c.lead:
			return -1
		case b == c.lead:
			return 1
		}
		return cmp.Compare(a.id, b.id)
	})
	return out
}

// compose is the tunnel as its sessions want it: the SAs and addresses of all of them, each on its own
// path, so that what is on its way over one that is left still arrives; the first one carries the traffic.
// The name is empty when no session is there.
func (c *Client) compose() dataplane.Interface {
	spec := vtemplate.BuildTunnel(c.cfg.Client.Tunnel, c.cfg.Node)
	sessions := c.sessions()
	stands := c.tunnel.Name != "" && len(sessions) > 0 // it stays while a session is on its way
	for _, s := range sessions {
		if len(s.children) == 0 {
			continue
		}
		stands = true
		if len(spec.Children) == 0 {
			spec.Path, spec.Outbound = vtemplate.Path(s.path), s.outbound
		}
		for _, child := range s.children {
			child.Path = vtemplate.Path(s.path)
			spec.Children = append(spec.Children, child)
		}
		for _, a := range s.negotiated() {
			if s.up && !slices.Contains(spec.Addresses, a) {
				spec.Addresses = append(spec.Addresses, a)
			}
		}
	}
	if !stands {
		return dataplane.Interface{}
	}
	if len(spec.Children) == 0 {
		spec.Path = c.tunnel.Path
	}
	return spec
}

// applyTunnel makes the tunnel what its sessions want it to be.
func (c *Client) applyTunnel() error {
	next := c.compose()
	var err error
	switch {
	case next.Name == "" && c.tunnel.Name == "":
		return nil
	case next.Name == "":
		err = c.cfg.Plane.Remove(c.tunnel.Name)
	default:
		err = c.cfg.Plane.Apply(next)
	}
	if err != nil && next.Name != "" {
		return fmt.Errorf("tunnel %s: %w", next.Name, err)
	}
	was := c.tunnel.Name != ""
	c.mu.Lock()
	c.tunnel = next
	c.mu.Unlock()
	if was != (next.Name != "") {
		c.sayLineProtocol(next.Name != "")
	}
	return err
}

// negotiated are the addresses that the hub gave, as the interface has them.
func (s *session) negotiated() []netip.Prefix {
	if !s.client.cfg.Client.Tunnel.Negotiated {
		return nil
	}
	return hostPrefixes(s.pushed.Addresses)
}

// addresses are the overlay addresses that this session's hub knows.
func (s *session) addresses() []netip.Prefix {
	if s.client.cfg.Client.Tunnel.Negotiated {
		return s.negotiated()
	}
	return s.client.cfg.Client.Tunnel.Addresses
}

// lastTraffic is when the session last received and sent. While two sessions share the tunnel, what
// was received is known by SA; what was sent is the carrying one's.
func (s *session) lastTraffic() (in, out time.Time) {
	counters, _ := s.client.cfg.Plane.Counters(s.client.tunnel.Name)
	if len(s.client.legs) <= 1 {
		return counters.LastIn, counters.LastOut
	}
	for _, c := range counters.Children {
		if s.has(c.SPIIn) && c.LastIn.After(in) {
			in = c.LastIn
		}
	}
	if s == s.client.lead {
		out = counters.LastOut
	}
	return in, out
}

func hostPrefixes(addrs []netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range addrs {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out
}
