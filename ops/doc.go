// Package ops is what an operator touches of a running node: the control socket and its client, the
// metrics, the log and the debug stream. It decides nothing about sessions: it asks a [Node], which
// the composition of hub and client implements.
//
//	flexvpn show … --unix socket--> Control --Node--> hub, client
//	Prometheus ------- TCP -------> MetricsHandler --view.Stats--^
//
// The control socket speaks HTTP with JSON. Reads are GET with a query, verbs are POST with a small
// JSON object; an answer of no is an [Error] with a matching status. Every connection runs on
// net/http's goroutines, which Control.Serve waits for; only debug answers for longer than seconds.
package ops
