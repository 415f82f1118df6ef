// Package nlmsgtest is a kernel's trouble for tests of rooms that speak netlink: messages that are
// refused in the middle of a batch, lost, done without an answer or kept waiting, and a kernel that
// refuses by rule.
package nlmsgtest

import (
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane/kernel/nlmsg"
)

// Fate is what becomes of a message.
type Fate struct {
	Refuse unix.Errno      // the kernel never sees it, and its sender is told this
	Lost   bool            // the kernel never sees it, and nobody answers
	Mute   bool            // the kernel does it, and its answer is lost
	Wait   <-chan struct{} // first: until this is closed
}

// Trouble stands between a connection and the kernel.
type Trouble struct {
	nlmsg.Socket
	mu      sync.Mutex
	decide  func(n int, kind uint16) Fate
	n       int
	answers [][]byte // that the kernel did not give
	silent  bool
}

// Put puts a Trouble, without any yet, into a connection.
func Put(c *nlmsg.Conn) *Trouble {
	t := &Trouble{}
	c.Through(func(s nlmsg.Socket) nlmsg.Socket { t.Socket = s; return t })
	return t
}

// Decide gives every message from now on its fate, by its place from 0 on and its type; nil: none has
// trouble.
func (t *Trouble) Decide(fate func(n int, kind uint16) Fate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.decide, t.n = fate, 0
}

// Seen is how many messages were sent since Decide.
func (t *Trouble) Seen() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// fate of the next message.
func (t *Trouble) fate(kind uint16) (f Fate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.decide != nil {
		f = t.decide(t.n, kind)
	}
	t.n++
	return f
}

// Send implements nlmsg.Socket. One request is under way at a time.
func (t *Trouble) Send(b []byte) error {
	t.answers, t.silent = nil, false
	var pass []byte
	for len(b) >= unix.SizeofNlMsghdr {
		n := (int(binary.NativeEndian.Uint32(b)) + 3) &^ 3
		m := b[:min(n, len(b))]
		b = b[len(m):]
		f := t.fate(binary.NativeEndian.Uint16(m[4:]))
		if f.Wait != nil {
			<-f.Wait
		}
		t.silent = t.silent || f.Lost || f.Mute
		switch {
		case f.Lost:
		case f.Refuse != 0:
			t.answers = append(t.answers, refusal(m, f.Refuse))
		default:
			pass = append(pass, m...)
		}
	}
	if len(pass) == 0 {
		return nil
	}
	return t.Socket.Send(pass)
}

// Receive implements nlmsg.Socket.
func (t *Trouble) Receive(b []byte) (int, error) {
	if len(t.answers) > 0 {
		n := copy(b, t.answers[0])
		t.answers = t.answers[1:]
		return n, nil
	}
	if t.silent {
		return 0, unix.EAGAIN
	}
	return t.Socket.Receive(b)
}

// refusal is the kernel's answer to a message.
func refusal(m []byte, errno unix.Errno) []byte {
	b := binary.NativeEndian.AppendUint32(nil, 2*unix.SizeofNlMsghdr+4)
	b = binary.NativeEndian.AppendUint16(b, unix.NLMSG_ERROR)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_CAPPED)
	b = append(b, m[8:16]...)
	b = binary.NativeEndian.AppendUint32(b, uint32(-int32(errno)))
	return append(b, m[:unix.SizeofNlMsghdr]...)
}

// Rule is a kernel that answers each message, by its type, with an error or, with 0, with yes.
type Rule func(kind uint16) unix.Errno

// Conn is a connection to that kernel.
func (r Rule) Conn() *nlmsg.Conn { return nlmsg.Over(&ruled{rule: r}) }

type ruled struct {
	rule    Rule
	answers [][]byte
}

func (r *ruled) Send(b []byte) error {
	for len(b) >= unix.SizeofNlMsghdr {
		n := (int(binary.NativeEndian.Uint32(b)) + 3) &^ 3
		m := b[:min(n, len(b))]
		b = b[len(m):]
		errno := r.rule(binary.NativeEndian.Uint16(m[4:]))
		if errno != 0 || binary.NativeEndian.Uint16(m[6:])&unix.NLM_F_ACK != 0 {
			r.answers = append(r.answers, refusal(m, errno))
		}
	}
	return nil
}

func (r *ruled) Receive(b []byte) (int, error) {
	if len(r.answers) == 0 {
		return 0, unix.EAGAIN
	}
	n := copy(b, r.answers[0])
	r.answers = r.answers[1:]
	return n, nil
}

func (r *ruled) Close() error { return nil }
