package ikev2

import (
	"crypto"
	"crypto/x509"
	"net/netip"
	"time"

	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
	"flexvpn/secret"
)

// AuthKind is how an end proves its identity.
type AuthKind uint8

// The ways to authenticate. AuthEAP is the initiator's only, towards a responder that proves itself
// by certificate (RFC 7296 section 2.16).
const (
	AuthPSK AuthKind = iota + 1
	AuthCertificate
	AuthEAP
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

	// EAPLife is how long an EAP conversation may take at a responder, and one answer in it at an
	// initiator: a person may have to type. 0: two minutes.
	EAPLife time.Duration

	NATKeepalive time.Duration // 0: 20 s; sent only by the end behind a NAT
	// MOBIKE lets the session change its addresses (RFC 4555), if the peer knows it too.
	MOBIKE bool
	// UncheckedMoves lets traffic follow to a peer's new address before the peer has proven that it
	// receives there (section 3.7).
	UncheckedMoves bool
	// NoNATs turns NAT traversal off: a NAT on the way is refused (section 3.9).
	NoNATs bool
	// MoveTo is where the peer may move to; empty: anywhere.
	MoveTo []netip.Prefix

	FragmentSize int // longest IKE datagram sent in one piece; 0: 1280 octets of IP packet
}
