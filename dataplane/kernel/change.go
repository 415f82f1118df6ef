package kernel

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/nlmsg"
	"flexvpn/dataplane/kernel/xfrm"
)

// apply changes a device that is there: what is new is added, then the policies are switched, then
// what is old is removed, its states a moment later. On error what was done is undone.
func (d *device) apply(spec *dataplane.Interface) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return fmt.Errorf("interface %s: it was removed meanwhile", d.name)
	}
	if err := d.change(spec); err != nil {
		return fmt.Errorf("interface %s: %w", d.name, d.failed(err))
	}
	return nil
}

// undo is what has to be done again, the latest first.
type undo []func() error

func (u undo) run(err error) error {
	var errs []error
	for _, f := range slices.Backward(u) {
		errs = append(errs, f())
	}
	return undone(err, errors.Join(errs...))
}

func (d *device) change(spec *dataplane.Interface) error {
	pl, err := d.plan(spec)
	if err != nil {
		return err
	}
	moves := d.moves(pl, spec)
	d.makeRoom(pl, len(moves) > 0)
	spis := spisOf(pl.added)
	if err := d.plane.claim(d, spis); err != nil {
		return err
	}
	u := undo{func() error { d.plane.release(d, spis); return nil }}
	policies := d.wantedPolicies(spec)
	for _, step := range []func() (func() error, error){
		func() (func() error, error) { return d.changeLink(spec) },
		func() (func() error, error) { return d.addStates(pl) },
		func() (func() error, error) { return d.move(moves, pl, spec) },
		func() (func() error, error) { return d.limit(pl, spec) },
		func() (func() error, error) { return d.switchPolicies(policies) },
	} {
		back, err := step()
		if err != nil {
			return u.run(err)
		}
		if back != nil {
			u = append(u, back)
		}
	}
	old := d.spec
	d.commit(spec, pl, policies)
	d.plane.release(d, spisOf(pl.removed))
	d.tidy(&old)
	d.replaced(pl.removed)
	return nil
}

// tidy removes what is no longer wanted. The new state stands: what fails here is told, not undone.
func (d *device) tidy(old *dataplane.Interface) {
	var addresses []*nlmsg.Message
	for _, p := range old.Addresses {
		if !slices.Contains(d.spec.Addresses, p) {
			addresses = append(addresses, address(unix.RTM_DELADDR, d.index, p, 0))
		}
	}
	if err := d.plane.rtnl.Do(addresses...); err != nil {
		d.plane.opt.Log.Warn("remove what an interface no longer has", "interface", d.name, "err", err)
	}
}

// changeLink changes MTU and alias and adds addresses.
func (d *device) changeLink(spec *dataplane.Interface) (func() error, error) {
	var do, back []*nlmsg.Message
	if spec.MTU != d.spec.MTU || spec.Alias != d.spec.Alias {
		do, back = append(do, d.link(spec).set()), append(back, d.link(&d.spec).set())
	}
	for _, p := range spec.Addresses {
		if !slices.Contains(d.spec.Addresses, p) {
			do = append(do, address(unix.RTM_NEWADDR, d.index, p, unix.RT_SCOPE_UNIVERSE))
			back = append(back, address(unix.RTM_DELADDR, d.index, p, 0))
		}
	}
	undo := func() error { return d.plane.rtnl.Do(back...) }
	if err := d.plane.rtnl.Do(do...); err != nil {
		return nil, undone(err, undo())
	}
	return undo, nil
}

func (d *device) addStates(pl *plan) (func() error, error) {
	undo := func() error {
		var ids []xfrm.ID
		for _, c := range pl.added {
			ids = append(ids, c.in.ID, c.out.ID)
		}
		return d.takeBack(ids)
	}
	if err := d.install(pl.keyed); err != nil {
		return nil, undone(err, undo())
	}
	return undo, nil
}

// limit changes the limits of use of children that stand, and the Don't Fragment of what they send.
func (d *device) limit(pl *plan, spec *dataplane.Interface) (func() error, error) {
	var changed []*child
	before := map[*child]dataplane.Limits{}
	after := map[*child]dataplane.Limits{}
	for i, c := range pl.children {
		if slices.Contains(pl.added, c) || c.spec.Limits == spec.Children[i].Limits {
			continue
		}
		changed = append(changed, c)
		before[c], after[c] = c.spec.Limits, spec.Children[i].Limits
	}
	if len(changed) == 0 {
		return nil, nil
	}
	set := func(to map[*child]dataplane.Limits) error {
		return d.update(changed, func(c *child) {
			c.spec.Limits = to[c]
			c.in.Lifetime, c.out.Lifetime = inLifetime(c.spec.Limits, c.heard), outLifetime(&c.spec)
		})
	}
	undo := func() error { return set(before) }
	if err := set(after); err != nil {
		return nil, undone(err, undo())
	}
	return undo, nil
}

