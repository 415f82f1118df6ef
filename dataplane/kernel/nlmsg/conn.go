package nlmsg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long the kernel may take for an answer. It answers at once, or when another
// process lets go of its lock; a minute of silence is a kernel that will not answer.
const patience = 60 * time.Second

// Conn is a socket for requests. It is safe for concurrent use; requests wait for each other.
type Conn struct {
	port uint32

	mu     sync.Mutex // guards these, and the order of requests
	socket Socket
	seq    uint32
	buf    []byte
}

// Open opens a socket of a netlink family in the network namespace of the calling thread.
func Open(family int) (*Conn, error) {
	fd, err := socket(family, unix.SOCK_CLOEXEC)
	if err != nil {
		return nil, err
	}
	t := unix.NsecToTimeval(int64(patience))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &t); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &Conn{socket: descriptor(fd), port: portID(fd), buf: make([]byte, 1<<16)}, nil
}

func socket(family, flags int) (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|flags, family)
	if err != nil {
		return -1, fmt.Errorf("open a netlink socket of family %d: %w", family, err)
	}
	for _, option := range []int{unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK} {
		_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, option, 1) // its absence costs words, not function
	}
	for force, plain := range map[int]int{unix.SO_RCVBUFFORCE: unix.SO_RCVBUF, unix.SO_SNDBUFFORCE: unix.SO_SNDBUF} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, 8<<20) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, 8<<20)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return -1, errors.Join(fmt.Errorf("bind a netlink socket: %w", err), unix.Close(fd))
	}
	return fd, nil
}

// PortID is the address by which notifications name the socket that caused them.
func (c *Conn) PortID() uint32 { return c.port }

func portID(fd int) uint32 {
	a, err := unix.Getsockname(fd)
	if n, ok := a.(*unix.SockaddrNetlink); ok && err == nil {
		return n.Pid
	}
	return 0
}

// Close closes the socket.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.socket.Close()
}

// A batch is at most so many messages and, but for one long message, so many octets.
const (
	batchMessages = 64
	batchBytes    = 32 << 10
)

// Do sends the messages in their order. The error is that of the first message that was refused.
// Messages of the same batch behind it may have taken effect: undoing has to undo all.
func (c *Conn) Do(messages ...*Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(messages) > 0 {
		n, size := 0, 0
		for n < len(messages) && n < batchMessages && (n == 0 || size+len(messages[n].body) < batchBytes) {
			size += len(messages[n].body) + unix.SizeofNlMsghdr
			n++
		}
		if err := c.batch(messages[:n]); err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

func (c *Conn) batch(messages []*Message) error {
	first := c.seq + 1
	size := 0
	for _, m := range messages {
		size += len(m.body) + unix.SizeofNlMsghdr
	}
	b := make([]byte, 0, size)
	for i, m := range messages {
		c.seq++
		var ack uint16
		if i == len(messages)-1 {
			ack = unix.NLM_F_ACK
		}
		b = m.appendTo(b, ack, c.seq, c.port)
	}
	if err := c.socket.Send(b); err != nil {
		return fmt.Errorf("%s: send: %w", messages[0].What, err)
	}
	var failed error
	for done := false; !done; {
		replies, err := c.receive()
		if err != nil {
			return fmt.Errorf("%s: %w", messages[len(messages)-1].What, err)
		}
		for _, r := range replies {
			i := int(r.Seq - first)
			if r.Type != unix.NLMSG_ERROR || i < 0 || i >= len(messages) {
				continue
			}
			done = done || i == len(messages)-1
			if err := refusal(r); err != nil && failed == nil && (!messages[i].Absent || !absent(err)) {
				failed = fmt.Errorf("%s: %w", messages[i].What, err)
			}
		}
	}
	return failed
}

func absent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EADDRNOTAVAIL)
}

func (c *Conn) receive() ([]Reply, error) {
	for {
		n, err := c.socket.Receive(c.buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return nil, fmt.Errorf("the kernel did not answer within %s: %w", patience, unix.ETIMEDOUT)
		case err != nil:
			return nil, fmt.Errorf("receive: %w", err)
		}
		return split(c.buf[:n]), nil
	}
}

