package config

import (
	"crypto"
	"crypto/x509"
	"net/netip"
	"time"

	"flexvpn/secret"
)

// Config is one validated configuration. It is immutable: nobody changes it after Load.
type Config struct {
	Node      string
	StateDir  string // default /var/lib/flexvpn: leases
	Control   Control
	DataPlane DataPlane
	Kernel    Kernel
	Log       Log
	IKEv2     IKEv2
	IPsec     IPsec

	AAA       AAA
	Policies  map[string]*AuthorizationPolicy // ikev2.authorization-policies
	Pools     map[string]*Pool
	Templates map[int]*VirtualTemplate
	Clients   map[string]*Client
	Tunnels   map[string]*Tunnel
	Tracks    map[int]*Track
	Metrics   Metrics

	PrefixLists  map[string]*PrefixList
	StaticRoutes []StaticRoute
	BGP          []*BGP // that of the main table first; empty: none

	AccessLists map[string]*AccessList
	PolicyMaps  map[string]*PolicyMap

	DNS       DNS
	DHCPPools []*DHCPPool // in the order of the file
	NAT       []NATRule   // in the order of the file

	// Warnings are what an operator should look at, though the configuration works.
	Warnings Errors
}

// Control is the control socket.
type Control struct {
	Socket string // default /run/flexvpn/control.sock
}

// Metrics is the Prometheus listener.
type Metrics struct{ Listen netip.AddrPort } // invalid: off

// Log says what is logged and how.
type Log struct {
	Level  string // debug | info (default) | warn | error
	Format string // auto (default: text on a terminal, else json) | text | json
}

// DataPlane names the plane.
type DataPlane string

// The planes. PlaneNone keeps no packets at all: control-plane tests and load only.
const (
	PlaneAuto      DataPlane = "auto"
	PlaneKernel    DataPlane = "kernel"
	PlaneUserspace DataPlane = "userspace"
	PlaneNone      DataPlane = "none"
)

// IKEv2 is the ikev2 section.
type IKEv2 struct {
	Listen       []netip.Addr            // default :: and 0.0.0.0
	ListenVRF    map[string][]netip.Addr // by VRF, besides; nil: none
	Addresses    []netip.Addr            // default: those of Listen, but the unspecified ones; told to peers with MOBIKE
	Port         uint16                  // default 500
	NATPort      uint16                  // default 4500
	Proposals    []Proposal              // in the order of the file; empty: the built-in ones
	Keyrings     map[string]*Keyring
	Manglers     map[string]*NameMangler
	Profiles     []*Profile // in the order of the file: the first that matches wins
	MaxHalfOpen  int        // default 100: above it cookies are asked for
	CookieAlways bool
	HalfOpenLife time.Duration // default 30s
	FragmentSize int           // default 1280 (octets of IP packet)
	NATKeepalive time.Duration // default 20s
	MaxSessions  int           // 0: no limit
}

// Proposal is one IKE or ESP proposal by names: "aes-gcm-256", "sha384", "x25519".
type Proposal struct {
	Name       string
	Encryption []string
	PRF        []string // IKE only
	Integrity  []string // empty with AEAD
	Groups     []string // ESP: for rekeying with a new key exchange; empty: none
	ESN        string   // ESP only: "yes" (default with fallback "prefer"), "no", "prefer"
}

// IPsec is the ipsec section: what Child SAs use.
type IPsec struct {
	Proposals    []Proposal
	ReplayWindow uint32 // default 1024, 64 to 4096
	Lifetime     Lifetime
}

// Lifetime limits a Child SA; zero fields do not limit, except Time whose default is 1h.
type Lifetime struct {
	Time    time.Duration
	Bytes   uint64
	Packets uint64
}

// Keyring holds pre-shared keys; the most specific match wins. With AAA it holds none and asks.
type Keyring struct {
	Name  string
	Peers []KeyringPeer
	AAA   *AAAKeys
}

// KeyringPeer matches peers by identity, by address, or by both.
type KeyringPeer struct {
	Name     string       // as in "peer: NAME"; "any" is only a name
	Address  netip.Prefix // invalid: any
	Identity *Identity    // nil: any
	Local    secret.Bytes // our key
	Remote   secret.Bytes // the peer's key; same as Local when given as pre-shared-key
}

// IdentityKind is the type of an identity or of a match.
type IdentityKind string

// The identity kinds; the Match ones are allowed in match only.
const (
	IDFQDN           IdentityKind = "fqdn"
	IDEmail          IdentityKind = "email"
	IDAddress        IdentityKind = "address"
	IDKeyID          IdentityKind = "key-id"
	IDDN             IdentityKind = "dn"
	MatchFQDNDomain  IdentityKind = "fqdn-domain"
	MatchEmailDomain IdentityKind = "email-domain"
	MatchAny         IdentityKind = "any"
)

