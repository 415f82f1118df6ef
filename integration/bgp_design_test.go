package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// A design is two hubs and two spokes as in Cisco document 116413, run with the samples of
// deploy/examples as they stand. The transport network is 203.0.113.0/24 (hubs .1 and .2, spokes .101
// and .102), the hubs share 192.168.0.0/24, spoke n has 192.168.(100+n).0/24.
type design struct {
	t      *testing.T
	name   string
	centre *netlab.Node // the transport network: lines are cut here
	nodes  map[string]*netlab.Node
	on     map[string]*machine
}

const designKey = "a test secret, not for use\n"

func newDesign(t *testing.T, lab, name string) *design {
	t.Helper()
	mountPoint(t)
	l := newLab(t, lab)
	d := &design{t: t, name: name, centre: node(t, l, "net"), nodes: map[string]*netlab.Node{}, on: map[string]*machine{}}
	must(t, d.centre.IP("link add br0 type bridge", "link set br0 up"))
	for _, m := range []struct{ name, outside, inside string }{
		{"hub1", "203.0.113.1/24", ""},
		{"hub2", "203.0.113.2/24", ""},
		{"spoke1", "203.0.113.101/24", "192.168.101.1/24"},
		{"spoke2", "203.0.113.102/24", "192.168.102.1/24"},
	} {
		n := node(t, l, m.name)
		d.nodes[m.name] = n
		must(t, l.Link(n, "eth0", d.centre, m.name), d.centre.IP("link set "+m.name+" master br0"), n.IP("addr add "+m.outside+" dev eth0"),
			n.Sysctl("net.ipv4.ip_forward", "1"))
		if m.inside != "" {
			must(t, n.IP("link add eth1 type bridge", "link set eth1 up", "addr add "+m.inside+" dev eth1"))
		}
		file := strings.TrimRight(m.name, "12") + ".yaml"
		d.on[m.name] = newMachine(t, n, map[string][]byte{file: sample(t, name+"/"+m.name+".yaml"), "flex.psk": []byte(designKey)})
	}
	must(t, l.Link(d.nodes["hub1"], "eth1", d.nodes["hub2"], "eth1"),
		d.nodes["hub1"].IP("addr add 192.168.0.1/24 dev eth1"), d.nodes["hub2"].IP("addr add 192.168.0.2/24 dev eth1"))
	return d
}

// start starts machines.
func (d *design) start(names ...string) {
	d.t.Helper()
	for _, name := range names {
		role, file := "hub", "/etc/flexvpn/hub.yaml"
		if strings.HasPrefix(name, "spoke") {
			role, file = "client", "/etc/flexvpn/spoke.yaml"
		}
		d.on[name].start(role, "-c", file)
	}
}

// ask decodes what a show command of a machine prints with --json.
func ask[T any](m *machine, args ...string) (v T, err error) {
	out, err := m.run(append(append([]string{"show"}, args...), "--json")...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &v)
	}
	return v, err
}

// table is a machine's BGP table: for each prefix the sources of its paths, the best first: a
// neighbor's address, or why the path is its own; "s " before those that an aggregate suppresses.
func (d *design) table(name string) (map[string]string, error) {
	routes, err := ask[[]view.BGPRoute](d.on[name], "bgp", "routes")
	out := map[string]string{}
	for _, r := range routes {
		var from []string
		for _, p := range r.Paths {
			if p.Neighbor.IsValid() {
				from = append(from, p.Neighbor.String())
			} else {
				from = append(from, p.Local)
			}
		}
		text := strings.Join(from, " ")
		if r.Suppressed {
			text = "s " + text
		}
		out[r.Prefix.String()] = text
	}
	return out, err
}

// has waits until a machine's BGP table is exactly want.
func (d *design) has(name, why string, want map[string]string) {
	d.t.Helper()
	eventually(d.t, 60*time.Second, name+" "+why, func() error {
		got, err := d.table(name)
		if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
			err = fmt.Errorf("its BGP table is %v, want %v", got, want)
		}
		return err
	})
}

// told waits until a neighbor of a machine is told exactly these prefixes.
func (d *design) told(name, neighbor string, want ...string) {
	d.t.Helper()
	eventually(d.t, 60*time.Second, name+" tells "+neighbor, func() error {
		v, err := ask[[]view.BGP](d.on[name], "bgp", "neighbors", neighbor)
		if err != nil {
			return err
		}
		var got []string
		for _, p := range v[0].Neighbors[0].SentPrefixes {
			got = append(got, p.String())
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("it tells %v, want %v", got, want)
		}
		return nil
	})
}

// reach waits until a host behind one spoke reaches one behind the other.
func (d *design) reach(from, source, to string) {
	d.t.Helper()
	eventually(d.t, 60*time.Second, "traffic from "+from+" to "+to, func() error {
		_, err := d.nodes[from].Run(context.Background(), "ping", "-c", "2", "-i", "0.05", "-W", "1", "-I", source, to)
		return err
	})
}

