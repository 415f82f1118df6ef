package rtnl

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link is a network interface.
type Link struct {
	Index int
	Name  string
	Alias string
	Kind  string // tun, veth, …
	MTU   int
	Up    bool // administratively
	// Master is the index of the bridge or VRF that it is a port of; 0: none.
	Master int
}

// addrGenNone keeps the kernel from inventing a link-local address (IN6_ADDR_GEN_MODE_NONE): an
// interface has the addresses it is told, and sends no router solicitations of its own.
const addrGenNone = 1

// Links are all links of the namespace.
func (c *Conn) Links() ([]Link, error) {
	all, err := dump(c.h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	out := make([]Link, len(all))
	for i, l := range all {
		out[i] = linkOf(l)
	}
	return out, nil
}

// Link finds a link by its name; ok is false when there is none.
func (c *Conn) Link(name string) (l Link, ok bool, err error) {
	found, err := c.h.LinkByName(name)
	if isNotFound(err) {
		return Link{}, false, nil
	}
	if err != nil {
		return Link{}, false, fmt.Errorf("find link %s: %w", name, err)
	}
	return linkOf(found), true, nil
}

func isNotFound(err error) bool { return errors.As(err, new(netlink.LinkNotFoundError)) }

// Up reports whether a link is there and up.
func (c *Conn) Up(name string) bool {
	l, ok, err := c.Link(name)
	return err == nil && ok && l.Up
}

func linkOf(l netlink.Link) Link {
	a := l.Attrs()
	return Link{Index: a.Index, Name: a.Name, Alias: a.Alias, Kind: l.Type(), MTU: a.MTU, Up: a.Flags&net.FlagUp != 0, Master: a.MasterIndex}
}

// SetLink gives a link its MTU and alias, no link-local address, and brings it up or down.
func (c *Conn) SetLink(name string, mtu int, alias string, up bool) error {
	l, err := c.h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if l.Attrs().MTU != mtu {
		if err := c.h.LinkSetMTU(l, mtu); err != nil {
			return fmt.Errorf("set the MTU of %s to %d: %w", name, mtu, err)
		}
	}
	if l.Attrs().Alias != alias {
		if err := c.h.LinkSetAlias(l, alias); err != nil {
			return fmt.Errorf("set the alias of %s: %w", name, err)
		}
	}
	// A kernel without IPv6, or with IPv6 disabled on this link, refuses; it invents no addresses
	// then either.
	_ = c.h.LinkSetIP6AddrGenMode(l, addrGenNone)
	if !up {
		if err := c.h.LinkSetDown(l); err != nil {
			return fmt.Errorf("bring %s down: %w", name, err)
		}
		return nil
	}
	if err := c.h.LinkSetUp(l); err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	return nil
}

// DeleteLink removes a link; an absent one is no error.
func (c *Conn) DeleteLink(name string) error {
	l, err := c.h.LinkByName(name)
	if isNotFound(err) {
		return nil
	}
	if err == nil {
		err = c.h.LinkDel(l)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}

// Addresses are the addresses of a link, with their prefix lengths.
func (c *Conn) Addresses(name string) ([]netip.Prefix, error) {
	l, err := c.h.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find link %s: %w", name, err)
	}
	var out []netip.Prefix
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		all, err := dump(func() ([]netlink.Addr, error) { return c.h.AddrList(l, family) })
		if err != nil {
			return nil, fmt.Errorf("list the addresses of %s: %w", name, err)
		}
		for _, a := range all {
			if p, ok := prefixOf(a.IPNet); ok {
				out = append(out, p)
			}
		}
	}
	return out, nil
}

// SetAddresses makes the addresses of a link exactly want. It adds before it removes, so that what
// stays is never missing. It reads the addresses of the whole namespace: who knows what a link has
// uses AddAddress and RemoveAddress.
func (c *Conn) SetAddresses(name string, want []netip.Prefix) error {
	have, err := c.Addresses(name)
	if err != nil {
		return err
	}
	for _, p := range want {
		if slices.Contains(have, p) {
			continue
		}
		if err := c.AddAddress(name, p); err != nil {
			return err
		}
	}
	for _, p := range have {
		if slices.Contains(want, p) {
			continue
		}
		if err := c.RemoveAddress(name, p); err != nil {
			return err
		}
	}
	return nil
}

// AddAddress gives a link an address; one that it has is no error.
func (c *Conn) AddAddress(name string, p netip.Prefix) error {
	l, err := c.h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		// Nobody else can hold an address of a point-to-point tunnel: duplicate address detection
		// would only keep it unusable for a second.
		a.Flags = unix.IFA_F_NODAD
	}
	if err := c.h.AddrReplace(l, a); err != nil {
		return fmt.Errorf("add address %s to %s: %w", p, name, err)
	}
	return nil
}

// RemoveAddress takes an address from a link; one that it has not is no error.
func (c *Conn) RemoveAddress(name string, p netip.Prefix) error {
	l, err := c.h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	err = c.h.AddrDel(l, &netlink.Addr{IPNet: ipNet(p)})
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove address %s from %s: %w", p, name, err)
	}
	return nil
}

// WatchDeleted tells of every link that is deleted in this namespace, until done is closed: then the
// channel is closed. The caller must keep reading. It must be called in the network namespace of the
// Conn.
func (c *Conn) WatchDeleted(done <-chan struct{}) (<-chan Link, error) {
	updates := make(chan netlink.LinkUpdate, 64)
	if err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{
		ErrorCallback: func(error) {}, // an overrun loses news, not the subscription
	}); err != nil {
		return nil, fmt.Errorf("watch links: %w", err)
	}
	out := make(chan Link)
	go func() {
		defer close(out)
		for u := range updates {
			// A bridge tells of ports that leave it with the same message, in its own family.
			if u.Header.Type != unix.RTM_DELLINK || u.Family != unix.AF_UNSPEC || u.Link == nil {
				continue
			}
			select {
			case out <- linkOf(u.Link):
			case <-done:
			}
		}
	}()
	return out, nil
}
