package integration

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

const policyHub = frrIKE + `  authorization-policies: {default: {pool: v4, routes: {set: interface, accept: any}}}
pools: {v4: {range: 10.1.1.2-10.1.1.2}}
virtual-templates: {1: {mode: auto, address: 10.1.1.1/32}}
prefix-lists:
  from-spokes: [deny 172.16.9.0/24, permit 172.16.0.0/12 ge 24 le 24, permit 0.0.0.0/0]
  to-spokes: [permit 172.16.0.0/13, permit 198.18.1.0/24]
  to-provider: [deny 198.51.101.0/24, permit 0.0.0.0/0 ge 1]
  told-anyway: [permit 172.16.1.0/24]
  lan: [permit 198.18.1.0/24]
  of-ikev2: [permit 172.31.0.0/16 ge 24]
static-routes: [{prefix: 198.51.100.0/24, discard: true}, {prefix: 198.51.101.0/24, discard: true}]
bgp:
  asn: 65001
  router-id: 10.1.1.1
  listen: [{range: 10.1.1.0/24, peer-group: spokes}]
  peer-groups:
    spokes: {remote-asn: [65010, 65011], import: from-spokes, export: to-spokes, maximum-prefix: 4, keepalive: 1s, hold: 3s}
    provider: {remote-asn: 65020, export: to-provider, unsuppress: told-anyway, default-originate: true, keepalive: 1s, hold: 3s}
  neighbors: {192.0.2.3: {peer-group: provider}}
  aggregates: [{prefix: 172.16.0.0/13, summary-only: true}]
  redistribute: {connected: lan, static: any, ikev2: of-ikev2}
`

// policySpoke says more than it may: a default, a network that the list denies, one outside of the list.
const policySpoke = `hostname spoke
router bgp 65010
 bgp router-id 172.16.1.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 timers bgp 1 3
 neighbor 10.1.1.1 remote-as 65001
 neighbor 10.1.1.1 timers connect 1
 neighbor 10.1.1.1 disable-connected-check
 address-family ipv4 unicast
  network 172.16.1.0/24
  network 172.16.9.0/24
  network 10.99.0.0/16
  network 0.0.0.0/0
 exit-address-family
`

const policyProvider = `hostname provider
router bgp 65020
 bgp router-id 192.0.2.3
 no bgp ebgp-requires-policy
 timers bgp 1 3
 neighbor 192.0.2.1 remote-as 65001
 neighbor 192.0.2.1 timers connect 1
`

// paths are what bgpd has from others: each prefix with AS path and origin.
func (f *frr) paths() (map[string]string, error) {
	table, err := f.table("ipv4")
	got := map[string]string{}
	for prefix, paths := range table {
		for _, p := range paths {
			if !p.own() {
				got[prefix] = strings.TrimSpace(p.Path + " " + p.Origin)
			}
		}
	}
	return got, err
}

func (f *frr) learns(why string, want map[string]string) {
	f.t.Helper()
	eventually(f.t, 60*time.Second, "FRR "+why, func() error {
		got, err := f.paths()
		if err == nil && !maps.Equal(got, want) {
			err = fmt.Errorf("it has %v, want %v", got, want)
		}
		return err
	})
}

// again starts bgpd anew, with another configuration.
func (f *frr) again(config string) {
	f.t.Helper()
	f.bgpd.Kill()
	must(f.t, os.WriteFile(filepath.Join(f.dir, "bgpd.conf"), []byte(config), 0o644))
	f.start()
}

// neighborOf is what a node shows of one BGP neighbor.
func neighborOf(f *flexvpn, address string) view.BGPNeighbor {
	f.t.Helper()
	return show[[]view.BGP](f, "bgp", "neighbors", address)[0].Neighbors[0]
}

