package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

// fixedTunnel is a tunnel as an IOS engineer writes it without "dynamic": "tunnel source wan0", "tunnel
// destination 203.0.113.1", "ip address 10.1.1.200 255.255.255.255"; with access lists, a policer and a
// shaper on it.
const fixedTunnel = `clients:
  flex1: {profile: hubs, tunnel: tunnel1, inside: [lan0]}
tunnels:
  tunnel1: {mode: gre, source: wan0, destination: 203.0.113.1, address: 10.1.1.200/32, mtu: 1400, adjust-mss: 1200,
            access-group: {in: from-hub, out: to-hub}, service-policy: {input: line, output: line}}
access-lists:
  to-hub: [deny tcp any any eq 7777, permit ip any any]
  from-hub: [deny icmp host 10.0.0.2 any, permit ip any any]
policy-maps: {line: {shape: 50m, police: 100m}}
`

// Seed, "FlexVPN Tunnel Interface": both ends and the address may be fixed; the interface takes access
// lists and QoS. What is lost to them is counted, and none of it is on the way out of the wrong line.
func TestClientFixedTunnel(t *testing.T) {
	t.Parallel()
	b := newOffice(t, "cfix", 1)
	must(t, b.hubs[1].IP("addr add 10.0.0.2/32 dev lo"))
	b.hub(1)
	f := b.client(fixedTunnel)
	v := on(f, "flex1", "203.0.113.1")
	if v.SourceInterface != "wan0" || v.Source != "192.0.2.9" || len(v.Peers) != 1 {
		t.Errorf("the client shows %+v", v)
	}
	b.reaches()

	lost := func() (l view.Interface) { return show[[]view.Interface](f, "interfaces")[0] }
	run := func(args ...string) string {
		out, _ := b.pc.Run(context.Background(), args[0], args[1:]...) // what is filtered fails
		return out
	}
	if out := run("ping", "-c", "2", "-W", "1", "10.0.0.2"); strings.Contains(out, "bytes from") || lost().DeniedIn == 0 {
		t.Errorf("what the list from the hub denies came in (%d counted):\n%s", lost().DeniedIn, out)
	}
	run("timeout", "3", "bash", "-c", "echo >/dev/tcp/10.0.0.1/7777")
	if lost().DeniedOut == 0 {
		t.Error("the list to the hub denied nothing")
	}
	if tc, err := b.spoke.Run(context.Background(), "tc", "qdisc", "show", "dev", "tunnel1"); err != nil || !strings.Contains(tc, "tbf") || !strings.Contains(tc, "rate 50Mbit") || b.hasFairQueue() && !strings.Contains(tc, "fq_codel") {
		t.Errorf("the shaper is (%v)\n%s", err, tc)
	}
	checkMSS(t, b.pc, b.hubs[1], "10.0.0.1:5202", 1200)
	b.pathMTU()

	// The fixed source is the only one: another line, with a way to the hub, does not replace it.
	must(t, b.net.IP("link set spoke0 down"))
	if v := in(f, "flex1", "WAIT"); !strings.Contains(v.Why, "wan0") {
		t.Errorf("without its source the client waits for %q", v.Why)
	}
	must(t, b.net.IP("link set spoke0 up"))
	on(f, "flex1", "203.0.113.1")
	b.reaches()
}

// hasFairQueue asks the kernel for it; the stripped one that the tests may meet has none.
func (b *office) hasFairQueue() bool {
	_, err := b.pc.Run(context.Background(), "tc", "qdisc", "add", "dev", "eth0", "root", "fq_codel")
	return err == nil
}

// pathMTU holds what path-MTU discovery is for: a host learns the tunnel's MTU, and packets that fit the
// tunnel arrive also where the path beneath it takes less.
func (b *office) pathMTU() {
	b.t.Helper()
	eventually(b.t, 20*time.Second, "the host is told the tunnel's MTU", func() error {
		out, _ := b.pc.Run(context.Background(), "ping", "-c", "1", "-W", "1", "-M", "do", "-s", "1400", "10.0.0.1") // it cannot arrive
		if !strings.Contains(out, "mtu = 1400") && !strings.Contains(out, "mtu=1400") {
			return fmt.Errorf("ping prints\n%s", out)
		}
		return nil
	})
	must(b.t, b.spoke.IP("link set wan0 mtu 1280"), b.hubs[1].IP("link set eth0 mtu 1280"))
	ping(b.t, b.pc, "10.0.0.1", 3, 1372)
	transfer(b.t, b.pc, b.hubs[1], "10.0.0.1:5203", 1<<20)
	must(b.t, b.spoke.IP("link set wan0 mtu 1500"), b.hubs[1].IP("link set eth0 mtu 1500"))
}

// Seed, "Default Domain Name" and "WINS", the third of what `import all` takes over: name servers, for a
// pool that has none of its own; a host is told when it renews, and no more once the client is dismissed.
func TestServicesDHCPImportsNameServers(t *testing.T) {
	t.Parallel()
	b := newBranch(t, "sdh6")
	b.startNamed(b.corp, "192.168.10.5", "example.net")
	must(t, b.host.IP("addr flush dev eth0", "link set eth0 address 02:00:00:00:00:50"))
	b.start(`dhcp-pools:
  lan: {interface: eth1, network: 172.16.1.0/24, default-router: 172.16.1.1, import: all, hosts: {printer: {hardware-address: "02:00:00:00:00:50", address: 172.16.1.50}}}
`)
	host := b.dhcp(b.host, "eth0", "udhcpc")
	host.want("a host with a reservation gets its address, and without a tunnel no name server", []string{"ip=172.16.1.50", "router=172.16.1.1"}, "dns=", "wins=")
	b.connect()
	host.renew()
	host.want("the hub's name server comes with the next renewal", []string{"dns=192.168.10.5", "wins=10.10.210.10", "domain=example.net"})
	b.wantDig("the host reaches the server that it was told", "192.168.10.80", "@192.168.10.5", "www.example.net")
	mustRun(b.spoke, "disconnect", "flex1")
	host.renew()
	host.want("and it is taken back", []string{"router=172.16.1.1"}, "dns=", "wins=", "domain=")
}
