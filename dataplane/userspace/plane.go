// Package userspace is a data plane of ESP in UDP over TUN devices.
package userspace

import (
	"net/netip"

	"flexvpn/dataplane"
	"flexvpn/dataplane/rtnl"
)

// Sender owns the UDP sockets of ESP in UDP (RFC 3948).
type Sender interface {
	// WriteESP sends the packets in buf, each of segment octets but the last, which may be
	// shorter, from local to remote: one system call with UDP_SEGMENT where the kernel has it.
	// A packet longer than the path's MTU must be sent by itself and be fragmented (no DF): the
	// inner MTU is the configuration's, and a tunnel that loses large packets is worse than a
	// slow one. buf is the plane's again after the call.
	WriteESP(local, remote netip.AddrPort, buf []byte, segment int) error
}

// Options of a plane.
type Options struct {
	Sender  Sender
	Link    *rtnl.Conn // configures the devices; nil: the plane opens its own
	Workers int        // goroutines that serve all devices; 0: GOMAXPROCS
}

// Plane is the userspace data plane.
type Plane struct{}

var _ dataplane.Plane = (*Plane)(nil)

// New makes a plane.
func New(o Options) (*Plane, error) { return &Plane{}, nil }

func (p *Plane) Apply(spec dataplane.Interface) error                             { return nil }
func (p *Plane) Remove(name string) error                                         { return nil }
func (p *Plane) Counters(name string) (c dataplane.Counters, ok bool)             { return c, false }
func (p *Plane) Events() <-chan dataplane.Event                                   { return nil }
func (p *Plane) Drops() map[string]uint64                                         { return nil }
func (p *Plane) NeedsEncap() bool                                                 { return true }
func (p *Plane) Name() string                                                     { return "userspace" }
func (p *Plane) Close() error                                                     { return nil }
func (p *Plane) ReceiveESP(local, remote netip.AddrPort, buf []byte, segment int) {}
