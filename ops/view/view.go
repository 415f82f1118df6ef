// Package view holds the plain structs that show prints. Their JSON is the stable interface for
// programs: fields are added, never renamed. It imports nothing of ours and decides nothing.
//
// Bytes and packets count what travels inside the tunnel, before encryption (out) and after
// decryption (in). Times are RFC 3339 in JSON. An endpoint of a path is address:port, with brackets
// around an IPv6 address. Identities and everything else that a peer says about itself are text as
// received: whoever prints them to a terminal makes them safe.
package view

import (
	"net/netip"
	"time"
)

// Session is one peer: an IKE SA with its Child SAs and its interface.
type Session struct {
	ID         string       `json:"id"`    // stable for the session's life
	Role       string       `json:"role"`  // hub or client
	State      string       `json:"state"` // NEGOTIATING, UP-ACTIVE, CLOSING, DOWN
	Identity   string       `json:"identity"`
	Profile    string       `json:"profile"`
	Local      string       `json:"local"`             // address:port
	Remote     string       `json:"remote"`            // address:port
	NAT        bool         `json:"nat"`               // between the two ends, on either side
	Encap      bool         `json:"udp_encapsulation"` // ESP in UDP, RFC 3948
	Interface  string       `json:"interface"`
	Mode       string       `json:"mode"` // gre or ipsec
	Addresses  []netip.Addr `json:"addresses"`
	Since      time.Time    `json:"since"` // up since
	InBytes    uint64       `json:"in_bytes"`
	OutBytes   uint64       `json:"out_bytes"`
	InPackets  uint64       `json:"in_packets"`
	OutPackets uint64       `json:"out_packets"`
	LastIn     *time.Time   `json:"last_in,omitempty"` // the last packet that was decrypted; nil: none yet

	Attributes []Attribute `json:"attributes,omitempty"` // with origin; in show session ID
	Routes     []Route     `json:"routes,omitempty"`
	SA         *SA         `json:"sa,omitempty"`
	EAPMethod  string      `json:"eap_method,omitempty"`   // by which the peer (or this client) logged in; empty without EAP
	EAPName    string      `json:"eap_identity,omitempty"` // as which
	DPD        string      `json:"dpd,omitempty"`          // "30s/5s on-demand (profile spokes)"
	Version    string      `json:"peer_version,omitempty"` // what the peer says of itself (APPLICATION_VERSION)
}

// Attribute is one thing a spoke gets, with where it came from.
type Attribute struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Origin string `json:"origin"` // "local policy default", "radius user", "template 1"
}

// Failed is a peer that was refused or lost.
type Failed struct {
	Time     time.Time `json:"time"`
	Identity string    `json:"identity"` // as claimed; empty if unknown
	Remote   string    `json:"remote"`
	Stage    string    `json:"stage"`  // init, authentication, authorization, address, install, established
	Reason   string    `json:"reason"` // closed set, as the metric's label
	Detail   string    `json:"detail"` // for people
}

// SA is one IKE SA.
type SA struct {
	Session       string    `json:"session"`
	Role          string    `json:"role"`
	Initiator     bool      `json:"initiator"`
	State         string    `json:"state"` // SA_INIT, AUTH, READY, REKEYING, DELETING
	Local         string    `json:"local"`
	Remote        string    `json:"remote"`
	LocalID       string    `json:"local_id"`
	RemoteID      string    `json:"remote_id"`
	SPILocal      string    `json:"spi_local"` // 16 hex digits
	SPIRemote     string    `json:"spi_remote"`
	Encryption    string    `json:"encryption"` // as proposals name it
	KeyBits       int       `json:"key_bits"`   // 0: fixed by the algorithm
	PRF           string    `json:"prf"`
	Integrity     string    `json:"integrity"` // empty with an AEAD cipher
	Group         string    `json:"group"`
	LocalAuth     string    `json:"local_auth"`  // psk, certificate, eap
	RemoteAuth    string    `json:"remote_auth"` // psk, certificate, eap
	Made          time.Time `json:"made"`        // the session
	Keyed         time.Time `json:"keyed"`       // the current keys
	RekeyAt       time.Time `json:"rekey_at"`
	NATLocal      bool      `json:"nat_local"`
	NATRemote     bool      `json:"nat_remote"`
	Fragmentation bool      `json:"fragmentation"`
	MOBIKE        bool      `json:"mobike"` // the session can change its addresses, RFC 4555
	// Additional are the peer's further addresses, as it told them.
	Additional  []netip.Addr `json:"additional_addresses,omitempty"`
	NextSend    uint32       `json:"next_send_id"`
	NextReceive uint32       `json:"next_receive_id"`
	PeerVersion string       `json:"peer_version,omitempty"`
	Children    []Child      `json:"children"`
}

