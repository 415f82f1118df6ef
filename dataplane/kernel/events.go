package kernel

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/nlmsg"
	"flexvpn/dataplane/kernel/xfrm"
)

// watch follows what the kernel tells and what others do.
func (p *Plane) watch() {
	p.follow(p.watches[0], p.linkNews)
	p.follow(p.watches[1], p.stateNews)
	p.tasks.Go(p.reconciler)
}

// follow reads one socket until it is closed.
func (p *Plane) follow(w *nlmsg.Watch, news func(nlmsg.Reply)) {
	p.tasks.Go(func() {
		for {
			all, err := w.Next()
			switch {
			case errors.Is(err, nlmsg.ErrLost):
				p.lookAround()
				continue
			case err != nil:
				return // closed
			}
			for _, r := range all {
				news(r)
			}
		}
	})
}

// lookAround asks for a comparison of everything.
func (p *Plane) lookAround() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// linkNews looks for links of ours that somebody deleted: those we delete have left the map before.
func (p *Plane) linkNews(r nlmsg.Reply) {
	l, ok := readLink(r)
	if !ok || r.Type != unix.RTM_DELLINK || l.index&indexShift == 0 {
		return
	}
	if d := p.numbered(l.index & maxNumber); d != nil && d.index == l.index {
		p.tasks.Go(func() { d.restoreLink() }) // it waits for who changes the device
	}
}

func (p *Plane) numbered(n uint32) *device {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byNumber[n]
}

func (p *Plane) stateNews(r nlmsg.Reply) {
	e, ok := xfrm.ReadEvent(r)
	if !ok || e.PortID == p.xfrm.PortID() && e.PortID != 0 {
		return
	}
	if e.Kind == xfrm.StatesFlushed || e.Kind == xfrm.PolicyChanged {
		p.lookAround()
		return
	}
	if e.State.ReqID&tagBits != p.tag {
		return
	}
	d := p.numbered(e.State.ReqID & maxNumber)
	if d == nil {
		return
	}
	if e.Kind == xfrm.StateDeleted {
		p.lookAround()
		return
	}
	d.stateEvent(e)
}

// stateEvent is an expiry or another source of a state.
func (d *device) stateEvent(e xfrm.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.children, func(c *child) bool {
		return c.in.SPI == e.State.SPI && (e.Kind == xfrm.Mapping || c.in.Dst == e.State.Dst) ||
			c.out.SPI == e.State.SPI && c.out.Dst == e.State.Dst && e.Kind != xfrm.Mapping
	})
	if d.gone || i < 0 {
		return
	}
	c := d.children[i]
	inbound := c.in.ID == e.State.ID
	switch e.Kind {
	case xfrm.Mapping:
		c.elsewhere++
	case xfrm.HardExpire:
		if c.spec.Limits.SoftBytes != 0 || c.spec.Limits.SoftPackets != 0 {
			d.soft(c) // the kernel skips it when one packet reaches both
		}
		d.dead(c, "")
	case xfrm.SoftExpire:
		switch {
		case inbound && !c.heard:
			d.firstInbound(c)
		case inbound && e.State.Bytes < c.in.Lifetime.SoftBytes && e.State.Packets < c.in.Lifetime.SoftPackets:
			// The state was moved: its copy asks for a first packet once more, as the original did.
			d.watchLimits(c)
		default:
			d.soft(c)
		}
	}
}

func (d *device) soft(c *child) {
	if !c.softTold {
		c.softTold = true
		d.plane.Tell(dataplane.Event{Kind: dataplane.SoftExpire, Interface: d.name, SPIIn: c.in.SPI})
	}
}

// dead tells that a child no longer carries packets; why is empty for a limit.
func (d *device) dead(c *child, why string) {
	if c.dead {
		return
	}
	c.dead = true
	if why != "" {
		d.plane.opt.Log.Warn("an sa was lost and is negotiated anew", "interface", d.name, "spi_in", c.in.SPI, "why", why)
	}
	d.plane.Tell(dataplane.Event{Kind: dataplane.HardExpire, Interface: d.name, SPIIn: c.in.SPI})
}

// firstInbound follows the kernel's word that a packet came for a state that had heard none. The
// kernel tells before it has verified the packet: only when one was counted it was authentic.
func (d *device) firstInbound(c *child) {
	var s xfrm.State
	for n := range 3 {
		var err error
		if s, err = c.in.State(d.plane.xfrm); err != nil || s.Packets > 0 {
			break
		} else if n == 2 {
			// A forgery, or one that the kernel is still busy with. The question is put again, not too
			// often: whoever forges would ask for it.
			time.AfterFunc(time.Second, func() { d.rearm(c) })
			return
		}
		time.Sleep(time.Millisecond) // a packet takes the kernel microseconds; there is no event for its end
	}
	c.heard = true
	c.in.Lifetime = inLifetime(c.spec.Limits, true)
	d.plane.Tell(dataplane.Event{Kind: dataplane.FirstInbound, Interface: d.name, SPIIn: c.in.SPI})
	l := c.in.Lifetime
	switch {
	case s.Bytes >= l.SoftBytes || s.Packets >= l.SoftPackets:
		d.soft(c)
	default:
		d.watchLimits(c)
	}
}

// watchLimits asks for the soft limit of a state that has told of its first packet: the kernel tells of
// one, and an update asks for the next.
func (d *device) watchLimits(c *child) {
	if c.spec.Limits == (dataplane.Limits{}) {
		return
	}
	if err := d.plane.xfrm.Do(c.in.Update()); err != nil && !isGone(err) {
		d.plane.opt.Log.Warn("watch the limits of an sa", "interface", d.name, "err", err)
	}
}

func (d *device) rearm(c *child) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone || c.dead || c.heard || !slices.Contains(d.children, c) {
		return
	}
	if s, err := c.in.State(d.plane.xfrm); err == nil && s.Packets > 0 {
		d.firstInbound(c)
		return
	}
	_ = d.plane.xfrm.Do(c.in.Update()) // it fails when the state is gone, which is noticed elsewhere
}
