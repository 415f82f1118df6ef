package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

// closed adds what keeps a lookup that finds nothing in a VRF from going on in the main table.
func closed(vrf string) []string {
	return []string{"route add unreachable default metric 4278198272 vrf " + vrf, "-6 route add unreachable default metric 4278198272 vrf " + vrf}
}

// The sample, with other addresses: hosts are in one VRF, and the way to the internet is in another. The
// hub's name is resolved and the source's track probed in the front-door VRF; in the inside VRF hosts get
// their addresses and settings, resolve the company's names through the tunnel and the internet's by the
// default server, and are translated. With the main table alone, nothing of this would be reached.
func TestKernelClientVRF(t *testing.T) {
	needKernel(t)
	b := newBranch(t, "cvrf")
	b.plane = "kernel"
	spoke := b.nodes["spoke1"]
	must(t, front(spoke, 2), spoke.IP("link add red type vrf table 1006", "link set red up", "link set eth1 master red", "addr replace 2001:db8:16:1::1/64 dev eth1 nodad"),
		spoke.IP(append(closed("internet"), closed("red")...)...), spoke.Sysctl("net.ipv6.conf.all.forwarding", "1"),
		b.host.IP("addr flush dev eth0"))
	etc(t, spoke.Name, "resolv.conf", "nameserver 192.0.2.3\n")
	b.startNamed(b.corp, "192.168.10.5", "example.net")
	b.startPublic("--address=/hub.example.org/192.0.2.1")
	before := footprint(t, spoke)

	b.hub = startFlexvpn(t, b.nodes["hub"], "hub", b.dataplane()+branchHub, map[string][]byte{"psk": []byte(starPSK)})
	text := strings.NewReplacer("/etc/flexvpn/hub.psk", "DIR/psk", "hub1.example.net", "hub.example.org", "9.9.9.9", "192.0.2.3", "connect: auto", "connect: manual",
		"tracks:\n", "tracks:\n  2: {route: {prefix: 192.168.10.0/24, vrf: red}}\n").Replace(string(sample(t, "spoke-vrf.yaml")))
	b.spoke = startFlexvpn(t, spoke, "client", b.dataplane()+text, map[string][]byte{"psk": []byte(starPSK)})

	host := b.dhcp(b.host, "eth0", "udhcpc")
	host.want("a host gets an address in the VRF", []string{"ip=172.16.1.100", "router=172.16.1.1", "dns=172.16.1.1"}, "wins=")
	must(t, b.host.IP("addr add 2001:db8:16:1::10/64 dev eth0 nodad", "-6 route add default via 2001:db8:16:1::1")) // the client's script takes all addresses away
	b.wantDig("without a tunnel all names take the default way", "198.51.100.1", "@172.16.1.1", "www.example.net")
	b.connect()
	eventually(t, 20*time.Second, "the probe in one VRF and the route in the other are up", func() error {
		if v := show[[]view.Track](b.spoke, "track"); v[0].State != "up" || v[1].State != "up" {
			return fmt.Errorf("the tracks are %+v", v)
		}
		return nil
	})
	if out, err := spoke.Run(context.Background(), "tc", "qdisc", "show", "dev", "tunnel1"); err != nil || !strings.Contains(out, "tbf") || !strings.Contains(out, "fq_codel") {
		t.Errorf("the tunnel's shaper with a fair queue is (%v)\n%s", err, out)
	}
	b.wantDig("the company's names are resolved through the tunnel", "192.168.10.80", "@172.16.1.1", "www.example.net")
	b.wantDig("over TCP and IPv6, too", "2001:db8:10::80", "@2001:db8:16:1::1", "+tcp", "www.example.net", "AAAA")
	b.wantDig("the internet's names are resolved by the default server", "198.51.100.1", "@172.16.1.1", "www.example.org")
	host.renew()
	host.want("the pushes come with the next renewal", []string{"ip=172.16.1.100", "wins=10.10.210.10", "domain=example.net"})

	b.wantSeenAs("the company sees the tunnel's address", "10.1.1.2", "a")
	ping(t, b.host, "2001:db8:fff::1", 2, 100)
	tracked, err := spoke.Run(context.Background(), "conntrack", "-L", "-p", "udp", "--orig-src", "172.16.1.100", "--orig-dst", "192.168.10.5")
	if err != nil || !strings.Contains(tracked, "dst=10.1.1.2") {
		t.Errorf("conntrack has (%v)\n%s", err, tracked)
	}
	if v := show[view.NAT](b.spoke, "nat"); len(v.Rules) != 1 || v.Rules[0].Translations == 0 || v.Rules[0].Error != "" {
		t.Errorf("show nat has %+v", v.Rules)
	}
	if out, err := b.www.Run(context.Background(), "dig", "+time=2", "+tries=1", "@192.0.2.2", "www.example.net"); err == nil {
		t.Errorf("the proxy serves the internet:\n%s", out)
	}
	if out, err := spoke.Run(context.Background(), "ip", "route", "get", "192.168.10.5"); err == nil {
		t.Errorf("the company is reached outside of the VRF: %s", out)
	}
	must(t, b.spoke.proc.Stop(grace))
	wantFootprint(t, spoke, before, "before the client ran")
}
