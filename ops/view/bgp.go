package view

import (
	"net/netip"
	"time"
)

// BGP is the BGP speaker of one VRF.
type BGP struct {
	VRF          string         `json:"vrf,omitempty"` // its device; empty: the main table
	ASN          uint32         `json:"asn"`
	RouterID     netip.Addr     `json:"router_id"`
	ClusterID    netip.Addr     `json:"cluster_id"`
	ListenRanges []netip.Prefix `json:"listen_ranges"`
	Dynamic      int            `json:"dynamic_neighbors"`
	ListenLimit  int            `json:"listen_limit"` // 0: none
	Prefixes     int            `json:"prefixes"`     // that have a path
	Paths        int            `json:"paths"`        // accepted from neighbors
	Neighbors    []BGPNeighbor  `json:"neighbors"`
}

// BGPNeighbor is one neighbor.
type BGPNeighbor struct {
	Address          netip.Addr     `json:"address"`
	Dynamic          bool           `json:"dynamic"` // of a listen range
	PeerGroup        string         `json:"peer_group,omitempty"`
	Description      string         `json:"description,omitempty"`
	ASN              uint32         `json:"asn"` // 0: not known yet
	Internal         bool           `json:"internal"`
	RouterID         netip.Addr     `json:"router_id"`
	State            string         `json:"state"`                // Idle, Active, OpenSent, OpenConfirm, Established
	Blocked          string         `json:"blocked,omitempty"`    // why it may not come until it is cleared
	Since            time.Time      `json:"since"`                // in this state
	LastReset        string         `json:"last_reset,omitempty"` // why the session ended last, or an attempt failed
	Drops            uint64         `json:"drops"`
	HeldBack         uint64         `json:"held_back"`                // times it sent faster than its updates were taken in
	HeldBackSince    time.Time      `json:"held_back_since,omitzero"` // when the last of them began
	Session          string         `json:"session,omitempty"`        // of IKEv2, for a dynamic neighbor
	Identity         string         `json:"identity,omitempty"`
	Interface        string         `json:"interface,omitempty"`
	Local            netip.Addr     `json:"local"`
	Accepted         int            `json:"prefixes_accepted"`
	Refused          int            `json:"prefixes_refused"`
	MaxPrefixes      int            `json:"maximum_prefixes"` // 0: no limit
	Advertised       int            `json:"prefixes_advertised"`
	MessagesIn       uint64         `json:"messages_in"`
	MessagesOut      uint64         `json:"messages_out"`
	UpdatesIn        uint64         `json:"updates_in"`
	UpdatesOut       uint64         `json:"updates_out"`
	HoldTime         float64        `json:"hold_time_seconds"`
	Keepalive        float64        `json:"keepalive_seconds"`
	MD5              bool           `json:"md5"`
	Client           bool           `json:"route_reflector_client"`
	NextHopSelf      string         `json:"next_hop_self"`
	GracefulRestart  bool           `json:"graceful_restart"`
	Restarting       bool           `json:"restarting"` // its paths are kept until it is back
	Capabilities     []string       `json:"capabilities,omitempty"`
	AcceptedPrefixes []netip.Prefix `json:"accepted,omitempty"` // in show bgp neighbors ADDRESS
	RefusedPrefixes  []BGPRefused   `json:"refused,omitempty"`
	SentPrefixes     []netip.Prefix `json:"advertised,omitempty"`
}

// BGPRefused is a prefix that was not believed.
type BGPRefused struct {
	Prefix netip.Prefix `json:"prefix"`
	Kind   string       `json:"kind"` // as the metric's label
}

// BGPRoute is a prefix of a speaker's table.
type BGPRoute struct {
	VRF        string       `json:"vrf,omitempty"`
	Prefix     netip.Prefix `json:"prefix"`
	Suppressed bool         `json:"suppressed"` // an aggregate speaks for it
	Paths      []BGPPath    `json:"paths"`      // the best first
}

// BGPPath is one way to a prefix.
type BGPPath struct {
	Best        bool         `json:"best"`
	Multipath   bool         `json:"multipath"`
	Neighbor    netip.Addr   `json:"neighbor"`        // not valid: ours
	Local       string       `json:"local,omitempty"` // network, aggregate, connected, static, ikev2
	Internal    bool         `json:"internal"`
	NextHop     netip.Addr   `json:"next_hop"`
	LocalPref   uint32       `json:"local_preference"`
	MED         uint32       `json:"med"`
	ASPath      string       `json:"as_path"`
	Origin      string       `json:"origin"` // IGP, EGP, incomplete
	Originator  netip.Addr   `json:"originator"`
	ClusterList []netip.Addr `json:"cluster_list,omitempty"`
	Communities []string     `json:"communities,omitempty"`
	Since       time.Time    `json:"since"`
	Why         string       `json:"why,omitempty"` // it lost
}
