package bgp

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// port is BGP's (RFC 4271 section 8.2.1).
const port = 179

// network opens the TCP connections of a speaker.
type network interface {
	Listen(ctx context.Context, at netip.Addr) (*net.TCPListener, error)
	// Dial calls a neighbor, from an address if that is valid, with an MD5 key if that is not empty.
	Dial(ctx context.Context, to, from netip.Addr, key []byte) (*net.TCPConn, error)
	// Sign makes a listener want signed segments (RFC 2385) from an address; no key ends that.
	Sign(l *net.TCPListener, from netip.Addr, key []byte) error
}

// tcp is the kernel's, in a VRF.
type tcp struct{ vrf string }

func (t tcp) bind(fd int) error {
	if t.vrf == "" {
		return nil
	}
	if err := unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, t.vrf); err != nil {
		return fmt.Errorf("bind to VRF %s: %w", t.vrf, err)
	}
	return nil
}

func control(c syscall.RawConn, do func(fd int) error) error {
	var inner error
	if err := c.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// Listen implements network.
func (t tcp) Listen(ctx context.Context, at netip.Addr) (*net.TCPListener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, func(fd int) error {
			if at.Is6() {
				if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
					return err
				}
			}
			return t.bind(fd)
		})
	}}
	lc.SetMultipathTCP(false) // Go's default for listeners, which knows no MD5 signatures
	family := "tcp4"          // "tcp" would take both for the unspecified address
	if at.Is6() {
		family = "tcp6"
	}
	l, err := lc.Listen(ctx, family, netip.AddrPortFrom(at, port).String())
	if err != nil {
		return nil, fmt.Errorf("bgp: %w: is another BGP speaker running here?", err)
	}
	return l.(*net.TCPListener), nil
}

// dialTime is how long a neighbor that does not answer is waited for.
const dialTime = 4 * time.Second

// Dial implements network.
func (t tcp) Dial(ctx context.Context, to, from netip.Addr, key []byte) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: dialTime, Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, func(fd int) error {
			if len(key) > 0 {
				if err := sign(fd, to, key); err != nil {
					return err
				}
			}
			return t.bind(fd)
		})
	}}
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	c, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(to, port).String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// Sign implements network.
func (tcp) Sign(l *net.TCPListener, from netip.Addr, key []byte) error {
	c, err := l.SyscallConn()
	if err != nil {
		return err
	}
	return control(c, func(fd int) error { return sign(fd, from, key) })
}

func sign(fd int, peer netip.Addr, key []byte) error {
	m := unix.TCPMD5Sig{Keylen: uint16(len(key))}
	copy(m.Key[:], key)
	m.Addr.Family = unix.AF_INET
	if peer.Is6() {
		m.Addr.Family = unix.AF_INET6
		copy(m.Addr.Data[6:], peer.AsSlice()) // after port and flow information
	} else {
		copy(m.Addr.Data[2:], peer.AsSlice()) // after the port
	}
	if err := unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG, &m); err != nil {
		return fmt.Errorf("TCP MD5 key for %s: %w", peer, err)
	}
	return nil
}

// listen opens the speaker's door, unless nobody is to come through it.
func (s *Speaker) listen(ctx context.Context) error {
	for _, at := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if !s.expects(at.Is4()) {
			continue
		}
		l, err := s.net.Listen(ctx, at)
		if err != nil {
			return err
		}
		s.listeners = append(s.listeners, l)
		go s.accept(l)
	}
	return nil
}

func (s *Speaker) expects(four bool) bool {
	for _, l := range s.cfg.Listen {
		if l.Range.Addr().Is4() == four {
			return true
		}
	}
	for _, n := range s.cfg.Neighbors {
		if n.Address.Is4() == four {
			return true
		}
	}
	return false
}

func (s *Speaker) accept(l *net.TCPListener) {
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return
		}
		if !s.do(func() { s.accepted(c) }) {
			_ = c.Close()
		}
	}
}

