package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/nlmsg"
)

// Attributes of links that golang.org/x/sys/unix does not name (linux/if_tunnel.h, linux/if_link.h).
const (
	xfrmLink  = 1 // IFLA_XFRM_LINK
	xfrmIfID  = 2
	greLocal  = 6 // IFLA_GRE_LOCAL
	greRemote = 7
	greTTL    = 8
	grePMTU   = 10
	greFlags  = 13
	greNoDF   = 16 // IFLA_GRE_IGNORE_DF

	inet6AddrGen = 8 // IFLA_INET6_ADDR_GEN_MODE
	addrGenNone  = 1

	ignoreEncapLimit = 1 // IP6_TNL_F_IGN_ENCAP_LIMIT
)

// link is a device to be made.
type link struct {
	name  string
	index uint32
	mtu   int
	alias string
	mode  dataplane.Mode
	ifID  uint32     // mode ipsec
	under uint32     // mode ipsec: index of the device that outer packets shall take; 0: any
	vrf   uint32     // index of the VRF whose port it is from the first; 0: none
	local netip.Addr // mode gre: of one family with peer
	peer  netip.Addr
	clear bool // mode gre: never set Don't Fragment
}

// create makes the link. It is sent by itself: where the number is somebody else's, what came behind it in
// a batch would change his device.
func (l *link) create() *nlmsg.Message {
	add := linkMessage(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, "make interface "+l.name, l.index, 0)
	add.String(unix.IFLA_IFNAME, l.name).Uint32(unix.IFLA_MTU, uint32(l.mtu))
	if l.vrf != 0 {
		add.Uint32(unix.IFLA_MASTER, l.vrf)
	}
	add.Nest(unix.IFLA_LINKINFO, func(m *nlmsg.Message) {
		if l.mode == dataplane.GRE {
			l.kindGRE(m)
			return
		}
		m.Attr(unix.IFLA_INFO_KIND, []byte("xfrm"))
		m.Nest(unix.IFLA_INFO_DATA, func(m *nlmsg.Message) { m.Uint32(xfrmLink, l.under).Uint32(xfrmIfID, l.ifID) })
	})
	return add
}

// raise brings the link up. It takes two messages: a new link has neither alias nor a word on link-local
// addresses, and those come the moment it is up. An interface has the addresses it is told; each that
// the kernel invented would also cost the next interface time.
func (l *link) raise() []*nlmsg.Message {
	return []*nlmsg.Message{l.set(), linkMessage(unix.RTM_NEWLINK, 0, "bring up interface "+l.name, l.index, unix.IFF_UP)}
}

func (l *link) kindGRE(m *nlmsg.Message) {
	kind := "gre"
	if l.local.Is6() {
		kind = "ip6gre"
	}
	m.Attr(unix.IFLA_INFO_KIND, []byte(kind))
	m.Nest(unix.IFLA_INFO_DATA, l.gre)
}

// retarget gives a GRE device other ends. Without an MTU the kernel would choose one.
func (l *link) retarget() *nlmsg.Message {
	m := linkMessage(unix.RTM_NEWLINK, 0, "change the ends of interface "+l.name, l.index, 0).Uint32(unix.IFLA_MTU, uint32(l.mtu))
	return m.Nest(unix.IFLA_LINKINFO, l.kindGRE)
}

func (l *link) gre(m *nlmsg.Message) {
	m.Attr(greLocal, l.local.AsSlice()).Attr(greRemote, l.peer.AsSlice()).Uint8(greTTL, 64)
	if l.local.Is6() {
		m.Uint32(greFlags, ignoreEncapLimit) // else there were an option before GRE, RFC 2473 section 4.1.1
		return
	}
	if l.clear {
		m.Uint8(grePMTU, 0).Uint8(greNoDF, 1)
		return
	}
	m.Uint8(grePMTU, 1)
}

// set gives a link what can change.
func (l *link) set() *nlmsg.Message {
	m := linkMessage(unix.RTM_NEWLINK, 0, "set up interface "+l.name, l.index, 0)
	m.Uint32(unix.IFLA_MTU, uint32(l.mtu)).Attr(unix.IFLA_IFALIAS, []byte(l.alias))
	return m.Nest(unix.IFLA_AF_SPEC, func(m *nlmsg.Message) {
		m.Nest(unix.AF_INET6, func(m *nlmsg.Message) { m.Uint8(inet6AddrGen, addrGenNone) })
	})
}

// linkMessage begins a message with a struct ifinfomsg; up, if not 0, is the flag to set.
func linkMessage(kind, flags uint16, what string, index, up uint32) *nlmsg.Message {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], index)
	binary.NativeEndian.PutUint32(b[8:], up)
	binary.NativeEndian.PutUint32(b[12:], up)
	return nlmsg.New(kind, flags, what, b)
}

// doomed is the group of links that are about to be deleted: the kernel waits for readers once for
// all links of a group, and once for each that is deleted by itself.
const doomed = 0x66780dea

