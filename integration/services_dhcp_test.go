package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// dhcpServices is the spoke of the seed's example: import all, with the spoke itself as router and name
// server.
const dhcpServices = `dhcp-pools:
  lan:
    interface: eth1
    network: 172.16.1.0/24
    range: 172.16.1.100-172.16.1.120
    default-router: 172.16.1.1
    dns-server: 172.16.1.1
    import: all
    hosts: {printer: {hardware-address: "02:00:00:00:00:50", address: 172.16.1.50}}
dns: {default-servers: [192.0.2.3]}
metrics: {listen: "127.0.0.1:9464"}
`

// lanHost puts the host behind a switch, so that others can be beside it, and takes its address away: a
// DHCP client will give it one on br0.
func (b *branch) lanHost() (neighbour *netlab.Node) {
	b.t.Helper()
	neighbour = node(b.t, b.lab, "nbr")
	must(b.t, b.host.IP("addr flush dev eth0", "link add br0 type bridge", "link set br0 up", "link set eth0 master br0"),
		b.lab.Link(neighbour, "eth0", b.host, "port1"), b.host.IP("link set port1 master br0"))
	return neighbour
}

// A dhcpClient is a real one, whose script writes down what it is told.
type dhcpClient struct {
	t    *testing.T
	proc *netlab.Proc
	told string // the file with the last event's environment
}

const clientScript = `#!/bin/sh
# $interface, $ip and others (udhcpc), or $interface, $new_ip_address and others (dhclient)
address=${ip:-$new_ip_address}
if [ -n "$address" ]; then
	if ! ip -o addr show dev $interface | grep -q " $address/24 "; then
		ip addr flush dev $interface scope global
		ip addr add $address/24 dev $interface
	fi
	for r in $router $new_routers; do ip route replace default via $r; done
fi
env | sed 's/^new_//' | grep -E '^(ip|ip_address|wins|netbios_name_servers|domain|domain_name|dns|domain_name_servers|router|routers|reason)=' > TOLD.part
mv TOLD.part TOLD
`

func (b *branch) dhcp(n *netlab.Node, device, program string) *dhcpClient {
	b.t.Helper()
	dir := b.t.TempDir()
	c := &dhcpClient{t: b.t, told: filepath.Join(dir, "told")}
	script := filepath.Join(dir, "script")
	must(b.t, os.WriteFile(script, []byte(strings.ReplaceAll(clientScript, "TOLD", c.told)), 0o755))
	args := []string{"udhcpc", "-i", device, "-f", "-s", script, "-O", "wins", "-t", "20", "-T", "1", "-A", "1"}
	if program == "dhclient" {
		args = []string{"dhclient", "-d", "-sf", script, "-lf", filepath.Join(dir, "leases"), "-pf", filepath.Join(dir, "pid"), "-cf", "/dev/null", device}
	}
	var err error
	c.proc, err = n.Start(&syncBuffer{}, nil, args[0], args[1:]...)
	must(b.t, err)
	return c
}

// want waits until the client has been told all of the lines, and none of the others.
func (c *dhcpClient) want(what string, lines []string, not ...string) {
	c.t.Helper()
	eventually(c.t, 60*time.Second, what, func() error {
		b, err := os.ReadFile(c.told)
		if err != nil {
			return err
		}
		text := "\n" + string(b)
		for _, l := range lines {
			if !strings.Contains(text, "\n"+l+"\n") {
				return fmt.Errorf("it was told%s, not %s", text, l)
			}
		}
		for _, l := range not {
			if strings.Contains(text, "\n"+l) {
				return fmt.Errorf("it was told%s, and should not be told %s", text, l)
			}
		}
		return nil
	})
}

// renew has udhcpc ask for a longer lease now, as it does by itself after half of it.
func (c *dhcpClient) renew() {
	c.t.Helper()
	must(c.t, os.Remove(c.told), c.proc.Cmd.Process.Signal(syscall.SIGUSR1))
}

// rehub starts the hub anew with a changed configuration.
func (b *branch) rehub(changes ...string) {
	b.t.Helper()
	must(b.t, b.hub.proc.Stop(grace))
	config := filepath.Join(b.hub.dir, "flexvpn.yaml")
	text, err := os.ReadFile(config)
	must(b.t, err, os.WriteFile(config, []byte(strings.NewReplacer(changes...).Replace(string(text))), 0o600))
	b.hub.start()
}

