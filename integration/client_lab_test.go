package integration

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// An office is a spoke with two lines to the internet, a host behind it, and hubs that both lines lead
// to. Hub N has 203.0.113.N and 2001:db8:113::N, and behind it the same server 10.0.0.1, so that a
// stream from the host goes on whichever hub carries it.
//
//	pc 172.16.1.10 -- lan0 spoke wan0 192.0.2.9    -- br0 -- 192.0.2.N    hubN 10.0.0.1
//	                             wan1 198.51.100.9 -- br1 -- 198.51.100.N
type office struct {
	t         *testing.T
	lab       *netlab.Lab
	plane     string       // of hubs and spoke; empty: userspace
	net       *netlab.Node // the switches: lines are cut here
	pc, spoke *netlab.Node
	hubs      map[int]*netlab.Node
	daemons   map[int]*flexvpn
}

func newOffice(t *testing.T, name string, hubs int) *office {
	t.Helper()
	b := &office{t: t, lab: newLab(t, name), hubs: map[int]*netlab.Node{}, daemons: map[int]*flexvpn{}}
	b.net, b.pc, b.spoke = node(t, b.lab, "net"), node(t, b.lab, "pc"), node(t, b.lab, "spoke")
	must(t, b.net.IP("link add br0 type bridge", "link set br0 up", "link add br1 type bridge", "link set br1 up"))
	b.line(b.spoke, "wan0", "spoke0", "br0")
	b.line(b.spoke, "wan1", "spoke1", "br1")
	must(t, b.lab.Link(b.pc, "eth0", b.spoke, "lan0"),
		b.spoke.IP("addr add 192.0.2.9/24 dev wan0", "addr add 2001:db8:2::9/64 dev wan0", "addr add 198.51.100.9/24 dev wan1", "addr add 172.16.1.1/24 dev lan0"),
		b.spoke.Sysctl("net.ipv4.ip_forward", "1"),
		b.pc.IP("addr add 172.16.1.10/24 dev eth0", "route add default via 172.16.1.1"))
	for n := 1; n <= hubs; n++ {
		b.addHub(n)
	}
	return b
}

// line joins a node to a switch.
func (b *office) line(n *netlab.Node, dev, port, bridge string) {
	b.t.Helper()
	must(b.t, b.lab.Link(n, dev, b.net, port), b.net.IP("link set "+port+" master "+bridge))
}

func (b *office) addHub(n int) {
	b.t.Helper()
	name := fmt.Sprintf("hub%d", n)
	h := node(b.t, b.lab, name)
	b.hubs[n] = h
	b.line(h, "eth0", name+"a", "br0")
	b.line(h, "eth1", name+"b", "br1")
	must(b.t, h.IP(
		fmt.Sprintf("addr add 192.0.2.%d/24 dev eth0", n), fmt.Sprintf("addr add 2001:db8:2::%d/64 dev eth0", n), fmt.Sprintf("addr add 198.51.100.%d/24 dev eth1", n),
		fmt.Sprintf("addr add 203.0.113.%d/32 dev lo", n), fmt.Sprintf("addr add 2001:db8:113::%d/128 dev lo", n), "addr add 10.0.0.1/32 dev lo"),
		b.spoke.IP(
			fmt.Sprintf("route add 203.0.113.%d via 192.0.2.%d dev wan0 metric 100", n, n), fmt.Sprintf("route add 203.0.113.%d via 198.51.100.%d dev wan1 metric 200", n, n),
			fmt.Sprintf("route add 2001:db8:113::%d via 2001:db8:2::%d dev wan0", n, n)))
}

// hub starts the daemon of hub n; changes replace parts of its configuration.
func (b *office) hub(n int, changes ...string) *flexvpn {
	b.t.Helper()
	text := planeLine(b.plane) + strings.NewReplacer(changes...).Replace(fmt.Sprintf(`node: hub%[1]d
ikev2:
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]}
  profiles:
    spokes:
      match: {identity: [{fqdn-domain: branch.example.net}]}
      identity: {fqdn: hub%[1]d.example.net}
      authentication: {local: psk, remote: psk}
      keyring: peers
      authorization: {group: {list: local, policy: default}}
      virtual-template: 1
      dpd: {interval: 10s, retry: 2s, mode: on-demand}
  authorization-policies:
    default: {pool: v4, routes: {set: [10.0.0.0/24], accept: any}}
pools:
  v4: {range: 10.1.%[1]d.2-10.1.%[1]d.99}
virtual-templates:
  1: {mode: auto, address: 10.1.%[1]d.1/32, mtu: 1400}
`, n))
	b.daemons[n] = startFlexvpn(b.t, b.hubs[n], "hub", text, map[string][]byte{"psk": []byte(starPSK)})
	return b.daemons[n]
}

