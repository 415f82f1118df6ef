package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

func (a *app) showCountersCommand() *cobra.Command {
	return &cobra.Command{
		Use: "counters", Short: "Everything that is counted, as the metrics tell it",
		Example: `  flexvpn show counters
  flexvpn show counters --watch`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.show(cmd.Context(), countersPage) },
	}
}

var countersPage = asked((*ops.Client).Stats, printCounters)

func printCounters(w io.Writer, s view.Stats, _ time.Time) error {
	t := newTable(w)
	section := func(title string, by map[string]uint64) {
		for _, name := range slices.Sorted(maps.Keys(by)) {
			t.row(title, name, countText(by[name]))
		}
	}
	section("sessions up", s.SessionsUp)
	section("setups", s.SetupsTotal)
	section("failures", s.FailuresTotal)
	section("ended", s.EndedTotal)
	t.row("handshakes", "half open", countText(s.HalfOpen))
	t.row("handshakes", "finished", countText(s.Handshake.Count))
	t.row("handshakes", "mean time", meanText(s.Handshake))
	t.row("received", "bytes", countText(s.InBytes))
	t.row("received", "packets", countText(s.InPackets))
	t.row("sent", "bytes", countText(s.OutBytes))
	t.row("sent", "packets", countText(s.OutPackets))
	t.row("eap", "under way", countText(s.Logins))
	for _, c := range s.EAP {
		t.row("eap", c.Method+" "+c.Outcome, countText(c.Count))
	}
	section("rekeys", s.Rekeys)
	section("ike", s.IKE)
	section("dropped packets", s.Drops)
	t.row("data plane", "events dropped", countText(s.EventsDropped))
	section("dns queries", s.DNS.Queries)
	section("dns answers", s.DNS.Answers)
	section("dns drops", s.DNS.Drops)
	section("nat translations", s.NAT)
	section("dhcp messages", s.DHCP.Messages)
	section("dhcp drops", s.DHCP.Drops)
	return t.done()
}

// meanText is the mean of a histogram of seconds.
func meanText(h view.Histogram) string {
	if h.Count == 0 {
		return none
	}
	return fmt.Sprintf("%.1f ms", h.Sum/float64(h.Count)*1000)
}
