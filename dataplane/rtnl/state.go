package rtnl

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// LinkState is what can be said of a link's use. A link that is not there has none.
type LinkState struct {
	Index                int
	Exists, Up, Carrier  bool
	VRF                  string       // the VRF device that it is a port of; empty: none
	Addresses            []netip.Addr // that other hosts can reach; none that is tentative or deprecated
	Forwards4, Forwards6 bool
}

// LinkState reads it.
func (c *Conn) LinkState(name string) (LinkState, error) {
	l, err := c.h.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return LinkState{}, nil
	}
	if err != nil {
		return LinkState{}, fmt.Errorf("find link %s: %w", name, err)
	}
	a := l.Attrs()
	s := LinkState{Index: a.Index, Exists: true, Up: a.RawFlags&unix.IFF_UP != 0, Carrier: a.RawFlags&unix.IFF_RUNNING != 0}
	s.VRF = c.vrfOf(l)
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		all, err := dump(func() ([]netlink.Addr, error) { return c.h.AddrList(l, family) })
		if err != nil {
			return LinkState{}, fmt.Errorf("list the addresses of %s: %w", name, err)
		}
		for _, k := range all {
			p, ok := prefixOf(k.IPNet)
			usable := ok && !p.Addr().IsLinkLocalUnicast() && k.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DEPRECATED|unix.IFA_F_DADFAILED) == 0
			if usable {
				s.Addresses = append(s.Addresses, p.Addr())
			}
		}
	}
	s.Forwards4, s.Forwards6 = forwards("ipv4", name), forwards("ipv6", name)
	return s, nil
}

// forwards reads a link's forwarding; a family that is off does not forward. The names of links
// cannot leave the folder: the kernel allows no slash in them.
func forwards(family, link string) bool {
	text, err := os.ReadFile("/proc/sys/net/" + family + "/conf/" + link + "/forwarding")
	return err == nil && strings.TrimSpace(string(text)) == "1"
}

// RouteState is whether a route is there, and of use.
type RouteState struct {
	Exists    bool
	Interface string // of its first next hop
	Dead      bool   // the interfaces of all its next hops are down or have no carrier
}

// RouteState looks for a route with exactly this prefix in a table; vrf, when not empty, names the
// VRF device whose table it is; 0 is the main table.
func (c *Conn) RouteState(prefix netip.Prefix, table int, vrf string) (RouteState, error) {
	if vrf != "" {
		l, err := c.h.LinkByName(vrf)
		if err != nil {
			return RouteState{}, fmt.Errorf("find VRF %s: %w", vrf, err)
		}
		v, ok := l.(*netlink.Vrf)
		if !ok {
			return RouteState{}, fmt.Errorf("interface %s is no VRF but %s", vrf, l.Type())
		}
		table = int(v.Table)
	}
	if table == 0 {
		table = unix.RT_TABLE_MAIN
	}
	family := netlink.FAMILY_V4
	if prefix.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	all, err := dump(func() ([]netlink.Route, error) {
		return c.h.RouteListFiltered(family, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return RouteState{}, fmt.Errorf("list the routes of table %d: %w", table, err)
	}
	names := map[int]string{}
	out := RouteState{Dead: true}
	for _, k := range all {
		if c.routeOf(k, family, names).Prefix != prefix {
			continue
		}
		out.see(c, k, names)
	}
	if !out.Exists {
		out.Dead = false
	}
	return out, nil
}

// see adds one route of the prefix.
func (s *RouteState) see(c *Conn, k netlink.Route, names map[int]string) {
	s.Exists = true
	hops := k.MultiPath
	if len(hops) == 0 {
		hops = []*netlink.NexthopInfo{{LinkIndex: k.LinkIndex, Flags: k.Flags}}
	}
	for _, h := range hops {
		if s.Interface == "" {
			s.Interface = c.linkName(h.LinkIndex, names)
		}
		if h.Flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) == 0 {
			s.Dead = false
		}
	}
}
