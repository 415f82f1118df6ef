package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

const routeLists = `prefix-lists:
  to-spokes: [permit 10.99.0.0/24, "permit 2001:db8:99::/64"]
  from-spokes: [deny 172.16.9.0/24, permit 172.16.0.0/12 ge 24 le 24, "permit 2001:db8:a::/48 ge 64"]
  from-hubs: [deny 10.66.0.0/16, permit 10.0.0.0/8 ge 24 le 24, "permit 2001:db8:99::/64"]
`

// routesAre waits until a node has exactly these IKEv2 routes, in the order of show routes.
func routesAre(f *flexvpn, why string, want ...string) {
	f.t.Helper()
	eventually(f.t, 30*time.Second, f.role+" "+why, func() error {
		var got []string
		for _, r := range show[[]view.Route](f, "routes") {
			if r.Source == "ikev2" && r.Installed {
				got = append(got, fmt.Sprintf("%s %v distance %d tag %d", r.Prefix, r.NextHops, r.Distance, r.Tag))
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("it has %q, want %q", got, want)
		}
		return nil
	})
}

// A hub tells a spoke what its list permits, and believes what another one permits, in both families: hosts
// on both sides reach each other where both agree, and what a list denies stays out.
func TestIKEv2RoutesByPrefixLists(t *testing.T) {
	t.Parallel()
	s := newStar(t, "lists", "hub", "spoke1")
	for name, inside := range map[string]string{"hub": "10.99.0.1/24 2001:db8:99::1/64", "spoke1": "172.16.1.1/24 172.16.9.1/24 2001:db8:a:1::1/64"} {
		n := s.nodes[name]
		must(t, n.IP("link add lan type bridge", "link set lan up"), n.Sysctl("net.ipv4.ip_forward", "1"), n.Sysctl("net.ipv6.conf.all.forwarding", "1"))
		for a := range strings.FieldsSeq(inside) {
			must(t, n.IP("addr add "+a+" dev lan nodad"))
		}
	}
	p := &pair{t: t}
	text := strings.NewReplacer("set: [interface], accept: any", "set: [interface, to-spokes], accept: from-spokes, distance: 30, tag: 7").Replace(p.hubConfig())
	hub := startFlexvpn(t, s.nodes["hub"], "hub", text+routeLists, map[string][]byte{"psk": []byte(starPSK)})
	text = strings.Replace(spokeText("spoke1", "ipsec", firstHub), "172.16.1.0/24], accept: any", `172.16.1.0/24, 172.16.9.0/24, 172.16.2.0/25, "2001:db8:a:1::/64"], accept: from-hubs`, 1)
	spoke := startFlexvpn(t, s.nodes["spoke1"], "client", text+routeLists, map[string][]byte{"psk": []byte(starPSK)})
	spoke.up()
	routesAre(hub, "believes its list", "172.16.1.0/24 [dev va1] distance 30 tag 7", "2001:db8:a:1::/64 [dev va1] distance 30 tag 7")
	routesAre(spoke, "has what the hub's list tells and its own permits", "10.99.0.0/24 [dev tunnel1] distance 2 tag 1", "2001:db8:99::/64 [dev tunnel1] distance 2 tag 1")
	pingFrom(t, s.nodes["spoke1"], "172.16.1.1", "10.99.0.1", true)
	pingFrom(t, s.nodes["spoke1"], "2001:db8:a:1::1", "2001:db8:99::1", true)
	pingFrom(t, s.nodes["spoke1"], "172.16.9.1", "10.99.0.1", false) // no way back
	if !strings.Contains(hub.log.String(), "[172.16.9.0/24 172.16.2.0/25]") {
		t.Errorf("the hub's log does not tell what was refused:\n%s", lastLines(hub.log.String(), 30))
	}
	mustRun(spoke, "disconnect", "flex1")
	routesAre(hub, "has none of them after the session")
	routesAre(spoke, "has none of them after the session")
}

func pingFrom(t *testing.T, n *netlab.Node, from, to string, answers bool) {
	t.Helper()
	_, err := n.Run(context.Background(), "ping", "-c", "3", "-i", "0.2", "-W", "1", "-I", from, to)
	if (err == nil) != answers {
		t.Errorf("ping from %s to %s: %v, should be answered: %v", from, to, err, answers)
	}
}

// strongSwan as the spoke is told by the hub's list what it did not ask for, says so, and goes on; as the
// hub it pushes subnets of its pools, of which our spoke takes what its list permits.
func TestIKEv2RoutesByPrefixListsWithStrongSwan(t *testing.T) {
	t.Parallel()
	t.Run("the spoke", func(t *testing.T) {
		t.Parallel()
		p := newPair(t, true, false, "")
		text := strings.Replace(p.hubConfig(), "set: [interface], accept: any", "set: [interface, to-spokes], accept: from-spokes", 1)
		p.ours = startFlexvpn(t, p.oursNode, "hub", text+routeLists, map[string][]byte{"psk": []byte(p.oursSecret + "\n")})
		p.theirs = startStrongswan(t, p.theirNode, p.swanctl(), nil)
		p.theirs.must("--initiate", "--child", "net", "--timeout", "15")
		p.ours.up()
		ping(t, p.theirNode, "10.1.1.1", 3, 100)
		eventually(t, 20*time.Second, "strongSwan tells of the tunnel's address and the list's one, in each family", func() error {
			log, err := os.ReadFile(filepath.Join(p.theirs.dir, "charon.log"))
			if err != nil {
				return err
			}
			for _, family := range []string{"INTERNAL_IP4_SUBNET", "INTERNAL_IP6_SUBNET"} {
				if n := strings.Count(string(log), "handling "+family+" attribute failed"); n != 2 {
					return fmt.Errorf("it heard %s %d times", family, n)
				}
			}
			return nil
		})
		routesAre(p.ours, "has no route of a spoke that says none")
	})
	t.Run("the hub", func(t *testing.T) {
		t.Parallel()
		p := newPair(t, false, true, "")
		swan := strings.Replace(p.swanctl(), "subnet = 10.99.0.0/24", "subnet = 10.99.0.0/24, 10.66.0.0/16, 10.66.1.0/24, 10.98.0.0/16", 1)
		p.theirs = startStrongswan(t, p.theirNode, swan, nil)
		text := strings.Replace(p.spokeConfig(), "routes: {accept: any}", "routes: {accept: from-hubs, distance: 40, tag: 9}", 1)
		p.ours = startFlexvpn(t, p.oursNode, "client", text+routeLists, map[string][]byte{"psk": []byte(p.oursSecret + "\n")})
		p.ours.up()
		routesAre(p.ours, "has what its list permits of strongSwan's subnets", "10.66.1.0/24 [dev tunnel1] distance 40 tag 9",
			"10.99.0.0/24 [dev tunnel1] distance 40 tag 9", "2001:db8:99::/64 [dev tunnel1] distance 40 tag 9")
	})
}
