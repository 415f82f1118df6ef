package bgp

import (
	"net"
	"net/netip"
	"time"

	"flexvpn/config"
)

// A session is what a library does for one neighbor: everything up to the meaning of what is said.
type session interface {
	// Take hands over a connection with the neighbor, whoever opened it. One that cannot be used now
	// is closed.
	Take(*net.TCPConn)
	Announce(netip.Prefix, *Attributes) error
	Withdraw(netip.Prefix) error
	// Status is what show tells of the session.
	Status() status
	// Close ends the session at once; the neighbor is told. No event follows.
	Close()
}

// A library starts sessions.
type library interface {
	Start(neighbor, events) (session, error)
}

// neighbor is what a session needs to know.
type neighbor struct {
	address netip.Addr
	asn     uint32 // ours
	peer    *config.BGPPeer
	id      netip.Addr // our router id
	cluster netip.Addr
	stays   bool // forwarding outlives this process
}

// events are what a session tells. They come one at a time and in order.
type events interface {
	// Ready: the neighbor is awaited, a connection can be taken.
	Ready()
	Up(established)
	// Down: the session that was up has ended. With graceful restart its paths stay until they are
	// withdrawn.
	Down(reason string)
	// Failed: a connection did not become a session.
	Failed(reason string)
	Update(netip.Prefix, *Attributes)
	Withdrawn(netip.Prefix)
	// Held: the neighbor says more than is taken in, and waits. Once for each time that this goes on.
	Held()
}

// established is what an OPEN told.
type established struct {
	asn      uint32
	routerID netip.Addr
	local    netip.Addr
}

// status is a session's own account of itself.
type status struct {
	State                     string // Idle, Active, OpenSent, OpenConfirm, Established
	Received, Sent            uint64 // messages
	ReceivedUpdates           uint64
	SentUpdates               uint64
	Hold, Keepalive           time.Duration
	GracefulRestart, Stale    bool
	Capabilities              []string
	NotificationsIn, NotesOut uint64
}