// switchPolicies puts what is new or different, then deletes what is no longer wanted.
func (d *device) switchPolicies(want map[xfrm.PolicyKey]xfrm.Policy) (func() error, error) {
	have := d.policies
	undo := func() error { return d.plane.xfrm.Do(differences(want, have)...) }
	if err := d.plane.xfrm.Do(differences(have, want)...); err != nil {
		return nil, undone(err, undo())
	}
	return undo, nil
}

func differences(have, want map[xfrm.PolicyKey]xfrm.Policy) (all []*nlmsg.Message) {
	for _, k := range slices.SortedFunc(maps.Keys(want), xfrm.PolicyKey.Compare) {
		p := want[k]
		if now, ok := have[k]; !ok || now != p {
			all = append(all, p.Put())
		}
	}
	for k := range have {
		if _, ok := want[k]; !ok {
			all = append(all, k.Delete())
		}
	}
	return all
}

// wantedPolicies are those of spec.
func (d *device) wantedPolicies(spec *dataplane.Interface) map[xfrm.PolicyKey]xfrm.Policy {
	all := map[xfrm.PolicyKey]xfrm.Policy{}
	out := d.outTemplate(spec)
	put := func(dir xfrm.PolicyDirection, s xfrm.Selector, t *xfrm.Template) {
		p := xfrm.Policy{PolicyKey: xfrm.PolicyKey{Direction: dir, Selector: s}, Priority: priority}
		if d.mode == dataplane.IPsec {
			p.IfID = d.id
		}
		if t == nil {
			p.Block = true
		} else {
			p.Template = *t
		}
		all[p.PolicyKey] = p
	}
	if d.mode == dataplane.GRE {
		put(xfrm.PolicyOut, d.gre(xfrm.PolicyOut), out)
		if len(spec.Children) > 0 {
			put(xfrm.PolicyIn, d.gre(xfrm.PolicyIn), d.inTemplate(d.gre(xfrm.PolicyIn)))
		}
		return all
	}
	for i := range spec.Children {
		c := &spec.Children[i]
		for _, s := range selectors(c.Remote, c.Local) {
			put(xfrm.PolicyIn, s, d.inTemplate(s))
			put(xfrm.PolicyForward, s, d.inTemplate(s))
		}
		if c.SPIIn == spec.Outbound {
			for _, s := range selectors(c.Local, c.Remote) {
				put(xfrm.PolicyOut, s, out)
			}
		}
	}
	if spec.Outbound == 0 {
		for _, s := range selectors(nil, nil) {
			put(xfrm.PolicyOut, s, nil)
		}
	}
	return all
}

// priority puts our policies before those of another key manager, which names other addresses and
// interfaces anyway.
const priority = 1

// outTemplate names the very state that sends; nil when none does.
func (d *device) outTemplate(spec *dataplane.Interface) *xfrm.Template {
	for i := range spec.Children {
		if c := &spec.Children[i]; c.SPIIn == spec.Outbound {
			p := pathOf(spec, c)
			return &xfrm.Template{Src: p.Local.Addr(), Dst: p.Remote.Addr(), SPI: c.SPIOut, ReqID: d.id, Mode: d.xfrmMode()}
		}
	}
	return nil
}

// inTemplate takes what came by any state of this interface, by whichever path: the request identifier
// is its own. The kernel leaves out the comparison of addresses that are zero.
func (d *device) inTemplate(s xfrm.Selector) *xfrm.Template {
	zero := netip.IPv4Unspecified()
	if s.Src.Addr().Is6() {
		zero = netip.IPv6Unspecified()
	}
	return &xfrm.Template{Src: zero, Dst: zero, ReqID: d.id, Mode: d.xfrmMode()}
}

// gre is the selector of a GRE device's packets.
func (d *device) gre(dir xfrm.PolicyDirection) xfrm.Selector {
	bits := d.ends.local.BitLen()
	s := xfrm.Selector{Src: netip.PrefixFrom(d.ends.local, bits), Dst: netip.PrefixFrom(d.ends.peer, bits), Protocol: unix.IPPROTO_GRE}
	if dir == xfrm.PolicyIn {
		s.Src, s.Dst = s.Dst, s.Src
	}
	return s
}

var anyPrefix = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}

// selectors are all pairs of one family.
func selectors(src, dst []netip.Prefix) []xfrm.Selector {
	if len(src) == 0 {
		src = anyPrefix
	}
	if len(dst) == 0 {
		dst = anyPrefix
	}
	all := map[xfrm.Selector]bool{}
	for _, s := range src {
		for _, t := range dst {
			if s.Addr().Is4() == t.Addr().Is4() {
				all[xfrm.Selector{Src: s.Masked(), Dst: t.Masked()}] = true
			}
		}
	}
	return slices.Collect(maps.Keys(all))
}
