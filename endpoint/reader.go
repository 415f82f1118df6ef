package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"flexvpn/ikev2"
)

const (
	readBatch = 16
	// A socket whose reads fail is tried again after errorPause, and given up after errorLimit
	// failures in a row.
	errorPause = 10 * time.Millisecond
	errorLimit = 500
)

// A reader brings what arrives on one socket to where it belongs.
type reader struct {
	e      *Endpoint
	socket Socket
	nat    bool
	vrf    string
}

// run reads until the socket is closed. An error means that the socket is broken for good.
func (r *reader) run(ctx context.Context) error {
	batch := make([]Packet, readBatch)
	for failures := 0; ; {
		n, err := r.socket.Read(batch)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			r.e.count.ReadErrors.Add(1)
			if failures++; failures == errorLimit {
				return fmt.Errorf("read from udp %s: %w", r.socket.Addr(), err)
			}
			if !pause(ctx, errorPause) {
				return nil
			}
			continue
		}
		failures = 0
		for i := range batch[:n] {
			r.packet(&batch[i])
		}
	}
}

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// packet takes one datagram, or several that the kernel joined: all of one flow, but IKE, keepalives
// and ESP may be among them.
func (r *reader) packet(p *Packet) {
	if p.Truncated {
		r.e.count.DroppedOversized.Add(1)
		return
	}
	segment := p.Segment
	if segment <= 0 || segment > len(p.Data) {
		segment = len(p.Data)
	}
	if segment == 0 {
		r.e.count.DroppedShort.Add(1)
		return
	}
	esp := 0 // where the ESP packets begin that have not been handed over
	for at := 0; at < len(p.Data); at += segment {
		end := min(at+segment, len(p.Data))
		d := p.Data[at:end]
		if r.nat && classify(d) == kindESP {
			continue
		}
		r.deliverESP(p, p.Data[esp:at], segment)
		esp = end
		r.control(p, d)
	}
	r.deliverESP(p, p.Data[esp:], segment)
}

func (r *reader) deliverESP(p *Packet, buf []byte, segment int) {
	if len(buf) == 0 {
		return
	}
	n := uint64(segments(len(buf), segment))
	if r.e.sink == nil {
		r.e.count.DroppedNoSink.Add(n)
		return
	}
	r.e.count.RxESPPackets.Add(n)
	r.e.sink.ReceiveESP(p.Local, p.Remote, buf, min(segment, len(buf)))
}

// control takes a datagram that is not ESP.
func (r *reader) control(p *Packet, d []byte) {
	if !r.nat {
		r.deliverIKE(p, d)
		return
	}
	switch classify(d) {
	case kindIKE:
		r.deliverIKE(p, d[markerLen:])
	case kindKeepalive:
		r.e.count.RxKeepalives.Add(1)
	case kindShort, kindESP:
		r.e.count.DroppedShort.Add(1)
	}
}

// deliverIKE queues a copy to the shard that owns the SA.
func (r *reader) deliverIKE(p *Packet, b []byte) {
	h, ok := parseHeader(b)
	switch {
	case !ok:
		r.e.count.DroppedShort.Add(1)
		return
	case len(b) > maxIKE:
		r.e.count.DroppedOversized.Add(1)
		return
	}
	d := r.e.datagrams.get(b)
	d.header = h
	d.path = ikev2.Path{Local: p.Local, Remote: p.Remote, Encap: r.nat, VRF: r.vrf}
	select {
	case r.e.shardFor(d).inbox <- d:
		r.e.count.RxDatagrams.Add(1)
	default:
		r.e.count.DroppedQueueFull.Add(1)
		r.e.datagrams.put(d)
	}
}

// shardFor finds the owner: by our SPI, or for a message that has none yet by what stays the same
// when it is repeated.
func (e *Endpoint) shardFor(d *datagram) *shard {
	if spi := d.header.local(); spi != 0 {
		return e.shards[shardOf(spi, len(e.shards))]
	}
	key := halfKey{remote: d.path.Remote, spi: d.header.spiInitiator}
	return e.shards[key.shard(e.seed, len(e.shards))]
}

// A datagram is one IKE message on its way to a shard.
type datagram struct {
	path   ikev2.Path
	header header
	data   []byte // the datagram's own
}

// datagramPool holds datagrams whose message has been dealt with.
type datagramPool struct{ pool sync.Pool }

// usual is the size of a message that is worth keeping a buffer for.
const usual = 2048

// get returns a datagram with a copy of b.
func (p *datagramPool) get(b []byte) *datagram {
	d, ok := p.pool.Get().(*datagram)
	if !ok {
		d = &datagram{data: make([]byte, 0, usual)}
	}
	d.data = append(d.data[:0], b...)
	return d
}

// put takes a datagram back; the caller must not touch it any more.
func (p *datagramPool) put(d *datagram) {
	if cap(d.data) <= usual {
		p.pool.Put(d)
	}
}
