package ikev2

import (
	"net/netip"
	"sync/atomic"
	"time"

	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
)

// A Path is one UDP flow as this host sees it.
//
// When an initiator floats to NAT traversal it does not know the owner's socket there: it sends
// on a Path with Encap set and Local port 0, which means "your NAT-traversal socket". The owner
// fills the port in; the SA learns it from the first answer.
type Path struct {
	Local, Remote netip.AddrPort
	// Encap is set on the NAT-traversal port: datagrams there carry the non-ESP marker, which the
	// endpoint adds and strips (RFC 3948 section 2.2).
	Encap bool
	// VRF is the routing domain of the datagrams, by the name of its device; empty: the default. The
	// engine only carries it.
	VRF string
}

// An Identity is an IKE identity in a comparable form.
type Identity struct {
	Type wire.IDType
	Data string // the identification data, octet for octet
}

// String is the identity as people write it.
func (id Identity) String() string {
	if id.Type == 0 {
		return "none"
	}
	return wire.ID{Type: id.Type, Data: []byte(id.Data)}.String()
}

// Common is what all SAs of one shard share. It is constant after start; New SPIs come from here.
type Common struct {
	Proposals []suite.Proposal // what a responder accepts in IKE_SA_INIT, best first
	// ForceEncap makes both ends believe in a NAT, for a data plane that has ESP in UDP only.
	ForceEncap   bool
	VendorIDs    [][]byte      // sent in IKE_SA_INIT
	Version      string        // APPLICATION_VERSION offered to peers; empty: not sent
	HalfOpenLife time.Duration // default 30 s: a handshake that takes longer is forgotten
	AnswerLimit  time.Duration // default 20 s: a Question unanswered for so long is refused
	NewSPI       func() uint64 // a fresh non-zero SPI that leads back to the owner's shard
	NewChildSPI  func() uint32 // a fresh inbound SPI of ESP, 256 or more; nil: random
	// NATPort is the peers' NAT-traversal port, to which an initiator floats; 0: 4500.
	NATPort uint16
	// Anchors are the SHA-1 hashes of the SubjectPublicKeyInfo of all trust anchors a responder
	// accepts: its CERTREQ leaves in IKE_SA_INIT, before the peer is known (RFC 7296 section 1.2).
	Anchors [][]byte
	// Addresses are those at which peers reach this node, for MOBIKE; none: the one of each path.
	Addresses []netip.Addr
	Counters  *Counters
	Tracer    atomic.Pointer[Tracer] // nil: no debug
}

// Counters are shared by many SAs; every field only grows.
type Counters struct {
	Retransmitted      atomic.Uint64 // requests sent again
	Repeated           atomic.Uint64 // peers' repeated requests answered from the cache
	GaveUp             atomic.Uint64 // requests never answered
	BadIntegrity       atomic.Uint64 // datagrams whose integrity check failed
	BadSyntax          atomic.Uint64
	BadMessageID       atomic.Uint64 // outside the window
	BadFragments       atomic.Uint64
	UnknownPayloads    atomic.Uint64
	RekeysChild        atomic.Uint64
	RekeysIKE          atomic.Uint64
	RekeyCollisions    atomic.Uint64
	UnprotectedErrors  atomic.Uint64 // unauthenticated error notifies that were ignored
	CookiesSent        atomic.Uint64
	CookiesWrong       atomic.Uint64
	InvalidKERetries   atomic.Uint64
	NATMappingsChanged atomic.Uint64
	MovesDone          atomic.Uint64 // MOBIKE: traffic runs on a new path
	MovesRefused       atomic.Uint64 // a path that one of the ends would not take
	MovesForged        atomic.Uint64 // a COOKIE2 that was not repeated
}

// A TraceRecord is one message as debug prints it. Text never contains key material or credentials.
type TraceRecord struct {
	Sent     bool
	Path     Path
	SPIi     uint64
	SPIr     uint64
	Identity Identity // of the peer, zero while unknown
	Message  string   // "IKE_AUTH request 1 [IDi AUTH SA TSi TSr N(INITIAL_CONTACT)]"
	Text     []string // one line per payload
	Raw      []byte   // the datagram, still encrypted
}

// A Tracer receives records; it must not block.
type Tracer func(TraceRecord)
