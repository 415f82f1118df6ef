package rtnl

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// VRF finds the routing table of a VRF by the name of its device; ok is false when there is no such
// device. A device of another kind is an error.
func (c *Conn) VRF(name string) (table int, ok bool, err error) {
	l, err := c.h.LinkByName(name)
	if isNotFound(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("find VRF %s: %w", name, err)
	}
	v, isVRF := l.(*netlink.Vrf)
	if !isVRF {
		return 0, false, fmt.Errorf("%s is a device of kind %s, not a VRF", name, l.Type())
	}
	return int(v.Table), true, nil
}

// SetVRF makes a link a port of a VRF, or with "" of none. The kernel takes a link down and up for
// that: it loses its IPv6 addresses and its routes, so that a new link joins before it gets any.
func (c *Conn) SetVRF(name, vrf string) error {
	l, err := c.h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	master := 0
	if vrf != "" {
		if _, ok, err := c.VRF(vrf); err != nil || !ok {
			return noVRF(name, vrf, err)
		}
		m, err := c.h.LinkByName(vrf)
		if err != nil {
			return fmt.Errorf("find VRF %s: %w", vrf, err)
		}
		master = m.Attrs().Index
	}
	if l.Attrs().MasterIndex == master {
		return nil
	}
	if err := c.h.LinkSetMasterByIndex(l, master); err != nil {
		return fmt.Errorf("make %s a port of VRF %q: %w", name, vrf, err)
	}
	return nil
}

func noVRF(link, vrf string, err error) error {
	if err == nil {
		err = fmt.Errorf("there is no VRF %s: ip link add %s type vrf table N, then ip link set %s up", vrf, vrf, vrf)
	}
	return fmt.Errorf("make %s a port of a VRF: %w", link, err)
}

// RouteInVRF is the route the kernel would take to addr from a socket bound to a VRF ("": none), with
// the source address it would choose.
func (c *Conn) RouteInVRF(addr netip.Addr, vrf string) (Route, error) {
	all, err := c.h.RouteGetWithOptions(net.IP(addr.Unmap().AsSlice()), &netlink.RouteGetOptions{Oif: vrf})
	if err == nil && len(all) == 0 {
		err = unix.ENETUNREACH
	}
	if err != nil {
		return Route{}, fmt.Errorf("find the route to %s in VRF %s: %w", addr, vrf, err)
	}
	family := netlink.FAMILY_V4
	if addr.Unmap().Is6() {
		family = netlink.FAMILY_V6
	}
	return c.routeOf(all[0], family, map[int]string{}), nil
}
