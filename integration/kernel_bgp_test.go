package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// vrfSpeakers are the hub's: one of its own, and one for each customer, whose keys differ.
const vrfSpeakers = `bgp:
  asn: 65001
  router-id: 10.1.1.1
  listen: [{range: 10.9.0.0/24, peer-group: spokes}]
  peer-groups: {spokes: {password: the-key-of-nobody}}
  vrfs:
    red: {listen: [{range: 10.1.1.0/24, peer-group: spokes}], peer-groups: {spokes: {password: a-red-key}}, networks: [10.50.0.0/24]}
    blue: {listen: [{range: 10.1.1.0/24, peer-group: spokes}], peer-groups: {spokes: {password: a-blue-key}}, networks: [10.50.0.0/24]}
`

// Two customers with the same addresses have a BGP session each, in their VRFs of the hub: the first
// one's spoke has its tunnel in a VRF, too. What they tell goes into the tables of these VRFs only.
func TestKernelBGPInVRFs(t *testing.T) {
	s := newKernelStar(t, "bvrf", "hub", "spoke1", "spoke2")
	n := s.nodes["hub"]
	hosts := map[string]*netlab.Node{}
	must(t, forwardOn(n))
	for i, vrf := range []string{"red", "blue"} {
		h := node(t, s.lab, vrf)
		hosts[vrf] = h
		must(t, s.lab.Link(h, "eth0", n, "lan"+vrf), n.IP(fmt.Sprintf("link add %s type vrf table %d", vrf, 1001+i), "link set "+vrf+" up",
			"link set lan"+vrf+" master "+vrf, "addr add 10.50.0.1/24 dev lan"+vrf),
			h.IP("addr add 10.50.0.5/24 dev eth0", "route add default via 10.50.0.1"))
	}
	text := strings.ReplaceAll(vrfHub, "set: [interface, 10.50.0.0/24]", "set: [interface]")
	hub := startFlexvpn(t, n, "hub", s.dataplane()+text+vrfSpeakers, map[string][]byte{"psk": []byte(starPSK)})
	speaker := func(key string) string {
		return "neighbors: {10.1.1.1: {password: " + key + "}}, networks: [192.168.1.0/24]"
	}
	const own = "bgp: {asn: 65001, router-id: 10.1.1.2, "
	bgp := []string{own + "vrfs: {cust: {" + speaker("a-red-key") + "}}}\n", own + speaker("a-blue-key") + "}\n"}
	spokes := map[string]*flexvpn{}
	for i, vrf := range []string{"red", "blue"} {
		name := fmt.Sprintf("spoke%d", i+1)
		sp := s.nodes[name]
		must(t, forwardOn(sp), sp.IP("link add lan type bridge"))
		text := strings.ReplaceAll(vrfSpoke(name, []string{"ipsec", "gre"}[i]), "set: [interface, 192.168.1.0/24]", "set: [interface]")
		if vrf == "red" {
			must(t, sp.IP("link add cust type vrf table 77", "link set cust up", "link set lan master cust"))
			text = strings.Replace(text, "mtu: 1400", "mtu: 1400, vrf: cust", 1)
		}
		must(t, sp.IP("addr add 192.168.1.1/24 dev lan", "link set lan up"))
		spokes[vrf] = startFlexvpn(t, sp, "client", s.dataplane()+text+bgp[i], map[string][]byte{"psk": []byte(starPSK)})
	}
	for _, where := range []struct {
		node               *netlab.Node
		table, prefix, dev string
	}{
		{n, "1001", "192.168.1.0/24", "va"},
		{n, "1002", "192.168.1.0/24", "va"},
		{s.nodes["spoke1"], "77", "10.50.0.0/24", "tunnel1"},
		{s.nodes["spoke2"], "main", "10.50.0.0/24", "tunnel1"},
	} {
		eventually(t, 60*time.Second, where.node.Name+" has BGP's route in table "+where.table, func() error {
			out, err := where.node.Run(context.Background(), "ip", "-N", "route", "show", "table", where.table, "proto", "179")
			if err != nil || !strings.Contains(out, where.prefix) || !strings.Contains(out, "dev "+where.dev) {
				return fmt.Errorf("it has (%v) %q", err, out)
			}
			return nil
		})
	}
	for _, vrf := range []string{"red", "blue"} {
		ping(t, hosts[vrf], "192.168.1.1", 3, 500)
	}
	out, err := n.Run(context.Background(), "ip", "-N", "route", "show", "proto", "179")
	if must(t, err); out != "" {
		t.Errorf("customers' routes are in the hub's main table:\n%s", out)
	}
	established := map[string]int{}
	for _, v := range show[[]view.BGP](hub, "bgp", "neighbors", "10.1.1.2") {
		for _, p := range v.Neighbors {
			if p.State == "Established" {
				established[v.VRF]++
			}
		}
	}
	if established["red"] != 1 || established["blue"] != 1 || len(established) != 2 {
		t.Errorf("the hub's sessions are %v", established)
	}
	// The end of one customer's session is the end of its neighbor and routes, the other's stay.
	mustRun(spokes["red"], "disconnect", "flex1")
	eventually(t, 30*time.Second, "red's route is gone", func() error {
		if out, err := n.Run(context.Background(), "ip", "-N", "route", "show", "table", "1001", "proto", "179"); err != nil || out != "" {
			return fmt.Errorf("there is (%v) %q", err, out)
		}
		return nil
	})
	ping(t, hosts["blue"], "192.168.1.1", 3, 500)
}
