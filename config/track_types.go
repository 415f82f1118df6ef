package config

import (
	"net/netip"
	"time"
)

// TrackKind is what a tracked object watches.
type TrackKind string

// The kinds, named as their keys.
const (
	TrackLineProtocol TrackKind = "line-protocol"
	TrackIPRouting    TrackKind = "ip-routing"
	TrackRoute        TrackKind = "route"
	TrackICMPEcho     TrackKind = "icmp-echo"
	TrackTCPConnect   TrackKind = "tcp-connect"
	TrackHTTPGet      TrackKind = "http-get"
	TrackDNSQuery     TrackKind = "dns-query"
	TrackList         TrackKind = "list"
)

// Track is a tracked object: something that is up or down.
type Track struct {
	Number    int
	Kind      TrackKind
	Interface string     // line-protocol and ip-routing
	Family    Family     // ip-routing; default ipv4
	Route     RouteTrack // route
	Probe     Probe      // the probes
	List      TrackedList
	DelayUp   time.Duration // a change must last so long to count
	DelayDown time.Duration
}

// RouteTrack is a route of a table: up while it is there and its next hop's interface is up.
type RouteTrack struct {
	Prefix netip.Prefix
	Table  int    // 0: main, or VRF's
	VRF    string // the VRF device whose table it is; empty: Table says it
}

// Probe asks a target at intervals.
type Probe struct {
	Target   string        // address or name; of http-get the URL, of dns-query the server
	Port     int           // tcp-connect, dns-query
	Name     string        // dns-query: what is asked for
	Type     string        // dns-query: A or AAAA
	Verify   bool          // http-get: whether the server's certificate must be good
	Source   string        // interface or address to ask from; empty: the routing table's choice
	Interval time.Duration // between the beginnings of two questions
	Timeout  time.Duration // at most Interval
	Up, Down int           // answers, or silences, in a row that make a change
}

// ListRule is how a list is made of its objects.
type ListRule string

// The rules.
const (
	ListAnd       ListRule = "and"
	ListOr        ListRule = "or"
	ListThreshold ListRule = "threshold"
)

// TrackedList is an object made of others.
type TrackedList struct {
	Rule    ListRule
	Members []ListMember
	Up      int // threshold: up from this sum of weights on
	Down    int // threshold: down at this sum and below
}

// ListMember is one object of a list.
type ListMember struct {
	Number int
	Not    bool
	Weight int // threshold
}
