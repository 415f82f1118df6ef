package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// An frr is Debian's FRR in a namespace: zebra, which writes the kernel's table, and bgpd.
type frr struct {
	t    *testing.T
	node *netlab.Node
	dir  string
	bgpd *netlab.Proc
	log  *syncBuffer
}

func startFRR(t *testing.T, n *netlab.Node, config string) *frr {
	t.Helper()
	dir, err := os.MkdirTemp("", "flexvpn-frr-") // its user must get in, and t.TempDir is private
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o777), os.WriteFile(filepath.Join(dir, "bgpd.conf"), []byte(config), 0o644))
	f := &frr{t: t, node: n, dir: dir, log: &syncBuffer{}}
	zebra, err := n.Start(f.log, nil, "/usr/lib/frr/zebra", "--vty_socket", dir, "-z", filepath.Join(dir, "zserv.api"), "-i", filepath.Join(dir, "zebra.pid"), "-P", "0", "--log", "stdout")
	must(t, err)
	t.Cleanup(func() {
		_ = zebra.Stop(5 * time.Second)
		if t.Failed() {
			t.Logf("the log of FRR:\n%s", lastLines(f.log.String(), 30))
		}
	})
	eventually(t, 20*time.Second, "zebra answers", func() error { _, err := os.Stat(filepath.Join(dir, "zserv.api")); return err })
	f.start()
	return f
}

func (f *frr) start() {
	f.t.Helper()
	var err error
	f.bgpd, err = f.node.Start(f.log, nil, "/usr/lib/frr/bgpd", "--vty_socket", f.dir, "-z", filepath.Join(f.dir, "zserv.api"), "-i", filepath.Join(f.dir, "bgpd.pid"),
		"-f", filepath.Join(f.dir, "bgpd.conf"), "-P", "0", "--log", "stdout")
	must(f.t, err)
	bgpd := f.bgpd
	f.t.Cleanup(func() { _ = bgpd.Stop(5 * time.Second) })
	eventually(f.t, 20*time.Second, "bgpd answers", func() error { _, err := f.vtysh("show bgp summary json"); return err })
}

func (f *frr) vtysh(commands ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	args := []string{"--vty_socket", f.dir}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	return f.node.Run(ctx, "vtysh", args...)
}

// A bgpPath is a path of bgpd's table.
type bgpPath struct {
	PeerID string `json:"peerId"`
	Path   string `json:"path"`
	Origin string `json:"origin"`
}

func (p bgpPath) own() bool { return p.PeerID == "(unspec)" }

// table is what bgpd has of a family.
func (f *frr) table(family string) (map[string][]bgpPath, error) {
	out, err := f.vtysh("show bgp " + family + " unicast json")
	if err != nil {
		return nil, err
	}
	var v struct {
		Routes map[string][]bgpPath `json:"routes"`
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		return nil, fmt.Errorf("%w in %s", err, out)
	}
	return v.Routes, nil
}

// prefixes are bgpd's, each with the neighbor it is from, "self" for its own.
func (f *frr) prefixes(family string) (map[string]string, error) {
	table, err := f.table(family)
	got := map[string]string{}
	for prefix, paths := range table {
		for _, p := range paths {
			from := p.PeerID
			if p.own() {
				from = "self"
			}
			got[prefix] = strings.TrimSpace(got[prefix] + " " + from)
		}
	}
	return got, err
}

func (f *frr) has(family, why string, want map[string]string) {
	f.t.Helper()
	eventually(f.t, 60*time.Second, "FRR "+why, func() error {
		got, err := f.prefixes(family)
		if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
			err = fmt.Errorf("it has %v, want %v", got, want)
		}
		return err
	})
}

// frrIKE is the IKEv2 part of hubs whose spokes have FRR, up to the policy that each has of its own.
const frrIKE = `node: hub
ikev2:
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]}
  profiles:
    spokes:
      match: {identity: [{fqdn-domain: branch.example.net}]}
      identity: {fqdn: hub.example.net}
      authentication: {local: psk, remote: psk}
      keyring: peers
      authorization: {group: {list: local, policy: default}}
      virtual-template: 1
      dpd: {interval: 10s, retry: 2s, mode: on-demand}
`