// accepted gives a connection to the neighbor it is from. There is no neighbor without a spoke's
// session or a line of the configuration.
func (s *Speaker) accepted(c *net.TCPConn) {
	s.catchUp() // the spoke's own session may be news that waits behind its connection
	from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().WithZone("")
	p := s.peers[from]
	switch {
	case p == nil:
		s.refuse("stranger", from, "it is no neighbor: no spoke with this address is connected, or it is outside of every listen range")
	case p.blocked != "":
		s.refuse("stranger", from, "the neighbor is shut: "+p.blocked)
	case p.up: // its hold timer, or the end of its connection, decides first
	case p.ready:
		p.called = false
		p.take(c)
		return
	default:
		p.wait(c)
		return
	}
	_ = c.Close()
}

// take gives a connection to the library, which is ready for it.
func (p *peer) take(c *net.TCPConn) {
	p.ready, p.taken = false, c
	p.prepare(c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap())
	p.link.Take(c)
}

// wait keeps a connection of the neighbor until the library is ready for one. When both ends have
// called, the connection of the end with the higher address stays (as with identifiers in RFC 4271
// section 6.8, which are not known yet): the other end closes its own.
func (p *peer) wait(c *net.TCPConn) {
	if p.taken != nil && p.called {
		local := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
		if p.address.Less(local) {
			_ = c.Close()
			return
		}
		_ = p.taken.Close()
		p.taken = nil
	}
	p.drop()
	p.early = c
}

// drop closes the connection that waits.
func (p *peer) drop() {
	if p.early != nil {
		_ = p.early.Close()
		p.early = nil
	}
}

// sign gives the listeners the neighbor's key, or takes it back. A neighbor whose key cannot be set
// must not come in without one.
func (s *Speaker) sign(p *peer, on bool) error {
	key := p.cfg.Password.Reveal()
	if len(key) == 0 {
		return nil
	}
	if !on {
		key = nil
	}
	for _, l := range s.listeners {
		if l.Addr().(*net.TCPAddr).AddrPort().Addr().Unmap().Is4() != p.address.Is4() {
			continue
		}
		if err := s.net.Sign(l, p.address, key); err != nil {
			return err
		}
	}
	return nil
}

// Between attempts at a neighbor that does not answer.
const (
	retryFirst = time.Second
	retryMost  = 15 * time.Second
)

// call opens a connection to a neighbor of the configuration, again and again until the session has
// one. Two ends that call at the same moment may close what the other one opened: each waits for a
// moment of its own.
func (p *peer) call() {
	s := p.speaker
	if !p.mayCall() {
		return
	}
	if p.dialing {
		select {
		case p.poke <- struct{}{}: // do not wait any longer
		default:
		}
		return
	}
	way := p.way
	p.dialing = true
	go func() {
		wait := time.Duration(0)
		if !tunnel(way) { // the other end may call as well: one of the two lets it try first
			wait = rand.N(retryFirst / 4)
			if s.cfg.RouterID.Less(p.address) {
				wait += retryFirst
			}
		}
		for s.ctx.Err() == nil {
			if !s.pause(wait, p.poke) {
				return
			}
			wait = min(max(2*wait, retryFirst), retryMost)
			if ready := false; s.ask(s.ctx, func() { ready = p.mayCall() }) != nil || !ready {
				s.do(func() { p.dialing = false; p.call() })
				return
			}
			c, err := s.net.Dial(s.ctx, p.address, p.cfg.Source, p.cfg.Password.Reveal())
			again := make(chan bool, 1)
			if !s.do(func() { again <- p.answered(c, err) }) {
				if c != nil {
					_ = c.Close()
				}
				return
			}
			select {
			case more := <-again:
				if !more {
					return
				}
			case <-s.done:
				return
			}
		}
	}()
}

func (p *peer) mayCall() bool {
	return !p.gone && !p.dynamic && !p.cfg.Passive && p.ready && p.blocked == ""
}

// pause waits, and reports false when the speaker ends.
func (s *Speaker) pause(d time.Duration, poke <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-poke:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// answered takes in how an attempt went, and reports whether to try again.
func (p *peer) answered(c *net.TCPConn, err error) (again bool) {
	if err != nil {
		p.lastDown = err.Error()
		p.dialing = p.mayCall()
		return p.dialing
	}
	p.dialing = false
	if !p.mayCall() {
		_ = c.Close()
		return false
	}
	p.called = true
	p.take(c)
	return false
}
