package userspace

// dropReason is why a packet was dropped.
type dropReason uint8

const (
	delivered      dropReason = iota // not at all
	dropUnknownSPI                   // no SA has this SPI
	dropMalformed                    // no packet: lengths or headers contradict each other
	dropReplayed                     // seen before, or too old to tell (RFC 4303 section 3.4.3)
	dropIntegrity                    // the ICV is wrong
	dropOversized                    // with ESP around it longer than a UDP datagram
	dropSelector                     // outside the traffic selectors
	dropProtocol                     // carries what this interface's mode does not
	dropExpired                      // a hard limit or the last sequence number was reached
	dropNoOutbound                   // the interface has no SA to send on
	dropDevice                       // the TUN device did not take it
	dropSend                         // the socket did not take it
	dropReasons
)

var dropNames = [dropReasons]string{
	dropUnknownSPI: "unknown_spi", dropMalformed: "malformed", dropReplayed: "replayed",
	dropIntegrity: "integrity", dropOversized: "oversized", dropSelector: "selector", dropProtocol: "protocol",
	dropExpired: "expired", dropNoOutbound: "no_outbound", dropDevice: "device", dropSend: "send",
}

func (p *Plane) drop(r dropReason, packets uint64) { p.drops[r].Add(packets) }

// Drops are packets dropped, by reason.
func (p *Plane) Drops() map[string]uint64 {
	out := make(map[string]uint64, dropReasons)
	for r := delivered + 1; r < dropReasons; r++ {
		out[dropNames[r]] = p.drops[r].Load()
	}
	return out
}
