package endpoint

import (
	"net/netip"
	"time"

	"flexvpn/ikev2"
)

// outbox gathers what a shard sends until the shard has no more work at hand.
type outbox struct {
	e       *Endpoint
	packets []Packet
	sockets []Socket // that each packet leaves from
}

// keepaliveOctet is the whole datagram of RFC 3948 section 2.3.
var keepaliveOctet = []byte{0xFF}

func (o *outbox) send(p ikev2.Path, datagram []byte) {
	o.add(p, datagram, p.Encap)
}

func (o *outbox) keepalive(p ikev2.Path) { o.add(p, keepaliveOctet, false) }

func (o *outbox) add(p ikev2.Path, data []byte, marker bool) {
	socket := o.e.bound(p.VRF, p.Encap).pick(p.Local.Addr(), p.Remote.Addr())
	if socket == nil {
		o.e.count.DroppedSend.Add(1)
		return
	}
	o.packets = append(o.packets, Packet{Local: p.Local, Remote: p.Remote, Data: data, Marker: marker})
	o.sockets = append(o.sockets, socket)
}

// flush sends, one call for each run of packets that leave from the same socket.
func (o *outbox) flush() {
	for from := 0; from < len(o.packets); {
		to := from + 1
		for to < len(o.packets) && o.sockets[to] == o.sockets[from] {
			to++
		}
		sent, _ := o.sockets[from].Write(o.packets[from:to])
		o.e.count.TxDatagrams.Add(uint64(sent))
		o.e.count.DroppedSend.Add(uint64(to - from - sent))
		from = to
	}
	clear(o.packets)
	o.packets, o.sockets = o.packets[:0], o.sockets[:0]
}

// bound are the sockets of a routing domain for one purpose.
func (e *Endpoint) bound(vrf string, encap bool) bound {
	if encap {
		return e.nat[vrf]
	}
	return e.ike[vrf]
}

// bound are the sockets of one purpose, one for each address that is listened on.
type bound []Socket

// pick chooses the socket that may send from local (invalid or unspecified: any) to remote; nil if
// there is none.
func (b bound) pick(local, remote netip.Addr) Socket {
	for _, s := range b {
		a := s.Addr().Addr()
		if a.Is4() != remote.Is4() {
			continue
		}
		if a.IsUnspecified() || !local.IsValid() || local.IsUnspecified() || a.WithZone("") == local.WithZone("") {
			return s
		}
	}
	return nil
}

// A bucket limits a rate: it holds up to bucketSize tokens and gets a new one every bucketPeriod.
type bucket struct {
	tokens int
	filled time.Time
}

const (
	bucketSize   = 50
	bucketPeriod = 20 * time.Millisecond
)

// spend takes a token if there is one.
func (b *bucket) spend(now time.Time) bool {
	if n := int(now.Sub(b.filled) / bucketPeriod); n > 0 {
		b.tokens = min(b.tokens+n, bucketSize)
		b.filled = now
	}
	if b.tokens == 0 {
		return false
	}
	b.tokens--
	return true
}
