package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

// startNAT starts hub and spoke; the spoke announces its tunnel's address only, so that the hub has no
// way to the hosts behind it but by translation.
func (b *branch) startNAT(services string) {
	b.t.Helper()
	b.hub = startFlexvpn(b.t, b.nodes["hub"], "hub", branchHub, map[string][]byte{"psk": []byte(starPSK)})
	text := strings.NewReplacer("profile: hubs,", "profile: hubs, connect: manual, inside: [eth1],", "set: [interface, 172.16.1.0/24]", "set: [interface]",
		"tunnel1: {", "tunnel1: {nat: outside, ").Replace(spokeText("spoke1", "gre", firstHub))
	b.spoke = startFlexvpn(b.t, b.nodes["spoke1"], "client", text+services, map[string][]byte{"psk": []byte(starPSK)})
	must(b.t, b.nodes["spoke1"].Sysctl("net.ipv6.conf.all.forwarding", "1"), b.host.IP("-6 route add default via 2001:db8:16:1::1"))
}

// seenAs asks the name server behind the hub from the host and returns the address it was asked from.
func (b *branch) seenAs(name string) string {
	b.t.Helper()
	before := len(b.named.String())
	if out := b.dig("@192.168.10.5", name+".example.net"); !strings.Contains(out, "NXDOMAIN") {
		return "no answer: " + out
	}
	_, after, _ := strings.Cut(b.named.String()[before:], "client @")
	_, after, _ = strings.Cut(after, " ")
	address, _, _ := strings.Cut(after, "#")
	return address
}

func (b *branch) wantSeenAs(what, want, name string) {
	b.t.Helper()
	eventually(b.t, 30*time.Second, what, func() error {
		if got := b.seenAs(name); got != want {
			return fmt.Errorf("the server behind the hub was asked from %q, want %q", got, want)
		}
		return nil
	})
}

const stranger = `table inet stranger {
  chain c {
    type filter hook forward priority 0; policy accept;
    ip saddr 198.18.0.1 drop
  }
}
`

// Seed, "Integrating NAT", client mode: the hosts behind the spoke share its negotiated address; what
// leaves by the tunnel follows the address; the table goes with the process, and what a crash left goes
// while others' tables stay.
func TestServicesNATClientMode(t *testing.T) {
	t.Parallel()
	b := newBranch(t, "snat")
	b.startNamed(b.corp, "192.168.10.5", "example.net")
	spoke := b.nodes["spoke1"]
	nft(t, spoke, stranger)
	must(t, spoke.Sysctl("net.ipv6.conf.all.forwarding", "1"))
	before := footprint(t, spoke)
	b.startNAT("nat: [{inside: [eth1], outside: tunnel1, overload: true}]\nmetrics: {listen: \"127.0.0.1:9464\"}\n")
	b.connect()
	ping(t, b.host, "192.168.10.5", 3, 500)
	ping(t, b.host, "2001:db8:fff::1", 3, 500)
	transfer(t, b.host, b.corp, "192.168.10.5:7001", 1<<20)
	b.wantSeenAs("the host has the tunnel's address", "10.1.1.2", "a")

	tracked, err := spoke.Run(context.Background(), "conntrack", "-L", "-p", "tcp", "--orig-src", "172.16.1.10")
	must(t, err)
	if !strings.Contains(tracked, "dst=10.1.1.2") {
		t.Errorf("conntrack has\n%s", tracked)
	}
	_, after, _ := strings.Cut(tracked, "src=172.16.1.10 dst=192.168.10.5 sport=")
	port, _, _ := strings.Cut(after, " ")
	if out := mustRun(b.spoke, "show", "ip", "nat", "translations"); !strings.HasPrefix(out, "Pro  Inside global") ||
		!strings.Contains(strings.Join(strings.Fields(out), " "), "tcp 10.1.1.2:"+port+" 172.16.1.10:"+port+" 192.168.10.5:7001 192.168.10.5:7001") || !strings.Contains(out, "icmp 10.1.1.2:") {
		t.Errorf("conntrack has\n%sand show ip nat translations\n%s", tracked, out)
	}
	if v := show[view.NAT](b.spoke, "nat"); len(v.Rules) != 1 || fmt.Sprint(v.Rules[0].Addresses) != "[10.1.1.2 2001:db8:fff::2]" || v.Rules[0].Translations < 4 || v.Rules[0].Error != "" {
		t.Errorf("show nat has %+v", v.Rules)
	}
	if out, err := spoke.Run(context.Background(), "curl", "-s", "http://127.0.0.1:9464/metrics"); err != nil || !strings.Contains(out, `flexvpn_nat_translations_total{outside="tunnel1"}`) {
		t.Errorf("the metrics do not tell of it: %v", err)
	}

	// The hub comes back with another pool: the hosts have the new address.
	b.rehub("10.1.1.2-10.1.1.9", "10.1.1.100-10.1.1.109")
	b.wantSeenAs("the translation follows the address", "10.1.1.100", "b")

	// Nobody else can flush it, and it does not outlive a crash.
	if out, err := spoke.Run(context.Background(), "nft", "delete table inet flexvpn_nat"); err == nil {
		t.Errorf("somebody deleted the table: %s", out)
	}
	b.spoke.proc.Kill()
	if out, err := spoke.Run(context.Background(), "nft", "list", "tables"); err != nil || out != "table inet stranger\n" {
		t.Errorf("after a crash: %v\n%s", err, out)
	}
	b.spoke.start()
	b.connect()
	b.wantSeenAs("it works after a crash", "10.1.1.100", "c")
	if out, err := spoke.Run(context.Background(), "nft", "list", "ruleset"); err != nil || strings.Count(out, "table inet flexvpn_nat") != 1 || !strings.Contains(out, "stranger") {
		t.Errorf("after crash and restart: %v\n%s", err, out)
	}
	must(t, b.spoke.proc.Stop(grace))
	wantFootprint(t, spoke, before, "before the client ran")
}

