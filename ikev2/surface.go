package ikev2

import (
	"crypto"
	"crypto/x509"
	"net/netip"
	"sync/atomic"
	"time"

	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
	"flexvpn/secret"
)

// A Path is one UDP flow as this host sees it.
type Path struct {
	Local, Remote netip.AddrPort
	// Encap is set on the NAT-traversal port: datagrams there carry the non-ESP marker, which the
	// endpoint adds and strips (RFC 3948 section 2.2).
	Encap bool
}

// An Identity is an IKE identity in a comparable form.
type Identity struct {
	Type wire.IDType
	Data string // the identification data, octet for octet
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
	Counters     *Counters
	Tracer       atomic.Pointer[Tracer] // nil: no debug
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

// AuthKind is how an end proves its identity.
type AuthKind uint8

// The ways to authenticate. EAP has its place here and arrives with its own room.
const (
	AuthPSK AuthKind = iota + 1
	AuthCertificate
)

// Credential is what this end proves itself with.
type Credential struct {
	Kind  AuthKind
	PSK   secret.Bytes  // AuthPSK
	Key   crypto.Signer // AuthCertificate: RSA, ECDSA or Ed25519
	Chain [][]byte      // AuthCertificate: DER, leaf first, without the trust anchor
}

// Trust is what the peer may prove itself with.
type Trust struct {
	Kind  AuthKind
	PSK   secret.Bytes
	Roots *x509.CertPool
	// RootSubjectKeys are the SHA-1 hashes of the anchors' SubjectPublicKeyInfo, sent in CERTREQ.
	RootSubjectKeys [][]byte
}

// LivenessMode says when a peer is probed.
type LivenessMode uint8

// The modes of dead peer detection, named as on IOS.
const (
	LivenessOff LivenessMode = iota
	LivenessOnDemand
	LivenessPeriodic
)

// Policy is all that an SA needs to know about its relationship: made from a profile, immutable,
// shared by many SAs.
type Policy struct {
	Name       string // the profile's name
	Local      Identity
	Credential Credential
	Trust      Trust
	// Expect is the identity the peer must have; zero: whatever Trust proves. Initiator only; a
	// responder's outside decides when it answers Authenticate.
	Expect Identity

	IKE []suite.Proposal // offered in IKE_SA_INIT (initiator) and when rekeying
	ESP []suite.Proposal // offered or accepted for Child SAs, best first

	// The initiator's first Child SA.
	TSLocal, TSRemote []wire.Selector
	Transport         bool             // ask for transport mode (GRE)
	RequireTransport  bool             // refuse when the peer declines it
	Config            []wire.Attribute // CFG_REQUEST; nil: no configuration payload
	InitialContact    bool

	IKELife      time.Duration // rekeyed a little before; 0: 24 h
	ChildLife    time.Duration // 0: 1 h
	ReplayWindow uint32        // handed through to Child

	Liveness         LivenessMode
	LivenessInterval time.Duration
	LivenessRetry    time.Duration // between probes of a silent peer
	LivenessTries    int           // default 5

	// Retransmission of requests other than liveness probes: RetransmitFirst (default 500 ms),
	// doubling up to RetransmitMax (default 16 s), RetransmitTries times in all (default 7).
	RetransmitFirst time.Duration
	RetransmitMax   time.Duration
	RetransmitTries int

	NATKeepalive time.Duration // 0: 20 s; sent only by the end behind a NAT
	FragmentSize int           // longest IKE datagram sent in one piece; 0: 1280 octets of IP packet
}

// An Output leaves an SA through Take: a Send, an Event or a Question.
type Output interface{ output() }

// Send is a datagram to send. The receiver of the Send owns Datagram.
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

// Question is something the SA must be told before it can go on. While it is open the SA absorbs
// repeats of the request and lets nothing else out; silence becomes a refusal after AnswerLimit.
type Question interface {
	Output
	QuestionID() QuestionID
}

// Authenticate asks the outside which policy applies to a peer that claims an identity. It is asked
// of a responder before AUTH is checked: nothing in it is proven. Answer: AuthenticateAnswer.
type Authenticate struct {
	ID     QuestionID
	Path   Path
	Remote Identity // claimed
	Wanted Identity // the IDr the peer asked for; zero: none
	Method wire.AuthMethod
}

// Authorize asks what a proven peer gets. Asked of a responder. Answer: AuthorizeAnswer.
type Authorize struct {
	ID        QuestionID
	Path      Path
	Remote    Identity
	HasConfig bool             // a CFG_REQUEST was there
	Config    []wire.Attribute // its attributes
	// TSi and TSr as proposed, with NAT substitution done (RFC 7296 section 2.23.1).
	TSi, TSr       []wire.Selector
	Transport      bool // USE_TRANSPORT_MODE was asked for
	FlexVPN        bool // the peer sent FLEXVPN-SUPPORTED
	InitialContact bool
	Version        string // the peer's APPLICATION_VERSION
}

// Install asks for a Child SA to be put into the data plane, inbound and outbound, so that inbound
// packets are accepted when the answer is given. Asked of both roles. Answer: InstallAnswer.
// When Child.Replaces is set, outbound traffic stays on the old one until UseChild.
type Install struct {
	ID    QuestionID
	Path  Path
	Child Child
}

// Traffic asks when the data plane last received and sent a packet of this peer. Answer: TrafficAnswer.
type Traffic struct{ ID QuestionID }

// A Refusal says no: the notify the peer gets and the reason people get.
type Refusal struct {
	Notify wire.NotifyType
	Reason string
}

// Answer is the reply to a Question.
type Answer interface{ answers() QuestionID }

// AuthenticateAnswer answers Authenticate; Refusal wins over Policy. For an unknown peer give a
// refusal only: the SA does the same work as for a wrong secret before it answers.
type AuthenticateAnswer struct {
	ID      QuestionID
	Policy  *Policy
	Refusal *Refusal
}

// AuthorizeAnswer answers Authorize.
type AuthorizeAnswer struct {
	ID      QuestionID
	Refusal *Refusal
	Config  []wire.Attribute // CFG_REPLY; sent only if a CFG_REQUEST was there
	// TSi and TSr to narrow to, in the initiator's order; the SA refuses with TS_UNACCEPTABLE when
	// nothing of the proposal is left.
	TSi, TSr  []wire.Selector
	Transport bool
}

// InstallAnswer answers Install; an error refuses the Child SA.
type InstallAnswer struct {
	ID  QuestionID
	Err error
}

// TrafficAnswer answers Traffic; zero times mean never.
type TrafficAnswer struct {
	ID              QuestionID
	LastIn, LastOut time.Time
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
	PeerVersion   string
	Took          time.Duration // since the first datagram
}

// ConfigSet: the peer sent a CFG_SET, which the SA has acknowledged.
type ConfigSet struct{ Attributes []wire.Attribute }

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

// Moved: the peer is reached on another path now (its NAT mapping changed).
type Moved struct{ Path Path }

// Closed is the last event of an SA.
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
)

