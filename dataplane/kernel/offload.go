package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/nlmsg"
	"flexvpn/dataplane/kernel/xfrm"
)

// wantOffload asks, where it was configured, the device that outer packets leave by for the
// cryptography. The kernel offloads neither ESP in UDP nor BEET; a device that cannot is passed over
// by the kernel itself.
func (d *device) wantOffload(path dataplane.Path, states ...*xfrm.State) {
	if !d.plane.opt.Offload || path.Encap || d.mode != dataplane.IPsec {
		return
	}
	below := d.plane.deviceTo(path.Remote.Addr())
	for _, s := range states {
		s.OffloadDevice = below
	}
}

// install adds states, and what comes behind them in the same batch where it can. If the device below
// refuses them the processor gets the work.
func (d *device) install(states []*xfrm.State, behind ...*nlmsg.Message) error {
	if len(states) == 0 || states[0].OffloadDevice == 0 {
		return d.plane.xfrm.Do(append(additions(states), behind...)...)
	}
	if err := d.offload(states); err != nil {
		return err
	}
	return d.plane.xfrm.Do(behind...)
}

func (d *device) offload(states []*xfrm.State) error {
	err := d.plane.xfrm.Do(additions(states)...)
	if err == nil {
		d.plane.sayWhoEncrypts(states[0])
		return nil
	}
	var ids []xfrm.ID
	for _, s := range states {
		ids = append(ids, s.ID)
		s.OffloadDevice = 0
	}
	d.plane.opt.Log.Info("the device below does not take the cryptography, the processor does it", "interface", d.name, "err", err)
	if err := d.takeBack(ids); err != nil {
		return err
	}
	return d.plane.xfrm.Do(additions(states)...)
}

// sayWhoEncrypts tells once for each device whether it took the cryptography: one that has none is passed
// over by the kernel without a word, and the state shows it.
func (p *Plane) sayWhoEncrypts(s *xfrm.State) {
	p.mu.Lock()
	said := p.told[s.OffloadDevice]
	p.told[s.OffloadDevice] = true
	p.mu.Unlock()
	if said {
		return
	}
	now, err := s.ID.State(p.xfrm)
	if err != nil {
		return // the next SA over it may tell
	}
	name := fmt.Sprint(s.OffloadDevice)
	if l, err := linkAt(p.rtnl, s.OffloadDevice); err == nil {
		name = l.name
	}
	if now.Offloaded {
		p.opt.Log.Info("the device below does the cryptography", "device", name)
		return
	}
	p.opt.Log.Warn("offload: auto, but the device below has no cryptography: the processor does it", "device", name)
}

// deviceTo is the index of the device that leads to a peer; 0 when no route does.
func (p *Plane) deviceTo(peer netip.Addr) (index uint32) {
	b := []byte{unix.AF_INET, uint8(peer.BitLen()), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if peer.Is6() {
		b[0] = unix.AF_INET6
	}
	m := nlmsg.New(unix.RTM_GETROUTE, 0, "find the route to "+peer.String(), b).Attr(unix.RTA_DST, peer.AsSlice())
	err := p.rtnl.Get(m, func(r nlmsg.Reply) {
		if o := nlmsg.Attributes(r.Body, unix.SizeofRtMsg)[unix.RTA_OIF]; r.Type == unix.RTM_NEWROUTE && len(o) >= 4 {
			index = binary.NativeEndian.Uint32(o)
		}
	})
	if err != nil && !errors.Is(err, unix.ENETUNREACH) {
		p.opt.Log.Warn("find the device below a tunnel", "err", err)
	}
	return index
}