// Spokes in an AS of a set, and a provider in another one: FRR judges lists in and out, redistribution,
// aggregate and unsuppress rule, a default, and how a spoke that says too much, or has the wrong AS, is
// shut without anybody else noticing.
func TestBGPPolicyWithFRR(t *testing.T) {
	t.Parallel()
	s := newStar(t, "bgpp", "hub", "spoke1", "provider")
	n := s.nodes["hub"]
	must(t, n.IP("link add lan type bridge", "link set lan up", "addr add 198.18.1.1/24 dev lan",
		"route add 172.16.1.0/24 via 192.0.2.3 metric 20 proto 99")) // a stranger's route, where the spoke's belongs
	hub := startFlexvpn(t, n, "hub", policyHub, map[string][]byte{"psk": []byte(starPSK)})
	text := strings.Replace(spokeText("spoke1", "gre", firstHub), "172.16.1.0/24", "172.31.1.0/24", 1)
	startFlexvpn(t, s.nodes["spoke1"], "client", text, map[string][]byte{"psk": []byte(starPSK)}).up()
	speaker, provider := startFRR(t, s.nodes["spoke1"], policySpoke), startFRR(t, s.nodes["provider"], policyProvider)

	told := map[string]string{
		"0.0.0.0/0": "65001 IGP", "172.16.0.0/13": "65001 IGP", "172.16.1.0/24": "65001 65010 IGP",
		"198.18.1.0/24": "65001 incomplete", "198.51.100.0/24": "65001 incomplete", "172.31.1.0/24": "65001 incomplete",
	}
	provider.learns("of the provider has what the lists let out", told)
	speaker.learns("of the spoke has what its list lets out", map[string]string{"172.16.0.0/13": "65001 IGP", "198.18.1.0/24": "65001 incomplete"})
	v := neighborOf(hub, "10.1.1.2")
	var refused []string
	for _, r := range v.RefusedPrefixes {
		refused = append(refused, r.Prefix.String()+" "+r.Kind)
	}
	if want := []string{"0.0.0.0/0 martian", "10.99.0.0/16 filter", "172.16.9.0/24 filter"}; !slices.Equal(refused, want) || v.Accepted != 1 || v.ASN != 65010 || v.Internal {
		t.Errorf("of the spoke the hub refused %v, want %v; it shows %+v", refused, want, v)
	}
	strangersRoute(t, hub)

	// One prefix too many: the spoke is shut, the provider loses what was the spoke's, and nothing else.
	before := neighborOf(hub, "192.0.2.3")
	_, err := speaker.vtysh("configure terminal", "router bgp 65010", "address-family ipv4 unicast", "network 172.16.5.0/24")
	must(t, err)
	without := maps.Clone(told)
	delete(without, "172.16.0.0/13")
	delete(without, "172.16.1.0/24")
	provider.learns("of the provider has lost the flooding spoke's", without)
	if v := neighborOf(hub, "10.1.1.2"); v.Blocked != "maximum prefixes reached" || v.Accepted != 0 {
		t.Errorf("the spoke that says too much is shown as %+v", v)
	}
	if !strings.Contains(hub.log.String(), "%BGP-3-MAXPFXEXCEED: Number of prefixes received from *10.1.1.2: 5 exceed limit 4") {
		t.Errorf("the log does not tell of too many prefixes:\n%s", lastLines(hub.log.String(), 20))
	}
	if after := neighborOf(hub, "192.0.2.3"); after.State != "Established" || !after.Since.Equal(before.Since) {
		t.Errorf("the provider's session did not stand through it: %+v", after)
	}
	_, err = speaker.vtysh("configure terminal", "router bgp 65010", "address-family ipv4 unicast", "no network 172.16.5.0/24")
	must(t, err)
	mustRun(hub, "clear", "bgp", "10.1.1.2")
	provider.learns("of the provider has them back after clear bgp", told)

	// An AS that is none of the set's, and one that is not the neighbor's.
	speaker.again(strings.ReplaceAll(policySpoke, "router bgp 65010", "router bgp 65099"))
	eventually(t, 60*time.Second, "a spoke of another AS is shut", func() error {
		if v := neighborOf(hub, "10.1.1.2"); v.Blocked != "wrong AS" {
			return fmt.Errorf("it is shown as %+v", v)
		}
		return nil
	})
	provider.again(strings.ReplaceAll(policyProvider, "router bgp 65020", "router bgp 65099"))
	eventually(t, 60*time.Second, "both are counted", func() error {
		if c := show[view.Stats](hub, "counters"); c.BGPRefused["asn"] < 2 {
			return fmt.Errorf("the counters are %v", c.BGPRefused)
		}
		return nil
	})
	if v := neighborOf(hub, "192.0.2.3"); v.State == "Established" || !strings.Contains(v.LastReset, "bad peer as") {
		t.Errorf("a provider of another AS is shown as %+v", v)
	}
}

// strangersRoute holds that a route of the same prefix and metric which somebody else has keeps its place, that
// this is seen, and that ours follows when it goes.
func strangersRoute(t *testing.T, hub *flexvpn) {
	t.Helper()
	spokes := func() (r view.Route) {
		for _, r := range show[[]view.Route](hub, "routes") {
			if r.Prefix == netip.MustParsePrefix("172.16.1.0/24") {
				return r
			}
		}
		return r
	}
	if r := spokes(); r.Source != "ebgp" || r.Distance != 20 || r.Installed || !strings.Contains(r.Problem, "somebody else has a route of metric 20") {
		t.Errorf("where a stranger's route is, show routes tells %+v", r)
	}
	if c := show[view.Stats](hub, "counters"); c.FIB["error"] == 0 {
		t.Errorf("what the kernel refused is not counted: %v", c.FIB)
	}
	must(t, hub.node.IP("route del 172.16.1.0/24 metric 20 proto 99"))
	eventually(t, 30*time.Second, "ours follows", func() error {
		out, err := hub.node.Run(context.Background(), "ip", "route", "show", "172.16.1.0/24")
		if r := spokes(); err != nil || !r.Installed || !strings.Contains(out, "via 10.1.1.2 dev va1 proto 179 metric 20") {
			return fmt.Errorf("%v, the kernel has %q, show routes %+v", err, out, r)
		}
		return nil
	})
}
