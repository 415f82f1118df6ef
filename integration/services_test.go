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
)

// A branch is a spoke with a host behind it, a hub with a company network behind it, and a public
// network between them:
//
//	host 172.16.1.10 -- eth1 spoke1 eth0 -- 192.0.2.0/24 -- hub lan0 -- corp 192.168.10.5
//	                                             |
//	                                        www 192.0.2.3
type branch struct {
	*star
	hub, spoke      *flexvpn
	host, corp, www *netlab.Node
	named           *syncBuffer // the log of the name server at corp
	public          *syncBuffer // the log of the public name server at www
}

// branchHub is the hub's policy; its pushes are those of the seed's examples.
const branchHub = `node: hub
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
  authorization-policies:
    default:
      pool: v4
      ipv6-pool: v6
      dns: [192.168.10.5]
      split-dns: [example.net]
      wins: [10.10.210.10]
      def-domain: example.net
      banner: "Welcome to the company\nBehave"
      routes: {set: [interface, 192.168.10.0/24], accept: any}
pools:
  v4: {range: 10.1.1.2-10.1.1.9}
  v6: {range: "2001:db8:fff::2-2001:db8:fff::ff"}
virtual-templates:
  1: {mode: auto, address: [10.1.1.1/32, "2001:db8:fff::1/128"], mtu: 1400, adjust-mss: 1360}
`

// newBranch builds the machines and their addresses; nothing runs on them yet.
func newBranch(t *testing.T, lab string) *branch {
	t.Helper()
	b := &branch{star: newStar(t, lab, "hub", "spoke1", "www"), named: &syncBuffer{}, public: &syncBuffer{}}
	hub, spoke := b.nodes["hub"], b.nodes["spoke1"]
	b.www, b.host, b.corp = b.nodes["www"], node(t, b.lab, "host"), node(t, b.lab, "corp")
	must(t, b.lab.Link(b.host, "eth0", spoke, "eth1"), b.lab.Link(b.corp, "eth0", hub, "lan0"), forwardOn(hub), forwardOn(spoke),
		hub.IP("addr add 192.168.10.1/24 dev lan0"),
		b.corp.IP("addr add 192.168.10.5/24 dev eth0", "route add default via 192.168.10.1"),
		spoke.IP("addr add 172.16.1.1/24 dev eth1", "addr add 2001:db8:16:1::1/64 dev eth1"),
		b.host.IP("addr add 172.16.1.10/24 dev eth0", "addr add 2001:db8:16:1::10/64 dev eth0", "route add default via 172.16.1.1"))
	return b
}

// start starts the hub and the spoke, whose client is flex1, waiting for connect; services are the sections of
// the spoke's configuration for the hosts behind it.
func (b *branch) start(services string) {
	b.t.Helper()
	b.hub = startFlexvpn(b.t, b.nodes["hub"], "hub", branchHub, map[string][]byte{"psk": []byte(starPSK)})
	text := strings.Replace(spokeText("spoke1", "ipsec", firstHub), "profile: hubs,", "profile: hubs, connect: manual, inside: [eth1],", 1)
	b.spoke = startFlexvpn(b.t, b.nodes["spoke1"], "client", text+services, map[string][]byte{"psk": []byte(starPSK)})
}

func (b *branch) connect() {
	b.t.Helper()
	mustRun(b.spoke, "connect", "flex1")
	b.spoke.up()
	eventually(b.t, 10*time.Second, "the client says that it is active", func() error {
		if out, err := b.spoke.run("show", "client", "flex1"); err != nil || !strings.Contains(out, "ACTIVE") {
			return fmt.Errorf("%v: %s", err, out)
		}
		return nil
	})
}

// zone is the company's: names that nobody outside knows.
const zone = `$TTL 1
@ IN SOA ns admin 1 3600 600 86400 1
@ IN NS ns
ns IN A 192.168.10.5
www IN A 192.168.10.80
www IN AAAA 2001:db8:10::80
big IN TXT "%[1]s" "%[1]s" "%[1]s" "%[1]s" "%[1]s" "%[1]s" "%[1]s" "%[1]s" "%[1]s"
`

