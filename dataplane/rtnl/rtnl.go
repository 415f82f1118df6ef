// Package rtnl speaks to the kernel about links, addresses and routes over rtnetlink, in our words:
// netip values in, errors that name operation, object and cause out. It is the only importer of the
// netlink library besides the kernel plane and the test networks.
//
// It makes no interfaces and keeps no state: what it is told is what the kernel gets.
package rtnl

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Conn is a netlink socket of one network namespace. It is safe for concurrent use.
type Conn struct{ h *netlink.Handle }

// Open opens a socket in the network namespace of the calling thread.
func Open() (*Conn, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	return &Conn{h: h}, nil
}

// Close closes the socket.
func (c *Conn) Close() error {
	c.h.Close()
	return nil
}

// attempts bounds how often a dump is repeated that the kernel says was interrupted by a change
// (NLM_F_DUMP_INTR): what it returned then may lack entries.
const attempts = 10

// dump repeats an interrupted dump.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	for range attempts - 1 {
		if all, err := list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return list()
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// prefixOf is the prefix of n with its host bits; the family comes from the length of the mask,
// because net.IP says nothing reliable about it.
func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	ones, bits := n.Mask.Size()
	ip := n.IP.To16()
	if bits == 32 {
		ip = n.IP.To4()
	}
	a, ok := netip.AddrFromSlice(ip)
	return netip.PrefixFrom(a, ones), ok
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
