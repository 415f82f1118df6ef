package kernel

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/nlmsg"
	"flexvpn/dataplane/kernel/xfrm"
)

// halfDone is what undoing met: the kernel has more or less than is declared.
type halfDone struct{ err error }

func (h *halfDone) Error() string { return "taking it back failed too: " + h.err.Error() }

func (h *halfDone) Unwrap() error { return h.err }

// undone is err with what undoing met, if it met anything.
func undone(err, met error) error {
	if met == nil {
		return err
	}
	return fmt.Errorf("%w; %w", err, &halfDone{met})
}

func isHalfDone(err error) bool {
	var h *halfDone
	return errors.As(err, &h)
}

// errNumberTaken says that somebody else's device has an interface's if_id, ends or index.
var errNumberTaken = errors.New("somebody else's device has its if_id, its ends or its index")

// passedOver is how many numbers that are somebody else's one interface passes over.
const passedOver = 4096

// begin makes a device that was registered.
func (d *device) begin(spec *dataplane.Interface) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.make(spec)
	if err == nil {
		return nil
	}
	d.gone = true
	var left error
	if isHalfDone(err) || errors.Is(err, errNumberTaken) {
		left = err
	}
	_ = d.plane.forget(d, left)
	return fmt.Errorf("interface %s: %w", d.name, err)
}

// clash says what of a device exists already, and is not touched.
func (d *device) clash(err error) error {
	if l, e := linkNamed(d.plane.rtnl, d.name); e == nil && l.index != d.index {
		return fmt.Errorf("%w: remove it, or use another name", dataplane.ErrNameTaken)
	}
	if _, e := linkAt(d.plane.rtnl, d.index); isGone(e) && d.ends.real {
		return fmt.Errorf("%w: somebody else has a device of GRE between %s and %s: remove it, or set mode transport in the peer's transform set", err, d.ends.local, d.ends.peer)
	}
	return errNumberTaken
}

// failed is the error of a change; where it could not be taken back the device ends. d.mu is held.
func (d *device) failed(err error) error {
	if err = explain(err); isHalfDone(err) {
		d.giveUp("a change of it failed half-way: " + err.Error())
	}
	return err
}

// giveUp ends a device that cannot be what is declared: what can be removed of it is, and its session
// is told why. d.mu is held.
func (d *device) giveUp(why string) {
	d.gone = true
	if err := d.plane.forget(d, d.dismantle()); err != nil {
		d.plane.opt.Log.Error("remove what is left of an interface", "interface", d.name, "err", err)
	}
	d.plane.Tell(dataplane.Event{Kind: dataplane.InterfaceGone, Interface: d.name, Why: why})
}

// inventory is all that the kernel has, ours or not.
type inventory struct {
	links    map[uint32]linkState
	states   map[xfrm.ID]xfrm.State
	policies map[xfrm.PolicyKey]xfrm.Policy
}

func (p *Plane) dump() (k inventory, err error) {
	if k.states, err = xfrm.States(p.xfrm); err != nil {
		return k, err
	}
	if k.policies, err = xfrm.Policies(p.xfrm); err != nil {
		return k, err
	}
	k.links, err = links(p.rtnl)
	return k, err
}

// clearDoubts removes what is left of devices that are no more.
func (p *Plane) clearDoubts() error {
	if len(p.doubts()) == 0 {
		return nil
	}
	k, err := p.dump()
	if err != nil {
		return err
	}
	return p.clear(k)
}

func (p *Plane) doubts() []uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.doubt))
}

// clear removes what k has of numbers in doubt, and frees them. Nobody is given one meanwhile.
func (p *Plane) clear(k inventory) error {
	var errs []error
	for _, n := range p.doubts() {
		l, there := k.links[p.index(n)]
		if there && !p.made(&l) {
			errs = append(errs, p.certain(n, errNumberTaken))
			continue
		}
		errs = append(errs, p.certain(n, p.wipe(n, k)))
	}
	return errors.Join(errs...)
}

// certain ends the doubt about a number, unless it could not be cleared.
func (p *Plane) certain(n uint32, left error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, open := p.doubt[n]
	switch {
	case !open: // another comparison was faster
		return nil
	case errors.Is(left, errNumberTaken):
		delete(p.doubt, n)
		return nil
	case left != nil:
		return left
	}
	delete(p.doubt, n)
	p.free = append(p.free, n)
	p.opt.Log.Info("removed what was left of an interface", "if_id", fmt.Sprintf("%#x", p.tag|n))
	return nil
}

// made tells a link that a plane of this node made from others with its index: by alias, which one that
// was not finished has not got yet.
func (p *Plane) made(l *linkState) bool {
	return (l.alias == "" || strings.HasPrefix(l.alias, p.opt.Alias)) && slices.Contains(kinds, l.kind)
}

// wipe removes everything of one number: the link first, without which nothing is sent in the clear.
func (p *Plane) wipe(n uint32, k inventory) error {
	if _, there := k.links[p.index(n)]; there {
		if err := p.deleteLink(p.index(n)); err != nil {
			return err
		}
	}
	var all []*nlmsg.Message
	for key, pol := range k.policies {
		if m, ours := p.owner(key, &pol); ours && m == n {
			all = append(all, key.Delete())
		}
	}
	for id, s := range k.states {
		if s.ReqID == p.tag|n {
			all = append(all, id.Delete())
		}
	}
	err := p.xfrm.Do(all...)
	if p.opt.Range.Contains(p.peer(n)) { // where a front-door VRF was
		err = errors.Join(err, p.rtnl.Do(route(unix.RTM_DELROUTE, netip.PrefixFrom(p.peer(n), 32), 0)))
	}
	return err
}

// owner is the number of the interface that a policy is of.
func (p *Plane) owner(k xfrm.PolicyKey, pol *xfrm.Policy) (n uint32, ours bool) {
	for _, id := range []uint32{k.IfID, pol.Template.ReqID} {
		if id != 0 && id&tagBits == p.tag {
			return id & maxNumber, true
		}
	}
	if p.invented(k.Selector) {
		return p.numberOf(k.Selector.Dst.Addr()), true
	}
	return 0, false
}

// strays are states and policies that name an interface and are not of it.
type strays struct {
	states   map[uint32][]xfrm.ID // by request identifier
	policies map[uint32][]xfrm.PolicyKey
}

func (p *Plane) sortOut(k inventory) strays {
	s := strays{map[uint32][]xfrm.ID{}, map[uint32][]xfrm.PolicyKey{}}
	for id, st := range k.states {
		if st.ReqID&tagBits == p.tag {
			s.states[st.ReqID&maxNumber] = append(s.states[st.ReqID&maxNumber], id)
		}
	}
	for key, pol := range k.policies {
		if n, ours := p.owner(key, &pol); ours {
			s.policies[n] = append(s.policies[n], key)
		}
	}
	return s
}

// dropStrays deletes what carries the mark of d and is none of it: a removal had failed. What was found
// is older than the lock.
func (d *device) dropStrays(s strays) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return nil
	}
	ids := slices.DeleteFunc(slices.Clone(s.states[d.number]), func(id xfrm.ID) bool {
		return slices.ContainsFunc(slices.Concat(d.children, d.leaving), func(c *child) bool { return c.in.ID == id || c.out.ID == id })
	})
	var all []*nlmsg.Message
	for _, k := range s.policies[d.number] {
		if _, wanted := d.policies[k]; !wanted {
			all = append(all, k.Delete())
		}
	}
	return errors.Join(d.plane.xfrm.Do(all...), d.takeBack(ids))
}
