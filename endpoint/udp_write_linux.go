package endpoint

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	writeBatch = 64
	// The kernel cuts a buffer into at most 64 datagrams (UDP_MAX_SEGMENTS before Linux 6.9) and
	// takes at most what fits into one IP packet.
	maxSegments = 64
	maxBuffer   = 65000
)

// A sender is what one sendmmsg needs; a pool keeps them, so that writers do not wait for each
// other. The address and control fields of entry 0 serve all entries when segments are sent.
type sender struct {
	s     *udpSocket
	hdrs  [writeBatch]unix.Mmsghdr
	iovs  [writeBatch][2]unix.Iovec // the marker and the data
	names [writeBatch]unix.RawSockaddrInet6
	ctrls [writeBatch]control

	from, to int // the entries to send; from moves on with what has been sent
	used     int // entries that point to the caller's memory
	errno    syscall.Errno
	try      func(fd uintptr)
	wait     func(fd uintptr) bool
}

// marker is the non-ESP marker.
var marker [markerLen]byte

func newSender(s *udpSocket) *sender {
	w := &sender{s: s}
	w.try = w.sendmmsg
	w.wait = func(fd uintptr) bool {
		w.sendmmsg(fd)
		return w.errno != unix.EAGAIN
	}
	return w
}

// sendmmsg sends entries until all are sent or one fails; from is then that one.
func (w *sender) sendmmsg(fd uintptr) {
	w.errno = 0
	for w.from < w.to {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&w.hdrs[w.from])),
			uintptr(w.to-w.from), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
		case 0:
			w.from += int(n)
		default:
			w.errno = errno
			return
		}
	}
}

// address fills in where entry i leaves from and goes to.
func (w *sender) address(i int, local netip.Addr, remote netip.AddrPort, segment int) {
	h := &w.hdrs[i].Hdr
	h.Name = (*byte)(unsafe.Pointer(&w.names[i]))
	h.Namelen = putSockaddr(&w.names[i], remote)
	n := putControl(&w.ctrls[i], local, w.s.devices.of(local), segment)
	h.Control = nil
	if n > 0 {
		h.Control = &w.ctrls[i].bytes()[0]
	}
	h.SetControllen(n)
}

// data fills in the octets of entry i.
func (w *sender) data(i int, b []byte, marked bool) {
	iov := &w.iovs[i]
	w.used = max(w.used, i+1)
	n := 0
	if marked {
		iov[0].Base = &marker[0]
		iov[0].SetLen(markerLen)
		n = 1
	}
	iov[n].Base = unsafe.SliceData(b)
	iov[n].SetLen(len(b))
	w.hdrs[i].Hdr.Iov = &iov[0]
	w.hdrs[i].Hdr.SetIovlen(n + 1)
}

// release forgets the caller's memory and gives w back.
func (w *sender) release() {
	clear(w.iovs[:w.used])
	w.used = 0
	w.s.senders.Put(w)
}

// Write implements Socket. A packet that the kernel refuses (no route, say) is skipped.
func (s *udpSocket) Write(batch []Packet) (sent int, err error) {
	w := s.senders.Get().(*sender)
	defer w.release()
	for len(batch) > 0 {
		n := min(len(batch), writeBatch)
		for i, p := range batch[:n] {
			w.address(i, p.Local.Addr(), p.Remote, 0)
			w.data(i, p.Data, p.Marker)
		}
		batch = batch[n:]
		for w.from, w.to = 0, n; w.from < w.to; {
			before := w.from
			if e := s.raw.Control(w.try); e != nil {
				return sent, e
			}
			sent += w.from - before
			if w.errno == unix.EAGAIN {
				return sent, w.errno
			}
			if w.errno != 0 {
				err = w.errno
				w.from++
			}
		}
	}
	return sent, err
}

// WriteSegments implements Socket.
func (s *udpSocket) WriteSegments(local, remote netip.AddrPort, buf []byte, segment int) error {
	if len(buf) == 0 {
		return nil
	}
	if segment <= 0 || segment > len(buf) {
		segment = len(buf)
	}
	w := s.senders.Get().(*sender)
	defer w.release()
	cut := min(maxBuffer/segment, maxSegments)
	if segment == len(buf) || cut < 2 || !s.gso.Load() {
		return w.each(local.Addr(), remote, buf, segment)
	}
	for at := 0; at < len(buf); at += cut * segment {
		part := buf[at:min(at+cut*segment, len(buf))]
		if err := w.joined(local.Addr(), remote, part, segment); err != nil {
			return err
		}
	}
	return nil
}

// joined lets the kernel cut part into segments.
func (w *sender) joined(local netip.Addr, remote netip.AddrPort, part []byte, segment int) error {
	w.address(0, local, remote, segment)
	w.data(0, part, false)
	err := w.flush(1)
	switch w.errno {
	case unix.EIO:
		// The device computes no checksums, without which there is no segmentation: for good.
		w.s.gso.Store(false)
	case unix.EINVAL, unix.EMSGSIZE: // the latter from Linux 6.14 on
		// A segment is longer than the path's MTU: this once the kernel fragments each packet.
	default:
		return err
	}
	return w.each(local, remote, part, segment)
}

// each sends every segment as a message of its own.
func (w *sender) each(local netip.Addr, remote netip.AddrPort, buf []byte, segment int) error {
	w.address(0, local, remote, 0)
	for at, n := 0, 0; at < len(buf); {
		end := min(at+segment, len(buf))
		h := w.hdrs[0].Hdr // name and control of entry 0
		w.hdrs[n].Hdr = h
		w.data(n, buf[at:end], false)
		n++
		if at = end; n == writeBatch || at == len(buf) {
			if err := w.flush(n); err != nil {
				return err
			}
			n = 0
		}
	}
	return nil
}

// flush sends the first n entries and waits for room where it has to.
func (w *sender) flush(n int) error {
	w.from, w.to = 0, n
	if err := w.s.raw.Control(w.try); err != nil {
		return err
	}
	if w.errno == unix.EAGAIN {
		if err := w.s.raw.Write(w.wait); err != nil {
			return err
		}
	}
	if w.errno != 0 {
		return w.errno
	}
	return nil
}
