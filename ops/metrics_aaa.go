package ops

import (
	"github.com/prometheus/client_golang/prometheus"

	"flexvpn/ops/view"
)

// The metrics of AAA; server is a name of the configuration, port auth or acct.
var (
	metricAAAUp       = desc("aaa_server_up", "Whether the server is used: 0 while it is dead.", "server", "port")
	metricAAARequests = desc("aaa_requests_total", "Datagrams sent to the server, retransmissions included.", "server", "port")
	metricAAARepeats  = desc("aaa_retransmissions_total", "Requests sent again.", "server", "port")
	metricAAATimeouts = desc("aaa_timeouts_total", "Times that no answer came in time.", "server", "port")
	metricAAAAnswers  = desc("aaa_answers_total", "Answers of the server: accept, reject, challenge, and response to accounting.", "server", "port", "answer")
	metricAAADropped  = desc("aaa_dropped_answers_total", "Answers that were not believed.", "server", "port", "reason")
	metricAAAUnusable = desc("aaa_unusable_answers_total", "Answers that were authentic and made no sense, which refuses the peer; oversized is EAP of a peer that no request can carry.", "server", "port", "reason")
	metricAAAFlight   = desc("aaa_requests_in_flight", "Requests that wait for an answer.", "server", "port")
	metricAAALatency  = desc("aaa_latency_seconds", "Time from a request's last transmission to its answer.", "server", "port")
	metricAAAWaiting  = desc("aaa_accounting_waiting", "Accounting records that no server has taken yet.")
	metricAAALost     = desc("aaa_accounting_dropped_total", "Accounting records that were given up because too many waited.")
	metricAAAOrders   = desc("aaa_orders_total", "Disconnect- and CoA-Requests by what became of them.", "result")
	descriptionsOfAAA = []*prometheus.Desc{
		metricAAAUp, metricAAARequests, metricAAARepeats, metricAAATimeouts, metricAAAAnswers, metricAAADropped, metricAAAUnusable, metricAAAFlight,
		metricAAALatency, metricAAAWaiting, metricAAALost, metricAAAOrders,
	}
)

func (e emitter) aaa(v *view.AAA) {
	if v == nil {
		return
	}
	for _, s := range v.Servers {
		up := 1.0
		if s.State == "dead" {
			up = 0
		}
		e.gauge(metricAAAUp, up, s.Name, s.Port)
		e.gauge(metricAAAFlight, float64(s.InFlight), s.Name, s.Port)
		e.counter(metricAAARequests, s.Requests, s.Name, s.Port)
		e.counter(metricAAARepeats, s.Retransmissions, s.Name, s.Port)
		e.counter(metricAAATimeouts, s.Timeouts, s.Name, s.Port)
		for answer, n := range map[string]uint64{"accept": s.Accepts, "reject": s.Rejects, "challenge": s.Challenges, "response": s.Responses} {
			e.counter(metricAAAAnswers, n, s.Name, s.Port, answer)
		}
		for reason, n := range s.Dropped {
			e.counter(metricAAADropped, n, s.Name, s.Port, reason)
		}
		for reason, n := range s.Unusable {
			e.counter(metricAAAUnusable, n, s.Name, s.Port, reason)
		}
		e.histogram(metricAAALatency, s.Latency, s.Name, s.Port)
	}
	e.gauge(metricAAAWaiting, float64(v.Waiting))
	e.counter(metricAAALost, v.Dropped)
	e.counters(metricAAAOrders, v.Orders)
}