// Child is one Child SA.
type Child struct {
	SPIIn        string    `json:"spi_in"` // 8 hex digits
	SPIOut       string    `json:"spi_out"`
	Encryption   string    `json:"encryption"`
	KeyBits      int       `json:"key_bits"`
	Integrity    string    `json:"integrity"`
	Group        string    `json:"group"` // of its rekeying; empty: keys derive from the IKE SA
	ESN          bool      `json:"esn"`   // extended sequence numbers
	Mode         string    `json:"mode"`  // tunnel or transport
	Local        []string  `json:"local_selectors"`
	Remote       []string  `json:"remote_selectors"`
	Made         time.Time `json:"made"`
	RekeyAt      time.Time `json:"rekey_at"`
	InBytes      uint64    `json:"in_bytes"`
	OutBytes     uint64    `json:"out_bytes"`
	InPackets    uint64    `json:"in_packets"`
	OutPackets   uint64    `json:"out_packets"`
	Replayed     uint64    `json:"replayed"`      // packets refused by the anti-replay window
	BadIntegrity uint64    `json:"bad_integrity"` // packets whose integrity check failed
	Offloaded    bool      `json:"offloaded"`     // the cryptography is done by the device below
}

// Pool is an address pool's use.
type Pool struct {
	Name       string  `json:"name"`
	Range      string  `json:"range"`
	Size       uint64  `json:"size"`       // addresses in all
	Used       uint64  `json:"used"`       // addresses leased to sessions
	Remembered uint64  `json:"remembered"` // addresses that are free, but kept for the identity that had them
	Leases     []Lease `json:"leases,omitempty"`
}

// Lease is one address given.
type Lease struct {
	Address  netip.Addr `json:"address"`
	Identity string     `json:"identity"`
	Active   bool       `json:"active"`
	Since    time.Time  `json:"since"`
}

// Interface is a virtual-access or tunnel interface.
type Interface struct {
	Name       string         `json:"name"`
	Session    string         `json:"session"`
	Identity   string         `json:"identity"`
	Mode       string         `json:"mode"`
	MTU        int            `json:"mtu"`        // octets of inner packet
	AdjustMSS  int            `json:"adjust_mss"` // octets of TCP payload for IPv4; 0: untouched
	Addresses  []netip.Prefix `json:"addresses"`
	Local      string         `json:"local"`  // address:port of the outer packets
	Remote     string         `json:"remote"` // address:port of the outer packets
	Plane      string         `json:"plane"`
	InBytes    uint64         `json:"in_bytes"`
	OutBytes   uint64         `json:"out_bytes"`
	InPackets  uint64         `json:"in_packets"`
	OutPackets uint64         `json:"out_packets"`

	VRF            string `json:"vrf,omitempty"`              // of the inner packets
	FrontVRF       string `json:"front_vrf,omitempty"`        // of the outer packets
	AccessGroupIn  string `json:"access_group_in,omitempty"`  // access list for packets from the peer
	AccessGroupOut string `json:"access_group_out,omitempty"` // access list for packets to the peer
	ShapeBPS       uint64 `json:"shape_bps,omitempty"`        // bits a second to the peer; absent: no limit
	PoliceBPS      uint64 `json:"police_bps,omitempty"`       // bits a second from the peer; absent: no limit
	DeniedIn       uint64 `json:"denied_in_packets"`
	DeniedOut      uint64 `json:"denied_out_packets"`
	PolicedPackets uint64 `json:"policed_packets"` // from the peer, above the rate
	ShapedPackets  uint64 `json:"shaped_packets"`  // to the peer, dropped by a full queue
}

// Route is the best way to a prefix.
type Route struct {
	VRF       string       `json:"vrf,omitempty"` // its device; empty: the main table
	Prefix    netip.Prefix `json:"prefix"`
	Interface string       `json:"interface"`
	NextHops  []string     `json:"next_hops"` // "dev va1", "10.1.1.2 dev va1", "discard"; several: of equal cost
	Source    string       `json:"source"`    // transport, connected, address, static, ikev2, ebgp, ibgp, aggregate
	Session   string       `json:"session,omitempty"`
	Identity  string       `json:"identity,omitempty"` // of the peer; for BGP the neighbor
	Distance  uint8        `json:"distance"`
	Tag       uint32       `json:"tag,omitempty"`
	Since     time.Time    `json:"since"`
	Installed bool         `json:"installed"`         // it stands in the machine's table
	Problem   string       `json:"problem,omitempty"` // why it does not
	Others    []OtherRoute `json:"others,omitempty"`  // what lost, the best first, at most eight
}

