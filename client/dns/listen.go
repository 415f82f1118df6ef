package dns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// A listener serves one interface, over UDP and TCP and both families.
type listener struct {
	index int // of the interface when the sockets were bound
	udp   []*net.UDPConn
	tcp   []net.Listener
	err   error // why it does not serve
}

func (l *listener) close() {
	for _, c := range l.udp {
		_ = c.Close()
	}
	for _, c := range l.tcp {
		_ = c.Close()
	}
	l.udp, l.tcp = nil, nil
}

// listen opens and closes listeners until they are those of the interfaces that there are.
func (p *Proxy) listen(ctx context.Context, all *sync.WaitGroup) {
	want := map[string]int{}
	for _, name := range p.cfg.Interfaces() {
		if i, err := net.InterfaceByName(name); err == nil {
			want[name] = i.Index
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, l := range p.listeners {
		if index, ok := want[name]; !ok || index != l.index {
			l.close()
			delete(p.listeners, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		old := p.listeners[name]
		if old != nil && old.err == nil {
			continue
		}
		l := open(ctx, name, want[name])
		p.listeners[name] = l
		switch {
		case l.err == nil:
			p.cfg.Log.Info("dns listening", "interface", name)
			p.start(ctx, all, l, name)
		case old == nil || old.err.Error() != l.err.Error():
			p.cfg.Log.Warn("dns listener", "interface", name, "err", l.err, "hint", "is another name server running here? bind it to other interfaces")
		}
	}
}

// open binds the sockets of an interface. A host without IPv6 has only the others.
func open(ctx context.Context, name string, index int) *listener {
	l := &listener{index: index}
	c := net.ListenConfig{Control: listenControl(name)}
	for _, family := range []string{"4", "6"} {
		any := map[string]string{"4": "0.0.0.0:53", "6": "[::]:53"}[family]
		udp, err := c.ListenPacket(ctx, "udp"+family, any)
		if family == "6" && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)) {
			break
		}
		if err == nil {
			l.udp = append(l.udp, udp.(*net.UDPConn))
			var tcp net.Listener
			if tcp, err = c.Listen(ctx, "tcp"+family, any); err == nil {
				l.tcp = append(l.tcp, tcp)
			}
		}
		if err != nil {
			l.close()
			l.err = fmt.Errorf("serve names on %s: %w", name, err)
			break
		}
	}
	return l
}

// listenControl binds a socket to an interface and, for UDP, has each datagram tell the address that it
// was sent to: the reply must come from there.
func listenControl(device string) func(network, address string, c syscall.RawConn) error {
	bind := bindTo(device)
	return func(network, address string, c syscall.RawConn) error {
		if err := bind(network, address, c); err != nil {
			return err
		}
		var failed error
		err := c.Control(func(fd uintptr) {
			switch network {
			case "udp4":
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
			case "udp6":
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
			}
		})
		return errors.Join(err, failed)
	}
}

func (p *Proxy) start(ctx context.Context, all *sync.WaitGroup, l *listener, device string) {
	for _, c := range l.udp {
		all.Go(func() { p.serveUDP(ctx, all, c, device) })
	}
	for _, c := range l.tcp {
		all.Go(func() { p.serveTCP(ctx, all, c, device) })
	}
}

func (p *Proxy) closeListeners() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, l := range p.listeners {
		l.close()
		delete(p.listeners, name)
	}
}

// serveUDP answers datagrams until the socket is closed. What is over the bounds is dropped: a host asks
// again, and a flood gets nothing.
func (p *Proxy) serveUDP(ctx context.Context, all *sync.WaitGroup, c *net.UDPConn, device string) {
	buf := make([]byte, dns.MaxMsgSize)
	for {
		n, session, err := dns.ReadFromSessionUDP(c, buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of an earlier reply, or memory short for a moment
		}
		from := asker{addr: addrOf(session.RemoteAddr()), device: device}
		if !p.limits.take(from.addr) {
			p.totals.drop("overload")
			continue
		}
		octets := slices.Clone(buf[:n])
		all.Go(func() {
			defer p.limits.give(from.addr)
			if reply := p.respond(ctx, octets, from); reply != nil {
				_, _ = dns.WriteToSessionUDP(c, reply, session)
			}
		})
	}
}

// Bounds of a connection, RFC 7766 sections 6.2.3 and 8.
const (
	tcpIdle    = 10 * time.Second
	tcpQueries = 100
)

func (p *Proxy) serveTCP(ctx context.Context, all *sync.WaitGroup, l net.Listener, device string) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(50 * time.Millisecond) // out of file descriptors: do not spin
			continue
		}
		from := asker{addr: addrOf(c.RemoteAddr()), device: device, tcp: true}
		if !p.limits.take(from.addr) {
			p.totals.drop("overload")
			_ = c.Close()
			continue
		}
		all.Go(func() {
			defer p.limits.give(from.addr)
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer stop()
			p.converse(ctx, c, from)
		})
	}
}

// converse answers the queries of one connection in order.
func (p *Proxy) converse(ctx context.Context, c net.Conn, from asker) {
	defer func() { _ = c.Close() }()
	conn := &dns.Conn{Conn: c}
	for range tcpQueries {
		_ = c.SetDeadline(time.Now().Add(tcpIdle))
		octets, err := conn.ReadMsgHeader(nil)
		if err != nil {
			if !errors.Is(err, io.EOF) && !isTimeout(err) && !errors.Is(err, net.ErrClosed) {
				p.totals.drop("malformed")
			}
			return
		}
		reply := p.respond(ctx, octets, from)
		_ = c.SetDeadline(time.Now().Add(tcpIdle))
		if reply == nil {
			return
		}
		if _, err := conn.Write(reply); err != nil {
			return
		}
	}
}

func addrOf(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
