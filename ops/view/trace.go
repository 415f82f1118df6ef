package view

import "time"

// Topic is what debug follows.
type Topic string

// The topics; the zero value is IKE.
const (
	TopicIKE  Topic = ""
	TopicDNS  Topic = "dns"
	TopicDHCP Topic = "dhcp"
	// TopicRadius are packets: a line has Sent, Identity (the user) and Text, too.
	TopicRadius Topic = "radius"
	TopicClient Topic = "client"
)

// TraceLine is one IKE message as debug prints it, or a line of another topic: those have Time, Remote (the
// host or peer it is about), Message and nothing else. It never holds key material or credentials: Hex is
// the datagram as it was on the wire.
type TraceLine struct {
	Topic    Topic     `json:"topic,omitempty"`
	Time     time.Time `json:"time"`
	Sent     bool      `json:"sent"`               // by this node; else received
	Local    string    `json:"local"`              // address:port
	Remote   string    `json:"remote"`             // address:port
	SPIi     string    `json:"spi_i"`              // 16 hex digits
	SPIr     string    `json:"spi_r"`              // 16 hex digits
	Identity string    `json:"identity,omitempty"` // of the peer; empty while unknown
	Message  string    `json:"message"`            // "IKE_AUTH request 1 [IDi AUTH SA TSi TSr]"
	Text     []string  `json:"text,omitempty"`     // one line per payload; with TraceFilter.Packet
	Hex      string    `json:"hex,omitempty"`      // the datagram in hex digits; with TraceFilter.Hex
	Lost     uint64    `json:"lost,omitempty"`     // lines dropped before this one, because nobody read fast enough
}
