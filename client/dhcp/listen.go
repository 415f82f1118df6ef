package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

// bind serves the pool's interface as it is now: from its address in the pool's network.
func (p *server) bind(ctx context.Context, all *sync.WaitGroup) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own, err := p.address()
	index := 0
	if ifi, missing := net.InterfaceByName(p.pool.Interface); missing == nil {
		index = ifi.Index
	}
	if err == nil && p.conn != nil && own == p.own && index == p.index {
		return
	}
	p.unbind()
	if err == nil {
		p.own, p.index = own, index
		p.conn, err = listen(ctx, p.pool.Interface)
	}
	if err != nil {
		if p.err == nil || p.err.Error() != err.Error() {
			p.cfg.Log.Warn("dhcp server", "pool", p.pool.Name, "interface", p.pool.Interface, "err", err)
		}
		p.err = err
		return
	}
	p.err = nil
	p.cfg.Log.Info("dhcp serving", "pool", p.pool.Name, "interface", p.pool.Interface, "address", own.String())
	conn := p.conn
	all.Go(func() { p.serve(ctx, conn) })
}

// unbind stops serving; p.mu is held.
func (p *server) unbind() {
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}

// address is the interface's own in the pool's network.
func (p *server) address() (netip.Addr, error) {
	list, err := p.cfg.Addresses(p.pool.Interface)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range list {
		if p.pool.Network.Contains(a.Addr()) {
			return a.Addr(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%s has no address in %s: give it one, for example %s/%d", p.pool.Interface, p.pool.Network, p.pool.Network.Addr().Next(), p.pool.Network.Bits())
}

// listen opens the server's port on an interface, and there only.
func listen(ctx context.Context, device string) (*net.UDPConn, error) {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = errors.Join(unix.BindToDevice(int(fd), device), unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1))
		})
		return errors.Join(err, failed)
	}}
	conn, err := c.ListenPacket(ctx, "udp4", fmt.Sprintf("0.0.0.0:%d", dhcpv4.ServerPort))
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w (is another DHCP server running here?)", device, err)
	}
	return conn.(*net.UDPConn), nil
}

// maxMessage is more than any host sends: an Ethernet frame.
const maxMessage = 1500

func (p *server) serve(ctx context.Context, conn *net.UDPConn) {
	buf := make([]byte, maxMessage)
	for {
		n, err := conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of an earlier reply
		}
		p.receive(ctx, buf[:n], func(d *dhcpv4.DHCPv4) {
			if _, err := conn.WriteToUDPAddrPort(d.ToBytes(), destination(d)); err != nil && !errors.Is(err, net.ErrClosed) {
				p.cfg.Log.Warn("dhcp reply", "pool", p.pool.Name, "err", err)
			}
		})
	}
}

// destination is where a reply goes (RFC 2131 section 4.1): to the address that the host uses, or, as it
// has none yet, to all.
func destination(d *dhcpv4.DHCPv4) netip.AddrPort {
	to := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	if a := addrOf(d.ClientIPAddr); a.IsValid() && d.MessageType() == dhcpv4.MessageTypeAck {
		to = a
	}
	return netip.AddrPortFrom(to, dhcpv4.ClientPort)
}
