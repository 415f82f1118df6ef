package track

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"flexvpn/config"
)

// A Kernel tells of links, addresses and routes.
type Kernel interface {
	// Watch tells of every change until ctx ends; then the channel is closed. The first change
	// stands for everything.
	Watch(ctx context.Context) (<-chan Change, error)
	Link(name string) (Link, error)
	// Route looks for a route with exactly this prefix; vrf, when not empty, names the table.
	Route(prefix netip.Prefix, table int, vrf string) (Route, error)
}

// A Change is what has changed; the zero value means that anything may have.
type Change struct {
	Links bool         // a link, or an address of one, or its forwarding
	Route netip.Prefix // a route of this prefix
}

// Link is the state of an interface.
type Link struct {
	Exists, Up, Carrier  bool
	IPv4, IPv6           bool // it has an address of the family that hosts can reach
	Forwards4, Forwards6 bool
}

// Route is the state of a route.
type Route struct {
	Exists    bool
	Interface string // of its first next hop
	Dead      bool   // no next hop's interface has a carrier
}

// coalesce is how long changes of the kernel gather before they are looked at: a link that goes
// down takes many routes with it.
const coalesce = 10 * time.Millisecond

func (s *Set) wantsKernel() bool {
	for _, o := range s.objects {
		if o.ofKernel() {
			return true
		}
	}
	return false
}

func (o *object) ofKernel() bool {
	switch o.Kind {
	case config.TrackLineProtocol, config.TrackIPRouting, config.TrackRoute:
		return true
	}
	return false
}

// Look sees the kernel's objects as they stand, once, before Run: so that who asks at the start is not
// told that a line is down which nobody has looked at.
func (s *Set) Look() {
	if s.cfg.Kernel == nil {
		return
	}
	var seen []sight
	for _, o := range s.objects {
		if o.ofKernel() {
			up, reason := s.look(o)
			seen = append(seen, sight{o, up, reason})
		}
	}
	s.report(time.Now(), seen...)
}

// watchKernel follows the kernel until ctx ends; when its news break off, it asks for them anew and
// looks at everything.
func (s *Set) watchKernel(ctx context.Context) {
	for ctx.Err() == nil {
		changes, err := s.cfg.Kernel.Watch(ctx)
		if err == nil {
			s.followKernel(ctx, changes)
			if ctx.Err() != nil {
				return
			}
			err = errors.New("the news broke off")
		}
		s.cfg.Log.Error("follow the kernel's links and routes for tracked objects", "err", err, "next", "in a second")
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// followKernel looks at the objects that a change may concern.
func (s *Set) followKernel(ctx context.Context, changes <-chan Change) {
	pending := map[int]*object{}
	wait := time.NewTimer(0)
	defer wait.Stop()
	for _, o := range s.objects {
		if o.ofKernel() {
			pending[o.Number] = o
		}
	}
	for {
		select {
		case c, ok := <-changes:
			if !ok {
				return
			}
			if len(pending) == 0 {
				wait.Reset(coalesce)
			}
			for _, o := range s.objects {
				if o.concerned(c) {
					pending[o.Number] = o
				}
			}
		case <-wait.C:
			var seen []sight
			for _, o := range pending {
				up, reason := s.look(o)
				seen = append(seen, sight{o, up, reason})
			}
			s.do(ctx, func() { s.report(time.Now(), seen...) })
			clear(pending)
		case <-ctx.Done():
			return
		}
	}
}

// concerned reports whether a change may change the object. The kernel takes IPv4 routes away with
// their link without telling of each.
func (o *object) concerned(c Change) bool {
	if !o.ofKernel() {
		return false
	}
	return c == (Change{}) || c.Links || o.Kind == config.TrackRoute && c.Route == o.Route.Prefix
}

func (s *Set) look(o *object) (up bool, reason string) {
	if o.Kind == config.TrackRoute {
		return s.lookRoute(o)
	}
	l, err := s.cfg.Kernel.Link(o.Interface)
	switch {
	case err != nil:
		return false, err.Error()
	case !l.Exists:
		return false, "there is no interface " + o.Interface
	case !l.Up:
		return false, "the interface is administratively down"
	case !l.Carrier:
		return false, "the interface has no carrier"
	case o.Kind == config.TrackLineProtocol:
		return true, "the line protocol is up"
	}
	has, forwards, name := l.IPv4, l.Forwards4, "IPv4"
	if o.Family == config.FamilyIPv6 {
		has, forwards, name = l.IPv6, l.Forwards6, "IPv6"
	}
	switch {
	case !has:
		return false, "the interface has no " + name + " address"
	case !forwards:
		return false, name + " forwarding is off on the interface"
	}
	return true, name + " routing is on"
}

func (s *Set) lookRoute(o *object) (up bool, reason string) {
	r, err := s.cfg.Kernel.Route(o.Route.Prefix, o.Route.Table, o.Route.VRF)
	switch {
	case err != nil:
		return false, err.Error()
	case !r.Exists:
		return false, "no route"
	case r.Dead:
		return false, fmt.Sprintf("its interface %s has no carrier", r.Interface)
	case r.Interface != "":
		return true, "the route leads to " + r.Interface
	}
	return true, "the route is there"
}
