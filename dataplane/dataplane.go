// Package dataplane declares what a data plane is told: the whole desired state of one interface at
// a time. Its implementations (userspace, kernel, the fake of planetest) make it so.
package dataplane

import (
	"net/netip"
	"time"

	"flexvpn/secret"
)

// A Plane forwards packets. Its methods may block and may be called from any goroutine; calls for
// one interface are made in order by one caller at a time.
type Plane interface {
	// Apply makes the interface exactly what spec says: created if it is not there, else changed.
	// What is added is added before anything is removed, so that traffic does not notice. Calling
	// it again changes nothing. On error the interface is as before, or gone if it was new.
	Apply(spec Interface) error
	// Remove takes the interface and its SAs away; removing what is not there is no error.
	Remove(name string) error
	// Counters reads one interface and its SAs; ok is false when it does not exist.
	Counters(name string) (c Counters, ok bool)
	// Totals are what all interfaces carried since the plane was made, those that are gone included.
	// It costs the same with one interface and with ten thousand.
	Totals() Totals
	// Events tells of expiries and of interfaces that vanished. It is closed by Close. When nobody
	// reads, events are dropped and counted.
	Events() <-chan Event
	// EventsDropped counts events that nobody read in time.
	EventsDropped() uint64
	// Drops are packets this plane dropped, by reason (a closed set).
	Drops() map[string]uint64
	// NeedsEncap is true when the plane has ESP in UDP only.
	NeedsEncap() bool
	// Name is kernel, userspace or none.
	Name() string
	// Close removes everything the plane made.
	Close() error
}

// Mode is the encapsulation of an interface.
type Mode uint8

// The modes, named as in the virtual-template.
const (
	IPsec Mode = iota + 1 // native tunnel mode, any inner family
	GRE                   // GRE inside ESP, in transport or tunnel mode as each child says
)

// String names the mode as the configuration does.
func (m Mode) String() string {
	switch m {
	case IPsec:
		return "ipsec"
	case GRE:
		return "gre"
	}
	return "unknown"
}

// Path is where the outer packets run.
type Path struct {
	Local, Remote netip.AddrPort // ports matter with Encap only
	Encap         bool           // ESP in UDP
}

// Interface is one virtual-access or tunnel interface with all its SAs: the desired state.
type Interface struct {
	Name      string // at most 15 octets
	Alias     string // what an operator reads in ip link
	Mode      Mode
	MTU       int // inner, in octets: 576 (1280 with IPv6) to 65535
	AdjustMSS int // largest TCP MSS let through for IPv4, 20 less for IPv6; 0: untouched
	Addresses []netip.Prefix
	// VRF is the device of the VRF that the interface is a port of, TransportVRF that of the VRF in
	// which the outer packets travel ("front door"); empty: the default routing domain.
	VRF, TransportVRF string
	// FilterIn and FilterOut name access lists; In is what comes from the peer. Empty: all passes.
	FilterIn, FilterOut string
	// LinesIn and LinesOut are the lists themselves, an entry a line, where they are not of the
	// configuration; a name stands for its lines.
	LinesIn, LinesOut string
	QoS               QoS
	DF                DF
	Path              Path // of children that have none of their own
	Children          []Child
	// Outbound is the SPIIn of the child that carries outgoing packets; 0: none, they are dropped.
	Outbound uint32
}

// QoS bounds what an interface carries.
type QoS struct {
	Shape  Rate // towards the peer: what exceeds it waits in a queue
	Police Rate // from the peer: what exceeds it is dropped; its burst is at least a second of the rate
}

// Rate is a token bucket; the zero value does not limit.
type Rate struct {
	Bits  uint64 // a second, IP headers of the inner packets included
	Burst uint32 // octets that may pass at once; 0: see [Rate.BurstOr]
}

// BurstOr is the burst, or where none was said what the rate carries in so many milliseconds. That
// is never less than two packets of mtu octets, without which not even one would ever pass.
func (r Rate) BurstOr(ms uint64, mtu int) uint32 {
	if r.Burst != 0 {
		return r.Burst
	}
	octets := min(r.Bits/8/1000*ms, maxBurst)
	return uint32(max(octets, 2*uint64(mtu)))
}

