package radius

import (
	"time"

	"flexvpn/ops/view"
)

// Servers tells how every server does, in the order of names.
func (c *Client) Servers() []view.AAAServer {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.ports()
	out := make([]view.AAAServer, 0, len(all))
	for _, p := range all {
		out = append(out, p.view(time.Now()))
	}
	return out
}

func (p *port) view(now time.Time) view.AAAServer {
	s := &p.stats
	v := view.AAAServer{
		Name: p.server.Name, Port: p.kind, Address: p.address.String(), Transport: string(p.server.Transport), State: "up", Since: p.since,
		LastError: p.lastError, InFlight: len(p.waiting), Requests: s.Requests, Retransmissions: s.Retransmissions, Timeouts: s.Timeouts,
		Accepts: s.Accepts, Rejects: s.Rejects, Challenges: s.Challenges, Responses: s.Responses, Deaths: s.Deaths,
		Dropped: map[string]uint64{}, Unusable: map[string]uint64{},
		Latency: view.Histogram{Bounds: latencyBounds[:], Buckets: append([]uint64(nil), s.latency[:]...), Count: s.latencyCount, Sum: s.latencySum},
	}
	if !p.usable(now) {
		v.State = "dead"
	}
	for _, l := range p.lanes {
		v.InFlight += l.inUse
	}
	for _, r := range badReasons {
		v.Dropped[r] = s.Bad[r]
	}
	for _, r := range unusableReasons {
		v.Unusable[r] = s.Unusable[r]
	}
	return v
}
