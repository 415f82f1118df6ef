package userspace

import "encoding/binary"

// vnetSize is the length of the virtio header that stands before every packet read from or written
// to a TUN device with IFF_VNET_HDR (struct virtio_net_hdr of linux/virtio_net.h).
const vnetSize = 10

const vnetNeedsCsum = 1

// How a packet stands for several (the ECN bit aside, which we do not ask the kernel for).
const (
	gsoNone  = 0
	gsoTCPv4 = 1
	gsoTCPv6 = 4
	gsoUDP   = 5 // UDP_L4: datagrams of one size
)

// vnet is the virtio header. With flags vnetNeedsCsum the checksum at csumStart+csumOffset holds
// the sum of the pseudo-header only and covers everything from csumStart.
type vnet struct {
	flags, gsoType        uint8
	headers               uint16 // octets repeated in each segment
	size                  uint16 // payload of a segment
	csumStart, csumOffset uint16
}

func parseVnet(b []byte) vnet {
	e := binary.NativeEndian
	return vnet{
		flags: b[0], gsoType: b[1], headers: e.Uint16(b[2:]), size: e.Uint16(b[4:]),
		csumStart: e.Uint16(b[6:]), csumOffset: e.Uint16(b[8:]),
	}
}

func (h vnet) put(b []byte) {
	e := binary.NativeEndian
	b[0], b[1] = h.flags, h.gsoType
	e.PutUint16(b[2:], h.headers)
	e.PutUint16(b[4:], h.size)
	e.PutUint16(b[6:], h.csumStart)
	e.PutUint16(b[8:], h.csumOffset)
}
