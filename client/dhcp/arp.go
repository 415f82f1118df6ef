package dhcp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// probeTime is how long an answer to a probe is waited for; hosts wait for an offer for seconds.
const probeTime = 400 * time.Millisecond

// probe asks by ARP who has an address, as RFC 5227 section 2.1.1 does: with no sender address, so that
// nobody's table changes. The host that it is for may have it.
func probe(ctx context.Context, device string, a netip.Addr, host net.HardwareAddr) (taken bool, err error) {
	ifi, err := net.InterfaceByName(device)
	if err != nil {
		return false, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ARP)))
	if err != nil {
		return false, fmt.Errorf("open an ARP socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	all := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ARP), Ifindex: ifi.Index, Halen: 6, Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	if err := unix.Bind(fd, all); err != nil {
		return false, fmt.Errorf("bind an ARP socket to %s: %w", device, err)
	}
	if err := unix.Sendto(fd, whoHas(ifi.HardwareAddr, a), 0, all); err != nil {
		return false, fmt.Errorf("probe %s: %w", a, err)
	}
	deadline := time.Now().Add(probeTime)
	buf := make([]byte, 128)
	for ctx.Err() == nil {
		left := time.Until(deadline)
		if left <= 0 {
			return false, nil
		}
		wait := unix.NsecToTimeval(left.Nanoseconds())
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
			return false, err
		}
		n, _, err := unix.Recvfrom(fd, buf, 0)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return false, err
		}
		if claims(buf[:n], a, host, ifi.HardwareAddr) {
			return true, nil
		}
	}
	return false, ctx.Err()
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// The fixed part of an ARP message for IPv4 over Ethernet (RFC 826): hardware and protocol type, their
// lengths, and then the operation.
var arpHead = []byte{0, 1, 8, 0, 6, 4}

const arpSize = 28

func whoHas(from net.HardwareAddr, a netip.Addr) []byte {
	b := binary.BigEndian.AppendUint16(bytes.Clone(arpHead), 1)
	b = append(append(b, from...), make([]byte, 4+6)...) // no sender address, no target's hardware
	return append(b, a.AsSlice()...)
}

// claims reports whether an ARP message says that somebody else than the host or we has an address.
func claims(b []byte, a netip.Addr, host, own net.HardwareAddr) bool {
	if len(b) < arpSize || !bytes.HasPrefix(b, arpHead) {
		return false
	}
	who := b[8:14]
	return bytes.Equal(b[14:18], a.AsSlice()) && !bytes.Equal(who, host) && !bytes.Equal(who, own)
}
