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

// AddRoute adds a route. When any route of the same prefix, metric and table is there, the error is
// one of fs.ErrExist.
func (c *Conn) AddRoute(r Route) error {
	k, err := c.kernelRoute(r)
	if err == nil {
		err = c.h.RouteAdd(k)
	}
	if err != nil {
		return fmt.Errorf("add route %s: %w", text(r), err)
	}
	return nil
}

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
	if r.Prefix.Addr().Is4() && !r.Via.IsValid() && !r.Discard {
		k.Scope = unix.RT_SCOPE_LINK
	}
	if err := c.ways(k, r); err != nil {
		return nil, err
	}
	if r.Source.IsValid() {
		k.Src = r.Source.AsSlice()
	}
	return k, nil
}

// ways fills in where packets go: one hop, several, or none.
func (c *Conn) ways(k *netlink.Route, r Route) error {
	if r.Discard {
		k.Type = unix.RTN_BLACKHOLE
		return nil
	}
	hops := make([]*netlink.NexthopInfo, 0, 1+len(r.More))
	for _, h := range r.Hops() {
		n, err := c.hop(h, r)
		if err != nil {
			return err
		}
		hops = append(hops, n)
	}
	if len(hops) > 1 {
		k.MultiPath, k.Scope = hops, unix.RT_SCOPE_UNIVERSE
		return nil
	}
	k.LinkIndex, k.Gw, k.Via, k.Flags = hops[0].LinkIndex, hops[0].Gw, hops[0].Via, hops[0].Flags
	return nil
}

func (c *Conn) hop(h dataplane.Hop, r Route) (*netlink.NexthopInfo, error) {
	n := &netlink.NexthopInfo{}
	if h.Interface != "" {
		l, err := c.h.LinkByName(h.Interface)
		if err != nil {
			return nil, err
		}
		n.LinkIndex = l.Attrs().Index
	}
	switch {
	case !h.Via.IsValid():
		return n, nil
	case h.Via.Is4() == r.Prefix.Addr().Is4():
		n.Gw = h.Via.AsSlice()
	case h.Via.Is6(): // an IPv4 prefix by an IPv6 gateway, RFC 8950
		n.Via = &netlink.Via{AddrFamily: netlink.FAMILY_V6, Addr: h.Via.AsSlice()}
	default:
		return nil, errors.New("an IPv6 prefix has no IPv4 gateway")
	}
	if r.OnLink {
		n.Flags = unix.RTNH_F_ONLINK
	}
	return n, nil
}

func (c *Conn) routeOf(k netlink.Route, family int, names map[int]string) Route {
	r := Route{Source: addrOf(k.Src), Metric: k.Priority, Table: k.Table, Protocol: int(k.Protocol)}
	switch {
	case k.Type == unix.RTN_BLACKHOLE:
		r.Discard = true
	case len(k.MultiPath) > 0:
		hops := make([]dataplane.Hop, len(k.MultiPath))
		for i, n := range k.MultiPath {
			hops[i] = dataplane.Hop{Interface: c.linkName(n.LinkIndex, names), Via: gateway(n.Gw, n.Via)}
			r.OnLink = n.Flags&unix.RTNH_F_ONLINK != 0
		}
		r = r.WithHops(hops)
	default:
		r.Interface, r.Via = c.linkName(k.LinkIndex, names), gateway(k.Gw, k.Via)
		r.OnLink = k.Flags&unix.RTNH_F_ONLINK != 0
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

func gateway(gw net.IP, via netlink.Destination) netip.Addr {
	if v, ok := via.(*netlink.Via); ok && gw == nil {
		return addrOf(v.Addr)
	}
	return addrOf(gw)
}

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
	if len(r.More) > 0 {
		fmt.Fprintf(&b, " and %d more ways", len(r.More))
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