// through are the packets that a hub has decrypted.
func (d *design) through(name string) uint64 {
	d.t.Helper()
	sessions, err := ask[[]view.Session](d.on[name], "sessions")
	must(d.t, err)
	var n uint64
	for _, s := range sessions {
		n += s.InPackets
	}
	return n
}

// overlay is a spoke's address on a tunnel, as its hub assigned it.
func (d *design) overlay(name, tunnel string) string {
	d.t.Helper()
	var found string
	eventually(d.t, 60*time.Second, name+" has an address on "+tunnel, func() error {
		clients, err := ask[[]view.Client](d.on[name], "client")
		for _, c := range clients {
			if c.Tunnel == tunnel && c.State == "ACTIVE" && len(c.Addresses) == 1 {
				found = c.Addresses[0].String()
				return nil
			}
		}
		return fmt.Errorf("%v %+v", err, clients)
	})
	return found
}

// The failover approach: a spoke is with one hub at a time. What document 116413 draws is held prefix
// by prefix; then a hub dies, comes back, and the other one's line is cut.
func TestBGPFailoverDesign(t *testing.T) {
	t.Parallel()
	d := newDesign(t, "fo", "failover")
	d.start("hub1", "hub2", "spoke1", "spoke2")
	one, two := d.overlay("spoke1", "Tunnel1"), d.overlay("spoke2", "Tunnel1")
	if !strings.HasPrefix(one, "10.1.1.") || !strings.HasPrefix(two, "10.1.2.") {
		t.Fatalf("the spokes have %s and %s: not each of its own hub", one, two)
	}
	// Green in the document's drawing: what spokes tell their hub. Blue: what the hubs tell each other.
	d.has("hub1", "has its spoke's and the other hub's specifics", map[string]string{
		"192.168.0.0/16": "aggregate 192.168.0.2", "192.168.0.0/24": "s network 192.168.0.2", "192.168.101.0/24": "s " + one, "192.168.102.0/24": "s 192.168.0.2",
	})
	d.has("hub2", "has its spoke's and the other hub's specifics", map[string]string{
		"192.168.0.0/16": "aggregate 192.168.0.1", "192.168.0.0/24": "s network 192.168.0.1", "192.168.101.0/24": "s 192.168.0.1", "192.168.102.0/24": "s " + two,
	})
	d.told("hub1", "192.168.0.2", "192.168.0.0/16", "192.168.0.0/24", "192.168.101.0/24")
	d.told("hub2", "192.168.0.1", "192.168.0.0/16", "192.168.0.0/24", "192.168.102.0/24")
	// Red: the hubs tell spokes the summary only.
	d.told("hub1", one, "192.168.0.0/16")
	d.told("hub2", two, "192.168.0.0/16")
	d.has("spoke1", "has the summary", map[string]string{"192.168.0.0/16": "10.1.0.1", "192.168.101.0/24": "network"})
	d.has("spoke2", "has the summary", map[string]string{"192.168.0.0/16": "10.1.0.1", "192.168.102.0/24": "network"})
	// The discard route, and traffic between spokes over both hubs.
	out, err := d.nodes["hub1"].Run(context.Background(), "ip", "route", "show", "proto", "179")
	if err != nil || !strings.Contains(out, "blackhole 192.168.0.0/16") || !strings.Contains(out, "192.168.102.0/24 via 192.168.0.2 dev eth1") {
		t.Errorf("hub1's BGP routes (%v):\n%s", err, out)
	}
	before := []uint64{d.through("hub1"), d.through("hub2")}
	d.reach("spoke1", "192.168.101.1", "192.168.102.1")
	if now := []uint64{d.through("hub1"), d.through("hub2")}; now[0] <= before[0] || now[1] <= before[1] {
		t.Errorf("the hubs decrypted %v packets before and %v after: traffic did not flow over both", before, now)
	}

	// Hub 1 dies: its spoke moves, and everything flows over hub 2.
	d.on["hub1"].proc.Kill()
	d.reach("spoke1", "192.168.101.1", "192.168.102.1")
	one = d.overlay("spoke1", "Tunnel1")
	d.has("hub2", "has both spokes", map[string]string{
		"192.168.0.0/16": "aggregate", "192.168.0.0/24": "s network", "192.168.101.0/24": "s " + one, "192.168.102.0/24": "s " + two,
	})
	if log := d.on["spoke1"].log.String(); !strings.Contains(log, "%BGP-5-ADJCHANGE: neighbor 10.1.0.1 Down Interface flap") {
		t.Errorf("spoke1 did not give its neighbor up with the tunnel:\n%s", lastLines(log, 30))
	}

	// Hub 1 comes back; then hub 2's line is cut, and both spokes move to hub 1.
	d.start("hub1")
	d.has("hub1", "learns from hub2", map[string]string{
		"192.168.0.0/16": "aggregate 192.168.0.2", "192.168.0.0/24": "s network 192.168.0.2", "192.168.101.0/24": "s 192.168.0.2", "192.168.102.0/24": "s 192.168.0.2",
	})
	must(t, d.centre.IP("link set hub2 down"))
	eventually(t, 90*time.Second, "both spokes are with hub1", func() error {
		v, err := ask[[]view.BGP](d.on["hub1"], "bgp", "summary")
		if err != nil || v[0].Dynamic != 2 {
			return fmt.Errorf("hub1 has %+v (%v)", v, err)
		}
		return nil
	})
	d.reach("spoke1", "192.168.101.1", "192.168.102.1")
	d.reach("spoke2", "192.168.102.1", "192.168.101.1")
	// The line alone was cut: over eth1 hub 2 still learns where the spokes are.
	d.has("hub2", "learns from hub1", map[string]string{
		"192.168.0.0/16": "aggregate 192.168.0.1", "192.168.0.0/24": "s network 192.168.0.1", "192.168.101.0/24": "s 192.168.0.1", "192.168.102.0/24": "s 192.168.0.1",
	})
}

