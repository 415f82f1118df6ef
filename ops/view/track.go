package view

import "time"

// Track is one tracked object.
type Track struct {
	Number    int        `json:"number"`
	Kind      string     `json:"kind"`   // line-protocol, ip-routing, route, icmp-echo, tcp-connect, http-get, dns-query, list
	Object    string     `json:"object"` // what is watched: "Interface eth0 line-protocol"
	State     string     `json:"state"`  // up, down
	Reason    string     `json:"reason"` // what was seen last
	Since     time.Time  `json:"since"`  // in this state since: the last change
	Changes   int        `json:"changes"`
	Pending   string     `json:"pending,omitempty"` // the state that a delay holds back
	PendingAt *time.Time `json:"pending_at,omitempty"`
	DelayUp   float64    `json:"delay_up_seconds"`
	DelayDown float64    `json:"delay_down_seconds"`
	UsedBy    []string   `json:"used_by"` // "client flex1 peer 1"
}
