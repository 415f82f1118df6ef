package rtnl

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
)

// Route is a route of a routing table.
type Route = dataplane.Route

// ReplaceRoute adds a route, or changes the one of the same prefix, metric and table.
func (c *Conn) ReplaceRoute(r Route) error {
	k, err := c.kernelRoute(r)
	if err == nil {
		err = c.h.RouteReplace(k)
	}
	if err != nil {
		return fmt.Errorf("add route %s: %w", text(r), err)
	}
	return nil
}

// DeleteRoute removes a route; an absent one, or one whose interface has gone, is no error.
func (c *Conn) DeleteRoute(r Route) error {
	k, err := c.kernelRoute(r)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil // the kernel removes the routes of a link with it
	}
	if err == nil {
		err = c.h.RouteDel(k)
	}
	if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove route %s: %w", text(r), err)
	}
	return nil
}

// Routes are the routes of one protocol number, of both families and all tables.
func (c *Conn) Routes(protocol int) ([]Route, error) {
	names := map[int]string{}
	var out []Route
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		all, err := dump(func() ([]netlink.Route, error) {
			// The library looks at one filter only, the table's first: the protocol is compared here.
			return c.h.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return nil, fmt.Errorf("list routes of protocol %d: %w", protocol, err)
		}
		for _, k := range all {
			if int(k.Protocol) == protocol {
				out = append(out, c.routeOf(k, family, names))
			}
		}
	}
	return out, nil
}

// RouteTo is the route the kernel would take to addr, with the source address it would choose.
func (c *Conn) RouteTo(addr netip.Addr) (Route, error) {
	all, err := c.h.RouteGet(net.IP(addr.Unmap().AsSlice()))
	if err == nil && len(all) == 0 {
		err = unix.ENETUNREACH
	}
	if err != nil {
		return Route{}, fmt.Errorf("find the route to %s: %w", addr, err)
	}
	family := netlink.FAMILY_V4
	if addr.Unmap().Is6() {
		family = netlink.FAMILY_V6
	}
	return c.routeOf(all[0], family, map[int]string{}), nil
}

func (c *Conn) kernelRoute(r Route) (*netlink.Route, error) {
	if !r.Prefix.IsValid() {
		return nil, errors.New("the prefix is not valid")
	}
	k := &netlink.Route{
		Dst: ipNet(r.Prefix.Masked()), Priority: r.Metric, Table: r.Table,
		Protocol: netlink.RouteProtocol(r.Protocol), Scope: unix.RT_SCOPE_UNIVERSE,
	}
	if r.Prefix.Addr().Is4() && !r.Via.IsValid() {
		k.Scope = unix.RT_SCOPE_LINK
	}
	if r.Interface != "" {
		l, err := c.h.LinkByName(r.Interface)
		if err != nil {
			return nil, err
		}
		k.LinkIndex = l.Attrs().Index
	}
	switch {
	case !r.Via.IsValid():
	case r.Via.Is4() == r.Prefix.Addr().Is4():
		k.Gw = r.Via.AsSlice()
	case r.Via.Is6(): // an IPv4 prefix by an IPv6 gateway, RFC 5549
		k.Via = &netlink.Via{AddrFamily: netlink.FAMILY_V6, Addr: r.Via.AsSlice()}
	default:
		return nil, errors.New("an IPv6 prefix has no IPv4 gateway")
	}
	if r.Source.IsValid() {
		k.Src = r.Source.AsSlice()
	}
	return k, nil
}

func (c *Conn) routeOf(k netlink.Route, family int, names map[int]string) Route {
	r := Route{
		Interface: c.linkName(k.LinkIndex, names), Source: addrOf(k.Src), Metric: k.Priority,
		Table: k.Table, Protocol: int(k.Protocol), Via: addrOf(k.Gw),
	}
	if v, ok := k.Via.(*netlink.Via); ok && !r.Via.IsValid() {
		r.Via = addrOf(v.Addr)
	}
	// A default route has no destination in some versions of the message: the family says which.
	var ok bool
	if r.Prefix, ok = prefixOf(k.Dst); !ok {
		r.Prefix = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if family == netlink.FAMILY_V6 {
			r.Prefix = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
	}
	// What was asked for as "main" and "the kernel's default metric" is told back as it was asked.
	if r.Table == unix.RT_TABLE_MAIN {
		r.Table = 0
	}
	if family == netlink.FAMILY_V6 && r.Metric == ip6DefaultMetric {
		r.Metric = 0
	}
	return r
}

// ip6DefaultMetric is what the kernel gives an IPv6 route without a metric (IP6_RT_PRIO_USER).
const ip6DefaultMetric = 1024

func (c *Conn) linkName(index int, names map[int]string) string {
	if index == 0 {
		return ""
	}
	if name, ok := names[index]; ok {
		return name
	}
	l, err := c.h.LinkByIndex(index)
	if err != nil {
		return "" // it went away since the dump; its routes went with it
	}
	names[index] = l.Attrs().Name
	return names[index]
}

// text is the route as an operator would type it.
func text(r Route) string {
	var b strings.Builder
	b.WriteString(r.Prefix.String())
	if r.Via.IsValid() {
		fmt.Fprintf(&b, " via %s", r.Via)
	}
	if r.Interface != "" {
		fmt.Fprintf(&b, " dev %s", r.Interface)
	}
	if r.Source.IsValid() {
		fmt.Fprintf(&b, " src %s", r.Source)
	}
	if r.Metric != 0 {
		fmt.Fprintf(&b, " metric %d", r.Metric)
	}
	if r.Table != 0 {
		fmt.Fprintf(&b, " table %d", r.Table)
	}
	return b.String()
}
