package ops

import (
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"flexvpn/ops/view"
)

// A metric's name, help and label names; prometheus builds the rest.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("flexvpn_"+name, help, labels, nil)
}

// The metrics. Label values come from closed sets (role, reason, kind, event, state, direction) or
// from names in the configuration (pool, client): never a peer or an address.
var (
	metricBuild = desc("build_info", "What is running: always 1.", "version", "goversion", "role", "plane")

	metricSessions = desc("sessions", "Sessions that are up.", "role")
	metricSetups   = desc("session_setups_total", "Sessions that came up.", "role")
	metricFailures = desc("session_failures_total", "Handshakes that did not become a session.", "reason")
	metricEnded    = desc("sessions_ended_total", "Sessions that had been up and ended.", "reason")
	metricHalfOpen = desc("half_open_handshakes", "Handshakes under way as responder.")
	metricDuration = desc("handshake_duration_seconds", "Time from the first datagram of a handshake until the session was up.")
	metricLogins   = desc("eap_logins", "EAP logins under way at the hub.")
	metricEAP      = desc("eap_conversations_total", "EAP conversations of the hub that ended.", "method", "outcome")
	metricRekeys   = desc("rekeys_total", "SAs that were rekeyed.", "kind")
	metricMoves    = desc("mobike_moves_total", "Changes of a session's addresses by MOBIKE: done, refused by one of the ends, or forged (the peer did not prove its new address).", "result")
	metricIKE      = desc("ike_events_total", "Events of the IKEv2 engine, as retransmissions and refused datagrams.", "event")

	metricBytes   = desc("tunnel_bytes_total", "Bytes of packets inside the tunnels.", "direction")
	metricPackets = desc("tunnel_packets_total", "Packets inside the tunnels.", "direction")
	metricDrops   = desc("dropped_packets_total", "Packets that were dropped.", "reason")

	metricEventsDropped = desc("plane_events_dropped_total", "Events of the data plane, as expiries, that were lost because they came faster than they were read.")

	metricBGPNeighbors = desc("bgp_neighbors", "BGP neighbors.", "state")
	metricBGPPrefixes  = desc("bgp_prefixes", "Prefixes accepted from BGP neighbors, and advertised to them.", "direction")
	metricBGPDowns     = desc("bgp_sessions_ended_total", "BGP sessions that ended.")
	metricBGPHeldBack  = desc("bgp_held_back_total", "Times that a BGP neighbor sent faster than its updates were taken in, and had to wait.")
	metricBGPRefused   = desc("bgp_refused_total", "Connections and paths of BGP neighbors that were turned away.", "kind")
	metricFIB          = desc("fib_events_total", "Routes written to the forwarding table or removed, refused by it, and brought back after somebody else removed them.", "event")

	metricPoolSize       = desc("pool_addresses", "Addresses that the pool has in all.", "pool")
	metricPoolUsed       = desc("pool_used_addresses", "Addresses of the pool that are leased to sessions.", "pool")
	metricPoolRemembered = desc("pool_remembered_addresses", "Addresses of the pool that are free but kept for the identity that had them.", "pool")

	metricFailovers = desc("client_failovers_total", "Established sessions that client profiles left or lost.", "reason")
	metricTrack     = desc("track_up", "State of a tracked object: 1 while it is up, 0 while it is down.", "track")

	metricClient = desc("client_state", "State of a client profile: 1 for the state it is in, 0 for the others.", "client", "state")
)

// clientStates is the closed set behind the label state of client_state.
var clientStates = []string{"active", "backoff", "connecting", "idle", "resolve", "wait"}