// client starts the spoke's daemon with the sections clients, tunnels and tracks as given.
func (b *office) client(sections string, changes ...string) *flexvpn {
	b.t.Helper()
	text := planeLine(b.plane) + strings.NewReplacer(changes...).Replace(`node: spoke1
ikev2:
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]}
  profiles:
    hubs:
      identity: {fqdn: spoke1.branch.example.net}
      authentication: {local: psk, remote: psk}
      keyring: peers
      routes: {set: [interface, 172.16.1.0/24], accept: any}
      dpd: {interval: 2s, retry: 1s, mode: periodic}
metrics: {listen: "127.0.0.1:9465"}
`+sections)
	return startFlexvpn(b.t, b.spoke, "client", text, map[string][]byte{"psk": []byte(starPSK)})
}

// echo is how often a track asks a hub, and how long it waits: longer where the machine is emulated.
func (b *office) echo() string {
	if b.plane == "kernel" {
		return "interval: 1s, timeout: 1s"
	}
	return "interval: 200ms, timeout: 200ms"
}

const tunnelOne = "tunnels: {tunnel1: {mode: ipsec, address: negotiated, source: dynamic, destination: dynamic, mtu: 1400}}\n"

// on waits until a profile is active on a peer and returns what show client says.
func on(f *flexvpn, name, peer string) view.Client {
	f.t.Helper()
	var v view.Client
	eventually(f.t, 60*time.Second, name+" is active on "+peer, func() error {
		v = clientNamed(f, name)
		if v.State != "ACTIVE" || v.Peer != peer {
			return fmt.Errorf("it is %s on %s: %s", v.State, v.Peer, v.LastError)
		}
		return nil
	})
	return v
}

// in waits until a profile is in a state.
func in(f *flexvpn, name, state string) view.Client {
	f.t.Helper()
	var v view.Client
	eventually(f.t, 60*time.Second, name+" is "+state, func() error {
		if v = clientNamed(f, name); v.State != state {
			return fmt.Errorf("it is %s on %s: %s", v.State, v.Peer, v.LastError)
		}
		return nil
	})
	return v
}

func clientNamed(f *flexvpn, name string) view.Client {
	f.t.Helper()
	all := show[[]view.Client](f, "client")
	i := slices.IndexFunc(all, func(c view.Client) bool { return c.Name == name })
	if i < 0 {
		f.t.Fatalf("there is no client %s", name)
	}
	return all[i]
}

// A pingStream is pings at 50 a second from the host to the server behind the hubs.
type pingStream struct {
	b    *office
	proc *netlab.Proc
	out  *syncBuffer
}

func (b *office) stream() *pingStream {
	b.t.Helper()
	s := &pingStream{b: b, out: &syncBuffer{}}
	var err error
	s.proc, err = b.pc.Start(s.out, nil, "ping", "-n", "-i", "0.02", "-W", "5", "10.0.0.1")
	must(b.t, err)
	eventually(b.t, 20*time.Second, "the stream flows", func() error {
		if len(s.received()) < 10 {
			return fmt.Errorf("the ping says %q", lastLines(s.out.String(), 3))
		}
		return nil
	})
	return s
}

var sequenceOf = regexp.MustCompile(`icmp_seq=(\d+) ttl`)

// received are the sequence numbers of the answers so far.
func (s *pingStream) received() (out []int) {
	for _, m := range sequenceOf.FindAllStringSubmatch(s.out.String(), -1) {
		n, _ := strconv.Atoi(m[1])
		out = append(out, n)
	}
	return out
}

// end ends the stream once n more answers have come, and says how many packets were lost before the
// last answer.
func (s *pingStream) end(more int) (lost int) {
	s.b.t.Helper()
	before := len(s.received())
	eventually(s.b.t, 30*time.Second, "the stream goes on", func() error {
		if n := len(s.received()) - before; n < more {
			return fmt.Errorf("only %d more answers", n)
		}
		return nil
	})
	_ = s.proc.Stop(5 * time.Second)
	got := s.received()
	slices.Sort(got)
	got = slices.Compact(got)
	return got[len(got)-1] - got[0] + 1 - len(got)
}

// reaches waits until the host reaches the server.
func (b *office) reaches() {
	b.t.Helper()
	eventually(b.t, 20*time.Second, "the host reaches the server", func() error {
		_, err := b.pc.Run(context.Background(), "ping", "-n", "-c", "1", "-W", "1", "10.0.0.1")
		return err
	})
}
