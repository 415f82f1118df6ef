package client

import (
	"sync"
	"sync/atomic"

	"flexvpn/ikev2"
	"flexvpn/ops/view"
)

// totals are the client's counters.
type totals struct {
	up     atomic.Uint64 // 0 or 1
	setups atomic.Uint64
	failed atomic.Uint64

	mu       sync.Mutex
	failures map[string]uint64
	ended    map[string]uint64
	left     map[failover]uint64
}

func (t *totals) init() {
	t.failures, t.ended, t.left = map[string]uint64{}, map[string]uint64{}, map[failover]uint64{}
}

func (t *totals) failedWith(r ikev2.CloseReason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures[string(r)]++
}

func (t *totals) endedWith(r ikev2.CloseReason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended[string(r)]++
}

func (t *totals) leftFor(why failover) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left[why]++
}

// AddTo adds the client's part to v.
func (c *Client) AddTo(v *view.Stats) {
	t := &c.totals
	v.SessionsUp["client"] += t.up.Load()
	v.SetupsTotal["client"] += t.setups.Load()
	t.mu.Lock()
	for reason, n := range t.failures {
		v.FailuresTotal[reason] += n
	}
	for reason, n := range t.ended {
		v.EndedTotal[reason] += n
	}
	if v.Failovers == nil {
		v.Failovers = map[string]uint64{}
	}
	for _, reason := range Failovers() {
		v.Failovers[reason] += t.left[failover(reason)]
	}
	t.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	v.Clients[c.Name()] = string(c.seen.view.State)
}
