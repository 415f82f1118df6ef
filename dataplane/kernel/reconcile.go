package kernel

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/nlmsg"
	"flexvpn/dataplane/kernel/xfrm"
)

// calm is how long comparisons wait for others to finish, and the shortest time between two.
const calm = time.Second

// reconciler compares the kernel with what was declared when somebody else changed it, or when the
// kernel could not tell all its news.
func (p *Plane) reconciler() {
	for {
		select {
		case <-p.done:
			return
		case <-p.changed:
		}
		if err := p.reconcile(); err != nil {
			p.opt.Log.Warn("compare the kernel with what was declared", "err", err)
			p.lookAround()
		}
		t := time.NewTimer(calm)
		select {
		case <-p.done:
			t.Stop()
			return
		case <-t.C:
		}
	}
}

func (p *Plane) reconcile() error {
	states, err := xfrm.States(p.xfrm)
	if err != nil {
		return err
	}
	policies, err := xfrm.Policies(p.xfrm)
	if err != nil {
		return err
	}
	there, err := links(p.rtnl)
	if err != nil {
		return err
	}
	p.mu.Lock()
	all := slices.Collect(maps.Values(p.byNumber))
	p.mu.Unlock()
	var errs []error
	for _, d := range all {
		if l, ok := there[d.index]; !ok || l.name != d.name {
			d.restoreLink()
		}
		errs = append(errs, d.restorePolicies(policies))
		d.missStates(states)
	}
	return errors.Join(errs...)
}

// restoreLink makes a link anew that somebody deleted. What hung on it that is not this plane's to
// make (a VRF's port, a queue) cannot be: then the session ends with that reason.
func (d *device) restoreLink() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return
	}
	if l, err := linkAt(d.plane.rtnl, d.index); err == nil && l.name == d.name {
		return
	}
	log := d.plane.opt.Log
	err := errors.New("its VRF and queues are not the data plane's to make")
	if d.spec.VRF == "" && d.spec.QoS.Shape.Bits == 0 {
		var all []*nlmsg.Message
		if all, err = d.makeLink(&d.spec); err == nil {
			err = d.plane.rtnl.Do(all...)
		}
	}
	if err == nil {
		log.Warn("an interface was deleted by somebody else and is made again", "interface", d.name)
		return
	}
	log.Error("an interface was deleted by somebody else and cannot be made again", "interface", d.name, "err", err)
	d.gone = true
	why := err
	err = errors.Join(d.plane.deleteLink(d.index), d.plane.rtnl.Do(d.routes()...), d.plane.xfrm.Do(d.deletions()...), d.plane.forget(d))
	if err != nil {
		log.Error("remove what is left of an interface", "interface", d.name, "err", err)
	}
	d.plane.Tell(dataplane.Event{Kind: dataplane.InterfaceGone, Interface: d.name, Why: "somebody deleted its interface: " + why.Error()})
}

// restorePolicies puts back what is missing or different.
func (d *device) restorePolicies(have map[xfrm.PolicyKey]xfrm.Policy) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return nil
	}
	if len(d.missing(have)) == 0 {
		return nil
	}
	have, err := xfrm.Policies(d.plane.xfrm) // the list is older than the lock
	if all := d.missing(have); err == nil && len(all) > 0 {
		d.plane.opt.Log.Warn("policies were changed by somebody else and are put back", "interface", d.name, "policies", len(all))
		err = d.plane.xfrm.Do(all...)
	}
	return err
}

func (d *device) missing(have map[xfrm.PolicyKey]xfrm.Policy) (all []*nlmsg.Message) {
	for k, p := range d.policies {
		if now, ok := have[k]; !ok || now != p {
			all = append(all, p.Put())
		}
	}
	return all
}

// missStates looks for states that are gone. They are not put back: their sequence numbers would
// begin again under the same key, which RFC 4303 section 3.3.3 forbids and AES-GCM does not survive.
// Their peer negotiates new ones.
func (d *device) missStates(have map[xfrm.ID]xfrm.State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return
	}
	for _, c := range d.children {
		for _, s := range []*xfrm.State{&c.in, &c.out} {
			if now, ok := have[s.ID]; ok && now.ReqID == d.id {
				continue
			}
			// The list is older than the lock: ask again.
			if _, err := s.State(d.plane.xfrm); isGone(err) {
				d.dead(c, "somebody deleted its state "+s.ID.String())
			}
		}
	}
}

// kinds are those of our links.
var kinds = []string{"xfrm", "gre", "ip6gre"}

// sweep removes what a former run of this node left: links by alias and kind, states and policies by
// the tag of their identifiers. Others' are not touched.
func (p *Plane) sweep() error {
	there, err := links(p.rtnl)
	if err != nil {
		return err
	}
	var old []uint32
	for _, l := range there {
		if p.opt.Alias != "" && len(l.alias) > len(p.opt.Alias) && l.alias[:len(p.opt.Alias)] == p.opt.Alias && slices.Contains(kinds, l.kind) {
			old = append(old, l.index)
		}
	}
	if len(old) > 0 {
		if err := p.reaper.Do(deleteLinks(old)...); err != nil {
			return err
		}
	}
	if err := p.sweepRoutes(); err != nil {
		return err
	}
	states, err := xfrm.States(p.xfrm)
	if err != nil {
		return err
	}
	policies, err := xfrm.Policies(p.xfrm)
	if err != nil {
		return err
	}
	var all []*nlmsg.Message
	for k, pol := range policies {
		if pol.IfID&tagBits == p.tag || pol.Template.ReqID&tagBits == p.tag || p.invented(k.Selector) {
			all = append(all, k.Delete())
		}
	}
	for id, s := range states {
		if s.ReqID&tagBits == p.tag {
			all = append(all, id.Delete())
		}
	}
	if n := len(all) + len(old); n > 0 {
		p.opt.Log.Info("removed what a former run left in the kernel", "interfaces", len(old), "states_and_policies", len(all))
	}
	return p.xfrm.Do(all...)
}

// sweepRoutes removes routes to invented addresses that lead to a front-door VRF: others went with
// their device.
func (p *Plane) sweepRoutes() error {
	var all []*nlmsg.Message
	err := p.routes(func(dst netip.Prefix, by uint8) {
		if by == protocol && p.opt.Range.Contains(dst.Addr()) {
			all = append(all, route(unix.RTM_DELROUTE, dst, 0))
		}
	})
	return errors.Join(err, p.rtnl.Do(all...))
}

// invented tells a policy of GRE that blocks, and so has no template, by its addresses.
func (p *Plane) invented(s xfrm.Selector) bool {
	return s.Protocol == unix.IPPROTO_GRE && s.Src.IsSingleIP() && s.Src.Addr() == p.local() && p.opt.Range.Contains(s.Dst.Addr())
}
