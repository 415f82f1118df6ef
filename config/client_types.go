package config

import (
	"fmt"
	"net/netip"
)

// How a client begins to connect.
const (
	ConnectAuto   = "auto"   // at the start
	ConnectManual = "manual" // when told to
	ConnectTrack  = "track"  // while a track is in a state
)

// Client is a client profile.
type Client struct {
	Name         string
	Peers        []Peer // by sequence
	Connect      string // ConnectAuto (default), ConnectManual or ConnectTrack
	ConnectTrack TrackState
	Profile      *Profile
	Tunnel       *Tunnel
	Reactivate   bool
	BackupGroup  int      // 0: none
	Sources      []Source // by sequence; none: what the routing table chooses
	Inside       []string // interfaces of the hosts behind; empty: all but the tunnel and its source
}

// Family is an address family.
type Family string

// The families; empty means both.
const (
	FamilyIPv4 Family = "ipv4"
	FamilyIPv6 Family = "ipv6"
)

// Peer is a hub a client may connect to. Exactly one of Address and FQDN is set.
type Peer struct {
	Sequence int
	Address  netip.Addr
	FQDN     string
	Dynamic  bool       // resolve: dynamic
	Family   Family     // of the name's addresses
	Track    TrackState // the peer is available in this state; Number 0: always
}

// TrackState is a state of a tracked object that something waits for.
type TrackState struct {
	Number int // 0: none
	Up     bool
}

// String is "track 10 up".
func (t TrackState) String() string {
	if t.Up {
		return fmt.Sprintf("track %d up", t.Number)
	}
	return fmt.Sprintf("track %d down", t.Number)
}

// Source is an interface a client may connect from.
type Source struct {
	Sequence  int
	Interface string
	Track     int // the source is available while this object is up; 0: while the interface is
}
