package edge

import (
	"strings"
	"testing"
	"time"

	"flexvpn/config"
	"flexvpn/dataplane"
	"flexvpn/dataplane/planetest"
)

// A plane whose devices go with the process has a table that goes with it, too, and that a firewall's
// reload cannot flush; when its socket breaks, filters are made again with the next change at the latest.
func TestOwnedTableStandsAndFalls(t *testing.T) {
	r := rigOf(t, true, []*config.AccessList{list(t, "block", "deny ip any any")})
	rules := func() string { return r.in(r.hub, "nft list ruleset") }
	filtered := func(i *dataplane.Interface) { i.FilterIn = "block" }
	r.apply(filtered)
	if now := rules(); !strings.Contains(now, "flags owner") || !strings.Contains(now, `"va1"`) {
		t.Fatalf("the ruleset is\n%s", now)
	}
	r.in(r.hub, "nft flush ruleset")
	if now := rules(); !strings.Contains(now, `"va1"`) {
		t.Errorf("after somebody's flush the ruleset is\n%s", now)
	}
	c, err := r.plane.table.Conn()
	if err == nil {
		err = c.CloseLasting()
	}
	if err != nil {
		t.Fatal(err)
	}
	if now := rules(); now != "" {
		t.Fatalf("without its owner there is\n%s", now)
	}
	next := planetest.NewInterface("va2")
	next.FilterIn = "block"
	if err := r.plane.Apply(next); err != nil {
		t.Fatal(err)
	}
	if now := rules(); !strings.Contains(now, `"va1"`) || !strings.Contains(now, `"va2"`) {
		t.Errorf("made again, the ruleset is\n%s", now)
	}
	select {
	case <-r.noticed:
	case <-time.After(10 * time.Second):
		t.Error("nobody was told")
	}
}
