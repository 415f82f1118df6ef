package routing

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"flexvpn/dataplane"
)

// outside gives the FIB a default route of somebody else by eth0 for both families.
func outside(t *testing.T, f *fib) (four, six string) {
	t.Helper()
	for _, r := range []dataplane.Route{
		{Prefix: prefixes("0.0.0.0/0")[0], Interface: "eth0", Via: netip.MustParseAddr("192.0.2.1"), Metric: 100, Protocol: 16},
		{Prefix: prefixes("::/0")[0], Interface: "eth0", Via: netip.MustParseAddr("fe80::1"), Metric: 100, Protocol: 9},
	} {
		must(t, f.Memory.ReplaceRoute(r))
	}
	return "0.0.0.0/0 via 192.0.2.1 dev eth0 metric 100 proto 16", "::/0 via fe80::1 dev eth0 metric 100 proto 9"
}

func TestTheWayToAHubInsideOfAPushedPrefixIsPinned(t *testing.T) {
	table, f := newTable(t)
	four, six := outside(t, f)
	for _, c := range []struct{ hub, pushed, pin string }{
		{"203.0.113.1", "0.0.0.0/0", "203.0.113.1/32 via 192.0.2.1 dev eth0 metric 1 proto 178"},
		{"::ffff:203.0.113.1", "203.0.113.0/24", "203.0.113.1/32 via 192.0.2.1 dev eth0 metric 1 proto 178"},
		{"2001:db8::1", "2001:db8::/32", "2001:db8::1/128 via fe80::1 dev eth0 metric 1 proto 178"},
	} {
		hub, pushed := netip.MustParseAddr(c.hub), prefixes(c.pushed, "198.51.100.0/24")
		must(t, table.PinTransport("s1/transport", hub, pushed))
		must(t, table.Set("s1/ikev2", from("tunnel1", c.pushed)))
		route := c.pushed + " dev tunnel1 metric 2 proto 178"
		expect(t, f, four, six, c.pin, route)
		must(t, table.PinTransport("s1/transport", hub, pushed)) // told again, with the tunnel's route in place
		expect(t, f, four, six, c.pin, route)
		must(t, table.Remove("s1/ikev2"))
		must(t, table.Remove("s1/transport"))
		expect(t, f, four, six)
	}
}

func TestAHubOutsideOfAllPushedPrefixesIsNotPinned(t *testing.T) {
	table, f := newTable(t)
	four, six := outside(t, f)
	hub := netip.MustParseAddr("203.0.113.1")
	must(t, table.PinTransport("s1/transport", hub, prefixes("10.0.0.0/8", "::/0")))
	expect(t, f, four, six)
	must(t, table.PinTransport("s1/transport", hub, prefixes("0.0.0.0/0")))
	must(t, table.PinTransport("s1/transport", hub, prefixes("10.0.0.0/8"))) // the hub thought again
	expect(t, f, four, six)
}

func TestAPushedHostRouteToTheHubItselfDoesNotBeatThePin(t *testing.T) {
	table, f := newTable(t)
	four, six := outside(t, f)
	hub := netip.MustParseAddr("203.0.113.1")
	must(t, table.PinTransport("s1/transport", hub, prefixes("203.0.113.1/32")))
	must(t, table.Set("s1/ikev2", from("tunnel1", "203.0.113.1/32")))
	expect(t, f, four, "203.0.113.1/32 via 192.0.2.1 dev eth0 metric 1 proto 178", six)
}

func TestTwoTunnelsToOneHubShareItsPin(t *testing.T) {
	table, f := newTable(t)
	four, six := outside(t, f)
	hub := netip.MustParseAddr("203.0.113.1")
	must(t, table.PinTransport("s1/transport", hub, prefixes("0.0.0.0/0")))
	must(t, table.Set("s1/ikev2", from("tunnel1", "0.0.0.0/0")))
	must(t, table.PinTransport("s2/transport", hub, prefixes("0.0.0.0/0")))
	must(t, table.Remove("s1/ikev2"))
	must(t, table.Remove("s1/transport"))
	expect(t, f, four, "203.0.113.1/32 via 192.0.2.1 dev eth0 metric 1 proto 178", six)
	must(t, table.Remove("s2/transport"))
	expect(t, f, four, six)
}

// A session that moves to another uplink, or to another address of its hub, takes the pins along, though
// the tunnel's default route is in the way by then.
func TestPinsFollowASessionThatMoves(t *testing.T) {
	table, f := newTable(t)
	four, six := outside(t, f)
	hub, other, sixth := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2"), netip.MustParseAddr("2001:db8::1")
	pushed := prefixes("0.0.0.0/0")
	must(t, table.PinTransports("s1/transport", hub, []netip.Addr{other, sixth}, pushed))
	must(t, table.Set("s1/ikev2", from("tunnel1", "0.0.0.0/0")))
	tunnel := "0.0.0.0/0 dev tunnel1 metric 2 proto 178"
	expect(t, f, four, six, tunnel, "203.0.113.1/32 via 192.0.2.1 dev eth0 metric 1 proto 178", "203.0.113.2/32 via 192.0.2.1 dev eth0 metric 1 proto 178")
	must(t, f.Memory.ReplaceRoute(dataplane.Route{Prefix: pushed[0], Interface: "wwan0", Via: netip.MustParseAddr("198.51.100.1"), Metric: 50, Protocol: 16}))
	if way, err := table.WayTo(other); err != nil || way.Interface != "wwan0" {
		t.Errorf("the way to the hub is %+v, %v", way, err)
	}
	must(t, table.PinTransports("s1/transport", other, []netip.Addr{hub}, pushed))
	expect(t, f, four, six, tunnel, "0.0.0.0/0 via 198.51.100.1 dev wwan0 metric 50 proto 16",
		"203.0.113.1/32 via 198.51.100.1 dev wwan0 metric 1 proto 178", "203.0.113.2/32 via 198.51.100.1 dev wwan0 metric 1 proto 178")
}

func TestAHubThatIsReachedThroughATunnelOfOursOrNotAtAllIsNotPinned(t *testing.T) {
	table, f := newTable(t)
	hub := netip.MustParseAddr("203.0.113.1")
	if err := table.PinTransport("s1/transport", hub, prefixes("0.0.0.0/0")); !errors.Is(err, ErrNoRoute) {
		t.Errorf("without any route: %v, want %v", err, ErrNoRoute)
	}
	outside(t, f)
	must(t, table.Set("s0/ikev2", from("tunnel0", "203.0.113.0/24")))
	err := table.PinTransport("s1/transport", hub, prefixes("0.0.0.0/0"))
	if err == nil || !strings.Contains(err.Error(), "our own tunnel tunnel0") {
		t.Errorf("through a tunnel: %v, want a refusal that names it", err)
	}
}
