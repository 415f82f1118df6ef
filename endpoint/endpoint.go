package endpoint

import (
	"context"
	"errors"
	"net/netip"

	"flexvpn/ikev2"
)

// ErrStopped is returned when the endpoint has ended.
var ErrStopped = errors.New("the IKE endpoint has stopped")

// An Endpoint owns the sockets and the shards.
type Endpoint struct{}

// Open binds the sockets; nothing is read before Run.
func Open(Config) (*Endpoint, error) { return nil, ErrStopped }

// Run reads, drives the SAs and returns when ctx ends and every goroutine has.
func (e *Endpoint) Run(context.Context) error { return ErrStopped }

// Close releases the sockets of an endpoint that was never run.
func (e *Endpoint) Close() error { return nil }

// Initiate begins an SA towards remote (port 0: 500) and returns at once.
func (e *Endpoint) Initiate(h Handler, data any, p *ikev2.Policy, local netip.Addr, remote netip.AddrPort) (*Conn, error) {
	return nil, ErrStopped
}

// WriteESP sends ESP packets of segment octets each from the NAT-traversal socket.
func (e *Endpoint) WriteESP(local, remote netip.AddrPort, buf []byte, segment int) error {
	return ErrStopped
}

// HalfOpen is the number of peers' handshakes under way.
func (e *Endpoint) HalfOpen() int { return 0 }

// Counters are those of the engine and of the sockets, by name; all only grow.
func (e *Endpoint) Counters() map[string]uint64 { return nil }

// Trace sends what the engine traces to t, from all shards; nil turns it off.
func (e *Endpoint) Trace(t ikev2.Tracer) {}

// Ports are the UDP ports in use.
func (e *Endpoint) Ports() (ike, nat uint16) { return 0, 0 }

// SetAdmission changes Config.MaxHalfOpen and Config.CookieAlways.
func (e *Endpoint) SetAdmission(maxHalfOpen int, cookieAlways bool) {}

// Adjust runs f on every shard's Common, on the shard's goroutine: SAs made later see the change.
func (e *Endpoint) Adjust(f func(*ikev2.Common)) {}