// Seed, "Split-Tunnel NAT": tunnel-bound traffic has the tunnel's address, internet-bound traffic the
// WAN's, by the outgoing interface. Connections that began before the tunnel begin anew.
func TestServicesNATSplitTunnel(t *testing.T) {
	t.Parallel()
	b := newBranch(t, "snsp")
	b.startNamed(b.corp, "192.168.10.5", "example.net")
	b.startPublic()
	must(t, b.nodes["spoke1"].IP("route add default via 192.0.2.3"))
	b.startNAT(`nat:
  - {inside: [eth1], outside: tunnel1, overload: true}
  - {inside: [eth1], outside: eth0, overload: true, source: [172.16.1.0/24]}
`)
	internet := func(name string) {
		t.Helper()
		eventually(t, 10*time.Second, "the internet sees the WAN's address", func() error {
			if got := b.dig("@192.0.2.3", name+".example.org", "+short"); got != "198.51.100.1" {
				return fmt.Errorf("the public server answers %q", got)
			}
			if log := b.public.String(); !strings.Contains(log, name+".example.org from 192.0.2.2") {
				return fmt.Errorf("the public server saw\n%s", lastLines(log, 5))
			}
			return nil
		})
	}
	internet("before")
	// One connection (its id stays) from before the tunnel until after it.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out := &syncBuffer{}
	long, err := b.host.Start(out, nil, "ping", "-i", "0.2", "192.168.10.5")
	must(t, err)
	eventually(t, 10*time.Second, "the connection is tracked", func() error {
		_, err := b.spoke.node.Run(ctx, "sh", "-c", "conntrack -L -p icmp --orig-src 172.16.1.10 --orig-dst 192.168.10.5 2>/dev/null | grep -q icmp")
		return err
	})
	b.connect()
	b.wantSeenAs("the company sees the tunnel's address", "10.1.1.2", "a")
	internet("after")
	eventually(t, 20*time.Second, "the connection from before the tunnel goes on through it", func() error {
		if !strings.Contains(out.String(), "bytes from 192.168.10.5") {
			return fmt.Errorf("ping prints\n%s", lastLines(out.String(), 5))
		}
		return nil
	})
	_ = long.Stop(time.Second)
	both := map[string]bool{}
	for _, c := range show[view.NAT](b.spoke, "nat").Translations {
		both[c.Outside+" "+c.InsideGlobal.Addr().String()] = true
	}
	if !both["tunnel1 10.1.1.2"] || !both["eth0 192.0.2.2"] {
		t.Errorf("show nat has translations to %v", both)
	}
}

// A connection that kept its own address before the tunnel, because nothing translated it then, is
// translated once it leads through the tunnel.
func TestServicesNATConnectionFromBefore(t *testing.T) {
	t.Parallel()
	b := newBranch(t, "snbf")
	must(t, b.nodes["spoke1"].IP("route add default via 192.0.2.3"))
	b.startNAT("nat: [{inside: [eth1], outside: tunnel1}]\n")
	out := &syncBuffer{}
	long, err := b.host.Start(out, nil, "ping", "-i", "0.2", "192.168.10.5")
	must(t, err)
	eventually(t, 10*time.Second, "the connection is tracked with its own address", func() error {
		_, err := b.spoke.node.Run(context.Background(), "sh", "-c", "conntrack -L -p icmp --orig-src 172.16.1.10 --reply-dst 172.16.1.10 2>/dev/null | grep -q icmp")
		return err
	})
	b.connect()
	eventually(t, 20*time.Second, "it goes on through the tunnel", func() error {
		if !strings.Contains(out.String(), "bytes from 192.168.10.5") {
			return fmt.Errorf("ping prints\n%s", lastLines(out.String(), 5))
		}
		return nil
	})
	_ = long.Stop(time.Second)
}

// Network extension mode: no NAT, the inside prefix is announced, and the hosts have their own addresses
// at the company, both ways.
func TestServicesNetworkExtensionMode(t *testing.T) {
	t.Parallel()
	b := newBranch(t, "snem")
	b.startNamed(b.corp, "192.168.10.5", "example.net")
	b.start("")
	b.connect()
	b.wantSeenAs("the company sees the host itself", "172.16.1.10", "a")
	ping(t, b.corp, "172.16.1.10", 3, 500)
	if out := mustRun(b.spoke, "show", "nat"); out != "No NAT is configured.\n" {
		t.Errorf("show nat prints %q", out)
	}
}