const frrHub = frrIKE + `  authorization-policies: {default: {pool: v4, ipv6-pool: v6, routes: {set: interface, accept: [172.16.0.0/12, "2001:db8:a::/48"]}}}
pools: {v4: {range: 10.1.1.2-10.1.1.2}, v6: {range: "2001:db8:fff::2"}}
virtual-templates: {1: {mode: auto, address: [10.1.1.1/32, "2001:db8:fff::1/128"]}}
bgp:
  asn: 65001
  router-id: 10.1.1.1
  cluster-id: 10.1.1.9
  listen: [{range: 10.1.1.0/24, peer-group: spokes}, {range: "2001:db8:fff::/64", peer-group: spokes}]
  peer-groups:
    spokes: {route-reflector-client: true, password: a-bgp-key-for-tests, graceful-restart: 60s, keepalive: 1s, hold: 3s, only-own-prefixes: true}
    hubs: {route-reflector-client: true, next-hop-self: all, password: a-key-between-hubs, ttl-security: 1, graceful-restart: 300s, keepalive: 1s, hold: 3s}
  neighbors: {192.0.2.3: {peer-group: hubs}, "2001:db8:1::3": {peer-group: hubs}}
  networks: [198.18.1.0/24, "2001:db8:aa::/64"]
`

// frrSpoke is bgpd of a spoke behind our tunnel; our client has no BGP of its own there.
const frrSpoke = `hostname spoke
router bgp 65001
 bgp router-id 172.16.1.1
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 no bgp default ipv4-unicast
 timers bgp 1 3
 neighbor 10.1.1.1 remote-as 65001
 neighbor 10.1.1.1 password a-bgp-key-for-tests
 neighbor 10.1.1.1 timers connect 1
 neighbor 2001:db8:fff::1 remote-as 65001
 neighbor 2001:db8:fff::1 password a-bgp-key-for-tests
 neighbor 2001:db8:fff::1 timers connect 1
 address-family ipv4 unicast
  neighbor 10.1.1.1 activate
  network 172.16.1.0/24
  network 203.0.113.0/24
 exit-address-family
 address-family ipv6 unicast
  neighbor 2001:db8:fff::1 activate
  network 2001:db8:a:1::/64
 exit-address-family
`

// frrOther is a second hub's bgpd, on the hubs' network.
const frrOther = `hostname hub2
router bgp 65001
 bgp router-id 192.0.2.3
 no bgp default ipv4-unicast
 timers bgp 1 3
 neighbor 192.0.2.1 remote-as 65001
 neighbor 192.0.2.1 password a-key-between-hubs
 neighbor 192.0.2.1 ttl-security hops 1
 neighbor 192.0.2.1 timers connect 1
 neighbor 2001:db8:1::1 remote-as 65001
 neighbor 2001:db8:1::1 password a-key-between-hubs
 neighbor 2001:db8:1::1 ttl-security hops 1
 neighbor 2001:db8:1::1 timers connect 1
 address-family ipv4 unicast
  neighbor 192.0.2.1 activate
  network 172.16.2.0/24
 exit-address-family
 address-family ipv6 unicast
  neighbor 2001:db8:1::1 activate
  network 2001:db8:a:2::/64
 exit-address-family
`

