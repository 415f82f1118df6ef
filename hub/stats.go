package hub

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ops/view"
)

// handshakeBounds are the buckets of the handshake histogram, in seconds.
var handshakeBounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// stats are the hub's totals. Reading them costs the same with one session and with ten thousand.
type stats struct {
	sessionsUp atomic.Int64
	setups     atomic.Uint64

	mu        sync.Mutex
	failures  map[string]uint64
	ended     map[string]uint64
	handshake view.Histogram
	byEAP     map[[2]string]uint64 // by method and outcome
}

func (s *stats) init() {
	s.byEAP = map[[2]string]uint64{}
	s.failures, s.ended = map[string]uint64{}, map[string]uint64{}
	s.handshake = view.Histogram{Bounds: handshakeBounds, Buckets: make([]uint64, len(handshakeBounds))}
}

func (s *stats) up(took time.Duration) {
	s.sessionsUp.Add(1)
	s.setups.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handshake.Count++
	s.handshake.Sum += took.Seconds()
	for i, bound := range s.handshake.Bounds {
		if took.Seconds() <= bound {
			s.handshake.Buckets[i]++
		}
	}
}

func (s *stats) down(r ikev2.CloseReason) {
	s.sessionsUp.Add(-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended[string(r)]++
}

func (s *stats) failedWith(r ikev2.CloseReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures[string(r)]++
}

// eap counts a conversation that ended; both labels are of closed sets.
func (s *stats) eap(method, outcome string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byEAP[[2]string{method, outcome}]++
}

// eapCounts are the counts of conversations in the order of their labels.
func (s *stats) eapCounts() []view.EAPCount {
	var out []view.EAPCount
	for k, n := range s.byEAP {
		out = append(out, view.EAPCount{Method: k[0], Outcome: k[1], Count: n})
	}
	slices.SortFunc(out, func(a, b view.EAPCount) int {
		return cmp.Or(cmp.Compare(a.Method, b.Method), cmp.Compare(a.Outcome, b.Outcome))
	})
	return out
}

// expectEAP has the outcomes that a hub with EAP is watched for counted from zero on.
func (s *stats) expectEAP() {
	for _, method := range []string{"gtc", "md5", "mschapv2", "tls"} {
		for _, outcome := range []string{eapAccepted, eapRejected} {
			s.byEAP[[2]string{method, outcome}] = 0
		}
	}
}

// AddTo adds the hub's part to v.
func (h *Hub) AddTo(v *view.Stats) {
	s := &h.stats
	v.SessionsUp["hub"] = uint64(max(0, s.sessionsUp.Load()))
	v.SetupsTotal["hub"] = s.setups.Load()
	v.Logins = uint64(h.logins.underWay())
	s.mu.Lock()
	defer s.mu.Unlock()
	for reason, n := range s.failures {
		v.FailuresTotal[reason] += n
	}
	for reason, n := range s.ended {
		v.EndedTotal[reason] += n
	}
	v.EAP = s.eapCounts()
	v.Handshake = s.handshake
	v.Handshake.Buckets = append([]uint64(nil), s.handshake.Buckets...)
}
