package ikev2

import (
	"net/netip"
	"time"

	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
	"flexvpn/secret"
)

// An Output leaves an SA through Take: a Send, an Event or a Question.
type Output interface{ output() }

// Send is a datagram to send. Nobody changes Datagram any more: the same octets may be sent again.
type Send struct {
	Path     Path
	Datagram []byte // without the non-ESP marker
}

// Keepalive asks for the one-octet NAT keepalive (0xFF) on Path, RFC 3948 section 4.
type Keepalive struct{ Path Path }

// QuestionID tells the questions of one SA apart.
type QuestionID uint32

// Child is one Child SA as negotiated: all a data plane needs.
type Child struct {
	SPIIn, SPIOut     uint32
	Suite             suite.ESP
	KeyIn, KeyOut     secret.Bytes // encryption key with its salt
	IntegIn, IntegOut secret.Bytes // integrity key; empty with an AEAD
	Transport         bool
	TSLocal, TSRemote []wire.Selector
	ReplayWindow      uint32
	Replaces          uint32 // SPIIn of the Child SA that this one rekeys; 0: none
	Initiator         bool   // this end started the exchange that made it
	Made              time.Time
	Expires           time.Time // rekeyed before
}

// Event is something that happened.
type Event interface {
	Output
	event()
}

// Established: authenticated, the first Child SA installed, and (responder) the reply on its way.
type Established struct {
	Local, Remote Identity
	Path          Path
	Suite         suite.IKE
	Child         Child            // the first Child SA
	Config        []wire.Attribute // initiator: the CFG_REPLY; cloned, the receiver owns it
	PeerFlexVPN   bool
	MOBIKE        bool         // both ends know it: the session can change its addresses
	Additional    []netip.Addr // of the peer, besides the one in use
	PeerVersion   string
	Took          time.Duration // since the first datagram
}

// ConfigAcknowledged: the peer has answered a CFG_SET of this end.
type ConfigAcknowledged struct{}

// UseChild: from now on send on this Child SA.
type UseChild struct{ SPIIn, SPIOut uint32 }

// ChildGone: a Child SA was deleted or replaced; remove it from the data plane.
type ChildGone struct {
	SPIIn, SPIOut uint32
	Reason        string
}

// SPIAdded and SPIRemoved: the SA also answers to (or no longer answers to) this local SPI; an IKE
// rekey changes it while the SA object stays.
type (
	SPIAdded   struct{ SPI uint64 }
	SPIRemoved struct{ SPI uint64 }
)

// IKERekeyed: the IKE SA has new keys and SPIs.
type IKERekeyed struct{ Suite suite.IKE }

// Moved: the packets of the Child SAs run on another path now: MOBIKE, or a NAT mapping that changed.
// Its Encap is whether ESP is in UDP.
type Moved struct{ Path Path }

// PeerAddresses: the peer can also be reached at these addresses, and no others but the one in use.
type PeerAddresses struct{ List []netip.Addr }

// Closed is the last output of an SA. All its Child SAs and SPIs are gone with it: no ChildGone or
// SPIRemoved is said for them.
type Closed struct {
	Reason CloseReason
	Detail string          // for people: what failed, whose fault, what to do
	Notify wire.NotifyType // the notify sent or received, 0 if none
	// Remote is the peer's identity as far as it is known: claimed or proven.
	Remote      Identity
	Path        Path
	Established bool // whether the SA had been established
}

// CloseReason is why an SA ended; a closed set, fit for a metric label.
type CloseReason string

// The reasons.
const (
	ReasonLocal          CloseReason = "local"          // Close was called
	ReasonPeerDelete     CloseReason = "peer_delete"    // the peer deleted the SA
	ReasonReplaced       CloseReason = "replaced"       // the peer deleted it for a newer session of the same identity
	ReasonPeerDead       CloseReason = "peer_dead"      // a request was never answered
	ReasonTimeout        CloseReason = "timeout"        // the handshake was never finished
	ReasonNoProposal     CloseReason = "no_proposal"    // no common proposal
	ReasonAuthentication CloseReason = "authentication" // wrong secret, certificate or identity
	ReasonAuthorization  CloseReason = "authorization"  // proven, but refused
	ReasonSelectors      CloseReason = "selectors"      // no common traffic selectors
	ReasonAddress        CloseReason = "address"        // no address to assign
	ReasonInstall        CloseReason = "install"        // the data plane could not install it
	ReasonSyntax         CloseReason = "syntax"         // authenticated but malformed
	ReasonRefused        CloseReason = "refused"        // the peer refused with another notify
	ReasonExpired        CloseReason = "expired"        // lifetime over, rekeying failed
	// ReasonRetry is no failure: a responder asked an initiator to come again with another key
	// exchange (INVALID_KE_PAYLOAD) and keeps nothing of the first attempt.
	ReasonRetry CloseReason = "retry"
)

func (Send) output()               {}
func (Keepalive) output()          {}
func (Authenticate) output()       {}
func (Authorize) output()          {}
func (Install) output()            {}
func (Traffic) output()            {}
func (ConfigSet) output()          {}
func (Established) output()        {}
func (ConfigAcknowledged) output() {}
func (UseChild) output()           {}
func (ChildGone) output()          {}
func (SPIAdded) output()           {}
func (SPIRemoved) output()         {}
func (IKERekeyed) output()         {}
func (Moved) output()              {}
func (PeerAddresses) output()      {}
func (Closed) output()             {}

func (Established) event()        {}
func (ConfigAcknowledged) event() {}
func (UseChild) event()           {}
func (ChildGone) event()          {}
func (SPIAdded) event()           {}
func (SPIRemoved) event()         {}
func (IKERekeyed) event()         {}
func (Moved) event()              {}
func (PeerAddresses) event()      {}
func (Closed) event()             {}