// Done when 2: FRR is the spoke's speaker and the second hub's. It judges adjacency, prefixes both
// ways, reflection, MD5, TTL security, graceful restart and IPv6 unicast.
func TestBGPWithFRR(t *testing.T) {
	t.Parallel()
	s := newStar(t, "frr", "hub", "spoke1", "hub2")
	for name, inside := range map[string]string{"hub": "198.18.1.1/24 2001:db8:aa::1/64", "spoke1": "172.16.1.1/24 203.0.113.1/24 2001:db8:a:1::1/64", "hub2": "172.16.2.1/24 2001:db8:a:2::1/64"} {
		n := s.nodes[name]
		must(t, n.IP("link add lan type bridge", "link set lan up"), n.Sysctl("net.ipv4.ip_forward", "1"), n.Sysctl("net.ipv6.conf.all.forwarding", "1"))
		for a := range strings.FieldsSeq(inside) {
			must(t, n.IP("addr add "+a+" dev lan nodad"))
		}
	}
	hub := startFlexvpn(t, s.nodes["hub"], "hub", frrHub, map[string][]byte{"psk": []byte(starPSK)})
	spoke := s.spoke("spoke1", "gre", firstHub)
	spoke.up()
	speaker, other := startFRR(t, s.nodes["spoke1"], frrSpoke), startFRR(t, s.nodes["hub2"], frrOther)

	speaker.has("ipv4", "of the spoke has the hub's network and the other hub's, reflected", map[string]string{
		"172.16.1.0/24": "self", "172.16.2.0/24": "10.1.1.1", "198.18.1.0/24": "10.1.1.1", "203.0.113.0/24": "self",
	})
	speaker.has("ipv6", "of the spoke has them over IPv6", map[string]string{
		"2001:db8:a:1::/64": "self", "2001:db8:a:2::/64": "2001:db8:fff::1", "2001:db8:aa::/64": "2001:db8:fff::1",
	})
	other.has("ipv4", "of the other hub has the spoke's network, reflected, and not what is not the spoke's own", map[string]string{
		"172.16.1.0/24": "192.0.2.1", "172.16.2.0/24": "self", "198.18.1.0/24": "192.0.2.1",
	})
	other.has("ipv6", "of the other hub has them over IPv6", map[string]string{
		"2001:db8:a:1::/64": "2001:db8:1::1", "2001:db8:a:2::/64": "self", "2001:db8:aa::/64": "2001:db8:1::1",
	})
	// How FRR sees what was reflected: originator, cluster, next hop (RFC 4456 section 8).
	out, err := other.vtysh("show bgp ipv4 unicast 172.16.1.0/24")
	if err != nil || !strings.Contains(out, "Originator: 172.16.1.1, Cluster list: 10.1.1.9") || !strings.Contains(out, "192.0.2.1 from 192.0.2.1") {
		t.Errorf("FRR has 172.16.1.0/24 as (%v)\n%s", err, out)
	}
	refusedPrefix(t, hub, "10.1.1.2", "203.0.113.0/24", "not-own")
	ping(t, s.nodes["hub2"], "172.16.1.1", 3, 56) // FRR's zebra put it into the other hub's kernel, ours into the hub's
	ping(t, s.nodes["hub2"], "2001:db8:a:1::1", 3, 56)

	// The spoke's bgpd dies and comes back: its paths are kept all the time (RFC 4724).
	before := pathSince(t, hub, "172.16.1.0/24")
	speaker.bgpd.Kill()
	eventually(t, 30*time.Second, "the hub keeps the paths of a neighbor that restarts", func() error {
		v := show[[]view.BGP](hub, "bgp", "neighbors", "10.1.1.2")
		if n := v[0].Neighbors[0]; !n.Restarting || n.Accepted != 1 {
			return fmt.Errorf("%+v", n)
		}
		return nil
	})
	ping(t, s.nodes["hub2"], "172.16.1.1", 1, 56)
	speaker.start()
	speaker.has("ipv4", "of the spoke is back", map[string]string{
		"172.16.1.0/24": "self", "172.16.2.0/24": "10.1.1.1", "198.18.1.0/24": "10.1.1.1", "203.0.113.0/24": "self",
	})
	eventually(t, 30*time.Second, "the restart is over", func() error {
		v := show[[]view.BGP](hub, "bgp", "neighbors", "10.1.1.2")
		if n := v[0].Neighbors[0]; n.Restarting || n.State != "Established" {
			return fmt.Errorf("%+v", n)
		}
		return nil
	})
	if now := pathSince(t, hub, "172.16.1.0/24"); !now.Equal(before) {
		t.Errorf("the path of 172.16.1.0/24 is of %s, and was of %s before the restart: it was withdrawn", now, before)
	}

	// The spoke's session ends: neighbor and routes are gone at once, here and at the other hub.
	mustRun(spoke, "disconnect", "flex1")
	eventually(t, 30*time.Second, "the other hub's FRR has lost the spoke's network", func() error {
		got, err := other.prefixes("ipv4")
		if _, still := got["172.16.1.0/24"]; still {
			err = errors.New("it is still there")
		}
		return err
	})
	if v := show[[]view.BGP](hub, "bgp", "summary"); v[0].Dynamic != 0 {
		t.Errorf("the hub still has %d dynamic neighbors", v[0].Dynamic)
	}
	if log := hub.log.String(); !strings.Contains(log, "%BGP-5-ADJCHANGE: neighbor *10.1.1.2 Up") || !strings.Contains(log, "%BGP-5-ADJCHANGE: neighbor *10.1.1.2 Down Interface flap") {
		t.Errorf("the hub's log lacks the adjacency changes:\n%s", lastLines(log, 40))
	}

	// The hub itself dies. What it carries in user space dies with it, so FRR must not keep its paths for the
	// five minutes of graceful-restart; TestKernelBGPRestart has the other case.
	hub.proc.Kill()
	other.has("ipv4", "of the other hub keeps nothing of a hub whose packets stopped", map[string]string{"172.16.2.0/24": "self"})
	other.has("ipv6", "of the other hub keeps nothing over IPv6", map[string]string{"2001:db8:a:2::/64": "self"})
}

