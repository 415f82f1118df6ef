package rtnl

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Owner is the interface that has an address in the routing domain of a VRF ("": that of no VRF); empty
// when none has.
func (c *Conn) Owner(a netip.Addr, vrf string) (string, error) {
	family := netlink.FAMILY_V4
	if a.Is6() {
		family = netlink.FAMILY_V6
	}
	all, err := dump(func() ([]netlink.Addr, error) { return c.h.AddrList(nil, family) })
	if err != nil {
		return "", fmt.Errorf("list addresses: %w", err)
	}
	for _, k := range all {
		if p, ok := prefixOf(k.IPNet); !ok || p.Addr() != a {
			continue
		}
		l, err := c.h.LinkByIndex(k.LinkIndex)
		if err == nil && (c.vrfOf(l) == vrf || l.Attrs().Name == vrf) { // a VRF's own device has its loopback's addresses
			return l.Attrs().Name, nil
		}
	}
	return "", nil
}

// vrfOf is the VRF that a link is a port of.
func (c *Conn) vrfOf(l netlink.Link) string {
	if l.Attrs().MasterIndex == 0 {
		return ""
	}
	master, err := c.h.LinkByIndex(l.Attrs().MasterIndex)
	if err != nil || master.Type() != "vrf" {
		return ""
	}
	return master.Attrs().Name
}
