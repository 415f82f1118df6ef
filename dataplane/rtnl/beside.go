package rtnl

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// RouteBeside is the way to addr, with the source address that the kernel would choose, as it were
// without the routes whose protocol number is ours. The whole table is read only when one of those is
// the way to addr.
func (c *Conn) RouteBeside(addr netip.Addr, ours func(protocol int) bool) (Route, error) {
	addr = addr.Unmap()
	found, err := c.h.RouteGetWithOptions(net.IP(addr.AsSlice()), &netlink.RouteGetOptions{FIBMatch: true})
	if err != nil || len(found) == 0 || !ours(int(found[0].Protocol)) {
		return c.RouteTo(addr)
	}
	best, err := c.besideOurs(addr, ours)
	if err != nil {
		return Route{}, fmt.Errorf("find the route to %s beside ours: %w", addr, err)
	}
	r := c.routeOf(best, familyOf(addr), map[int]string{})
	if r.Source.IsValid() {
		return r, nil
	}
	// The kernel knows which of the interface's addresses fits.
	out, err := c.h.RouteGetWithOptions(net.IP(addr.AsSlice()), &netlink.RouteGetOptions{Oif: r.Interface})
	if err == nil && len(out) == 0 {
		err = unix.ENETUNREACH
	}
	if err != nil {
		return Route{}, fmt.Errorf("find the source towards %s on %s: %w", addr, r.Interface, err)
	}
	r.Source = addrOf(out[0].Src)
	return r, nil
}

// besideOurs finds the longest prefix of the main table, then the lowest metric.
func (c *Conn) besideOurs(addr netip.Addr, ours func(int) bool) (best netlink.Route, err error) {
	all, err := dump(func() ([]netlink.Route, error) {
		return c.h.RouteListFiltered(familyOf(addr), &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return best, err
	}
	length := -1
	for _, k := range all {
		p, known := prefixOf(k.Dst)
		if !known {
			p = netip.PrefixFrom(addr, 0).Masked()
		}
		dead := k.Flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0
		if ours(int(k.Protocol)) || dead || k.Type != unix.RTN_UNICAST || !p.Contains(addr) {
			continue
		}
		if p.Bits() > length || p.Bits() == length && k.Priority < best.Priority {
			best, length = k, p.Bits()
		}
	}
	if length < 0 {
		return best, unix.ENETUNREACH
	}
	return best, nil
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}