func (Send) output()         {}
func (Keepalive) output()    {}
func (Authenticate) output() {}
func (Authorize) output()    {}
func (Install) output()      {}
func (Traffic) output()      {}
func (Established) output()  {}
func (ConfigSet) output()    {}
func (UseChild) output()     {}
func (ChildGone) output()    {}
func (SPIAdded) output()     {}
func (SPIRemoved) output()   {}
func (IKERekeyed) output()   {}
func (Moved) output()        {}
func (Closed) output()       {}

func (Established) event() {}
func (ConfigSet) event()   {}
func (UseChild) event()    {}
func (ChildGone) event()   {}
func (SPIAdded) event()    {}
func (SPIRemoved) event()  {}
func (IKERekeyed) event()  {}
func (Moved) event()       {}
func (Closed) event()      {}

// QuestionID implements Question.
func (q Authenticate) QuestionID() QuestionID { return q.ID }

// QuestionID implements Question.
func (q Authorize) QuestionID() QuestionID { return q.ID }

// QuestionID implements Question.
func (q Install) QuestionID() QuestionID { return q.ID }

// QuestionID implements Question.
func (q Traffic) QuestionID() QuestionID { return q.ID }

func (a AuthenticateAnswer) answers() QuestionID { return a.ID }
func (a AuthorizeAnswer) answers() QuestionID    { return a.ID }
func (a InstallAnswer) answers() QuestionID      { return a.ID }
func (a TrafficAnswer) answers() QuestionID      { return a.ID }

// Facts describe an SA for show.
type Facts struct {
	Initiator              bool
	State                  string // "SA_INIT", "AUTH", "READY", "REKEYING", "DELETING"
	SPILocal, SPIRemote    uint64
	Local, Remote          Identity
	Path                   Path
	Suite                  suite.IKE
	LocalAuth, RemoteAuth  AuthKind
	Made                   time.Time // of the session
	Keyed                  time.Time // of the current keys
	RekeyAt                time.Time
	NATLocal, NATRemote    bool
	Fragmentation, FlexVPN bool
	PeerVersion            string
	NextSend, NextReceive  uint32 // message ids
	Children               []ChildFacts
}

// ChildFacts describe a Child SA for show.
type ChildFacts struct {
	SPIIn, SPIOut     uint32
	Suite             suite.ESP
	Transport         bool
	TSLocal, TSRemote []wire.Selector
	Made, RekeyAt     time.Time
}
