package opstest

import (
	"context"
	"time"

	"flexvpn/ops/view"
)

// AAA implements ops.Node.
func (n *Node) AAA() view.AAA { return n.Asked }

// AAAAttributes implements ops.Node.
func (n *Node) AAAAttributes(_ context.Context, identity string) (view.AAAAttributes, error) {
	return view.AAAAttributes{Identity: identity, Profile: "spokes", Attributes: []view.Attribute{
		{Name: "pool", Value: "flexspokes", Origin: "radius group branch.example.net"},
		{Name: "dns", Value: "192.168.10.99", Origin: "radius user " + identity},
	}}, n.Fail
}

func asked(now time.Time) view.AAA {
	latency := view.Histogram{Bounds: []float64{.001, .01, .1}, Buckets: []uint64{3, 9, 12}, Count: 12, Sum: .2}
	return view.AAA{
		Servers: []view.AAAServer{
			{
				Name: "radius1", Port: "auth", Address: "192.0.2.10:1812", Transport: "udp", State: "up", Since: now.Add(-time.Hour), InFlight: 1,
				Requests: 13, Retransmissions: 1, Timeouts: 1, Accepts: 9, Rejects: 2, Challenges: 1,
				Dropped: map[string]uint64{"source": 0, "authenticator": 2}, Unusable: map[string]uint64{"av-pair": 1, "eap": 0}, Latency: latency,
			},
			{
				Name: "radius2", Port: "auth", Address: "[2001:db8::10]:2083", Transport: "tls", State: "dead", Since: now.Add(-time.Minute), LastError: "no answer to 3 requests",
				Requests: 3, Retransmissions: 2, Timeouts: 3, Deaths: 1, Dropped: map[string]uint64{"source": 0, "authenticator": 0}, Unusable: map[string]uint64{"av-pair": 0, "eap": 0}, Latency: view.Histogram{Bounds: []float64{.001, .01, .1}, Buckets: []uint64{0, 0, 0}},
			},
		},
		Waiting: 4, Orders: map[string]uint64{"ack": 2, "nak": 1, "foreign": 1},
	}
}

func askedStats() *view.AAA {
	v := asked(time.Time{})
	return &v
}