// startNamed runs bind9 behind the hub.
func (b *branch) startNamed(n *netlab.Node, address, origin string) {
	b.t.Helper()
	dir := b.t.TempDir()
	four, six := address, "none"
	if strings.Contains(address, ":") {
		four, six = six, address
	}
	must(b.t, os.Chmod(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "zone"), fmt.Appendf(nil, zone, strings.Repeat("x", 200)), 0o644),
		os.WriteFile(filepath.Join(dir, "named.conf"), fmt.Appendf(nil, `options {
  directory "%[1]s"; pid-file "%[1]s/named.pid"; session-keyfile "%[1]s/session.key"; managed-keys-directory "%[1]s";
  listen-on { %[2]s; }; listen-on-v6 { %[4]s; };
  recursion no; querylog yes; dnssec-validation no; allow-query { any; };
};
controls {};
zone "%[3]s" { type primary; file "%[1]s/zone"; };
`, dir, four, origin, six), 0o644))
	_, err := n.Start(b.named, nil, "named", "-g", "-c", filepath.Join(dir, "named.conf"))
	must(b.t, err)
	eventually(b.t, 20*time.Second, "bind9 runs", func() error {
		if !strings.Contains(b.named.String(), "running\n") {
			return fmt.Errorf("it says\n%s", lastLines(b.named.String(), 10))
		}
		return nil
	})
}

// startPublic runs dnsmasq on the public network: to it, every name has the address 198.51.100.1, if more
// does not say otherwise.
func (b *branch) startPublic(more ...string) {
	b.t.Helper()
	_, err := b.www.Start(b.public, nil, "dnsmasq", append(more, "-k", "-C", "/dev/null", "--no-resolv", "--no-hosts", "--listen-address=192.0.2.3,2001:db8:1::3",
		"--bind-interfaces", "--address=/#/198.51.100.1", "--log-queries", "--log-facility=-", "--pid-file=", "-u", "root")...)
	must(b.t, err)
	eventually(b.t, 10*time.Second, "dnsmasq answers", func() error {
		_, err := b.www.Run(context.Background(), "dig", "+time=1", "+tries=1", "@192.0.2.3", "ready.example")
		return err
	})
}

// dig is what dig prints at the host behind the spoke.
func (b *branch) dig(args ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := b.host.Run(ctx, "dig", append([]string{"+tries=1", "+time=8"}, args...)...)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(out)
}

// wantDig fails unless dig +short prints want in the end: what is served follows what a session says
// within a moment.
func (b *branch) wantDig(what, want string, args ...string) {
	b.t.Helper()
	eventually(b.t, 15*time.Second, what, func() error {
		if got := b.dig(append(args, "+short")...); got != want {
			return fmt.Errorf("dig %s prints %q, want %q", strings.Join(args, " "), got, want)
		}
		return nil
	})
}

// footprint is everything of a machine that a service could leave behind.
func footprint(t *testing.T, n *netlab.Node) string {
	t.Helper()
	var b strings.Builder
	for _, line := range []string{
		"ip -o link", "ip -o addr", "ip route show table all", "ip -6 route show table all", "ip rule", "ip -6 rule",
		"nft list ruleset", "tc qdisc", "ss -H -lntup", "cat /etc/resolv.conf", "sysctl net.ipv4.ip_forward net.ipv4.conf.all.rp_filter",
	} {
		words := strings.Fields(line)
		out, err := n.Run(context.Background(), words[0], words[1:]...)
		must(t, err)
		fmt.Fprintf(&b, "# %s\n%s", line, strings.ReplaceAll(out, elsewhere, ""))
	}
	return b.String()
}

// wantFootprint fails unless the machine is in the end as it was.
func wantFootprint(t *testing.T, n *netlab.Node, before, when string) {
	t.Helper()
	eventually(t, 10*time.Second, "the machine is as it was "+when, func() error {
		now := footprint(t, n)
		if now == before {
			return nil
		}
		was := map[string]bool{}
		for line := range strings.Lines(before) {
			was[line] = true
		}
		var diff []string
		for line := range strings.Lines(now) {
			if !was[line] {
				diff = append(diff, "+ "+line)
			}
			delete(was, line)
		}
		for line := range was {
			diff = append(diff, "- "+line)
		}
		return fmt.Errorf("it differs:\n%s", strings.Join(diff, ""))
	})
}
