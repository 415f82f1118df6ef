package nat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Numbers of the kernel's nfnetlink_conntrack.h and nf_conntrack_common.h.
const (
	ctGet    = 1 // IPCTNL_MSG_CT_GET
	ctDelete = 2 // IPCTNL_MSG_CT_DELETE

	ctaOriginal   = 1
	ctaReply      = 2
	ctaStatus     = 3
	ctaTimeout    = 7
	ctaStatusMask = 26

	ctaTupleIP    = 1
	ctaTupleProto = 2
	ctaZone       = 18

	statusSourceNAT = 1 << 4 // IPS_SRC_NAT
)

// A flow is a connection that the kernel tracks.
type flow struct {
	protocol        uint8
	original, reply tuple
	status          uint32
	timeout         time.Duration
	key             []byte // the original tuple as the kernel told it
	zone            []byte
}

// A tuple is one direction of a flow. For ICMP both ports are the id.
type tuple struct{ source, destination netip.AddrPort }

func (f flow) sourceTranslated() bool { return f.status&statusSourceNAT != 0 }

// flows gives every tracked connection of both families to f until f returns false. status filters, where the kernel
// can (5.18): only flows with all of its bits are asked for. The caller still checks.
func flows(status uint32, f func(flow) bool) error {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return fmt.Errorf("open conntrack: %w", err)
	}
	defer func() { _ = c.Close() }()
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		all, err := c.Execute(request(ctGet, netlink.Request|netlink.Dump, family, dumpFilter(status)))
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
			all, err = c.Execute(request(ctGet, netlink.Request|netlink.Dump, family, nil))
		}
		if err != nil {
			return fmt.Errorf("list connections: %w", err)
		}
		for _, m := range all {
			if fl, err := parseFlow(m.Data); err == nil && !f(fl) {
				return nil
			}
		}
	}
	return nil
}

func dumpFilter(status uint32) []byte {
	if status == 0 {
		return nil
	}
	e := netlink.NewAttributeEncoder()
	e.ByteOrder = binary.BigEndian
	e.Uint32(ctaStatus, status)
	e.Uint32(ctaStatusMask, status)
	b, _ := e.Encode() // two numbers
	return b
}

// request is a message to the conntrack subsystem; struct nfgenmsg is family, version 0, resource id 0.
func request(kind uint16, flags netlink.HeaderFlags, family uint8, attributes []byte) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_CTNETLINK<<8 | kind), Flags: flags},
		Data:   append([]byte{family, unix.NFNETLINK_V0, 0, 0}, attributes...),
	}
}

// forget ends the tracking of a flow; one that has ended by itself is no error.
func forget(list []flow) (gone int, err error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return 0, fmt.Errorf("open conntrack: %w", err)
	}
	defer func() { _ = c.Close() }()
	for _, fl := range list {
		family := uint8(unix.AF_INET)
		if fl.original.source.Addr().Is6() {
			family = unix.AF_INET6
		}
		e := netlink.NewAttributeEncoder()
		e.Bytes(ctaOriginal|unix.NLA_F_NESTED, fl.key)
		if fl.zone != nil {
			e.Bytes(ctaZone, fl.zone)
		}
		b, _ := e.Encode() // bytes that were attributes before
		_, err := c.Execute(request(ctDelete, netlink.Request|netlink.Acknowledge, family, b))
		switch {
		case err == nil:
			gone++
		case !errors.Is(err, unix.ENOENT):
			return gone, fmt.Errorf("forget a connection: %w", err)
		}
	}
	return gone, nil
}

// parseFlow reads a message of the kernel.
func parseFlow(data []byte) (f flow, err error) {
	const header = 4 // struct nfgenmsg
	if len(data) < header {
		return f, errors.New("a message of conntrack without a header")
	}
	d, err := netlink.NewAttributeDecoder(data[header:])
	if err != nil {
		return f, err
	}
	d.ByteOrder = binary.BigEndian
	for d.Next() {
		switch d.Type() {
		case ctaOriginal:
			f.key = d.Bytes()
			f.protocol, f.original = parseTuple(f.key)
		case ctaReply:
			_, f.reply = parseTuple(d.Bytes())
		case ctaStatus:
			f.status = d.Uint32()
		case ctaTimeout:
			f.timeout = time.Duration(d.Uint32()) * time.Second
		case ctaZone:
			f.zone = d.Bytes()
		}
	}
	if d.Err() == nil && (!f.original.source.Addr().IsValid() || !f.reply.source.Addr().IsValid()) {
		return f, errors.New("a message of conntrack without addresses")
	}
	return f, d.Err()
}

func parseTuple(b []byte) (protocol uint8, t tuple) {
	var from, to netip.Addr
	var ports [2]uint16
	d, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return 0, tuple{}
	}
	for d.Next() {
		switch d.Type() {
		case ctaTupleIP:
			from, to = parseAddrs(d.Bytes())
		case ctaTupleProto:
			protocol, ports = parsePorts(d.Bytes())
		}
	}
	return protocol, tuple{netip.AddrPortFrom(from, ports[0]), netip.AddrPortFrom(to, ports[1])}
}

// parseAddrs reads CTA_IP_*: 1 and 2 are source and destination of IPv4, 3 and 4 of IPv6.
func parseAddrs(b []byte) (from, to netip.Addr) {
	d, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return from, to
	}
	for d.Next() {
		a, _ := netip.AddrFromSlice(d.Bytes())
		switch d.Type() {
		case 1, 3:
			from = a
		case 2, 4:
			to = a
		}
	}
	return from, to
}

// parsePorts reads CTA_PROTO_*: 1 is the protocol, 2 and 3 the ports, 4 and 7 the id of ICMP and ICMPv6.
func parsePorts(b []byte) (protocol uint8, ports [2]uint16) {
	d, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return 0, ports
	}
	d.ByteOrder = binary.BigEndian
	for d.Next() {
		switch d.Type() {
		case 1:
			protocol = d.Uint8()
		case 2:
			ports[0] = d.Uint16()
		case 3:
			ports[1] = d.Uint16()
		case 4, 7:
			ports[0] = d.Uint16()
			ports[1] = ports[0]
		}
	}
	return protocol, ports
}
