package kernel

import (
	"errors"
	"maps"
	"slices"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/nlmsg"
	"flexvpn/dataplane/kernel/xfrm"
)

// relocation is a child that stands and its way from one path to another.
type relocation struct {
	child    *child
	from, to dataplane.Path
}

// moves are the children whose path changes. One that is about to be removed and shares its path with
// one of them moves as well: the kernel does not tell them apart.
func (d *device) moves(pl *plan, spec *dataplane.Interface) (all []relocation) {
	for i, c := range pl.children {
		if to := pathOf(spec, &spec.Children[i]); to != c.path {
			all = append(all, relocation{c, c.path, to})
		}
	}
	for _, c := range pl.removed {
		if i := slices.IndexFunc(all, func(m relocation) bool { return m.from == c.path }); i >= 0 {
			all = append(all, relocation{c, c.path, all[i].to})
		}
	}
	return all
}

// move lets the states that stand follow their paths: other ports are an update, other addresses a
// migration, and another answer to whether UDP is between takes new states that go on where the old
// ones stopped. Children that stay where they are do not notice.
func (d *device) move(moves []relocation, pl *plan, spec *dataplane.Interface) (func() error, error) {
	if len(moves) == 0 {
		return nil, nil
	}
	undo := func() error {
		var back []relocation
		for _, m := range slices.Backward(moves) {
			back = append(back, relocation{m.child, m.to, m.from})
		}
		return d.relocate(back, pl, spec)
	}
	if err := d.relocate(moves, pl, spec); err != nil {
		return nil, undone(err, undo())
	}
	return undo, nil
}

func (d *device) relocate(moves []relocation, pl *plan, spec *dataplane.Interface) error {
	var ports []*child
	var migrate, replace []relocation
	for _, m := range moves {
		switch {
		case m.from.Encap != m.to.Encap:
			// A migration keeps UDP, and with unchanged addresses cannot tell what it has moved already.
			replace = append(replace, m)
		case !together(m.from, m.to):
			migrate = append(migrate, m)
		default:
			if m.child.locate(m.to); m.to.Encap { // else ports mean nothing
				ports = append(ports, m.child)
			}
		}
	}
	if d.alike(migrate, pl) {
		replace, migrate = append(replace, migrate...), nil
	}
	return errors.Join(d.update(ports, func(*child) {}), d.migrate(migrate), d.replace(replace, spec))
}

// together reports whether two paths have the same addresses.
func together(a, b dataplane.Path) bool {
	return a.Local.Addr() == b.Local.Addr() && a.Remote.Addr() == b.Remote.Addr()
}

// alike reports whether the kernel could move one state in the place of another: of those between the
// old addresses it takes any.
func (d *device) alike(moves []relocation, pl *plan) bool {
	for _, m := range moves {
		if !together(m.from, moves[0].from) || m.to != moves[0].to {
			return true
		}
	}
	return len(moves) > 0 && slices.ContainsFunc(slices.Concat(d.children, pl.added), func(c *child) bool {
		return together(c.path, moves[0].from) && !slices.ContainsFunc(moves, func(m relocation) bool { return m.child == c })
	})
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
//
// The kernel copies a state and deletes the old one a moment later. What another processor sends in
// between takes numbers that the copy would use again, under the same key; so the copy goes on
// sequenceJump later, before any policy leads to it.
func (d *device) migrate(moves []relocation) error {
	if len(moves) == 0 {
		return nil
	}
	rows := d.counted(moves)
	defer func() { d.carry(moves, rows) }()
	var all, ahead, follow []*nlmsg.Message
	for _, m := range moves {
		c := m.child
		sent, err := c.out.State(d.plane.xfrm)
		if err != nil && !isGone(err) {
			return err
		}
		old := *c
		old.locate(m.from)
		c.locate(m.to)
		all = append(all, d.migration(xfrm.PolicyIn, &old.in, &c.in)...)
		all = append(all, d.migration(xfrm.PolicyOut, &old.out, &c.out)...)
		if sent.Replay != "" {
			next := c.out.Continue(c.out.Src, d.id, sent.Replay.Ahead(sequenceJump))
			next.Absent = true
			ahead = append(ahead, next)
		}
		follow = append(follow, d.follow(m)...)
	}
	err := d.plane.xfrm.Do(slices.Concat(all, ahead, follow)...)
	return errors.Join(err, d.plane.xfrm.Do(d.scratch(xfrm.PolicyIn).Delete(), d.scratch(xfrm.PolicyOut).Delete()))
}

// sends reports whether a policy names the state that m moves.
func (m relocation) sends(p xfrm.Policy) bool {
	return p.Direction == xfrm.PolicyOut && !p.Block && p.Template.SPI == m.child.out.SPI &&
		p.Template.Src == m.from.Local.Addr() && p.Template.Dst == m.from.Remote.Addr()
}

// follow points the policies of a child that sends to where it has moved: in the same breath, because
// until then its packets find no state.
func (d *device) follow(m relocation) (all []*nlmsg.Message) {
	next := maps.Clone(d.policies)
	for k, p := range d.policies {
		if m.sends(p) {
			p.Template.Src, p.Template.Dst = m.to.Local.Addr(), m.to.Remote.Addr()
			next[k], all = p, append(all, p.Put())
		}
	}
	d.policies = next
	return all
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
const sequenceJump = 1 << 16

// replace puts new states in the place of those that stand: nothing leaves by them meanwhile, so that
// no sequence number is used twice. The new ones go on with the old ones' numbers and replay window.
func (d *device) replace(moves []relocation, spec *dataplane.Interface) error {
	if len(moves) == 0 {
		return nil
	}
	rows := d.counted(moves)
	defer func() { d.carry(moves, rows) }()
	block, restore := d.hold(moves)
	if err := d.plane.xfrm.Do(block...); err != nil {
		return errors.Join(err, d.plane.xfrm.Do(restore...))
	}
	var all, added []*nlmsg.Message
	for _, m := range moves {
		next, err := d.successors(m, spec)
		if err != nil {
			return errors.Join(err, d.plane.xfrm.Do(restore...))
		}
		all, added = append(all, m.child.in.Delete(), m.child.out.Delete()), append(added, additions(next)...)
	}
	all = append(all, added...)
	for _, m := range moves {
		m.child.locate(m.to)
		all = append(all, d.follow(m)...)
	}
	return d.plane.xfrm.Do(all...)
}

// hold are the messages that stop what moves from sending, and those that let it go on as it was.
func (d *device) hold(moves []relocation) (block, restore []*nlmsg.Message) {
	for _, p := range d.policies {
		if slices.ContainsFunc(moves, func(m relocation) bool { return m.sends(p) }) {
			restore = append(restore, p.Put())
			p.Block, p.Template = true, xfrm.Template{}
			block = append(block, p.Put())
		}
	}
	return block, restore
}

// successors are the states that follow those of a child; none for one that is going to be removed
// anyway.
func (d *device) successors(m relocation, spec *dataplane.Interface) ([]*xfrm.State, error) {
	c := m.child
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
	next.locate(m.to)
	s := &spec.Children[i]
	next.in.Replay, next.out.Replay = in.Replay, out.Replay.Ahead(sequenceJump)
	return []*xfrm.State{&next.in, &next.out}, errors.Join(
		algorithms(&next.in, s, s.KeyIn.Reveal(), s.IntegIn.Reveal()), algorithms(&next.out, s, s.KeyOut.Reveal(), s.IntegOut.Reveal()))
}
