package eaptls

import (
	"bytes"
	"io"
	"net"
	"sync"
	"time"
)

// A pipe is what crypto/tls reads from and writes to: two buffers. Its reader says on hungry when
// everything that was fed is read and it wants more.
type pipe struct {
	hungry chan struct{}

	mu     sync.Mutex
	more   sync.Cond
	in     bytes.Buffer
	out    bytes.Buffer
	closed bool
}

func newPipe() *pipe {
	p := &pipe{hungry: make(chan struct{}, 1)}
	p.more.L = &p.mu
	return p
}

// feed adds what came from the server.
func (p *pipe) feed(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select { // it was hungry before
	case <-p.hungry:
	default:
	}
	p.in.Write(b)
	p.more.Broadcast()
}

// drain takes what is for the server.
func (p *pipe) drain() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := bytes.Clone(p.out.Bytes())
	p.out.Reset()
	return b
}

func (p *pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.more.Broadcast()
}

// Read waits for what is fed.
func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.in.Len() == 0 {
		if p.closed {
			return 0, io.ErrClosedPipe
		}
		select {
		case p.hungry <- struct{}{}:
		default:
		}
		p.more.Wait()
	}
	return p.in.Read(b)
}

// Write keeps what is for the server.
func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, io.ErrClosedPipe
	}
	return p.out.Write(b)
}

// Close implements net.Conn.
func (p *pipe) Close() error {
	p.close()
	return nil
}

type nowhere struct{}

func (nowhere) Network() string { return "eap" }
func (nowhere) String() string  { return "eap" }

// LocalAddr and its like complete net.Conn; a pipe of buffers has neither address nor deadline.
func (p *pipe) LocalAddr() net.Addr { return nowhere{} }

// RemoteAddr implements net.Conn.
func (p *pipe) RemoteAddr() net.Addr { return nowhere{} }

// SetDeadline implements net.Conn.
func (p *pipe) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (p *pipe) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }
