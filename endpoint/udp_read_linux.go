package endpoint

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inbound is what recvmmsg fills in for one socket. Everything is allocated once.
type inbound struct {
	s     *udpSocket
	hdrs  []unix.Mmsghdr
	iovs  []unix.Iovec
	names []unix.RawSockaddrInet6 // large enough for both families
	ctrls []control
	bufs  [][]byte

	want, got int
	errno     syscall.Errno
	call      func(fd uintptr) bool
}

// control is room for the control messages of one packet, aligned as the kernel wants it.
type control [10]uint64

const controlLen = int(unsafe.Sizeof(control{}))

func (c *control) bytes() []byte { return unsafe.Slice((*byte)(unsafe.Pointer(c)), controlLen) }

func (in *inbound) init(s *udpSocket, size int) {
	in.s = s
	in.hdrs = make([]unix.Mmsghdr, readBatch)
	in.iovs = make([]unix.Iovec, readBatch)
	in.names = make([]unix.RawSockaddrInet6, readBatch)
	in.ctrls = make([]control, readBatch)
	in.bufs = make([][]byte, readBatch)
	all := make([]byte, readBatch*size)
	for i := range in.hdrs {
		in.bufs[i] = all[i*size : (i+1)*size : (i+1)*size]
		in.iovs[i].Base = &in.bufs[i][0]
		in.iovs[i].SetLen(size)
		h := &in.hdrs[i].Hdr
		h.Iov = &in.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&in.names[i]))
		h.Control = &in.ctrls[i].bytes()[0]
	}
	in.call = in.recvmmsg
}

// recvmmsg is called when there may be something to read; false means that there was nothing.
func (in *inbound) recvmmsg(fd uintptr) bool {
	for i := range in.hdrs[:in.want] {
		h := &in.hdrs[i].Hdr
		h.Namelen = uint32(unsafe.Sizeof(in.names[i]))
		h.SetControllen(controlLen)
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&in.hdrs[0])),
			uintptr(in.want), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		case 0:
			in.got = int(n)
		}
		in.errno = errno
		return true
	}
}

// Read implements Socket.
func (s *udpSocket) Read(batch []Packet) (int, error) {
	in := &s.in
	in.want, in.got = min(len(batch), len(in.hdrs)), 0
	if err := s.raw.Read(in.call); err != nil {
		return 0, err
	}
	if in.errno != 0 {
		return 0, in.errno
	}
	for i := range in.got {
		in.packet(i, &batch[i])
	}
	return in.got, nil
}

// packet tells what the kernel wrote into place i.
func (in *inbound) packet(i int, p *Packet) {
	h := &in.hdrs[i]
	*p = Packet{
		Data:      in.bufs[i][:h.Len],
		Segment:   int(h.Len),
		Remote:    readSockaddr(&in.names[i]),
		Truncated: h.Hdr.Flags&unix.MSG_TRUNC != 0,
	}
	local, segment := parseControl(in.ctrls[i].bytes()[:h.Hdr.Controllen])
	p.Local = netip.AddrPortFrom(local, in.s.addr.Port())
	if segment > 0 {
		p.Segment = segment
	}
}
