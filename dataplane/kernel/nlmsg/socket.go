package nlmsg

import "golang.org/x/sys/unix"

// Socket is what a Conn speaks to the kernel by.
type Socket interface {
	// Send gives the kernel the messages of one datagram.
	Send(datagram []byte) error
	// Receive waits for a datagram of the kernel's; EAGAIN when none comes in time.
	Receive(buf []byte) (int, error)
	Close() error
}

// descriptor is a true one.
type descriptor int

func (d descriptor) Send(b []byte) error {
	return unix.Sendto(int(d), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

func (d descriptor) Receive(b []byte) (int, error) {
	n, _, err := unix.Recvfrom(int(d), b, 0)
	return n, err
}

func (d descriptor) Close() error { return unix.Close(int(d)) }

// Through puts something between a connection and the kernel: a test that delays, loses or refuses
// what is asked.
func (c *Conn) Through(between func(Socket) Socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.socket = between(c.socket)
}

// Over is a connection by a socket that the caller made: a test's, without a kernel.
func Over(s Socket) *Conn { return &Conn{socket: s, buf: make([]byte, 1<<16)} }
