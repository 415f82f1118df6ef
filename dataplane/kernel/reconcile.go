package kernel

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

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
	k, err := p.dump()
	if err != nil {
		return err
	}
	p.mu.Lock()
	all := slices.Collect(maps.Values(p.byNumber))
	p.mu.Unlock()
	errs := []error{p.clear(k)}
	found := p.sortOut(k)
	for _, d := range all {
		if l, ok := k.links[d.index]; !ok || l.name != d.name {
			d.restoreLink()
		}
		errs = append(errs, d.dropStrays(found), d.restorePolicies(k.policies))
		d.missStates(k.states)
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
		err = d.remakeLink()
	}
	if err == nil {
		log.Warn("an interface was deleted by somebody else and is made again", "interface", d.name)
		return
	}
	log.Error("an interface was deleted by somebody else and cannot be made again", "interface", d.name, "err", err)
	d.giveUp("somebody deleted its interface: " + err.Error())
}

func (d *device) remakeLink() error {
	link, raise, err := d.makeLink(&d.spec)
	if err == nil {
		err = d.plane.rtnl.Do(link)
	}
	if err == nil {
		err = d.plane.rtnl.Do(raise...)
	}
	return err
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
// the tag of their identifiers. Others' are not touched: not those of a device that has a number of ours
// without being it, nor those of another node that has its invented addresses from the same range.
func (p *Plane) sweep() error {
	old, err := p.formerLinks()
	if err != nil {
		return err
	}
	if len(old) > 0 {
		if err := p.reaper.Do(deleteLinks(old)...); err != nil {
			return err
		}
	}
	if err := p.clearRange(); err != nil {
		return err
	}
	if err := p.sweepRoutes(); err != nil {
		return err
	}
	k, err := p.dump()
	if err != nil {
		return err
	}
	var all []*nlmsg.Message
	for key, pol := range k.policies {
		if n, ours := p.owner(key, &pol); ours && !p.others[n] {
			all = append(all, key.Delete())
		}
	}
	for id, s := range k.states {
		if s.ReqID&tagBits == p.tag && !p.others[s.ReqID&maxNumber] {
			all = append(all, id.Delete())
		}
	}
	if n := len(all) + len(old); n > 0 {
		p.opt.Log.Info("removed what a former run left in the kernel", "interfaces", len(old), "states_and_policies", len(all))
	}
	return p.xfrm.Do(all...)
}

// formerLinks are links of a former run; it notes the numbers that others' links have.
func (p *Plane) formerLinks() (old []uint32, err error) {
	there, err := links(p.rtnl)
	for _, l := range there {
		ours := slices.Contains(kinds, l.kind)
		named := p.opt.Alias != "" && len(l.alias) > len(p.opt.Alias) && strings.HasPrefix(l.alias, p.opt.Alias)
		n, numbered := l.index&maxNumber, l.index&^maxNumber == p.index(0)
		// A crash may come before a new link has its alias.
		unfinished := numbered && l.alias == "" && !l.up && (l.kind != "xfrm" || l.ifID == p.tag|n)
		switch {
		case ours && (named || unfinished):
			old = append(old, l.index)
		case numbered:
			p.others[n] = true
		case l.ifID&tagBits == p.tag:
			p.others[l.ifID&maxNumber] = true
		}
	}
	return old, err
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