// refusal is the error in an acknowledgement, with the kernel's explanation if it gives one.
func refusal(r Reply) error {
	if len(r.Body) < 4 {
		return errors.New("the kernel's answer is cut")
	}
	code := int32(binary.NativeEndian.Uint32(r.Body))
	if code == 0 {
		return nil
	}
	err := error(unix.Errno(-code))
	const header = 4 + unix.SizeofNlMsghdr
	if r.Flags&unix.NLM_F_ACK_TLVS == 0 || len(r.Body) < header {
		return err
	}
	// Without NETLINK_CAP_ACK the whole request is quoted before the explanation.
	at := header
	if r.Flags&unix.NLM_F_CAPPED == 0 {
		at = 4 + int(binary.NativeEndian.Uint32(r.Body[4:]))
	}
	if text := Attributes(r.Body, at)[unix.NLMSGERR_ATTR_MSG]; len(text) > 1 {
		return fmt.Errorf("%w (%s)", err, text[:len(text)-1])
	}
	return err
}

// attempts bounds how often a dump is repeated that a change interrupted.
const attempts = 10

// Get sends a request and hands every message of the answer to each: one, or all of a dump when m has
// NLM_F_DUMP. What a dump gives must be idempotent: a dump that a change interrupted is repeated.
func (c *Conn) Get(m *Message, each func(Reply)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := 1; ; n++ {
		again, err := c.get(m, each)
		if err != nil || !again || n == attempts {
			return err
		}
	}
}

func (c *Conn) get(m *Message, each func(Reply)) (again bool, err error) {
	c.seq++
	dump := m.Flags&unix.NLM_F_DUMP == unix.NLM_F_DUMP
	var ack uint16
	if !dump {
		ack = unix.NLM_F_ACK
	}
	if err := c.socket.Send(m.appendTo(nil, ack, c.seq, c.port)); err != nil {
		return false, fmt.Errorf("%s: send: %w", m.What, err)
	}
	for {
		replies, err := c.receive()
		if err != nil {
			return false, fmt.Errorf("%s: %w", m.What, err)
		}
		for _, r := range replies {
			if r.Seq != c.seq {
				continue
			}
			again = again || r.Flags&unix.NLM_F_DUMP_INTR != 0
			switch {
			case r.Type == unix.NLMSG_ERROR:
				if err := refusal(r); err != nil {
					return false, fmt.Errorf("%s: %w", m.What, err)
				}
				return again, nil
			case r.Type == unix.NLMSG_DONE:
				return again, nil
			default:
				each(r)
			}
		}
	}
}

// ErrLost says that the kernel had more to tell than the socket could hold.
var ErrLost = errors.New("notifications were lost")

// Watch is a socket for notifications.
type Watch struct {
	file *os.File
	buf  []byte
}

// Subscribe opens a socket for the notifications of groups of a netlink family, in the network
// namespace of the calling thread.
func Subscribe(family int, groups ...int) (*Watch, error) {
	fd, err := socket(family, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
			return nil, errors.Join(fmt.Errorf("subscribe to netlink group %d: %w", g, err), unix.Close(fd))
		}
	}
	return &Watch{file: os.NewFile(uintptr(fd), "netlink"), buf: make([]byte, 1<<16)}, nil
}

// Next waits for notifications. They are valid until the next call. ErrLost is no end: what comes
// later is told.
func (w *Watch) Next() ([]Reply, error) {
	n, err := w.file.Read(w.buf)
	if errors.Is(err, unix.ENOBUFS) {
		return nil, ErrLost
	}
	return split(w.buf[:max(n, 0)]), err
}

// SyscallConn is the socket itself.
func (w *Watch) SyscallConn() (syscall.RawConn, error) { return w.file.SyscallConn() }

// Close ends a waiting Next.
func (w *Watch) Close() error { return w.file.Close() }