// Identity is an IKE identity or a pattern for one. For MatchAny, Value says of which kind ("address",
// "fqdn" …) or is empty for every identity; for IDAddress it is an address, in match also a prefix.
type Identity struct {
	Kind  IdentityKind
	Value string
}

// AuthMethod is psk, certificate or eap.
type AuthMethod string

// The methods.
const (
	AuthPSK         AuthMethod = "psk"
	AuthCertificate AuthMethod = "certificate"
	AuthEAP         AuthMethod = "eap"
)

// Profile is one ikev2 profile.
type Profile struct {
	Name        string
	Match       []Identity // remote identities; a client profile may have none
	Identity    *Identity  // local; nil: the local address (psk) or the certificate's subject
	Local       AuthMethod
	Remote      AuthMethod
	Keyring     *Keyring
	Certificate *Certificate // nil unless a method is certificate
	// Authorization, hub only.
	Group           Authorization
	User            Authorization
	Accounting      ProfileAccounting
	VirtualTemplate *VirtualTemplate // nil: this profile does not answer
	DPD             DPD
	Routes          Routes        // client: what it pushes and accepts
	IKELifetime     time.Duration // default 24h
	Proposals       []Proposal    // IKE proposals offered as client; default IKEv2.Proposals; empty: the built-in ones
	IPsec           []Proposal    // default IPsec.Proposals; empty: the built-in ones
	Lifetime        Lifetime      // default IPsec.Lifetime
	Mobility        Mobility
	Replace         string // "identity" (default): a second session of an identity ends the first; "never"
	EAP             EAP    // where a method is eap
}

// Certificate is loaded: chain, key and trust anchors.
type Certificate struct {
	Chain           [][]byte // DER, leaf first
	Key             crypto.Signer
	Roots           *x509.CertPool
	RootSubjectKeys [][]byte // SHA-1 of each anchor's SubjectPublicKeyInfo
	Subject         string
}

// Authorization names where attributes come from.
type Authorization struct {
	List   string // "" (none), local, radius, cached (user only: what came with the authentication)
	Policy string // policy name for local, and for radius while no server answers
	// For radius.
	Servers  *AAAGroup
	Name     string       // to ask for; empty: the mangler's
	Mangler  *NameMangler // nil with an empty Name: the identity itself
	Password secret.Bytes
	Local    bool // while no server answers Policy gives the attributes; false: the session is refused
	Override bool // group only: wins over the user's
}

// DPD is dead peer detection.
type DPD struct {
	Interval time.Duration // default 30s
	Retry    time.Duration // default 5s
	Mode     string        // on-demand (default), periodic, off
}

// AuthorizationPolicy is a local authorization policy: what a spoke gets.
type AuthorizationPolicy struct {
	Name           string
	Pool           *Pool
	Pool6          *Pool
	Netmask        netip.Addr // invalid: none sent
	DNS, WINS      []netip.Addr
	SplitDNS       []string
	DefDomain      string
	BackupGateways []string
	Banner         string
	Routes         Routes
	// InterfaceConfig are lines of IOS for the virtual-access, in order: a later one wins.
	InterfaceConfig []string
	SessionTimeout  time.Duration // 0: none
	IdleTimeout     time.Duration // 0: none
}

// Routes are the routes of IKEv2 routing: what is pushed to the peer and what is accepted from it.
type Routes struct {
	SetInterface bool           // push our tunnel address as a host route
	Set          []netip.Prefix // push these
	Accept       Accept
	Distance     uint8  // metric of accepted routes; default 2
	Tag          uint32 // default 1
}

// Accept says which prefixes of the peer are installed.
type Accept struct {
	Any      bool
	Prefixes []netip.Prefix // these and what lies inside them
	List     *PrefixList    // what it permits; nil: no list
}

// Pool is an address pool: one or more ranges of one family.
type Pool struct {
	Name   string
	Ranges []Range
}

// Range is from First to Last inclusive, same family.
type Range struct{ First, Last netip.Addr }

// VirtualTemplate is cloned for each spoke.
type VirtualTemplate struct {
	Number      int
	Mode        string         // gre | ipsec | auto (default)
	Addresses   []netip.Prefix // on each virtual-access; shared by all
	MTU         int            // default 1400
	AdjustMSS   int            // 0: off
	Description string
	Attach
}

// Tunnel is a tunnel interface of a spoke.
type Tunnel struct {
	Name        string // the interface's name
	Mode        string // gre (default) | ipsec
	Negotiated  bool   // address: negotiated
	Addresses   []netip.Prefix
	Source      netip.Addr // invalid: chosen by the routing table, or of a client's sources
	Destination netip.Addr // invalid: the client's peers decide
	// SourceInterface is the interface of a fixed source that was given as one; empty: none was.
	SourceInterface string
	MTU             int // default 1400
	AdjustMSS       int
	Description     string
	Attach
}
