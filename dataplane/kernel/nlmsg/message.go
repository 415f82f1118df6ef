// Package nlmsg speaks netlink in batches: messages are built octet by octet, many of them leave in
// one system call, only the last asks for an acknowledgement, and an error names the message that the
// kernel refused with the kernel's own words.
//
// It is here because the netlink library sends one request at a time and waits for its answer; a
// virtual-access takes a dozen.
package nlmsg

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// A Message is one netlink message.
type Message struct {
	Type  uint16
	Flags uint16 // NLM_F_REQUEST is added
	What  string // what it does, for an error's text: "add state 0x1001"
	// Absent makes ENOENT, ESRCH, ENODEV and EADDRNOTAVAIL no errors: what is removed may be gone.
	Absent bool
	body   []byte
}

// New begins a message with its fixed part.
func New(kind, flags uint16, what string, fixed []byte) *Message {
	m := &Message{Type: kind, Flags: flags, What: what, body: append(make([]byte, 0, len(fixed)+128), fixed...)}
	m.pad()
	return m
}

func (m *Message) pad() {
	for len(m.body)%unix.NLA_ALIGNTO != 0 {
		m.body = append(m.body, 0)
	}
}

// Attr appends an attribute.
func (m *Message) Attr(kind uint16, value []byte) *Message {
	m.body = binary.NativeEndian.AppendUint16(m.body, uint16(unix.SizeofNlAttr+len(value)))
	m.body = binary.NativeEndian.AppendUint16(m.body, kind)
	m.body = append(m.body, value...)
	m.pad()
	return m
}

// Uint8 appends an attribute of one octet.
func (m *Message) Uint8(kind uint16, v uint8) *Message { return m.Attr(kind, []byte{v}) }

// Uint32 appends an attribute of four octets.
func (m *Message) Uint32(kind uint16, v uint32) *Message {
	return m.Attr(kind, binary.NativeEndian.AppendUint32(nil, v))
}

// String appends an attribute that ends with a NUL.
func (m *Message) String(kind uint16, v string) *Message {
	return m.Attr(kind, append([]byte(v), 0))
}

// Nest appends an attribute that holds what fill appends.
func (m *Message) Nest(kind uint16, fill func(*Message)) *Message {
	at := len(m.body)
	m.Attr(kind, nil)
	fill(m)
	binary.NativeEndian.PutUint16(m.body[at:], uint16(len(m.body)-at))
	return m
}

// appendTo appends the whole message.
func (m *Message) appendTo(b []byte, flags uint16, seq, port uint32) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.SizeofNlMsghdr+len(m.body)))
	b = binary.NativeEndian.AppendUint16(b, m.Type)
	b = binary.NativeEndian.AppendUint16(b, m.Flags|unix.NLM_F_REQUEST|flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, port) // some notifications name whom the request named
	return append(b, m.body...)
}

// A Reply is a message of the kernel's.
type Reply struct {
	Type, Flags uint16
	Seq, PortID uint32
	Body        []byte
}

// split reads the messages of one datagram. What is cut is left out.
func split(b []byte) (all []Reply) {
	for len(b) >= unix.SizeofNlMsghdr {
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.SizeofNlMsghdr || n > len(b) {
			return all
		}
		all = append(all, Reply{
			Type: binary.NativeEndian.Uint16(b[4:]), Flags: binary.NativeEndian.Uint16(b[6:]),
			Seq: binary.NativeEndian.Uint32(b[8:]), PortID: binary.NativeEndian.Uint32(b[12:]),
			Body: b[unix.SizeofNlMsghdr:n:n],
		})
		b = b[min(len(b), (n+3)&^3):]
	}
	return all
}

// Attributes are those that begin at an offset, which is aligned here; a later one of the same kind
// replaces an earlier.
func Attributes(b []byte, at int) map[uint16][]byte {
	all := map[uint16][]byte{}
	at = (at + 3) &^ 3
	if at > len(b) {
		return all
	}
	for b = b[at:]; len(b) >= unix.SizeofNlAttr; {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofNlAttr || n > len(b) {
			return all
		}
		all[binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER)] = b[unix.SizeofNlAttr:n:n]
		b = b[min(len(b), (n+3)&^3):]
	}
	return all
}
