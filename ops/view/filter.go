package view

// SessionFilter chooses sessions; a zero field lets everything through.
type SessionFilter struct {
	Peer string `json:"peer,omitempty"` // part of the identity or of the remote address, without regard to case
	Role string `json:"role,omitempty"` // hub or client
}

// TraceFilter chooses what debug tells; a zero field lets everything through.
type TraceFilter struct {
	Topic  Topic  `json:"topic,omitempty"`
	Peer   string `json:"peer,omitempty"`   // part of the identity or of the remote address, without regard to case
	Packet bool   `json:"packet,omitempty"` // with one line per payload
	Hex    bool   `json:"hex,omitempty"`    // with the datagram's octets, still encrypted
}
