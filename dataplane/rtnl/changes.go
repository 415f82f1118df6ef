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
	return changes(ctx.Done(), unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
}

// NoticeLinks says that links or addresses have changed, without saying which: several changes may be one
// notice. It ends when done is closed. It must be called in the network namespace of the Conn.
func (c *Conn) NoticeLinks(done <-chan struct{}) (<-chan struct{}, error) {
	in, err := changes(done, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return nil, err
	}
	out := make(chan struct{}, 1)
	go func() {
		for range in {
			select {
			case out <- struct{}{}:
			default: // one is waiting already
			}
		}
	}()
	return out, nil
}

func changes(done <-chan struct{}, groups ...uint) (<-chan Change, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return nil, fmt.Errorf("watch links, addresses and routes: %w", err)
	}
	out := make(chan Change)
	go func() {
		<-done
		s.Close() // ends Receive
	}()
	go func() {
		defer close(out)
		for {
			messages, _, err := s.Receive()
			news := changesOf(messages)
			switch {
			case errors.Is(err, unix.ENOBUFS):
				news = []Change{{}}
			case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
				continue
			case err != nil:
				return
			}
			for _, change := range news {
				select {
				case out <- change:
				case <-done:
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