// deleteLinks deletes links; those that are gone are no error.
func deleteLinks(indices []uint32) []*nlmsg.Message {
	if len(indices) == 1 {
		m := linkMessage(unix.RTM_DELLINK, 0, fmt.Sprintf("delete interface %d", indices[0]), indices[0], 0)
		m.Absent = true
		return []*nlmsg.Message{m}
	}
	var all []*nlmsg.Message
	for _, i := range indices {
		m := linkMessage(unix.RTM_NEWLINK, 0, fmt.Sprintf("mark interface %d", i), i, 0).Uint32(unix.IFLA_GROUP, doomed)
		m.Absent = true
		all = append(all, m)
	}
	m := linkMessage(unix.RTM_DELLINK, 0, "delete interfaces", 0, 0).Uint32(unix.IFLA_GROUP, doomed)
	m.Absent = true
	return append(all, m)
}

// address adds or removes an address of a link. Nobody else can hold an address of a tunnel:
// duplicate address detection would only keep it unusable for a second.
func address(kind uint16, index uint32, p netip.Prefix, scope uint8) *nlmsg.Message {
	b := []byte{unix.AF_INET, uint8(p.Bits()), unix.IFA_F_NODAD, scope}
	if p.Addr().Is6() {
		b[0] = unix.AF_INET6
	}
	b = binary.NativeEndian.AppendUint32(b, index)
	verb, flags := "add", uint16(unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	if kind == unix.RTM_DELADDR {
		verb, flags = "remove", 0
	}
	m := nlmsg.New(kind, flags, verb+" address "+p.String(), b)
	m.Absent = kind == unix.RTM_DELADDR
	return m.Attr(unix.IFA_LOCAL, p.Addr().AsSlice()).Attr(unix.IFA_ADDRESS, p.Addr().AsSlice())
}

// protocol marks our routes to invented addresses: next to those of package routing, which owns 178 to
// 180 and removes what it did not make.
const protocol = 181

// route adds or removes a route of the main table to a device; one is removed by any when index is 0.
func route(kind uint16, p netip.Prefix, index uint32) *nlmsg.Message {
	b := []byte{unix.AF_INET, uint8(p.Bits()), 0, 0, unix.RT_TABLE_MAIN, protocol, unix.RT_SCOPE_LINK, unix.RTN_UNICAST, 0, 0, 0, 0}
	verb, flags := "add", uint16(unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	if kind == unix.RTM_DELROUTE {
		verb, flags = "remove", 0
	}
	m := nlmsg.New(kind, flags, fmt.Sprintf("%s route %s", verb, p), b)
	m.Absent = kind == unix.RTM_DELROUTE
	m.Attr(unix.RTA_DST, p.Addr().AsSlice())
	if index != 0 {
		m.Uint32(unix.RTA_OIF, index)
	}
	return m
}

// linkState is what the kernel says of a link.
type linkState struct {
	index       uint32
	name, alias string
	kind        string
	ifID        uint32 // of kind xfrm
	up          bool
	inPackets   uint64
	outPackets  uint64
	inBytes     uint64
	outBytes    uint64
}

func readLink(r nlmsg.Reply) (l linkState, ok bool) {
	if len(r.Body) < unix.SizeofIfInfomsg || r.Type != unix.RTM_NEWLINK && r.Type != unix.RTM_DELLINK || r.Body[0] != unix.AF_UNSPEC {
		return l, false // a bridge tells of its ports in its own family
	}
	l.index = binary.NativeEndian.Uint32(r.Body[4:])
	l.up = binary.NativeEndian.Uint32(r.Body[8:])&unix.IFF_UP != 0
	a := nlmsg.Attributes(r.Body, unix.SizeofIfInfomsg)
	l.name, l.alias = text(a[unix.IFLA_IFNAME]), text(a[unix.IFLA_IFALIAS])
	info := nlmsg.Attributes(a[unix.IFLA_LINKINFO], 0)
	if l.kind = text(info[unix.IFLA_INFO_KIND]); l.kind == "xfrm" {
		if id := nlmsg.Attributes(info[unix.IFLA_INFO_DATA], 0)[xfrmIfID]; len(id) >= 4 {
			l.ifID = binary.NativeEndian.Uint32(id)
		}
	}
	if s := a[unix.IFLA_STATS64]; len(s) >= 32 {
		l.inPackets, l.outPackets = binary.NativeEndian.Uint64(s), binary.NativeEndian.Uint64(s[8:])
		l.inBytes, l.outBytes = binary.NativeEndian.Uint64(s[16:]), binary.NativeEndian.Uint64(s[24:])
	}
	return l, true
}

func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// links reads all links of the namespace.
func links(c *nlmsg.Conn) (map[uint32]linkState, error) {
	all := map[uint32]linkState{}
	m := linkMessage(unix.RTM_GETLINK, unix.NLM_F_DUMP, "list interfaces", 0, 0)
	err := c.Get(m, func(r nlmsg.Reply) {
		if l, ok := readLink(r); ok {
			all[l.index] = l
		}
	})
	return all, err
}

// linkNamed reads one link; an error wraps ENODEV when there is none.
func linkNamed(c *nlmsg.Conn, name string) (l linkState, err error) {
	m := linkMessage(unix.RTM_GETLINK, 0, "find interface "+name, 0, 0).String(unix.IFLA_IFNAME, name)
	err = c.Get(m, func(r nlmsg.Reply) { l, _ = readLink(r) })
	return l, err
}

// linkAt reads one link by its index.
func linkAt(c *nlmsg.Conn, index uint32) (l linkState, err error) {
	m := linkMessage(unix.RTM_GETLINK, 0, fmt.Sprintf("read interface %d", index), index, 0)
	err = c.Get(m, func(r nlmsg.Reply) { l, _ = readLink(r) })
	return l, err
}
