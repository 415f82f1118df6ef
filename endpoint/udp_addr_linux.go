package endpoint

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// putSockaddr writes a into room for either family and returns its length.
func putSockaddr(room *unix.RawSockaddrInet6, a netip.AddrPort) uint32 {
	if a.Addr().Is4() {
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(room))
		*sa = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr().As4()}
		putPort(&sa.Port, a.Port())
		return unix.SizeofSockaddrInet4
	}
	*room = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: a.Addr().As16(), Scope_id: scope(a.Addr())}
	putPort(&room.Port, a.Port())
	return unix.SizeofSockaddrInet6
}

// readSockaddr reads what the kernel wrote.
func readSockaddr(room *unix.RawSockaddrInet6) netip.AddrPort {
	if room.Family == unix.AF_INET {
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(room))
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), getPort(&sa.Port))
	}
	return netip.AddrPortFrom(withScope(netip.AddrFrom16(room.Addr), room.Scope_id), getPort(&room.Port))
}

func putPort(field *uint16, port uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(field))[:], port)
}

func getPort(field *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(field))[:])
}

// withScope names the interface of a link-local address by its number, the one form that needs no
// look-up and compares equal.
func withScope(a netip.Addr, index uint32) netip.Addr {
	if index == 0 || !a.IsLinkLocalUnicast() {
		return a
	}
	return a.WithZone(strconv.FormatUint(uint64(index), 10))
}

// scope is the number of the interface of a link-local address; 0: none, or unknown.
func scope(a netip.Addr) uint32 {
	zone := a.Zone()
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}

// parseControl reads the address that a packet was sent to and, where the kernel joined several,
// their size.
func parseControl(b []byte) (local netip.Addr, segment int) {
	for len(b) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(b)
		if err != nil {
			return local, segment
		}
		b = rest
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			// The middle field: the header's destination, or for a broadcast our own address.
			local = netip.AddrFrom4([4]byte(data[4:8]))
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			local = withScope(netip.AddrFrom16([16]byte(data[:16])), binary.NativeEndian.Uint32(data[16:]))
		case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
			segment = int(binary.NativeEndian.Uint32(data))
		}
	}
	return local, segment
}

// putControl writes the control messages of a packet to send: where it leaves from, if local is an
// address, and by which device if device is not 0, and into which pieces the kernel cuts it, if segment
// is not 0. It returns their length.
func putControl(room *control, local netip.Addr, device uint32, segment int) int {
	b := room.bytes()
	clear(b)
	n := 0
	if local.IsValid() && !local.IsUnspecified() {
		if local.Is4() {
			a := local.As4()
			data := putMessage(b, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
			binary.NativeEndian.PutUint32(data, device)
			copy(data[4:8], a[:])
			n += unix.CmsgSpace(unix.SizeofInet4Pktinfo)
		} else {
			a := local.As16()
			data := putMessage(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
			copy(data, a[:])
			binary.NativeEndian.PutUint32(data[16:], max(device, scope(local)))
			n += unix.CmsgSpace(unix.SizeofInet6Pktinfo)
		}
	}
	if segment > 0 {
		data := putMessage(b[n:], unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
		binary.NativeEndian.PutUint16(data, uint16(segment))
		n += unix.CmsgSpace(2)
	}
	return n
}

// putMessage writes the header of a control message and returns the room for its data.
func putMessage(b []byte, level, kind, size int) []byte {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = int32(level), int32(kind)
	h.SetLen(unix.CmsgLen(size))
	return b[unix.CmsgLen(0):unix.CmsgLen(size)]
}
