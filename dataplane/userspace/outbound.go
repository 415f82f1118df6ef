package userspace

import (
	"encoding/binary"
	"errors"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// This file is the way of a packet out, in its order: a device becomes readable, a worker reads
// what may stand for many packets, splits it, writes each segment to its place in a batch of equal
// ESP packets, seals it there, and hands the batch to the sender.

const (
	// turn is how many reads a device gets before others have theirs.
	turn = 32
	// maxRead is the longest that a TUN device gives: a header and 64 KiB of packet, IPv6 header
	// on top.
	maxRead = vnetSize + 65536 + ip6Header
	// maxSegments is what kernels before 6.9 take in one UDP_SEGMENT call (UDP_MAX_SEGMENTS).
	maxSegments = 64
	// maxDatagrams is what one such call may carry in all: an IPv4 packet's payload less the UDP
	// header.
	maxDatagrams = 65507
)

// worker serves the devices of a plane that have packets to send. Each device is served by one
// worker at a time, so that its packets stay in order.
type worker struct {
	plane *Plane
	in    []byte
	split splitter
	batch batch
}

func newWorker(p *Plane) *worker {
	return &worker{plane: p, in: make([]byte, maxRead), batch: batch{buf: make([]byte, 0, maxDatagrams)}}
}

// run waits for readable devices until the plane is closed.
func (w *worker) run() {
	var events [16]unix.EpollEvent
	for {
		n, err := unix.EpollWait(w.plane.epoll, events[:], -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for i := range max(n, 0) {
			id := deviceID(&events[i])
			if id == wakeID {
				return // it stays readable for the other workers
			}
			if d := w.plane.deviceByID(id); d != nil {
				w.serve(d)
			}
		}
	}
}

// serve sends what a device has. The device was disarmed when it was found readable; it is armed
// again at the end, which tells at once when something is left.
func (w *worker) serve(d *device) {
	d.tx.Lock()
	armed := true
	for range turn {
		n, err := d.tun.read(w.in)
		if err != nil {
			armed = errors.Is(err, unix.EAGAIN)
			break
		}
		if n > vnetSize {
			w.packet(d, w.in[:n])
		}
	}
	w.flush(d)
	d.tx.Unlock()
	if armed {
		d.arm()
	}
}

// packet sends one packet as it was read, virtio header first.
func (w *worker) packet(d *device, b []byte) {
	f := d.forward.Load()
	if f != w.batch.forward {
		w.flush(d)
		w.batch.forward = f
	}
	s := f.out
	if s == nil {
		w.plane.drop(dropNoOutbound, 1)
		return
	}
	h, p := parseVnet(b), b[vnetSize:]
	p, ok := innerPacket(p)
	if !ok || w.split.start(h, p) != nil {
		w.plane.drop(dropMalformed, 1)
		return
	}
	policy := s.policy.Load()
	if !f.allowed(policy, p) {
		w.plane.drop(dropSelector, 1)
		return
	}
	if h.gsoType == gsoNone {
		clampMSS(p, f.mss)
	}
	for n := w.split.length(); n > 0; n = w.split.length() {
		if !w.segment(d, f, policy, n) {
			return
		}
	}
}

// allowed reports whether an outgoing packet may enter the tunnel: it belongs to the selectors (RFC
// 4301 section 5.1), and it has a source (RFC 4291 section 2.5.2: the kernel's multicast reports of
// an interface without a link-local address have none).
func (f *forwarding) allowed(policy *policy, p []byte) bool {
	if f.gre == 0 && policy.local.all && policy.remote.all && p[0]>>4 == 4 {
		return true
	}
	src, dst := addresses(p)
	if src.IsUnspecified() && src.Is6() {
		return false
	}
	return f.gre != 0 || policy.local.has(src) && policy.remote.has(dst)
}

// segment seals the next segment of the split packet, n octets long, into the batch. It is false when
// the SA carries no more, or no datagram so much: the device's MTU may be anybody's.
func (w *worker) segment(d *device, f *forwarding, policy *policy, n int) bool {
	s := f.out
	head := len(policy.greIP) + f.gre
	payload := head + n
	size := s.out.size(payload)
	if size > maxDatagrams {
		w.plane.drop(dropOversized, 1)
		return false
	}
	if s.expired.Load() || !s.spend(&s.out.use, &policy.limits, n) {
		w.plane.drop(dropExpired, 1)
		return false
	}
	seq, ok := s.sequence()
	if !ok {
		w.plane.drop(dropExpired, 1)
		return false
	}
	packet := w.room(d, size)
	binary.BigEndian.PutUint32(packet, s.spiOut)
	binary.BigEndian.PutUint32(packet[4:], uint32(seq))
	body := packet[espHeader+s.out.iv : len(packet)-s.out.icv]
	w.split.write(body[head:payload])
	version := body[head] >> 4
	if f.gre != 0 {
		putGRE(body[len(policy.greIP):], version)
		putGREIP(body[:payload], policy.greIP)
	}
	finish(body, payload, f.next(policy, version))
	s.out.seal(packet, seq)
	w.batch.payload += n
	return true
}

// finish writes padding, its length and the next header behind the payload: RFC 4303 section 2.4.
func finish(body []byte, payload int, next uint8) {
	pad := len(body) - payload - espTrailer
	for i := range pad {
		body[payload+i] = uint8(i + 1)
	}
	body[len(body)-2], body[len(body)-1] = uint8(pad), next
}

// batch is a row of ESP packets of one length, the last perhaps shorter, that leave in one call.
type batch struct {
	buf     []byte
	segment int // length of each; 0: the batch is empty
	count   int
	full    bool        // the last one was shorter
	payload int         // octets of inner packets in it
	forward *forwarding // what they were made for
}

// room is the place of the next ESP packet of n octets, at most maxDatagrams; what does not fit into a batch with others
// goes into the next.
func (w *worker) room(d *device, n int) []byte {
	b := &w.batch
	if b.full || b.count == maxSegments || len(b.buf)+n > cap(b.buf) || b.count > 0 && n > b.segment {
		w.flush(d)
	}
	if b.count == 0 {
		b.segment = n
	}
	b.full = n < b.segment
	b.count++
	start := len(b.buf)
	b.buf = b.buf[:start+n]
	return b.buf[start:]
}

// flush hands the batch to the sender.
func (w *worker) flush(d *device) {
	b := &w.batch
	if b.count == 0 {
		return
	}
	path := &b.forward.path
	if err := w.plane.sender.WriteESP(b.forward.vrf, path.Local, path.Remote, b.buf, b.segment); err != nil {
		w.plane.drop(dropSend, uint64(b.count))
	} else {
		d.lastOut = time.Now()
	}
	d.outPackets += uint64(b.count)
	d.outBytes += uint64(b.payload)
	w.plane.totals.outPackets.Add(uint64(b.count))
	w.plane.totals.outBytes.Add(uint64(b.payload))
	b.buf, b.segment, b.count, b.full, b.payload = b.buf[:0], 0, 0, false, 0
}

// startWorkers starts n workers, GOMAXPROCS when n is 0.
func (p *Plane) startWorkers(n int) {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	for range n {
		p.tasks.Go(newWorker(p).run)
	}
}
