package rtnl

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Change is what the kernel told of; the zero value means that news were lost and anything may have
// changed.
type Change struct {
	Links bool         // a link, or an address of one, or its forwarding
	Route netip.Prefix // a route of this prefix, in any table
}

// Changes tells that links, addresses, forwarding or routes changed, not how, until ctx ends: then the channel
// is closed. The reader may be slow: what the kernel could not queue is told as the zero Change. It
// must be called in the network namespace of the Conn.
func (c *Conn) Changes(ctx context.Context) (<-chan Change, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
	if err != nil {
		return nil, fmt.Errorf("watch links and routes: %w", err)
	}
	out := make(chan Change)
	stop := context.AfterFunc(ctx, s.Close)
	go func() {
		defer close(out)
		defer stop()
		for ctx.Err() == nil {
			messages, _, err := s.Receive()
			changes := changesOf(messages)
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, unix.ENOBUFS):
				changes = []Change{{}}
			case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
				continue
			case err != nil:
				return
			}
			for _, change := range changes {
				select {
				case out <- change:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out, nil
}

// changesOf are the changes that messages tell of, each once.
func changesOf(messages []syscall.NetlinkMessage) []Change {
	var out []Change
	links := false
	for _, m := range messages {
		switch m.Header.Type {
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			if p, ok := routePrefix(m.Data); ok {
				out = append(out, Change{Route: p})
			}
		default:
			links = true
		}
	}
	if links {
		out = append(out, Change{Links: true})
	}
	return out
}

// routePrefix reads the destination of a route message (struct rtmsg and its attributes).
func routePrefix(data []byte) (netip.Prefix, bool) {
	if len(data) < unix.SizeofRtMsg {
		return netip.Prefix{}, false
	}
	family, bits := data[0], int(data[1])
	zero := netip.IPv4Unspecified()
	switch family {
	case unix.AF_INET:
	case unix.AF_INET6:
		zero = netip.IPv6Unspecified()
	default:
		return netip.Prefix{}, false
	}
	for rest := data[unix.SizeofRtMsg:]; len(rest) >= unix.SizeofRtAttr; {
		length := int(binary.NativeEndian.Uint16(rest))
		if length < unix.SizeofRtAttr || length > len(rest) {
			break
		}
		if binary.NativeEndian.Uint16(rest[2:]) == unix.RTA_DST {
			a, ok := netip.AddrFromSlice(rest[unix.SizeofRtAttr:length])
			return netip.PrefixFrom(a, bits).Masked(), ok
		}
		rest = rest[min(len(rest), (length+3)&^3):]
	}
	return netip.PrefixFrom(zero, bits), bits == 0
}
