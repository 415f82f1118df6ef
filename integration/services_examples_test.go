package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The samples of spokes that serve hosts run as they stand, with the hub's sample: a host gets its
// settings, resolves a name of the company and of the internet, and reaches both with the right address.
func TestServicesExamples(t *testing.T) {
	mountPoint(t)
	secret := []byte("nGmvQ1bQ5l0rCzv1mEXAMPLEONLYx0XhYxv0p3q6n7A=\n")
	for name, wanSees := range map[string]string{"spoke-client-mode.yaml": "", "spoke-split-tunnel.yaml": "203.0.113.2"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBranch(t, "se"+name[6:7])
			b.startNamed(b.corp, "192.168.10.5", "example.net")
			h, s := b.nodes["hub"], b.nodes["spoke1"]
			// The samples' addresses, and a public name server at the one that they name.
			must(t, h.IP("addr flush dev eth0", "addr add 203.0.113.1/24 dev eth0"), s.IP("addr flush dev eth0", "addr add 203.0.113.2/24 dev eth0", "route add default via 203.0.113.3"),
				b.www.IP("addr add 203.0.113.3/24 dev eth0", "addr add 192.0.2.53/32 dev lo", "addr add 9.9.9.9/32 dev lo"), b.host.IP("addr flush dev eth0"))
			_, err := b.www.Start(b.public, nil, "dnsmasq", "-k", "-C", "/dev/null", "--no-resolv", "--no-hosts", "--listen-address=9.9.9.9", "--bind-interfaces",
				"--address=/#/198.51.100.1", "--log-queries", "--log-facility=-", "--pid-file=", "-u", "root")
			must(t, err)
			hub := newMachine(t, h, map[string][]byte{"hub.yaml": sample(t, "hub.yaml"), "spokes.psk": secret})
			spoke := newMachine(t, s, map[string][]byte{"spoke.yaml": sample(t, name), "hub.psk": secret})
			hub.check("/etc/flexvpn/hub.yaml")
			spoke.check("/etc/flexvpn/spoke.yaml")
			hub.start("hub", "-c", "/etc/flexvpn/hub.yaml")
			spoke.start("client", "-c", "/etc/flexvpn/spoke.yaml")
			eventually(t, 30*time.Second, "flexvpn show client says ACTIVE", func() error {
				out, err := spoke.run("show", "client")
				if err == nil && !strings.Contains(out, "ACTIVE") {
					err = fmt.Errorf("it says %s", out)
				}
				return err
			})
			host := b.dhcp(b.host, "eth0", "udhcpc")
			host.want("the host gets its settings", []string{"ip=172.16.1.100", "router=172.16.1.1", "dns=172.16.1.1", "wins=10.10.210.10", "domain=example.net"})
			b.wantDig("a name of the company", "192.168.10.80", "@172.16.1.1", "www.example.net")
			b.wantDig("a name of the internet", "198.51.100.1", "@172.16.1.1", "www.example.org")
			b.wantSeenAs("the company sees the tunnel's address", "10.1.1.2", "a")
			if wanSees != "" {
				b.wantDig("the internet itself", "198.51.100.1", "@9.9.9.9", "direct.example.org")
				if log := b.public.String(); !strings.Contains(log, "direct.example.org from "+wanSees) {
					t.Errorf("the public server saw\n%s", lastLines(log, 5))
				}
			}
			for _, c := range []struct{ command, want string }{
				{"show ip dns name-list", "permit example.net"},
				{"show ip dhcp import", "NetBIOS Name Server(s): 10.10.210.10"},
				{"show ip nat translations", "10.1.1.2:"},
				{"show ip dhcp binding", "172.16.1.100"},
			} {
				if out, err := spoke.run(strings.Fields(c.command)...); err != nil || !strings.Contains(out, c.want) {
					t.Errorf("flexvpn %s: %v\n%s", c.command, err, out)
				}
			}
			must(t, spoke.proc.Stop(grace))
			if out, err := s.Run(context.Background(), "nft", "list", "ruleset"); err != nil || out != "" {
				t.Errorf("after the stop: %v\n%s", err, out)
			}
		})
	}
}
