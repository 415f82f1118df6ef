package node

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flexvpn/authz"
	"flexvpn/ikev2"
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

// say sends a CFG_SET with these prefixes in the newest session of a node.
func (e *end) say(texts ...string) {
	var list []netip.Prefix
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	e.conns.last().Do(func(now time.Time, sa *ikev2.SA) { sa.SetConfig(now, authz.RouteSet(list)) })
	e.w.after(time.Second)
}

// IKEv2 routing in both directions: what a CFG_SET says during the session takes the place of what was said
// before, each end believes what its list permits, with its distance and tag, and the session's end takes
// it back.
func TestRoutesChangeDuringASessionAndEndWithIt(t *testing.T) {
	inWorld(t, func(w *world) {
		const lists = `prefix-lists:
  to-spokes: [permit 10.0.0.0/8, permit 10.0.1.0/24]
  from-spokes: [deny 172.16.9.0/24, permit 172.16.0.0/12 ge 24 le 24]
  from-hubs: [deny 10.66.0.0/16, permit 10.0.0.0/8 le 24]
`
		h := w.end("192.0.2.1", hubText("set: [interface, 10.0.0.0/8], accept: [172.16.0.0/12]", "set: [interface, to-spokes], accept: from-spokes, distance: 7, tag: 70")+lists, nil)
		s := w.end("192.0.2.2", spokeText("spoke1", "198.18.0.0/15], accept: any", "172.16.9.0/24, 172.16.2.0/25], accept: from-hubs, distance: 9")+lists, nil)
		h.run()
		stop := s.run()
		w.after(time.Second)
		want := func(e *end, why string, list ...string) {
			t.Helper()
			if got := prefixesOf(e); fmt.Sprint(got) != fmt.Sprint(list) {
				t.Errorf("%s: routes %v, want %v", why, got, list)
			}
		}
		want(h, "what the hub's list permits of what the spoke says", "10.1.1.2/32", "172.16.1.0/24")
		want(s, "the two prefixes of the hub's list; its tunnel address is too long for the spoke's", "10.0.0.0/8", "10.0.1.0/24")
		for _, r := range append(h.Routes(), s.Routes()...) {
			if d := map[string]uint8{"172.16.1.0/24": 7, "10.0.0.0/8": 9, "10.0.1.0/24": 9}[r.Prefix.String()]; d != 0 && r.Distance != d {
				t.Errorf("%s has distance %d, want %d", r.Prefix, r.Distance, d)
			}
			if r.Prefix.String() == "172.16.1.0/24" && r.Tag != 70 {
				t.Errorf("%s has tag %d, want 70", r.Prefix, r.Tag)
			}
		}
		s.say("172.16.5.0/24", "172.16.9.0/24", "0.0.0.0/0")
		want(h, "the spoke says others", "10.1.1.2/32", "172.16.5.0/24")
		if !strings.Contains(h.log.String(), "routes refused") || !strings.Contains(h.log.String(), "[172.16.9.0/24 0.0.0.0/0]") {
			t.Errorf("the hub's log does not tell what was refused:\n%s", h.log)
		}
		h.say("10.7.0.0/16", "10.66.0.0/16", "192.168.0.0/16")
		want(s, "the hub says others", "10.7.0.0/16")
		s.say()
		want(h, "the spoke says none", "10.1.1.2/32")
		stop()
		w.after(time.Second)
		want(h, "the session is over")
		want(s, "the session is over")
	})
}
