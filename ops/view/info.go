package view

import "time"

// Info says which daemon answers.
type Info struct {
	Node          string    `json:"node"` // the configuration's node
	Version       string    `json:"version"`
	Role          string    `json:"role"`  // hub or client: the word it was started with
	Plane         string    `json:"plane"` // kernel, userspace or none
	PID           int       `json:"pid"`
	Started       time.Time `json:"started"`
	UptimeSeconds float64   `json:"uptime_seconds"`
}
