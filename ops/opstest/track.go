package opstest

import (
	"time"

	"flexvpn/ops/view"
)

// Tracks implements ops.Node.
func (n *Node) Tracks() []view.Track { return n.Tracked }

func tracks(now time.Time) []view.Track {
	due := now.Add(4 * time.Second)
	return []view.Track{
		{
			Number: 1, Kind: "line-protocol", Object: "Interface eth0 line-protocol", State: "up", Reason: "the line protocol is up",
			Since: now.Add(-27 * time.Second), Changes: 1, UsedBy: []string{"client flex1 source 1", "client flex1 connect"},
		},
		{
			Number: 10, Kind: "icmp-echo", Object: "ICMP echo 203.0.113.1 every 1s, timeout 300ms", State: "down", Reason: "no answer within 300ms",
			Since: now.Add(-3 * time.Hour), Changes: 4, UsedBy: []string{"client flex1 peer 1"},
		},
		{
			Number: 11, Kind: "route", Object: "IP route 10.0.0.0/8 reachability", State: "down", Reason: "the route leads to eth0", Since: now.Add(-time.Minute),
			Pending: "up", PendingAt: &due, DelayUp: 20, DelayDown: 10,
		},
	}
}