func pathSince(t *testing.T, f *flexvpn, prefix string) time.Time {
	t.Helper()
	v := show[[]view.BGPRoute](f, "bgp", "routes", prefix)
	if len(v) != 1 || len(v[0].Paths) == 0 {
		t.Fatalf("BGP has %+v for %s", v, prefix)
	}
	return v[0].Paths[0].Since
}

// refusedPrefix holds that a neighbor's prefix was refused for a reason, and is counted.
func refusedPrefix(t *testing.T, f *flexvpn, neighbor, prefix, kind string) {
	t.Helper()
	v := show[[]view.BGP](f, "bgp", "neighbors", neighbor)
	want := view.BGPRefused{Prefix: netip.MustParsePrefix(prefix), Kind: kind}
	if !slices.Contains(v[0].Neighbors[0].RefusedPrefixes, want) {
		t.Errorf("the hub refused %+v, want %+v", v[0].Neighbors[0].RefusedPrefixes, want)
	}
	if s := show[view.Stats](f, "counters"); s.BGPRefused[kind] == 0 {
		t.Errorf("the counters are %v", s.BGPRefused)
	}
}

// Strangers at the door: a wrong key and an address that no session has are turned away, and seen.
func TestBGPStrangers(t *testing.T) {
	t.Parallel()
	s := newStar(t, "bgpx", "hub", "spoke1")
	hub := startFlexvpn(t, s.nodes["hub"], "hub", frrHub, map[string][]byte{"psk": []byte(starPSK)})
	s.spoke("spoke1", "gre", firstHub).up()
	// The spoke's address with a wrong key gets no connection; the hub's own network is no spoke.
	wrong := strings.ReplaceAll(frrSpoke, "password a-bgp-key-for-tests", "password another-key")
	stranger := strings.ReplaceAll(wrong, "neighbor 10.1.1.1", "neighbor 192.0.2.1")
	stranger = strings.ReplaceAll(stranger, " neighbor 192.0.2.1 password another-key\n", "")
	speaker := startFRR(t, s.nodes["spoke1"], stranger)
	eventually(t, 30*time.Second, "the hub counts the stranger", func() error {
		if v := show[view.Stats](hub, "counters"); v.BGPRefused["stranger"] == 0 {
			return fmt.Errorf("the counters are %v", v.BGPRefused)
		}
		return nil
	})
	if v := show[[]view.BGP](hub, "bgp", "summary"); v[0].Dynamic != 2 || slices.ContainsFunc(v[0].Neighbors, func(n view.BGPNeighbor) bool { return n.State == "Established" }) {
		t.Errorf("the hub has %+v", v[0].Neighbors)
	}
	if got, err := speaker.prefixes("ipv4"); err != nil || len(got) != 2 {
		t.Errorf("the stranger learned %v (%v)", got, err)
	}
}
