package ops

import "flexvpn/ops/view"

// The metrics of what a spoke serves inside.
var (
	metricDNSQueries = desc("dns_queries_total", "Name queries of hosts behind a spoke, by the way that they took.", "view")
	metricDNSAnswers = desc("dns_answers_total", "Answers to name queries, by where they came from.", "origin")
	metricDNSDrops   = desc("dns_drops_total", "Name queries and server replies that were refused or dropped.", "reason")
	metricNAT        = desc("nat_translations_total", "Connections of hosts behind a spoke that were translated, by the interface that they leave by.", "outside")
)

var (
	metricDHCPMessages = desc("dhcp_messages_total", "DHCP messages of hosts behind a spoke and the answers to them, by type.", "type")
	metricDHCPDrops    = desc("dhcp_drops_total", "DHCP messages that were not answered, addresses found in conflict included.", "reason")
	metricDHCPLeases   = desc("dhcp_addresses", "Addresses of a DHCP pool, by state.", "pool", "state")
)

func (e emitter) inside(s view.Stats) {
	e.counters(metricDNSQueries, s.DNS.Queries)
	e.counters(metricDNSAnswers, s.DNS.Answers)
	e.counters(metricDNSDrops, s.DNS.Drops)
	e.counters(metricNAT, s.NAT)
	e.counters(metricDHCPMessages, s.DHCP.Messages)
	e.counters(metricDHCPDrops, s.DHCP.Drops)
	for pool, by := range s.DHCP.Leases {
		for state, n := range by {
			e.gauge(metricDHCPLeases, float64(n), pool, state)
		}
	}
}
