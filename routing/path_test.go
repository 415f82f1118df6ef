package routing

import (
	"net/netip"
	"strings"
	"testing"

	"flexvpn/dataplane"
)

func addrs(texts ...string) (out []netip.Addr) {
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func learned(prefix string, hops ...string) Path {
	return Path{Prefix: netip.MustParsePrefix(prefix), Source: SourceIBGP, NextHops: addrs(hops...)}
}

func TestNextHopsFollowTheSessionsThatCarryThem(t *testing.T) {
	table, f := newTable(t)
	must(t, table.SetPath("bgp", learned("172.16.1.0/24", "10.1.1.2", "10.1.1.3")))
	expect(t, f, "") // no way to either
	must(t, table.Set("h1/address", Announcement{Interface: "va1", Source: SourceAddress, Prefixes: prefixes("10.1.1.2/32")}))
	one := "10.1.1.2/32 dev va1 metric 1 proto 178"
	expect(t, f, one, "172.16.1.0/24 via 10.1.1.2 dev va1 metric 200 proto 179")
	must(t, table.Set("h2/address", Announcement{Interface: "va2", Source: SourceAddress, Prefixes: prefixes("10.1.1.3/32")}))
	two := "10.1.1.3/32 dev va2 metric 1 proto 178"
	expect(t, f, one, two, "172.16.1.0/24 via 10.1.1.2 dev va1 and 10.1.1.3 dev va2 metric 200 proto 179")
	must(t, table.Remove("h1/address"))
	expect(t, f, two, "172.16.1.0/24 via 10.1.1.3 dev va2 metric 200 proto 179")
	must(t, table.Remove("h2/address"))
	expect(t, f, "")
	must(t, table.RemovePath("bgp", "", prefixes("172.16.1.0/24")[0]))
}

func TestRoutesOfAProtocolDoNotCarryEachOther(t *testing.T) {
	table, f := newTable(t)
	must(t, table.SetPath("bgp", learned("10.0.0.0/8", "10.1.1.2"))) // around its own next hop
	must(t, table.SetPath("bgp", learned("172.16.1.0/24", "10.9.9.9")))
	expect(t, f, "")
}

func TestARouteThatWouldSwallowAHubPinsTheWayToItFirst(t *testing.T) {
	table, f := newTable(t)
	four, six := outside(t, f)
	must(t, table.PinTransport("c/transport", netip.MustParseAddr("203.0.113.1"), prefixes("10.1.0.1/32")))
	must(t, table.Set("c/ikev2", from("tunnel1", "10.1.0.1/32")))
	hub := "10.1.0.1/32 dev tunnel1 metric 2 proto 178"
	expect(t, f, four, six, hub)
	must(t, table.SetPath("bgp", learned("203.0.113.0/24", "10.1.0.1")))
	expect(t, f, four, six, hub, "203.0.113.0/24 via 10.1.0.1 dev tunnel1 metric 200 proto 179", "203.0.113.1/32 via 192.0.2.1 dev eth0 metric 1 proto 178")
	must(t, table.Remove("bgp"))
	must(t, table.Remove("c/ikev2"))
	must(t, table.Remove("c/transport"))
	expect(t, f, four, six)
}

// vrfs is a FIB with a VRF in table 10.
type vrfs struct{ *fib }

func (vrfs) VRF(name string) (int, bool, error) { return 10, name == "red", nil }

func TestAVRFHasItsOwnTableAndNextHops(t *testing.T) {
	f := &fib{Memory: MemoryFIB()}
	table := New(vrfs{f})
	must(t, table.Set("h1/address", Announcement{Interface: "va1", VRF: "red", Source: SourceAddress, Prefixes: prefixes("10.1.1.2/32")}))
	red, main := learned("172.16.1.0/24", "10.1.1.2"), learned("172.16.1.0/24", "10.1.1.2")
	red.VRF = "red"
	must(t, table.SetPath("bgp", main)) // the same next hop leads nowhere outside of the VRF
	must(t, table.SetPath("bgp/red", red))
	routes, err := f.Routes(ProtocolBGP)
	must(t, err)
	if len(routes) != 1 || routes[0].Table != 10 || routes[0].Interface != "va1" {
		t.Errorf("BGP's routes are %+v, want one in table 10", routes)
	}
	err = table.Set("h2/address", Announcement{Interface: "va2", VRF: "blue", Source: SourceAddress, Prefixes: prefixes("10.1.1.3/32")})
	if err == nil || !strings.Contains(err.Error(), "there is no VRF blue: ip link add blue type vrf") {
		t.Errorf("in a VRF that is not there: %v", err)
	}
}

func TestAStrangersRouteKeepsItsPlaceAndOursFollows(t *testing.T) {
	table, f := newTable(t)
	theirs := dataplane.Route{Prefix: prefixes("10.1.0.0/16")[0], Interface: "eth0", Metric: 2, Protocol: 99}
	must(t, f.Memory.ReplaceRoute(theirs))
	if err := table.Set("s1/ikev2", from("va1", "10.1.0.0/16")); err == nil || !strings.Contains(err.Error(), "which is left alone") {
		t.Errorf("Set: %v", err)
	}
	expect(t, f, "10.1.0.0/16 dev eth0 metric 2 proto 99")
	if r := table.Routes()[0]; r.Installed || r.Problem == "" {
		t.Errorf("show tells %+v", r)
	}
	must(t, f.Memory.DeleteRoute(theirs))
	must(t, table.Notice(dataplane.NetEvent{Kind: dataplane.RouteGone, Route: theirs}))
	expect(t, f, "10.1.0.0/16 dev va1 metric 2 proto 178")
	// Somebody removes ours: it comes back.
	ours := dataplane.Route{Prefix: prefixes("10.1.0.0/16")[0], Interface: "va1", Metric: 2, Protocol: Protocol}
	must(t, f.Memory.DeleteRoute(ours))
	must(t, table.Notice(dataplane.NetEvent{Kind: dataplane.RouteGone, Route: ours}))
	expect(t, f, "10.1.0.0/16 dev va1 metric 2 proto 178")
	if table.Counters().Repairs != 1 {
		t.Errorf("counters are %+v", table.Counters())
	}
}

func TestEqualWaysDivideTrafficInBothFamilies(t *testing.T) {
	table, f := newTable(t)
	for _, tunnel := range []string{"Tunnel1", "Tunnel2"} {
		a := from(tunnel, "10.0.0.0/8", "2001:db8::/32")
		a.Share = true
		must(t, table.Set(tunnel+"/ikev2", a))
	}
	// The kernel divides IPv6 over gateways only, so the tunnels get one; people are not told of it.
	expect(t, f, "10.0.0.0/8 dev Tunnel1 and dev Tunnel2 metric 2 proto 178",
		"2001:db8::/32 via fe80::f1e:ce11 dev Tunnel1 and fe80::f1e:ce11 dev Tunnel2 metric 2 proto 178")
	for _, r := range table.Routes() {
		if strings.Join(r.NextHops, ", ") != "dev Tunnel1, dev Tunnel2" {
			t.Errorf("%s is shown by %v", r.Prefix, r.NextHops)
		}
	}
	must(t, table.Remove("Tunnel1/ikev2"))
	expect(t, f, "10.0.0.0/8 dev Tunnel2 metric 2 proto 178", "2001:db8::/32 dev Tunnel2 metric 2 proto 178")
	must(t, table.Remove("Tunnel2/ikev2"))

	for i, hop := range []string{"192.0.2.1", "192.0.2.2"} {
		must(t, table.SetPath("static/"+hop, Path{Prefix: prefixes("172.16.0.0/12")[0], Source: SourceStatic, Interface: "eth0", NextHops: addrs(hop), Distance: 1, Tag: uint32(i)}))
	}
	expect(t, f, "172.16.0.0/12 via 192.0.2.1 dev eth0 and 192.0.2.2 dev eth0 metric 1 proto 180")
	if r := table.Routes()[0]; r.Session != "" || r.Source != SourceStatic {
		t.Errorf("a static route is shown as of session %q", r.Session)
	}
	must(t, table.Remove("static/192.0.2.1"))
	expect(t, f, "172.16.0.0/12 via 192.0.2.2 dev eth0 metric 1 proto 180")
}
