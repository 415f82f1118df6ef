package integration

import (
	"context"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// A Child SA that has carried what its limit in octets allows is replaced under traffic, long before its
// time, and not a packet is lost: the rest of the limit lasts for a second and a half of this stream.
func TestScenarioLimitOfOctets(t *testing.T) {
	t.Parallel()
	s := newStar(t, "octs", "hub", "spoke1")
	hub := s.hubWith("hub", "10.1.1.2-10.1.1.9", "ipsec: {lifetime: {bytes: 2MiB}}\n")
	spoke := s.spoke("spoke1", "ipsec", firstHub)
	before := spoke.up()
	first := show[[]view.SA](hub, "sa")[0].Children[0].SPIIn

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	lost, out, err := spoke.node.Ping(ctx, netlab.Train{To: "10.1.1.1", Count: 2000, Size: 1300, Interval: 8 * time.Millisecond})
	if err != nil || len(lost) > 0 {
		t.Errorf("while the Child SA was replaced pings were lost: %v (%v)\n%s", lost, err, lastLines(out, 4))
	}
	if n := show[view.Stats](hub, "counters").Rekeys["child"]; n == 0 {
		t.Error("two megabytes and a half passed, and no Child SA was replaced")
	}
	after := show[[]view.SA](hub, "sa")[0].Children
	if len(after) != 1 || after[0].SPIIn == first || after[0].InBytes >= 2<<20 {
		t.Errorf("the Child SA %s became %+v", first, after)
	}
	if got := spoke.up(); got.ID != before.ID || !got.Since.Equal(before.Since) {
		t.Errorf("the session is another one: %+v", got)
	}
}