// collector turns one reading of the counters into metrics. It keeps nothing: a scrape costs the same
// with one session and with a hundred thousand.
type collector struct {
	stats func() view.Stats
	info  func() view.Info
}

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range append([]*prometheus.Desc{
		metricBuild, metricSessions, metricSetups, metricFailures, metricEnded, metricHalfOpen, metricDuration,
		metricLogins, metricEAP, metricRekeys, metricMoves, metricIKE, metricBytes, metricPackets, metricDrops, metricEventsDropped,
		metricPoolSize, metricPoolUsed, metricPoolRemembered, metricClient, metricFailovers, metricTrack,
		metricDNSQueries, metricDNSAnswers, metricDNSDrops, metricNAT, metricDHCPMessages, metricDHCPDrops, metricDHCPLeases,
		metricBGPNeighbors, metricBGPPrefixes, metricBGPDowns, metricBGPHeldBack, metricBGPRefused, metricFIB,
	}, descriptionsOfAAA...) {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	e, s, i := emitter{out}, c.stats(), c.info()
	e.gauge(metricBuild, 1, i.Version, runtime.Version(), i.Role, i.Plane)

	e.gauges(metricSessions, withZeros(s.SessionsUp, "hub", "client"))
	e.counters(metricSetups, withZeros(s.SetupsTotal, "hub", "client"))
	e.counters(metricFailures, s.FailuresTotal)
	e.counters(metricEnded, s.EndedTotal)
	e.gauge(metricHalfOpen, float64(s.HalfOpen))
	e.histogram(metricDuration, s.Handshake)
	e.gauge(metricLogins, float64(s.Logins))
	for _, c := range s.EAP {
		e.counter(metricEAP, c.Count, c.Method, c.Outcome)
	}
	e.counters(metricRekeys, withZeros(s.Rekeys, "ike", "child"))
	e.counters(metricMoves, withZeros(s.Moves, "done", "refused", "forged"))
	e.counters(metricIKE, s.IKE)

	e.counters(metricBytes, map[string]uint64{"in": s.InBytes, "out": s.OutBytes})
	e.counters(metricPackets, map[string]uint64{"in": s.InPackets, "out": s.OutPackets})
	e.counters(metricDrops, s.Drops)
	e.counter(metricEventsDropped, s.EventsDropped)

	e.gauges(metricBGPNeighbors, s.BGPNeighbors)
	e.gauges(metricBGPPrefixes, s.BGPPrefixes)
	e.counter(metricBGPDowns, s.BGPDowns)
	e.counter(metricBGPHeldBack, s.BGPHeldBack)
	e.counters(metricBGPRefused, s.BGPRefused)
	e.counters(metricFIB, s.FIB)

	for _, p := range s.Pools {
		e.gauge(metricPoolSize, float64(p.Size), p.Name)
		e.gauge(metricPoolUsed, float64(p.Used), p.Name)
		e.gauge(metricPoolRemembered, float64(p.Remembered), p.Name)
	}
	e.clients(s.Clients)
	e.counters(metricFailovers, s.Failovers)
	for number, up := range s.Tracks {
		v := 0.0
		if up {
			v = 1
		}
		e.gauge(metricTrack, v, strconv.Itoa(number))
	}
	e.inside(s)
	e.aaa(s.AAA)
}

// emitter writes metrics; what prometheus refuses becomes an error of the scrape, never a panic.
type emitter struct{ out chan<- prometheus.Metric }

func (e emitter) emit(d *prometheus.Desc, m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	e.out <- m
}

func (e emitter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	m, err := prometheus.NewConstMetric(d, prometheus.GaugeValue, v, labels...)
	e.emit(d, m, err)
}

func (e emitter) gauges(d *prometheus.Desc, by map[string]uint64) {
	for label, v := range by {
		e.gauge(d, float64(v), label)
	}
}

func (e emitter) counter(d *prometheus.Desc, v uint64, labels ...string) {
	m, err := prometheus.NewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	e.emit(d, m, err)
}

func (e emitter) counters(d *prometheus.Desc, by map[string]uint64) {
	for label, v := range by {
		e.counter(d, v, label)
	}
}

func (e emitter) histogram(d *prometheus.Desc, h view.Histogram, labels ...string) {
	if len(h.Bounds) != len(h.Buckets) {
		e.emit(d, nil, fmt.Errorf("histogram has %d bounds and %d buckets", len(h.Bounds), len(h.Buckets)))
		return
	}
	buckets := make(map[float64]uint64, len(h.Bounds))
	for i, bound := range h.Bounds {
		buckets[bound] = h.Buckets[i]
	}
	m, err := prometheus.NewConstHistogram(d, h.Count, h.Sum, buckets, labels...)
	e.emit(d, m, err)
}

func (e emitter) clients(states map[string]string) {
	for client, now := range states {
		for _, state := range clientStates {
			v := 0.0
			if strings.EqualFold(state, now) {
				v = 1
			}
			e.gauge(metricClient, v, client, state)
		}
	}
}

// withZeros makes sure that the keys known here are there: the first increase of a series that was
// not there before is invisible to rate().
func withZeros(by map[string]uint64, keys ...string) map[string]uint64 {
	out := maps.Clone(by)
	if out == nil {
		out = map[string]uint64{}
	}
	for _, k := range keys {
		out[k] += 0
	}
	return out
}

// MetricsHandler serves what stats and info tell, and the Go runtime's and the process's own metrics,
// in the Prometheus text format.
func MetricsHandler(stats func() view.Stats, info func() view.Info) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{stats, info}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return scrape(r)
}

// scrape allows few scrapes at a time: a monitoring system that piles them up must not slow the node.
func scrape(g prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{MaxRequestsInFlight: 4, ErrorHandling: promhttp.ContinueOnError})
}
