package view

import (
	"net/netip"
	"time"
)

// Client is a client profile's state.
type Client struct {
	Name            string       `json:"name"`
	State           string       `json:"state"`         // IDLE, WAIT, RESOLVE, CONNECTING, BACKOFF, ACTIVE
	Why             string       `json:"why,omitempty"` // what WAIT waits for, or why BACKOFF backs off
	Connect         string       `json:"connect"`       // auto, manual, track
	Peer            string       `json:"peer"`          // the active or tried one
	Source          string       `json:"source"`        // its address
	SourceInterface string       `json:"source_interface,omitempty"`
	VRF             string       `json:"vrf,omitempty"`           // of the tunnel's inside (ivrf)
	TransportVRF    string       `json:"transport_vrf,omitempty"` // of its packets (fvrf)
	BackupGroup     int          `json:"backup_group"`            // 0: none
	Reactivate      bool         `json:"reactivate"`
	Tunnel          string       `json:"tunnel"`
	Addresses       []netip.Addr `json:"addresses"`
	Attempt         int          `json:"attempt"` // number of the attempt under way, from 1
	NextTry         *time.Time   `json:"next_try,omitempty"`
	Since           time.Time    `json:"since"` // in this state since
	LastError       string       `json:"last_error,omitempty"`
	Session         string       `json:"session,omitempty"`
	Peers           []ClientPeer `json:"peers"`
	Pushed          []Attribute  `json:"pushed,omitempty"` // what the hub gave
}

// ClientPeer is one peer of a client profile, configured or pushed by a hub.
type ClientPeer struct {
	Sequence    int          `json:"sequence"`
	Peer        string       `json:"peer"` // address or FQDN
	Current     bool         `json:"current"`
	Failures    int          `json:"failures"`
	PushedBy    string       `json:"pushed_by,omitempty"` // the peer whose hub pushed it; empty: configured
	Track       string       `json:"track,omitempty"`     // "track 10 up"
	Available   bool         `json:"available"`
	Unavailable string       `json:"unavailable,omitempty"` // why it is not
	Addresses   []netip.Addr `json:"addresses,omitempty"`   // of its name, when last looked up
	LastError   string       `json:"last_error,omitempty"`
}
