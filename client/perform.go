package client

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"flexvpn/authz"
	"flexvpn/config"
	"flexvpn/ikev2"
	"flexvpn/ops/view"
)

// lookUpLimit bounds a question to the resolver.
const lookUpLimit = 5 * time.Second

// perform does one thing that the machine wants.
func (c *Client) perform(now time.Time, a action) {
	switch a := a.(type) {
	case lookUp:
		c.lookUp(a)
	case dial:
		if err := c.dial(now, a); err != nil {
			c.totals.failed.Add(1)
			c.machine.ended(now, a.leg, ending{reason: byOther, detail: err.Error()})
		}
	case carry:
		c.carry(a.leg)
	case giveUp:
		c.giveUp(a)
	case move:
		c.move(a)
	case tell:
		c.cfg.Log.Debug(a.text, "client", c.Name())
		if c.cfg.Trace != nil {
			c.cfg.Trace(c.Name(), func() string { return a.text })
		}
	}
}

func (c *Client) lookUp(a lookUp) {
	ctx, cancel := context.WithTimeout(context.Background(), lookUpLimit)
	if a.leg != 0 {
		c.lookups[a.leg] = cancel
	}
	network := map[config.Family]string{config.FamilyIPv4: "ip4", config.FamilyIPv6: "ip6"}[a.peer.Family]
	if network == "" {
		network = "ip"
	}
	name := a.peer.FQDN
	go func() {
		defer cancel()
		addrs, err := c.cfg.Resolver.LookupNetIP(ctx, network, name)
		c.do(func() {
			delete(c.lookups, a.leg)
			c.step(func(now time.Time) { c.machine.resolved(now, a.leg, a.peer, addrs, err) })
		})
	}()
}

func (c *Client) dial(now time.Time, a dial) error {
	pol, err := c.policy(a.to, a.from.addr)
	if err != nil {
		return err
	}
	s := &session{client: c, id: a.leg, started: now, from: a.from}
	remote := netip.AddrPortFrom(a.to, c.cfg.IKEPort)
	s.path = ikev2.Path{Local: netip.AddrPortFrom(a.from.addr, 0), Remote: remote, VRF: c.cfg.Client.Tunnel.FrontVRF}
	c.legs[a.leg] = s
	conn, err := c.cfg.Start.Initiate(c, s, pol, a.from.addr, remote)
	if err != nil {
		delete(c.legs, a.leg)
		return err
	}
	s.conn = conn
	c.cfg.Log.Info("connecting", "client", c.Name(), "peer", a.peer.String(), "address", a.to.String(), "source", a.from.String(), "session", s.name())
	return nil
}

// policy is the engine's policy for an attempt at addr: the profile's, with this tunnel's wishes.
func (c *Client) policy(addr, local netip.Addr) (*ikev2.Policy, error) {
	base, err := c.cfg.Profile.Policy(ikev2.Identity{}, addr, local)
	if err != nil {
		return nil, err
	}
	pol := *base
	t := c.cfg.Client.Tunnel
	pol.InitialContact = true
	pol.TSLocal, pol.TSRemote = selectors(t.Mode, local, addr)
	// A hub that declines transport mode gets GRE in tunnel mode (RFC 7296 section 1.3.1: the SA then
	// is in tunnel mode, unless this end deletes it).
	pol.Transport = t.Mode == "gre"
	pol.Config = authz.Request(authz.Wanted{Address: t.Negotiated, Version: c.cfg.Version})
	// A spoke with another hub to go to must not wait as long as a lone peer would.
	pol.RetransmitTries = 4
	return &pol, nil
}

// carry moves the traffic to a leg that stands: its path, its SA, its addresses, its routes.
func (c *Client) carry(id uint64) {
	s := c.legs[id]
	if s == nil {
		return
	}
	before := c.lead
	c.lead = s
	if err := c.applyTunnel(); err != nil {
		c.cfg.Log.Warn("move the traffic to the new session", "client", c.Name(), "session", s.name(), "err", err)
	}
	s.installRoutes()
	if before != nil && before != s {
		before.dropRoutes() // not before the new ones stand
	}
	c.totals.setups.Add(1)
	c.totals.up.Store(1)
	s.sayUp(before == nil)
	c.login.asker.tell(view.Login{Client: c.Name(), Up: true})
	c.tellInside()
}

// giveUp ends a leg that the machine has forgotten.
func (c *Client) giveUp(a giveUp) {
	if cancel := c.lookups[a.leg]; cancel != nil {
		cancel()
		delete(c.lookups, a.leg)
	}
	if s := c.legs[a.leg]; s != nil {
		s.left = a.reason
		c.leaving[s] = true
		delete(c.legs, a.leg)
		s.close(a.why)
	}
}

// surroundings is the machine's world as the client sees it.
type surroundings struct{ *Client }

func (w surroundings) trackUp(number int) bool {
	return w.cfg.Tracks != nil && w.cfg.Tracks.Up(number)
}

func (w surroundings) source(to netip.Addr) (source, error) {
	if fixed := w.cfg.Client.Tunnel.Source; fixed.IsValid() {
		if fixed.Is4() != to.Is4() {
			return source{}, errors.New("the tunnel's source " + fixed.String() + " is of the other family")
		}
		return source{addr: fixed}, nil
	}
	list := w.cfg.Client.Sources
	if len(list) == 0 {
		addr, err := w.cfg.LocalTo(to)
		return source{addr: addr}, err
	}
	var why []string
	for _, s := range list {
		from, err := w.from(s, to)
		if err == nil {
			return from, nil
		}
		why = append(why, err.Error())
	}
	return source{}, errors.New(strings.Join(why, ", "))
}

// from is one of the configured sources, if it can be used.
func (w surroundings) from(s config.Source, to netip.Addr) (source, error) {
	if s.Track != 0 && !w.trackUp(s.Track) {
		return source{}, fmt.Errorf("source %s waits for track %d up", s.Interface, s.Track)
	}
	addr, err := w.cfg.Source(s.Interface, to)
	if err != nil {
		return source{}, fmt.Errorf("source %s: %w", s.Interface, err)
	}
	return source{sequence: s.Sequence, iface: s.Interface, addr: addr}, nil
}

func (w surroundings) usable(was source) bool {
	for _, s := range w.cfg.Client.Sources {
		if s.Sequence == was.sequence {
			now, err := w.from(s, was.addr)
			return err == nil && now == was
		}
	}
	return true
}

func (w surroundings) claim(hub netip.Addr) bool { return w.cfg.Groups.claim(w.Client, hub) }

func (w surroundings) release(hub netip.Addr) { w.cfg.Groups.release(w.Client, hub) }
