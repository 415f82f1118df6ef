package node

import (
	"net/netip"
	"testing"
)

// Programs read --json of every node alike: one without a speaker has none, which is no failure. Who asks
// for one neighbor or prefix is told why there is none.
func TestANodeWithoutBGPHasNoSpeakersAndNoPaths(t *testing.T) {
	n := &Node{}
	if all, err := n.BGP(t.Context(), netip.Addr{}); len(all) != 0 || err != nil {
		t.Errorf("speakers: %v, %v", all, err)
	}
	if all, err := n.BGPRoutes(t.Context(), netip.Prefix{}); len(all) != 0 || err != nil {
		t.Errorf("paths: %v, %v", all, err)
	}
	if _, err := n.BGP(t.Context(), netip.MustParseAddr("10.1.1.2")); err == nil {
		t.Error("a neighbor of a node without BGP is found")
	}
	if _, err := n.BGPRoutes(t.Context(), netip.MustParsePrefix("10.0.0.0/8")); err == nil {
		t.Error("a path of a node without BGP is found")
	}
}
