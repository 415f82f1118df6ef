package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

const attachedHub = `node: hub
ikev2:
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]}
  profiles:
    refused:
      match: {identity: [{fqdn: spoke2.branch.example.net}]}
      identity: {fqdn: hub.example.net}
      authentication: {local: psk, remote: psk}
      keyring: peers
      authorization: {group: {list: local, policy: nowhere}}
      virtual-template: 1
    spokes:
      match: {identity: [{fqdn-domain: branch.example.net}]}
      identity: {fqdn: hub.example.net}
      authentication: {local: psk, remote: psk}
      keyring: peers
      authorization: {group: {list: local, policy: default}}
      virtual-template: 1
  authorization-policies:
    default:
      pool: v4
      routes: {set: [192.168.10.0/24], accept: any}
      interface-config: [ip mtu 1300, ip tcp adjust-mss 1200, ip access-group to-spokes out]
    nowhere: {pool: v4, interface-config: vrf forwarding nowhere}
access-lists:
  from-spokes: [permit icmp any host 192.168.10.1, permit tcp any host 192.168.10.1 eq 5201]
  to-spokes: [permit icmp any any, permit tcp any any]
policy-maps:
  silver: {shape: 20m, police: 200k, police-burst: 200000}
pools:
  v4: {range: 10.1.1.2-10.1.1.9}
virtual-templates:
  1: {unnumbered: lan0, access-group: {in: from-spokes}, service-policy: {input: silver, output: silver}}
metrics: {listen: "127.0.0.1:9464"}
`

// What a template and a policy's interface-config say is on the device, and stops packets.
func TestScenarioAttached(t *testing.T) {
	t.Parallel()
	testAttached(t, "userspace")
}

func TestKernelTemplateAttached(t *testing.T) {
	needKernel(t)
	testAttached(t, "kernel")
}

func testAttached(t *testing.T, plane string) {
	s := newStar(t, "edge"+plane[:1], "hub", "spoke1", "spoke2")
	s.plane = plane
	n := s.nodes["hub"]
	must(t, n.IP("link add lan0 type bridge", "addr add 192.168.10.1/24 dev lan0", "addr add 192.168.10.2/24 dev lan0", "link set lan0 up"))
	hub := startFlexvpn(t, n, "hub", s.dataplane()+attachedHub, map[string][]byte{"psk": []byte(starPSK)})
	spoke := s.spoke("spoke1", "ipsec", firstHub)
	spoke.up()
	va := hub.up().Interface
	ping(t, spoke.node, "192.168.10.1", 5, 500)
	transfer(t, spoke.node, n, "192.168.10.1:5201", 60<<10)
	if out, err := spoke.node.Run(context.Background(), "ping", "-c", "3", "-i", "0.1", "-W", "1", "192.168.10.2"); err == nil {
		t.Errorf("the access list lets a ping to another address pass:\n%s", out)
	}
	got := show[[]view.Interface](hub, "interfaces")[0]
	if got.AccessGroupIn != "from-spokes" || got.AccessGroupOut != "to-spokes" || got.ShapeBPS != 20e6 || got.PoliceBPS != 200e3 ||
		got.DeniedIn != 3 || got.DeniedOut != 0 || got.MTU != 1300 || fmt.Sprint(got.Addresses) != "[192.168.10.1/32]" {
		t.Errorf("show interfaces says %+v", got)
	}
	lists := show[[]view.AccessList](hub, "access-lists")
	if len(lists) != 2 || lists[0].Entries[0].Matches < 5 || lists[0].Unmatched != 3 {
		t.Errorf("show access-lists says %+v", lists)
	}
	for _, c := range []struct{ command, want string }{
		{"ip -d link show " + va, "mtu 1300"},
		{"ip addr show " + va, "192.168.10.1/32"},
		{"tc qdisc show dev " + va, "qdisc tbf f1e: root"},
		{"nft list set inet flexvpn_edge in_from-spokes", `"` + va + `"`},
		{"nft list set inet flexvpn_edge out_to-spokes", `"` + va + `"`},
		{"nft list set inet flexvpn_edge police_200000_200000", `"` + va + `"`},
		{"curl -s http://127.0.0.1:9464/metrics", `flexvpn_dropped_packets_total{reason="filter_in"} 3`},
	} {
		f := strings.Fields(c.command)
		if out, err := n.Run(context.Background(), f[0], f[1:]...); err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s (%v) does not say %q:\n%s", c.command, err, c.want, out)
		}
	}
	// Half a megabyte at once is more than the policer's bucket and what it gets meanwhile.
	_, _ = spoke.node.Run(context.Background(), "ping", "-f", "-c", "500", "-s", "1200", "-w", "10", "192.168.10.1")
	if got := show[[]view.Interface](hub, "interfaces")[0]; got.PolicedPackets == 0 || got.DeniedIn != 3 {
		t.Errorf("after a flood show interfaces says %+v", got)
	}
	s.spoke("spoke2", "ipsec", firstHub)
	eventually(t, 20*time.Second, "a spoke whose VRF does not exist is refused", func() error {
		for _, f := range show[[]view.Failed](hub, "sessions", "--failed") {
			if strings.HasPrefix(f.Identity, "spoke2") && strings.Contains(f.Detail, "there is no VRF nowhere") && strings.Contains(f.Detail, "local policy nowhere") {
				return nil
			}
		}
		return fmt.Errorf("refused are %+v", show[[]view.Failed](hub, "sessions", "--failed"))
	})
	must(t, hub.proc.Stop(10*time.Second))
	if out, err := n.Run(context.Background(), "nft", "list", "ruleset"); err != nil || strings.Contains(out, "flexvpn") {
		t.Errorf("after the end (%v):\n%s", err, out)
	}
}
