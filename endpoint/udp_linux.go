package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// kernelUDP is the Network of this host.
type kernelUDP struct{ devices *devices }

// udpEncapESP is UDP_ENCAP_ESPINUDP of linux/udp.h: ESP in UDP as RFC 3948 has it.
const udpEncapESP = 2

// socketBuffer is asked for in both directions: at 10 Gbit/s it holds three milliseconds.
const socketBuffer = 4 << 20

// Source connects a socket, which sends nothing, and looks what address the kernel chose.
func (kernelUDP) Source(remote netip.Addr) (netip.Addr, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(remote, 500)))
	if err != nil {
		return netip.Addr{}, err
	}
	defer func() { _ = c.Close() }()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// Listen binds the first socket alone, so that a second process of ours meets "in use" and does not
// get a share of the packets; only then does the port open for our further readers.
func (k kernelUDP) Listen(l Listen) ([]Socket, error) {
	first, err := listenUDP(l, false, k.devices)
	if err != nil {
		return nil, err
	}
	// A port that is taken was met without SO_REUSEADDR. What is in VRFs needs it on both sides: to the
	// kernel a socket without a VRF is in everybody's way, though it hears nothing of theirs.
	if l.Beside && l.VRF == "" {
		if err := first.setsockopt(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			_ = first.Close()
			return nil, err
		}
	}
	sockets := []Socket{first}
	if l.Readers > 1 && first.setsockopt(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) != nil {
		return sockets, nil
	}
	l.Addr = first.addr
	for len(sockets) < l.Readers {
		s, err := listenUDP(l, true, k.devices)
		if err != nil {
			for _, s := range sockets {
				_ = s.Close()
			}
			return nil, err
		}
		sockets = append(sockets, s)
	}
	return sockets, nil
}

// udpSocket is one socket of the kernel.
type udpSocket struct {
	conn *net.UDPConn
	raw  syscall.RawConn
	addr netip.AddrPort
	in   inbound
	gso  atomic.Bool // the kernel cuts what we send (UDP_SEGMENT)

	devices *devices

	senders sync.Pool // of *sender
}

func listenUDP(l Listen, share bool, d *devices) (*udpSocket, error) {
	network := "udp6" // net makes it IPv6 only
	if l.Addr.Addr().Is4() {
		network = "udp4"
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) { err = prepare(int(fd), l, share) }); e != nil {
			return e
		}
		return err
	}}
	pc, err := lc.ListenPacket(context.Background(), network, l.Addr.String())
	if err != nil {
		return nil, err
	}
	conn := pc.(*net.UDPConn)
	raw, err := conn.SyscallConn()
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	s := &udpSocket{conn: conn, raw: raw, devices: d}
	bound := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	s.addr = netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port())
	size := maxIKE + markerLen + 1
	if l.Offload {
		size = 1 << 16
		s.gso.Store(s.canSegment())
	}
	s.in.init(s, size)
	s.senders.New = func() any { return newSender(s) }
	return s, nil
}

// prepare sets what has to be set before the socket is bound.
func prepare(fd int, l Listen, share bool) error {
	if share {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return err
		}
	}
	// A socket without a VRF hears the default one alone (udp_l3mdev_accept is 0), so that both can have
	// one address and port.
	if l.VRF != "" || l.Beside && share {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
	}
	if l.VRF != "" {
		if err := unix.BindToDevice(fd, l.VRF); err != nil {
			return err
		}
	}
	// Replies leave from the address that the peer spoke to, so we have to learn it.
	level, option := unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
	if l.Addr.Addr().Is4() {
		level, option = unix.IPPROTO_IP, unix.IP_PKTINFO
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return err
	}
	for force, plain := range map[int]int{
		unix.SO_RCVBUFFORCE: unix.SO_RCVBUF, unix.SO_SNDBUFFORCE: unix.SO_SNDBUF,
	} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, socketBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, socketBuffer) // as much as we may have
		}
	}
	if l.KernelESP {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_ENCAP, udpEncapESP); err != nil {
			return fmt.Errorf("let the kernel take ESP in UDP (UDP_ENCAP): %w", err)
		}
	}
	if l.Offload {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) // needs Linux 5.0; works without
	}
	return nil
}

func (s *udpSocket) setsockopt(level, option, value int) error {
	var err error
	if e := s.raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, value) }); e != nil {
		return e
	}
	return err
}

// canSegment asks whether the kernel knows UDP_SEGMENT (Linux 4.18).
func (s *udpSocket) canSegment() bool {
	var err error
	if e := s.raw.Control(func(fd uintptr) {
		_, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	}); e != nil {
		return false
	}
	return err == nil
}

// Addr implements Socket.
func (s *udpSocket) Addr() netip.AddrPort { return s.addr }

// Close implements Socket.
func (s *udpSocket) Close() error {
	if err := s.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
