package userspace

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"flexvpn/dataplane"
)

// This file is the way of a packet in, in its order: a buffer of ESP packets of one sender, each
// one's SA is found, its number checked, the packet opened in place, its number marked, what is in
// it checked and merged with its neighbours, and all written to the device.

// keepalive is the one octet of a NAT-keepalive packet, RFC 3948 section 2.3.
const keepalive = 0xff

// ReceiveESP takes ESP packets of segment octets each, the last perhaps shorter, as UDP GRO delivers
// them. They are decrypted in place; buf is the caller's again after the call. It may be called from
// several goroutines.
func (p *Plane) ReceiveESP(_, remote netip.AddrPort, buf []byte, segment int) {
	if segment <= 0 {
		segment = len(buf)
	}
	r := p.receivers.Get().(*receiver)
	r.remote = unmapped(remote)
	for len(buf) > 0 {
		n := min(segment, len(buf))
		r.packet(buf[:n:n])
		buf = buf[n:]
	}
	r.leave()
	p.receivers.Put(r)
}

// receiver is the state of one ReceiveESP call.
type receiver struct {
	plane   *Plane
	remote  netip.AddrPort
	sa      *sa // whose packets are being opened; its in is locked
	forward *forwarding
	policy  *policy
	before  use // of sa when it was entered
	merge   *coalescer
}

// packet takes one ESP packet.
func (r *receiver) packet(packet []byte) {
	if len(packet) < espHeader {
		if len(packet) != 1 || packet[0] != keepalive {
			r.plane.drop(dropMalformed, 1)
		}
		return
	}
	spi := binary.BigEndian.Uint32(packet)
	if r.sa == nil || r.sa.spiIn != spi {
		r.leave()
		if !r.enter(spi) {
			r.plane.drop(dropUnknownSPI, 1)
			return
		}
	}
	if reason := r.open(packet); reason != delivered {
		r.plane.drop(reason, 1)
	}
}

// enter begins a row of packets of one SA.
func (r *receiver) enter(spi uint32) bool {
	s := r.plane.spis.find(spi)
	if s == nil {
		return false
	}
	s.in.Lock()
	r.sa, r.forward, r.policy, r.before = s, s.owner.forward.Load(), s.policy.Load(), s.in.use
	r.merge.out, r.merge.udp = &s.owner.tun, s.owner.tun.uso
	return true
}

// leave ends it: what was merged goes to the device, what was counted to the interface.
func (r *receiver) leave() {
	s := r.sa
	if s == nil {
		return
	}
	r.merge.flush()
	if r.merge.lost > 0 {
		r.plane.drop(dropDevice, uint64(r.merge.lost))
		r.merge.lost = 0
	}
	if packets := s.in.use.packets - r.before.packets; packets > 0 {
		now := time.Now()
		s.in.last = now
		s.owner.received(packets, s.in.use.bytes-r.before.bytes, now)
		if r.before.packets == 0 {
			r.plane.Tell(dataplane.Event{Kind: dataplane.FirstInbound, Interface: s.owner.name, SPIIn: s.spiIn})
		}
	}
	s.in.Unlock()
	r.sa = nil
}

// open verifies one packet, RFC 4303 section 3.4: the window is consulted before and moved only after
// the integrity check. It tells what became of the packet.
func (r *receiver) open(packet []byte) dropReason {
	s := r.sa
	in := &s.in
	body := len(packet) - espHeader - in.iv - in.icv
	if body < espTrailer || body%in.align != 0 {
		return dropMalformed
	}
	if s.expired.Load() {
		return dropExpired
	}
	seq, ok := in.window.extend(binary.BigEndian.Uint32(packet[4:]), s.esn)
	if !ok || !in.window.fresh(seq) {
		in.replayed++
		return dropReplayed
	}
	plain, ok := in.open(packet, seq)
	if !ok {
		in.corrupt++
		return dropIntegrity
	}
	in.window.mark(seq)
	// Only authenticated IKE messages move a peer; a NAT that changed its mapping is counted here.
	if r.remote != r.policy.from {
		in.elsewhere++
	}
	pad, next := int(plain[len(plain)-2]), plain[len(plain)-1]
	if pad+espTrailer > len(plain) {
		return dropMalformed
	}
	return r.deliver(plain[:len(plain)-espTrailer-pad], next)
}

// deliver checks what an authentic packet carries and passes it on.
func (r *receiver) deliver(payload []byte, next uint8) dropReason {
	if next == protoNone {
		return delivered // a dummy packet: RFC 4303 section 2.6 wants it discarded without a word
	}
	payload, reason := r.forward.unwrap(r.policy, payload, next)
	if reason != delivered {
		return reason
	}
	payload, ok := innerPacket(payload)
	if !ok {
		return dropMalformed
	}
	if r.forward.gre == 0 {
		src, dst := addresses(payload)
		if !r.policy.remote.has(src) || !r.policy.local.has(dst) {
			return dropSelector
		}
	}
	if !r.sa.spend(&r.sa.in.use, &r.policy.limits, len(payload)) {
		return dropExpired
	}
	clampMSS(payload, r.forward.mss)
	r.merge.add(payload)
	return delivered
}

// unwrap takes off what stands between ESP and the inner packet in the interface's mode.
func (f *forwarding) unwrap(p *policy, payload []byte, next uint8) ([]byte, dropReason) {
	if p.greIP != nil {
		var reason dropReason
		if payload, reason = p.takeGREIP(payload, next); reason != delivered {
			return nil, reason
		}
		next = protoGRE
	}
	if f.gre != 0 {
		if next != protoGRE {
			return nil, dropProtocol
		}
		inner, err := parseGRE(payload)
		switch {
		case errors.Is(err, errGREProtocol):
			return nil, dropProtocol
		case err != nil:
			return nil, dropMalformed
		}
		return inner, delivered
	}
	if len(payload) == 0 {
		return nil, dropMalformed
	}
	switch version := payload[0] >> 4; {
	case next != protoIPv4 && next != protoIPv6:
		return nil, dropProtocol
	case version != 4 && next == protoIPv4, version != 6 && next == protoIPv6:
		return nil, dropMalformed
	}
	return payload, delivered
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	if a.Addr().Is4In6() {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	return a
}
