package ops

import "flexvpn/ops/view"

// The metrics of what a spoke serves inside.
var (
	metricDNSQueries = desc("dns_queries_total", "Name queries of hosts behind a spoke, by the way that they took.", "view")
	metricDNSAnswers = desc("dns_answers_total", "Answers to name queries, by where they came from.", "origin")
	metricDNSDrops   = desc("dns_drops_total", "Name queries and server replies that were refused or dropped.", "reason")
	metricNAT        = desc("nat_translations_total", "Connections of hosts behind a spoke that were translated, by the interface that they leave by.", "outside")
)

func (e emitter) inside(s view.Stats) {
	e.counters(metricDNSQueries, s.DNS.Queries)
	e.counters(metricDNSAnswers, s.DNS.Answers)
	e.counters(metricDNSDrops, s.DNS.Drops)
	e.counters(metricNAT, s.NAT)
}
