package radius

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"layeh.com/radius"

	"flexvpn/config"
)

// A link carries packets to one port of one server and back.
type link interface {
	// write sends b, which it does not keep. It does not block.
	write(b []byte) error
	close()
}

// An opener makes a link. It may wait for the server; received and lost are called on goroutines of
// the link, lost at most once and last. A packet is the callee's until it returns.
type opener func(ctx context.Context, to *port, received func(b []byte, from netip.AddrPort), lost func(error)) (link, error)

// open makes links as the server is configured.
func open(ctx context.Context, to *port, received func([]byte, netip.AddrPort), lost func(error)) (link, error) {
	if to.server.Transport == config.AAAOverTLS {
		return openTLS(ctx, to, received, lost)
	}
	return openUDP(ctx, to, received, lost)
}

// bindTo puts a socket into a VRF.
func bindTo(vrf string) func(string, string, syscall.RawConn) error {
	if vrf == "" {
		return nil
	}
	return func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = syscall.BindToDevice(int(fd), vrf) })
		return errors.Join(err, failed)
	}
}

type udpLink struct {
	conn *net.UDPConn
	to   netip.AddrPort
}

// openUDP takes a socket that is not connected, so that an answer from elsewhere is seen and counted.
func openUDP(ctx context.Context, to *port, received func([]byte, netip.AddrPort), lost func(error)) (link, error) {
	source := to.server.Source
	if !source.IsValid() {
		source = netip.IPv4Unspecified()
		if to.address.Addr().Is6() {
			source = netip.IPv6Unspecified()
		}
	}
	lc := net.ListenConfig{Control: bindTo(to.server.VRF)}
	pc, err := lc.ListenPacket(ctx, "udp", netip.AddrPortFrom(source, 0).String())
	if err != nil {
		return nil, err
	}
	l := &udpLink{conn: pc.(*net.UDPConn), to: to.address}
	l.widen()
	go l.read(received, lost)
	return l, nil
}

// receiveBuffer holds the answers to all 256 requests that may be in flight on one socket, with what
// the kernel adds to each; the usual limit holds a hundred, and an answer that is lost costs a timeout.
const receiveBuffer = 1 << 20

// widen makes the receive buffer large: beyond the system's limit where the process may.
func (l *udpLink) widen() {
	raw, err := l.conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		if syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, receiveBuffer) != nil {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receiveBuffer)
		}
	})
}

func (l *udpLink) read(received func([]byte, netip.AddrPort), lost func(error)) {
	b := make([]byte, radius.MaxPacketLength+1)
	for {
		n, from, err := l.conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			lost(err)
			return
		}
		if err == nil { // others are ICMP errors of a single packet: its timer runs on
			received(b[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
		}
	}
}

func (l *udpLink) write(b []byte) error {
	_, err := l.conn.WriteToUDPAddrPort(b, l.to)
	return err
}

func (l *udpLink) close() { _ = l.conn.Close() }

// tlsLink is one RadSec connection. Packets wait for its writer: at most one for each identifier.
type tlsLink struct {
	conn *tls.Conn
	out  chan []byte
	done context.CancelFunc
}

const dialTimeout = 5 * time.Second

// openTLS connects (RFC 6614; TLS 1.2 or later, certificates on both sides).
func openTLS(ctx context.Context, to *port, received func([]byte, netip.AddrPort), lost func(error)) (link, error) {
	s := to.server
	name := s.ServerName
	if name == "" {
		name = s.Address.String()
	}
	dialer := net.Dialer{Control: bindTo(s.VRF), Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	if s.Source.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.Source, 0))
	}
	d := tls.Dialer{NetDialer: &dialer, Config: &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: name, RootCAs: s.Certificate.Roots,
		Certificates: []tls.Certificate{{Certificate: s.Certificate.Chain, PrivateKey: s.Certificate.Key}},
	}}
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", to.address.String())
	if err != nil {
		return nil, err
	}
	writing, done := context.WithCancel(context.Background())
	l := &tlsLink{conn: c.(*tls.Conn), out: make(chan []byte, 512), done: done}
	go l.send(writing)
	go func() {
		err := l.receive(to.address, received)
		l.close()
		lost(err)
	}()
	return l, nil
}

func (l *tlsLink) send(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case b := <-l.out:
			_ = l.conn.SetWriteDeadline(time.Now().Add(dialTimeout))
			if _, err := l.conn.Write(b); err != nil {
				l.close() // the reader tells
				return
			}
		}
	}
}

func (l *tlsLink) receive(from netip.AddrPort, received func([]byte, netip.AddrPort)) error {
	b := make([]byte, radius.MaxPacketLength)
	for {
		if _, err := io.ReadFull(l.conn, b[:4]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n < headerLen || n > len(b) {
			return fmt.Errorf("a packet of %d octets: the stream cannot be read on", n)
		}
		if _, err := io.ReadFull(l.conn, b[4:n]); err != nil {
			return err
		}
		received(b[:n], from)
	}
}

func (l *tlsLink) write(b []byte) error {
	select {
	case l.out <- b:
		return nil
	default:
		return errors.New("the connection does not take more")
	}
}

func (l *tlsLink) close() {
	l.done()
	_ = l.conn.Close()
}
