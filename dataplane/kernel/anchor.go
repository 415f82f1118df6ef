package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/nlmsg"
)

// The invented addresses need a device: L is an address of it, and the route to all V leads to it.
// Packets never get there, because the policies of GRE take them on the way; if one ever did, the
// device, an XFRM interface without policies, would drop it and not send it in the clear.

// local is L, the first address of the range.
func (p *Plane) local() netip.Addr { return p.peer(0) }

// peer is V of interface n.
func (p *Plane) peer(n uint32) netip.Addr {
	first := p.opt.Range.Masked().Addr().As4()
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(first[:])+1+n)
	return netip.AddrFrom4(b)
}

// numberOf is the interface whose V an address is.
func (p *Plane) numberOf(v netip.Addr) uint32 {
	first, b := p.opt.Range.Masked().Addr().As4(), v.As4()
	return binary.BigEndian.Uint32(b[:]) - binary.BigEndian.Uint32(first[:]) - 1
}

func (p *Plane) anchorName() string { return fmt.Sprintf("flexvpn-%03x", p.tag>>20) }

// makeAnchor makes the device when the first GRE interface needs it.
func (p *Plane) makeAnchor() error {
	p.anchorMu.Lock()
	defer p.anchorMu.Unlock()
	if p.anchor != 0 {
		return nil
	}
	l := &link{
		name: p.anchorName(), index: indexShift | p.tag>>3&0x0ff00000, mtu: 65535, mode: dataplane.IPsec, ifID: p.tag,
		alias: p.opt.Alias + "inner addresses of GRE",
	}
	all := append(l.raise(),
		address(unix.RTM_NEWADDR, l.index, netip.PrefixFrom(p.local(), 32), unix.RT_SCOPE_HOST), // never chosen as a source
		route(unix.RTM_NEWROUTE, p.opt.Range.Masked(), l.index))
	if err := p.rtnl.Do(l.create()); err != nil {
		return fmt.Errorf("device %s of the invented addresses: %w", l.name, explain(err))
	}
	if err := p.rtnl.Do(all...); err != nil {
		return errors.Join(fmt.Errorf("device %s of the invented addresses: %w", l.name, explain(err)), p.rtnl.Do(deleteLinks([]uint32{l.index})...))
	}
	p.anchor = l.index
	return nil
}

func (p *Plane) removeAnchor() error {
	p.anchorMu.Lock()
	defer p.anchorMu.Unlock()
	if p.anchor == 0 {
		return nil
	}
	index := p.anchor
	p.anchor = 0
	return p.reaper.Do(deleteLinks([]uint32{index})...)
}

// clearRange refuses a range that real routes or addresses use.
func (p *Plane) clearRange() error {
	if !p.opt.Range.Addr().Is4() || p.opt.Range.Bits() > 30 {
		return fmt.Errorf("the range %s of invented addresses: must be IPv4 and have room, /30 at most", p.opt.Range)
	}
	var met netip.Prefix
	err := p.routes(func(dst netip.Prefix, by uint8) {
		former := by == protocol && dst.IsSingleIP() // to a front-door VRF
		if dst.Bits() > 0 && dst.Overlaps(p.opt.Range) && !former {
			met = dst
		}
	})
	if err == nil && met.IsValid() {
		err = fmt.Errorf("the range %s of invented addresses meets the route %s: set kernel.gre-range to one that nothing uses", p.opt.Range, met)
	}
	return err
}

// routes tells of every IPv4 route of all tables, and who made it.
func (p *Plane) routes(each func(dst netip.Prefix, by uint8)) error {
	m := nlmsg.New(unix.RTM_GETROUTE, unix.NLM_F_DUMP, "list routes", []byte{unix.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	return p.rtnl.Get(m, func(r nlmsg.Reply) {
		if len(r.Body) < unix.SizeofRtMsg || r.Body[0] != unix.AF_INET {
			return
		}
		if dst, ok := netip.AddrFromSlice(nlmsg.Attributes(r.Body, unix.SizeofRtMsg)[unix.RTA_DST]); ok {
			each(netip.PrefixFrom(dst, int(r.Body[1])), r.Body[5])
		}
	})
}