// DF is what becomes of the Don't Fragment bit of the outer IPv4 header (IOS: crypto ipsec df-bit).
type DF uint8

// The ways; the zero value is the default.
const (
	DFCopy  DF = iota // as the inner packet has it; set for IPv6 inside
	DFSet             // always set: nothing is fragmented on the path
	DFClear           // never set: routers may fragment, no path MTU is learned
)

// String is the word of the configuration.
func (d DF) String() string {
	switch d {
	case DFCopy:
		return "copy"
	case DFSet:
		return "set"
	case DFClear:
		return "clear"
	}
	return "unknown"
}

// Child is one pair of ESP SAs. Algorithms by IANA number (RFC 7296 section 3.3.2).
type Child struct {
	SPIIn, SPIOut     uint32
	Encr              uint16
	KeyBits           uint16
	Integ             uint16
	KeyIn, KeyOut     secret.Bytes // encryption key with its salt
	IntegIn, IntegOut secret.Bytes
	Transport         bool
	ESN               bool
	ReplayWindow      uint32 // packets; 0: 1024
	// Local and Remote are the inner selectors; empty: any. Checked on both directions in mode IPsec.
	// With GRE in tunnel mode they are one host each, the ends of GRE; see [Child.GREEnds].
	Local, Remote []netip.Prefix
	Limits        Limits
	// Path is where the packets of this child run; the zero value: as the interface says. While a
	// spoke goes from one hub to another each hub's children have their own, so that the change is only
	// which child sends.
	Path Path
}

// PathOf is where the packets of a child run.
func (i *Interface) PathOf(c *Child) Path {
	if c.Path == (Path{}) {
		return i.Path
	}
	return c.Path
}

// GREEnds are the addresses of the IP header between ESP and GRE; ok is false when a child of mode
// GRE has none, because it is in transport mode.
func (c *Child) GREEnds() (local, remote netip.Addr, ok bool) {
	if c.Transport || len(c.Local) != 1 || len(c.Remote) != 1 {
		return local, remote, false
	}
	return c.Local[0].Addr(), c.Remote[0].Addr(), true
}

// Limits end an SA by use; zero fields do not. Soft limits ask for a rekey, hard ones stop the SA.
type Limits struct {
	SoftBytes, HardBytes     uint64
	SoftPackets, HardPackets uint64
}

// Counters of an interface: inner packets and octets.
type Counters struct {
	InPackets, InBytes   uint64
	OutPackets, OutBytes uint64
	LastIn, LastOut      time.Time // zero: never
	Children             []ChildCounters
}

// Totals count inner packets and octets of a whole plane.
type Totals struct{ InPackets, InBytes, OutPackets, OutBytes uint64 }

// ChildCounters count one SA pair.
type ChildCounters struct {
	SPIIn                  uint32
	InPackets, InBytes     uint64
	OutPackets, OutBytes   uint64
	Replayed, BadIntegrity uint64
	// Elsewhere are authentic packets that came from another address than Path.Remote: the peer's
	// mapping changed and its IKE has not said so yet. They were accepted.
	Elsewhere uint64
	LastIn    time.Time
	// Offloaded: the device below does the cryptography of both directions.
	Offloaded bool
}

// EventKind is what happened.
type EventKind uint8

// The kinds.
const (
	SoftExpire    EventKind = iota + 1 // a soft limit was reached: rekey
	HardExpire                         // a hard limit was reached: the SA no longer carries packets
	InterfaceGone                      // somebody removed the interface
	FirstInbound                       // the first packet arrived on a child: its peer sends on it
)

// Event is told once.
type Event struct {
	Kind      EventKind
	Interface string
	SPIIn     uint32 // the child, for expiries
	Why       string // of InterfaceGone, where more is known than that somebody removed it: "its VRF red was deleted"
}