// The dual-cloud approach: a spoke is with both hubs. Traffic is divided over them while both live, and
// flows on over either when the other dies.
func TestBGPDualCloudDesign(t *testing.T) {
	t.Parallel()
	d := newDesign(t, "dc", "dual-cloud")
	d.start("hub1", "hub2", "spoke1", "spoke2")
	d.overlay("spoke1", "Tunnel1")
	d.overlay("spoke1", "Tunnel2")
	d.has("spoke1", "has the summary from both hubs", map[string]string{"192.168.0.0/16": "10.1.1.1 10.1.2.1", "192.168.101.0/24": "network"})
	d.has("spoke2", "has the summary from both hubs", map[string]string{"192.168.0.0/16": "10.1.1.1 10.1.2.1", "192.168.102.0/24": "network"})
	d.waysOf("spoke1", "10.1.1.1 dev Tunnel1", "10.1.2.1 dev Tunnel2")
	d.reach("spoke1", "192.168.101.1", "192.168.102.1")

	// Flows to many hosts take either tunnel: the kernel divides by address.
	for i := 2; i < 40; i++ {
		must(t, d.nodes["spoke2"].IP(fmt.Sprintf("addr add 192.168.102.%d/24 dev eth1", i)))
	}
	before := d.sent("spoke1")
	for i := 2; i < 40; i++ {
		d.reach("spoke1", "192.168.101.1", fmt.Sprintf("192.168.102.%d", i))
	}
	for tunnel, n := range d.sent("spoke1") {
		if n < before[tunnel]+5 {
			t.Errorf("%s carried %d packets of 38 flows: both clouds are to be used", tunnel, n-before[tunnel])
		}
	}

	d.on["hub1"].proc.Kill()
	d.waysOf("spoke1", "10.1.2.1 dev Tunnel2")
	d.reach("spoke1", "192.168.101.1", "192.168.102.1")
	d.start("hub1")
	d.waysOf("spoke1", "10.1.1.1 dev Tunnel1", "10.1.2.1 dev Tunnel2")
	d.waysOf("spoke2", "10.1.1.1 dev Tunnel1", "10.1.2.1 dev Tunnel2")
	must(t, d.centre.IP("link set hub2 down"))
	d.waysOf("spoke1", "10.1.1.1 dev Tunnel1")
	d.reach("spoke1", "192.168.101.1", "192.168.102.1")
}

// waysOf waits until a spoke goes to the summary by exactly these hops, in its RIB and in the kernel.
func (d *design) waysOf(name string, hops ...string) {
	d.t.Helper()
	eventually(d.t, 60*time.Second, fmt.Sprintf("%s goes by %v", name, hops), func() error {
		routes, err := ask[[]view.Route](d.on[name], "routes")
		if err != nil {
			return err
		}
		for _, r := range routes {
			if r.Prefix == netip.MustParsePrefix("192.168.0.0/16") && slices.Equal(r.NextHops, hops) && r.Installed {
				return nil
			}
		}
		return fmt.Errorf("its routes are %+v", routes)
	})
	out, err := d.nodes[name].Run(context.Background(), "ip", "route", "show", "192.168.0.0/16")
	must(d.t, err)
	for _, h := range hops {
		if !strings.Contains(out, h) {
			d.t.Errorf("the kernel of %s has\n%swithout %s", name, out, h)
		}
	}
}

// sent are the packets that each tunnel of a spoke has carried towards its hub.
func (d *design) sent(name string) map[string]uint64 {
	d.t.Helper()
	all, err := ask[[]view.Interface](d.on[name], "interfaces")
	must(d.t, err)
	out := map[string]uint64{}
	for _, i := range all {
		out[i.Name] = i.OutPackets
	}
	return out
}
