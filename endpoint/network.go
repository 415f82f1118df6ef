package endpoint

import "net/netip"

// A Network is where an endpoint's sockets come from. The kernel's UDP is the default; package
// endpointtest has one in memory.
type Network interface {
	// Listen binds l.Addr; port 0 means any free one. It returns one socket per reader, all on the
	// same port, or fewer where the network cannot share a port among sockets.
	Listen(l Listen) ([]Socket, error)
	// Source is the address that this host would use towards remote.
	Source(remote netip.Addr) (netip.Addr, error)
}

// Listen says what to bind.
type Listen struct {
	Addr    netip.AddrPort // an unspecified address means all of its family, and only that
	Readers int            // wanted number of sockets that share the port, at least 1
	VRF     string         // device of the VRF that the socket is bound to; empty: none
	Beside  bool           // other VRFs, and the default one, have this port too
	Offload bool           // let the kernel join and cut packets (UDP GRO and GSO), for ESP
	// KernelESP lets the kernel take what is ESP out of the stream (UDP_ENCAP); IKE and keepalives stay.
	KernelESP bool
}

// A Socket is one bound UDP port. Read has one caller at a time; the other methods may be called
// from any goroutine, also during Read.
type Socket interface {
	// Addr is what the socket is bound to.
	Addr() netip.AddrPort
	// Read blocks until there is something, fills in up to len(batch) packets and says how many.
	// Their Data is the socket's own, valid until the next Read. After Close the error is
	// net.ErrClosed; after any other error Read may be called again.
	Read(batch []Packet) (int, error)
	// Write sends the packets, each from its Local address if that is valid, and says how many left.
	// It does not block: what does not fit into the socket's buffer is not sent.
	Write(batch []Packet) (int, error)
	// WriteSegments sends buf as datagrams of segment octets each, the last may be shorter. It may
	// wait for room in the socket's buffer, and does not allocate.
	WriteSegments(local, remote netip.AddrPort, buf []byte, segment int) error
	// Close ends a blocked Read.
	Close() error
}

// A Packet is a datagram, or several of one flow joined by the kernel.
type Packet struct {
	Local, Remote netip.AddrPort
	// Data holds datagrams of Segment octets each, the last may be shorter.
	Data    []byte
	Segment int
	// Truncated: the datagram was longer than any buffer. Read only.
	Truncated bool
	// Marker puts four zero octets in front of Data, the non-ESP marker of RFC 3948 section 2.2.
	// Write only.
	Marker bool
}
