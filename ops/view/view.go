// Package view holds the plain structs that show prints. Their JSON is the stable interface for
// programs: fields are added, never renamed. It imports nothing of ours and decides nothing.
package view

import (
	"net/netip"
	"time"
)

// Session is one peer: an IKE SA with its Child SAs and its interface.
type Session struct {
	ID         string       `json:"id"`   // stable for the session's life
	Role       string       `json:"role"` // hub or client
	State      string       `json:"state"`
	Identity   string       `json:"identity"`
	Profile    string       `json:"profile"`
	Local      string       `json:"local"`  // address:port
	Remote     string       `json:"remote"` // address:port
	NAT        bool         `json:"nat"`
	Encap      bool         `json:"udp_encapsulation"`
	Interface  string       `json:"interface"`
	Mode       string       `json:"mode"` // gre or ipsec
	Addresses  []netip.Addr `json:"addresses"`
	Since      time.Time    `json:"since"`
	InBytes    uint64       `json:"in_bytes"`
	OutBytes   uint64       `json:"out_bytes"`
	InPackets  uint64       `json:"in_packets"`
	OutPackets uint64       `json:"out_packets"`
	LastIn     *time.Time   `json:"last_in,omitempty"`

	Attributes []Attribute `json:"attributes,omitempty"` // with origin; in show session ID
	Routes     []Route     `json:"routes,omitempty"`
	SA         *SA         `json:"sa,omitempty"`
	DPD        string      `json:"dpd,omitempty"` // "30s/5s on-demand (profile spokes)"
	Version    string      `json:"peer_version,omitempty"`
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
	State         string    `json:"state"`
	Local         string    `json:"local"`
	Remote        string    `json:"remote"`
	LocalID       string    `json:"local_id"`
	RemoteID      string    `json:"remote_id"`
	SPILocal      string    `json:"spi_local"` // 16 hex digits
	SPIRemote     string    `json:"spi_remote"`
	Encryption    string    `json:"encryption"`
	KeyBits       int       `json:"key_bits"`
	PRF           string    `json:"prf"`
	Integrity     string    `json:"integrity"`
	Group         string    `json:"group"`
	LocalAuth     string    `json:"local_auth"`
	RemoteAuth    string    `json:"remote_auth"`
	Made          time.Time `json:"made"`
	Keyed         time.Time `json:"keyed"`
	RekeyAt       time.Time `json:"rekey_at"`
	NATLocal      bool      `json:"nat_local"`
	NATRemote     bool      `json:"nat_remote"`
	Fragmentation bool      `json:"fragmentation"`
	NextSend      uint32    `json:"next_send_id"`
	NextReceive   uint32    `json:"next_receive_id"`
	PeerVersion   string    `json:"peer_version,omitempty"`
	Children      []Child   `json:"children"`
}

// Child is one Child SA.
type Child struct {
	SPIIn        string    `json:"spi_in"` // 8 hex digits
	SPIOut       string    `json:"spi_out"`
	Encryption   string    `json:"encryption"`
	KeyBits      int       `json:"key_bits"`
	Integrity    string    `json:"integrity"`
	Group        string    `json:"group"`
	ESN          bool      `json:"esn"`
	Mode         string    `json:"mode"` // tunnel or transport
	Local        []string  `json:"local_selectors"`
	Remote       []string  `json:"remote_selectors"`
	Made         time.Time `json:"made"`
	RekeyAt      time.Time `json:"rekey_at"`
	InBytes      uint64    `json:"in_bytes"`
	OutBytes     uint64    `json:"out_bytes"`
	InPackets    uint64    `json:"in_packets"`
	OutPackets   uint64    `json:"out_packets"`
	Replayed     uint64    `json:"replayed"`
	BadIntegrity uint64    `json:"bad_integrity"`
}

// Pool is an address pool's use.
type Pool struct {
	Name       string  `json:"name"`
	Range      string  `json:"range"`
	Size       uint64  `json:"size"`
	Used       uint64  `json:"used"`
	Remembered uint64  `json:"remembered"` // free, kept for the identity that had it
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
	MTU        int            `json:"mtu"`
	AdjustMSS  int            `json:"adjust_mss"`
	Addresses  []netip.Prefix `json:"addresses"`
	Local      string         `json:"local"`
	Remote     string         `json:"remote"`
	Plane      string         `json:"plane"`
	InBytes    uint64         `json:"in_bytes"`
	OutBytes   uint64         `json:"out_bytes"`
	InPackets  uint64         `json:"in_packets"`
	OutPackets uint64         `json:"out_packets"`
}

// Route is one route we installed.
type Route struct {
	Prefix    netip.Prefix `json:"prefix"`
	Interface string       `json:"interface"`
	Source    string       `json:"source"` // ikev2, address, transport
	Session   string       `json:"session,omitempty"`
	Identity  string       `json:"identity,omitempty"`
	Distance  uint8        `json:"distance"`
	Since     time.Time    `json:"since"`
}

// Client is a client profile's state.
type Client struct {
	Name      string       `json:"name"`
	State     string       `json:"state"` // IDLE, CONNECTING, BACKOFF, ACTIVE, DOWN
	Peer      string       `json:"peer"`  // the active or tried one
	Source    string       `json:"source"`
	Tunnel    string       `json:"tunnel"`
	Addresses []netip.Addr `json:"addresses"`
	Attempt   int          `json:"attempt"` // at the current peer
	NextTry   *time.Time   `json:"next_try,omitempty"`
	Since     time.Time    `json:"since"`
	LastError string       `json:"last_error,omitempty"`
	Session   string       `json:"session,omitempty"`
	Peers     []ClientPeer `json:"peers"`
	Pushed    []Attribute  `json:"pushed,omitempty"` // what the hub gave
}

// ClientPeer is one configured peer.
type ClientPeer struct {
	Sequence int    `json:"sequence"`
	Peer     string `json:"peer"` // address or FQDN
	Current  bool   `json:"current"`
	Failures int    `json:"failures"`
}

// Counter is one named counter; Labels come from closed sets.
type Counter struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	Value  uint64            `json:"value"`
}

// Histogram is a cumulative histogram; Buckets[i] counts observations at most Bounds[i].
type Histogram struct {
	Bounds  []float64 `json:"bounds"`
	Buckets []uint64  `json:"buckets"`
	Count   uint64    `json:"count"`
	Sum     float64   `json:"sum"`
}

// Stats is everything that metrics and show counters tell; none of it walks sessions.
type Stats struct {
	SessionsUp    map[string]uint64 `json:"sessions_up"`    // by role: hub, client
	SetupsTotal   map[string]uint64 `json:"setups_total"`   // by role
	FailuresTotal map[string]uint64 `json:"failures_total"` // by reason
	EndedTotal    map[string]uint64 `json:"ended_total"`    // established sessions by reason
	HalfOpen      uint64            `json:"half_open"`
	Handshake     Histogram         `json:"handshake_seconds"`
	InBytes       uint64            `json:"in_bytes"` // of sessions that ended and those that stand, as last read
	OutBytes      uint64            `json:"out_bytes"`
	InPackets     uint64            `json:"in_packets"`
	OutPackets    uint64            `json:"out_packets"`
	Rekeys        map[string]uint64 `json:"rekeys_total"` // by kind: ike, child
	IKE           map[string]uint64 `json:"ike_total"`    // engine counters by name
	Drops         map[string]uint64 `json:"drops_total"`  // packets by reason
	Pools         []Pool            `json:"pools"`        // without leases
	Clients       map[string]string `json:"clients"`      // state by client profile
}
