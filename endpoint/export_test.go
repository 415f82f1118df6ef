package endpoint

import (
	"net/netip"
	"time"

	"flexvpn/ikev2"
)

// What the tests of this room see of its inside. They live in package endpoint_test because they
// use endpointtest, which imports this package.
type (
	Machine   = machine
	Gate      = gate
	Deadlines = deadlines
)

const (
	QueueLength  = queueLength
	HalfOpenHard = halfOpenHard
	BucketSize   = bucketSize
	MaxIKE       = maxIKE
	TooSoon      = tooSoon
	ErrorLimit   = errorLimit
	ErrorPause   = errorPause
)

// Fakes stand in for package ikev2; nil fields are the real one.
type Fakes struct {
	Initiator func(time.Time, *ikev2.Common, *ikev2.Policy, ikev2.Path) Machine
	Responder func(time.Time, *ikev2.Common, ikev2.Path) Machine
	Gate      func(time.Time) Gate
	Stateless func(*ikev2.Common, ikev2.Path, []byte) ([]byte, bool)
}

// OpenFake is Open with another engine.
func OpenFake(cfg Config, f Fakes) (*Endpoint, error) {
	eng := realEngine
	if f.Initiator != nil {
		eng.initiator = f.Initiator
	}
	if f.Responder != nil {
		eng.responder = f.Responder
	}
	if f.Gate != nil {
		eng.gate = f.Gate
	}
	if f.Stateless != nil {
		eng.stateless = f.Stateless
	}
	return open(cfg, eng)
}

var (
	Snake      = snake
	CopyCommon = copyCommon
	NewSPI     = newSPI
	ShardOf    = shardOf
)

// KernelUDP is the network of this host.
var KernelUDP Network = kernelUDP{}

// NoGSO makes a kernel socket send every segment by itself, as where the kernel cannot cut.
func NoGSO(s Socket) { s.(*udpSocket).gso.Store(false) }

// HasGSO tells whether the kernel cuts.
func HasGSO(s Socket) bool { return s.(*udpSocket).gso.Load() }

// ReadPacket passes a packet through a reader of e's NAT-traversal port.
func (e *Endpoint) ReadPacket(p Packet) {
	r := reader{e: e, nat: true}
	r.packet(&p)
}

// Classify names what a datagram of the NAT-traversal port is.
func Classify(b []byte) string {
	return [...]string{kindShort: "short", kindKeepalive: "keepalive", kindIKE: "ike", kindESP: "esp"}[classify(b)]
}

// Header is what parseHeader makes of a datagram.
func Header(b []byte) (local uint64, begins, ok bool) {
	h, ok := parseHeader(b)
	return h.local(), h.begins, ok
}

// NewConn makes a Conn that waits for nothing.
func NewConn() *Conn { return &Conn{slot: noSlot} }

// Set, Remove and First are the heap's own.
func (d *deadlines) Set(c *Conn, at int64) { d.set(c, at) }

// Remove takes a deadline away.
func (d *deadlines) Remove(c *Conn) { d.remove(c) }

// First is the earliest.
func (d *deadlines) First() (*Conn, int64, bool) {
	f, ok := d.first()
	return f.conn, f.at, ok
}

// Pick says from which address a socket among addrs would send.
func Pick(sockets []Socket, local, remote netip.Addr) Socket {
	return bound(sockets).pick(local, remote)
}