// Seed, "Integrating WINS" and "Default Domain Name Provisioning": what the hub pushes is imported into the
// spoke's DHCP server and reaches the hosts, a change at their next renewal.
func TestServicesDHCPImport(t *testing.T) {
	t.Parallel()
	b := newBranch(t, "sdhc")
	b.startNamed(b.corp, "192.168.10.5", "example.net")
	b.startPublic()
	neighbour := b.lanHost()
	// Somebody has the first address of the range without asking.
	must(t, neighbour.IP("addr add 172.16.1.100/24 dev eth0"))
	before := footprint(t, b.nodes["spoke1"])
	b.start(dhcpServices)

	host := b.dhcp(b.host, "br0", "udhcpc")
	host.want("a host gets an address before there is a tunnel", []string{"ip=172.16.1.101", "router=172.16.1.1", "dns=172.16.1.1"}, "wins=", "domain=")
	if v := show[view.DHCP](b.spoke, "dhcp").Pools[0]; len(v.Conflicts) != 1 || v.Conflicts[0].Address.String() != "172.16.1.100" {
		t.Errorf("the conflicts are %+v, want the neighbour's address", v.Conflicts)
	}
	if out := mustRun(b.spoke, "show", "ip", "dhcp", "import"); out != "" {
		t.Errorf("before the tunnel show ip dhcp import prints %q", out)
	}
	b.connect()
	host.renew()
	host.want("the pushes come with the next renewal", []string{"ip=172.16.1.101", "wins=10.10.210.10", "domain=example.net", "dns=172.16.1.1"})
	want := "Address Pool Name: lan\nDomain Name Server(s): 192.168.10.5\nNetBIOS Name Server(s): 10.10.210.10\nDomain Name Option: example.net\n"
	if out := mustRun(b.spoke, "show", "ip", "dhcp", "import"); out != want {
		t.Errorf("show ip dhcp import prints\n%swant\n%s", out, want)
	}
	// "seamless access": the host resolves and reaches what is behind the hub with what it was told.
	b.wantDig("the host's own name server knows the company's names", "192.168.10.80", "@172.16.1.1", "www.example.net")
	ping(t, b.host, "192.168.10.5", 2, 100)

	b.rehub("wins: [10.10.210.10]", "wins: [10.10.210.11, 10.10.210.12]", "def-domain: example.net", "def-domain: example.org")
	eventually(t, timeToLose, "the spoke has the hub's new words", func() error {
		if out := mustRun(b.spoke, "show", "ip", "dhcp", "import"); !strings.Contains(out, "10.10.210.11 10.10.210.12") || !strings.Contains(out, "example.org") {
			return fmt.Errorf("show ip dhcp import prints\n%s", out)
		}
		return nil
	})
	host.renew()
	host.want("the change comes with the next renewal", []string{"wins=10.10.210.11 10.10.210.12", "domain=example.org"})

	// Another program as client, and the leases on disk: after a crash nobody gets the host's address.
	b.spoke.proc.Kill()
	b.spoke.start()
	must(t, neighbour.IP("addr flush dev eth0"))
	second := b.dhcp(neighbour, "eth0", "dhclient")
	second.want("another host gets another address", []string{"ip_address=172.16.1.100", "routers=172.16.1.1", "domain_name_servers=172.16.1.1"})
	if out := mustRun(b.spoke, "show", "ip", "dhcp", "binding"); !strings.Contains(out, "172.16.1.101 ") || !strings.Contains(out, "172.16.1.100 ") || !strings.Contains(out, "172.16.1.50 ") {
		t.Errorf("the bindings are\n%s", out)
	}
	host.renew()
	host.want("the host keeps its address over the crash", []string{"ip=172.16.1.101"})
	b.flooded(host)
	must(t, b.spoke.proc.Stop(grace))
	wantFootprint(t, b.spoke.node, before, "before the client ran")
}

// flooded has strangers ask without end: the host still renews, and what they cause is bounded.
func (b *branch) flooded(host *dhcpClient) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	flood := b.host.Command(ctx, os.Args[0], "255.255.255.255:67", "20000")
	flood.Env = append(os.Environ(), helperEnv+"=dhcpflood")
	if out, err := flood.CombinedOutput(); err != nil {
		b.t.Fatalf("dhcpflood: %v\n%s", err, out)
	}
	host.renew()
	host.want("the host renews after a flood", []string{"ip=172.16.1.101"})
	v := show[view.DHCP](b.spoke, "dhcp")
	if v.Counters.Drops["overload"] == 0 || len(v.Pools[0].Bindings) > 22 {
		b.t.Errorf("after a flood the counters are %v, with %d bindings", v.Counters.Drops, len(v.Pools[0].Bindings))
	}
	if out, err := b.spoke.node.Run(ctx, "curl", "-s", "http://127.0.0.1:9464/metrics"); err != nil || !strings.Contains(out, `flexvpn_dhcp_drops_total{reason="overload"}`) {
		b.t.Errorf("the metrics do not tell of it: %v", err)
	}
}

// dhcpFlood sends so many DHCPDISCOVERs of different hosts (RFC 2131 figure 1).
func dhcpFlood(to string, count int) error {
	c, err := net.ListenPacket("udp4", ":0")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		return err
	}
	_ = raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_BROADCAST, 1) })
	if err != nil {
		return err
	}
	addr, err := net.ResolveUDPAddr("udp4", to)
	if err != nil {
		return err
	}
	m := make([]byte, 244)
	m[0], m[1], m[2] = 1, 1, 6
	copy(m[236:], []byte{99, 130, 83, 99, 53, 1, 1, 255})
	for i := range count {
		id := []byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}
		copy(m[4:], id)
		m[28] = 2
		copy(m[30:], id)
		if _, err := c.WriteTo(m, addr); err != nil {
			time.Sleep(time.Millisecond) // the sending queue is full
		}
	}
	return nil
}
