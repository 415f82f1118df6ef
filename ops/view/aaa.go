package view

import "time"

// AAAServer is one port of one RADIUS server. All counters only grow.
type AAAServer struct {
	Name            string            `json:"name"`
	Port            string            `json:"port"`      // auth, acct; over TLS auth carries both
	Address         string            `json:"address"`   // address:port
	Transport       string            `json:"transport"` // udp, tls
	State           string            `json:"state"`     // up, dead
	Since           time.Time         `json:"since"`     // in this state
	LastError       string            `json:"last_error,omitempty"`
	InFlight        int               `json:"in_flight"`
	Requests        uint64            `json:"requests"` // datagrams sent, retransmissions included
	Retransmissions uint64            `json:"retransmissions"`
	Timeouts        uint64            `json:"timeouts"`
	Accepts         uint64            `json:"accepts"`
	Rejects         uint64            `json:"rejects"`
	Challenges      uint64            `json:"challenges"`
	Responses       uint64            `json:"responses"` // of accounting
	Deaths          uint64            `json:"deaths"`
	Dropped         map[string]uint64 `json:"dropped"`  // answers that were not believed, by reason
	Unusable        map[string]uint64 `json:"unusable"` // answers that were, and made no sense, by reason
	Latency         Histogram         `json:"latency_seconds"`
}

// AAA is the servers, the accounting records on their way, and what became of orders of servers.
type AAA struct {
	Servers []AAAServer `json:"servers"`
	Waiting int         `json:"accounting_waiting"` // records that no server has taken yet
	Dropped uint64      `json:"accounting_dropped"` // records that were given up: too many waited
	// Orders are Disconnect- and CoA-Requests by what became of them; empty when nobody may send any.
	Orders map[string]uint64 `json:"orders"`
}

// AAAAttributes is what a peer of an identity would get.
type AAAAttributes struct {
	Identity   string      `json:"identity"`
	Profile    string      `json:"profile"`
	Attributes []Attribute `json:"attributes"`
}
