package rtnl

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Owner is the interface that has an address; empty when none has.
func (c *Conn) Owner(a netip.Addr) (string, error) {
	family := netlink.FAMILY_V4
	if a.Is6() {
		family = netlink.FAMILY_V6
	}
	all, err := dump(func() ([]netlink.Addr, error) { return c.h.AddrList(nil, family) })
	if err != nil {
		return "", fmt.Errorf("list addresses: %w", err)
	}
	for _, k := range all {
		if p, ok := prefixOf(k.IPNet); ok && p.Addr() == a {
			return c.linkName(k.LinkIndex, map[int]string{}), nil
		}
	}
	return "", nil
}
