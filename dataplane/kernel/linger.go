package kernel

import (
	"maps"
	"slices"
	"time"

	"flexvpn/dataplane/kernel/nlmsg"
)

// lingering is how long the states of a child stay after another took its place. Its peer's last packets
// may come after the word that it is deleted, which took another way (RFC 7296 section 2.8); and one of
// ours that has chosen its state waits for a processor before it is encrypted.
const lingering = 2 * time.Second

// replaced lets removed children linger when others carry on; else they go at once: nothing may come
// of an SA that was deleted and not replaced. d.mu is held.
func (d *device) replaced(removed []*child) {
	if len(removed) == 0 {
		return
	}
	d.leaving = append(d.leaving, removed...)
	if len(d.children) == 0 {
		d.part(d.leaving)
		return
	}
	time.AfterFunc(d.plane.linger, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !d.gone {
			d.part(removed)
		}
	})
}

// part deletes those of children that still linger. d.mu is held.
func (d *device) part(children []*child) {
	var all []*nlmsg.Message
	d.leaving = slices.DeleteFunc(slices.Clone(d.leaving), func(c *child) bool {
		if !slices.Contains(children, c) {
			return false
		}
		all = append(all, c.in.Delete(), c.out.Delete())
		return true
	})
	if len(all) == 0 {
		return
	}
	if err := d.plane.xfrm.Do(all...); err != nil {
		d.plane.opt.Log.Warn("remove what an interface no longer has", "interface", d.name, "err", err)
		d.plane.lookAround()
	}
}

// makeRoom parts with what lingers and stands in the way of a change: an SPI that is used again, or a
// move, in which the kernel does not tell states of one peer from another.
func (d *device) makeRoom(pl *plan, moves bool) {
	var all []*child
	for _, c := range d.leaving {
		if moves || slices.ContainsFunc(pl.added, func(n *child) bool { return n.in.SPI == c.in.SPI || n.out.SPI == c.out.SPI }) {
			all = append(all, c)
		}
	}
	d.part(all)
}

// settle parts with everything that lingers.
func (p *Plane) settle() {
	p.mu.Lock()
	all := slices.Collect(maps.Values(p.byNumber))
	p.mu.Unlock()
	for _, d := range all {
		d.mu.Lock()
		if !d.gone {
			d.part(d.leaving)
		}
		d.mu.Unlock()
	}
}