// OtherRoute is a way to a prefix that is not used.
type OtherRoute struct {
	Source    string    `json:"source"`
	Distance  uint8     `json:"distance"`
	Interface string    `json:"interface,omitempty"`
	NextHops  []string  `json:"next_hops"`
	Session   string    `json:"session,omitempty"`
	Identity  string    `json:"identity,omitempty"`
	Since     time.Time `json:"since"`
	Why       string    `json:"why"` // it lost
}

// Histogram is a cumulative histogram of seconds; Buckets[i] counts observations at most Bounds[i].
type Histogram struct {
	Bounds  []float64 `json:"bounds"`
	Buckets []uint64  `json:"buckets"`
	Count   uint64    `json:"count"`
	Sum     float64   `json:"sum"`
}

// EAPCount counts the EAP conversations of a hub.
type EAPCount struct {
	Method  string `json:"method"`  // mschapv2, gtc, md5, tls, ttls, peap; other; none: it ended before one was chosen
	Outcome string `json:"outcome"` // accepted, rejected, failed (the authenticator), abandoned
	Count   uint64 `json:"count"`
}

// Stats is everything that metrics and show counters tell; none of it walks sessions. What ends in
// Total, and bytes, packets, rekeys, engine counters and drops, only grows. The keys of the maps come
// from closed sets; a key that has not happened yet is best there with 0, so that its first increase
// is seen.
type Stats struct {
	SessionsUp    map[string]uint64 `json:"sessions_up"`    // by role: hub, client
	SetupsTotal   map[string]uint64 `json:"setups_total"`   // by role
	FailuresTotal map[string]uint64 `json:"failures_total"` // by reason
	EndedTotal    map[string]uint64 `json:"ended_total"`    // established sessions by reason
	HalfOpen      uint64            `json:"half_open"`      // handshakes under way
	Handshake     Histogram         `json:"handshake_seconds"`
	EAP           []EAPCount        `json:"eap_total"`
	Logins        uint64            `json:"eap_logins"` // under way
	InBytes       uint64            `json:"in_bytes"`   // of all sessions, those that ended included
	OutBytes      uint64            `json:"out_bytes"`
	InPackets     uint64            `json:"in_packets"`
	OutPackets    uint64            `json:"out_packets"`
	Rekeys        map[string]uint64 `json:"rekeys_total"` // by kind: ike, child
	Moves         map[string]uint64 `json:"moves_total"`  // MOBIKE, by result: done, refused, forged
	IKE           map[string]uint64 `json:"ike_total"`    // engine counters by name
	Drops         map[string]uint64 `json:"drops_total"`  // packets by reason
	EventsDropped uint64            `json:"plane_events_dropped_total"`
	Pools         []Pool            `json:"pools"`                  // without leases
	AAA           *AAA              `json:"aaa,omitempty"`          // nil without servers
	Clients       map[string]string `json:"clients"`                // state, as in Client.State, by client profile
	Failovers     map[string]uint64 `json:"client_failovers_total"` // established sessions that client profiles left or lost, by reason
	Tracks        map[int]bool      `json:"tracks"`                 // by number: whether it is up
	DNS           DNSStats          `json:"dns"`
	DHCP          DHCPStats         `json:"dhcp"`
	NAT           map[string]uint64 `json:"nat_translations_total"` // by outside interface
	BGPNeighbors  map[string]uint64 `json:"bgp_neighbors"`          // by state: established, waiting, blocked
	BGPPrefixes   map[string]uint64 `json:"bgp_prefixes"`           // by direction: in (accepted), out (advertised)
	BGPDowns      uint64            `json:"bgp_downs_total"`        // BGP sessions that ended
	BGPRefused    map[string]uint64 `json:"bgp_refused_total"`      // connections and paths that were turned away, by kind
	BGPHeldBack   uint64            `json:"bgp_held_back_total"`    // times a BGP neighbor sent faster than its updates were taken in
	FIB           map[string]uint64 `json:"fib_total"`              // by event: write, error, repair
}
