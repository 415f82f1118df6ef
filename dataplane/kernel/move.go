package kernel

import (
	"errors"
	"slices"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/nlmsg"
	"flexvpn/dataplane/kernel/xfrm"
)

// move lets the states that stand follow the path: other ports are an update, other addresses a
// migration, and another answer to whether UDP is between takes new states that go on where the old ones stopped. States that are
// about to be removed move as well: the kernel does not tell them from the others.
func (d *device) move(spec *dataplane.Interface) (func() error, error) {
	from, to := d.spec.Path, spec.Path
	if from == to || len(d.children) == 0 {
		return nil, nil
	}
	undo := func() error { return d.relocate(spec, to, from) }
	if err := d.relocate(spec, from, to); err != nil {
		return nil, errors.Join(err, undo())
	}
	return undo, nil
}

func (d *device) relocate(spec *dataplane.Interface, from, to dataplane.Path) error {
	switch {
	case from.Encap != to.Encap:
		// A migration keeps UDP, and with unchanged addresses cannot tell what it has moved already.
		return d.replace(spec, to)
	case from.Local.Addr() != to.Local.Addr(), from.Remote.Addr() != to.Remote.Addr():
		return d.migrate(from, to)
	case !to.Encap:
		return nil // ports mean nothing
	}
	return d.update(d.children, func(c *child) { c.locate(to) })
}

// update changes children and tells the kernel.
func (d *device) update(children []*child, change func(*child)) error {
	var all []*nlmsg.Message
	for _, c := range children {
		change(c)
		for _, s := range []*xfrm.State{&c.in, &c.out} {
			m := s.Update()
			m.Absent = c.dead
			all = append(all, m)
		}
	}
	return d.plane.xfrm.Do(all...)
}

// migrate moves states to other addresses. The kernel moves one state at a time, any that fits,
// together with a policy that must point to the old addresses: one that no packet matches serves, so
// that the true ones are switched once, by themselves.
func (d *device) migrate(from, to dataplane.Path) error {
	rows := d.counted()
	defer func() { d.carry(rows) }()
	var all []*nlmsg.Message
	for _, c := range d.children {
		old := *c
		old.locate(from)
		c.locate(to)
		all = append(all, d.migration(xfrm.PolicyIn, &old.in, &c.in)...)
		all = append(all, d.migration(xfrm.PolicyOut, &old.out, &c.out)...)
	}
	err := d.plane.xfrm.Do(all...)
	return errors.Join(err, d.plane.xfrm.Do(d.scratch(xfrm.PolicyIn).Delete(), d.scratch(xfrm.PolicyOut).Delete()))
}

func (d *device) migration(dir xfrm.PolicyDirection, from, to *xfrm.State) []*nlmsg.Message {
	p := xfrm.Policy{PolicyKey: d.scratch(dir), Template: xfrm.Template{Src: from.Src, Dst: from.Dst, ReqID: d.id, Mode: from.Mode}}
	g := xfrm.Migration{
		Policy: p.PolicyKey, Mode: from.Mode, ReqID: d.id,
		OldSrc: from.Src, OldDst: from.Dst, NewSrc: to.Src, NewDst: to.Dst,
		SourcePort: to.SourcePort, DestinationPort: to.DestinationPort,
	}
	return []*nlmsg.Message{p.Put(), g.Message()}
}

// unassigned is a protocol that nobody uses (RFC 3692: for experiments).
const unassigned = 253

func (d *device) scratch(dir xfrm.PolicyDirection) xfrm.PolicyKey {
	k := xfrm.PolicyKey{Direction: dir, Selector: d.gre(dir)}
	k.Selector.Protocol = unassigned
	if d.mode == dataplane.IPsec {
		k.IfID = d.id
	}
	return k
}

// sequenceJump lies between the last number of an old state and the first of the new one: packets
// that another processor was about to send when the old one was read have numbers of their own.
// RFC 4303 section 3.3.3 asks for numbers that grow, not for all of them.
const sequenceJump = 1 << 12

// replace puts new states in the place of those that stand: nothing leaves meanwhile, so that no
// sequence number is used twice. The new ones go on with the old ones' numbers and replay window.
func (d *device) replace(spec *dataplane.Interface, to dataplane.Path) error {
	rows := d.counted()
	defer func() { d.carry(rows) }()
	var block, restore, all []*nlmsg.Message
	for k, p := range d.policies {
		if k.Direction == xfrm.PolicyOut {
			restore = append(restore, p.Put())
			p.Block, p.Template = true, xfrm.Template{}
			block = append(block, p.Put())
		}
	}
	if err := d.plane.xfrm.Do(block...); err != nil {
		return errors.Join(err, d.plane.xfrm.Do(restore...))
	}
	for _, c := range d.children {
		moved, err := d.successors(c, spec, to)
		if err != nil {
			return errors.Join(err, d.plane.xfrm.Do(restore...))
		}
		all = append(all, c.in.Delete(), c.out.Delete())
		c.locate(to)
		all = append(all, additions(moved)...)
	}
	return errors.Join(d.plane.xfrm.Do(all...), d.plane.xfrm.Do(restore...))
}

// successors are the states that follow those of c; none for one that is going to be removed anyway.
func (d *device) successors(c *child, spec *dataplane.Interface, to dataplane.Path) ([]*xfrm.State, error) {
	i := slices.IndexFunc(spec.Children, func(s dataplane.Child) bool { return s.SPIIn == c.in.SPI })
	if i < 0 || c.dead {
		return nil, nil
	}
	in, err := c.in.State(d.plane.xfrm)
	if err != nil {
		return nil, err
	}
	out, err := c.out.State(d.plane.xfrm)
	if err != nil {
		return nil, err
	}
	next := *c
	next.locate(to)
	s := &spec.Children[i]
	next.in.Replay, next.out.Replay = in.Replay, out.Replay.Ahead(sequenceJump)
	return []*xfrm.State{&next.in, &next.out}, errors.Join(
		algorithms(&next.in, s, s.KeyIn.Reveal(), s.IntegIn.Reveal()), algorithms(&next.out, s, s.KeyOut.Reveal(), s.IntegOut.Reveal()))
}
