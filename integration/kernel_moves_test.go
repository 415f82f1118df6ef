package integration

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// A spoke goes from one hub to a better one: for a moment the SAs of both stand in one tunnel, each on
// its own path, and nothing of a stream is lost.
func TestKernelReactivation(t *testing.T) {
	needKernel(t)
	for _, mode := range []string{"ipsec", "gre"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newOffice(t, "kre"+mode[:1], 2)
			b.plane = "kernel"
			f := reactivates(t, b, mode)
			if links, _ := ours(t, b.spoke); !slices.Equal(links, []string{"tunnel1"}) {
				t.Errorf("the spoke has the interfaces %v", links)
			}
			// The old hub's states are gone, and those of the new one are where they were made.
			eventually(t, 20*time.Second, "one pair of states is left", func() error {
				got := slices.Sorted(maps.Values(outer(t, f.node)))
				if want := []string{"192.0.2.9 > 203.0.113.1", "203.0.113.1 > 192.0.2.9"}; !slices.Equal(got, want) {
					return fmt.Errorf("there are %v, want %v", got, want)
				}
				return nil
			})
		})
	}
}

// firstUplinkNAT hides what comes from the first uplink by IPv4.
const firstUplinkNAT = `flush ruleset
table ip nat {
  chain post {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "h1" ip saddr 198.51.100.10 meta l4proto udp masquerade to :40000-40999
  }
}
`

// A spoke moves between its uplinks by MOBIKE while its stream goes on: to another line, to another
// address of that line, behind a NAT, to IPv6 and back to IPv4. The session and its SAs are the same all
// the time: what changes are addresses and ports of the states, as iproute2 says, at both ends.
func TestKernelMobike(t *testing.T) {
	needKernel(t)
	for _, mode := range []string{"ipsec", "gre"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := newRoamingLab(t)
			r.plane = "kernel"
			must(t, r.roam.IP("-6 route del default dev wan1", "-6 route del default dev wan2"))
			hub, spoke := r.startHub(bothFamilies), r.startSpoke(mode)
			spoke.up()
			m := &mover{t: t, r: r, hub: hub, spoke: spoke, spis: spisByEnd(outer(t, r.roam))}
			s := startStream(t, r.roam, "10.1.1.1")
			const hub4, hub6 = "192.0.2.1", "2001:db8:1::1"
			m.arrives("at first", hub4, "198.51.100.10", "")
			for _, step := range []struct {
				what, hub, spoke, nat string
				commands              []string
			}{
				{"another line", hub4, "198.51.100.138", "", []string{"-4 route del default dev wan1"}},
				{"its address is replaced", hub4, "198.51.100.177", "", []string{
					"addr add 198.51.100.177/25 dev wan2", "addr del 198.51.100.138/25 dev wan2",
					"addr replace 198.51.100.177/25 dev wan2", "-4 route replace default via 198.51.100.129 dev wan2 metric 20",
				}},
				{"behind a NAT", hub4, "198.51.100.10", "192.0.2.254", []string{"-4 route add default via 198.51.100.1 dev wan1 metric 10"}},
				{"IPv6", hub6, "2001:db8:11::10", "", []string{
					"-6 route add default via 2001:db8:11::fe dev wan1 metric 10",
					"-4 route del default dev wan1", "-4 route del default dev wan2",
				}},
				{"IPv4 again", hub4, "198.51.100.177", "", []string{"-4 route add default via 198.51.100.129 dev wan2 metric 20", "-6 route del default dev wan1"}},
			} {
				if step.nat != "" {
					nft(t, r.net, firstUplinkNAT)
				}
				must(t, r.roam.IP(step.commands...))
				m.arrives(step.what, step.hub, step.spoke, step.nat)
				s.answered(5)
			}
			ping(t, r.roam, "2001:db8:fff::1", 3, 1000)
			for f, id := range map[*flexvpn]string{hub: "h1", spoke: "flex1-1"} {
				if all := show[[]view.Session](f, "sessions"); len(all) != 1 || all[0].ID != id {
					t.Errorf("the %s did not keep its session: %+v", f.role, all)
				}
			}
			lost := s.lost()
			if t.Logf("%d pings were lost on five moves", lost); lost > fewPings {
				t.Errorf("%d pings were lost", lost)
			}
		})
	}
}

// mover watches the states of a spoke that roams.
type mover struct {
	t          *testing.T
	r          *roamingLab
	hub, spoke *flexvpn
	spis       [2]string // of the state to the spoke, of the state to the hub
}

// arrives waits until the states of both ends run between these addresses; nat is what the hub sees of
// a spoke behind one, and then ESP is in UDP.
func (m *mover) arrives(what, hub, spoke, nat string) {
	m.t.Helper()
	seen, inUDP, outUDP, seenInUDP, seenOutUDP := spoke, "", "", "", ""
	if nat != "" {
		seen, inUDP, outUDP, seenInUDP, seenOutUDP = nat, " 4500-4500", " 4500-4500", " 4500-NAT", " NAT-4500"
	}
	want := map[*netlab.Node]map[string]string{
		m.r.roam: {m.spis[0]: hub + " > " + spoke + inUDP, m.spis[1]: spoke + " > " + hub + outUDP},
		m.r.hub:  {m.spis[0]: hub + " > " + seen + seenInUDP, m.spis[1]: seen + " > " + hub + seenOutUDP},
	}
	// What the daemons say costs less to ask than what the kernel has, and changes at the same time.
	for f, there := range map[*flexvpn]string{m.spoke: spoke, m.hub: seen} {
		eventually(m.t, 40*time.Second, what+": the "+f.role+" has moved", func() error {
			all := show[[]view.Session](f, "sessions")
			if len(all) != 1 || !strings.Contains(all[0].Local+" "+all[0].Remote, there) {
				return fmt.Errorf("it has %+v", all)
			}
			return nil
		})
	}
	for n, w := range want {
		eventually(m.t, 40*time.Second, what+": the states of "+n.Name, func() error {
			if got := outer(m.t, n); !maps.Equal(got, w) {
				return fmt.Errorf("there are %v, want %v", got, w)
			}
			return nil
		})
	}
}

// natPort is one of those that a NAT of these labs gives.
var natPort = regexp.MustCompile(`\b40\d{3}\b`)

// outer are the states of a node by SPI, as iproute2 says: addresses, and ports where ESP is in UDP.
func outer(t *testing.T, n *netlab.Node) map[string]string {
	t.Helper()
	all, addresses, spi := map[string]string{}, "", ""
	for line := range strings.Lines(said(t, n, "ip", "xfrm", "state")) {
		f := strings.Fields(line)
		switch {
		case len(f) > 3 && f[0] == "src":
			addresses = f[1] + " > " + f[3]
		case len(f) > 3 && f[2] == "spi":
			spi = f[3]
			all[spi] = addresses
		case len(f) > 6 && f[0] == "encap":
			all[spi] += " " + natPort.ReplaceAllString(f[4], "NAT") + "-" + natPort.ReplaceAllString(f[6], "NAT")
		}
	}
	return all
}

// spisByEnd are the SPIs of a spoke's two states while it is at its first address.
func spisByEnd(states map[string]string) (spis [2]string) {
	for spi, addresses := range states {
		if strings.HasSuffix(addresses, "> 198.51.100.10") {
			spis[0] = spi
		} else {
			spis[1] = spi
		}
	}
	return spis
}
