// Package demo shows a working FlexVPN on one machine: a hub and two spokes in network namespaces of
// their own, hosts behind the spokes, traffic through the tunnels, and what an operator looks at. It
// is the same binary and the same configuration a real network would run; a step that fails ends the
// demo with an error, and everything it made is removed either way.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// Run runs the demo and tells about it on w. binary is the flexvpn to run; every step has its own
// limit, and ctx ends all of it.
func Run(ctx context.Context, w io.Writer, binary string) (err error) {
	d := &demo{ctx: ctx, out: w, binary: binary}
	if d.dir, err = os.MkdirTemp("", "flexvpn-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.cleanUp(err != nil)) }()
	for _, step := range []struct {
		title string
		run   func() error
	}{
		{"Build a network: an internet, a hub, two spokes, a host behind each", d.build},
		{"Start the hub and the spokes", d.start},
		{"What the operator of the hub sees", d.look},
		{"Host to host through hub and tunnels, IPv4 and IPv6", d.ping},
		{"What Prometheus scrapes", d.scrape},
		{"Clear a session: the spoke comes back by itself", d.clear},
		{"Cut the hub's line: dead peer detection notices; mend it: the spokes return", d.cut},
		{"Stop everything: nothing is left behind", d.stop},
	} {
		d.step++
		fmt.Fprintf(w, "\n== %d. %s\n", d.step, step.title)
		if err := step.run(); err != nil {
			return fmt.Errorf("step %d (%s): %w", d.step, step.title, err)
		}
	}
	fmt.Fprintf(w, "\nThe demo is over: all %d steps did what they should.\n", d.step)
	return nil
}

type demo struct {
	ctx    context.Context
	out    io.Writer
	binary string
	dir    string
	step   int

	lab           *netlab.Lab
	wan, hub      *netlab.Node
	spokes, hosts [2]*netlab.Node
	hubProc       *netlab.Proc
	spokeProcs    [2]*netlab.Proc
	logs          []*os.File
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "   "+format+"\n", args...) }

// Addresses of the demo: documentation and private ranges only.
const (
	hubAddr, hubAddr6 = "203.0.113.1", "2001:db8:a::1"
)

var (
	spokeAddr  = [2]string{"198.51.100.2", "192.0.2.2"}
	spokeGW    = [2]string{"198.51.100.1", "192.0.2.1"}
	insideGW   = [2]string{"172.16.1.1", "172.16.2.1"}
	insideGW6  = [2]string{"2001:db8:1001::1", "2001:db8:1002::1"}
	inside     = [2]string{"172.16.1.0/24", "172.16.2.0/24"}
	inside6    = [2]string{"2001:db8:1001::/64", "2001:db8:1002::/64"}
	hostAddr   = [2]string{"172.16.1.10", "172.16.2.10"}
	hostAddr6  = [2]string{"2001:db8:1001::10", "2001:db8:1002::10"}
	spokeNames = [2]string{"spoke1", "spoke2"}
	modes      = [2]string{"ipsec", "gre"}
)

func (d *demo) build() error {
	var err error
	if d.lab, err = netlab.New("fvdemo"); err != nil {
		return err
	}
	for name, node := range map[string]**netlab.Node{
		"wan": &d.wan, "hub": &d.hub, "spoke1": &d.spokes[0], "spoke2": &d.spokes[1], "host1": &d.hosts[0], "host2": &d.hosts[1],
	} {
		if *node, err = d.lab.Node(name); err != nil {
			return err
		}
	}
	err = errors.Join(
		d.lab.Link(d.hub, "eth0", d.wan, "hub"),
		d.hub.IP("addr add "+hubAddr+"/24 dev eth0", "addr add "+hubAddr6+"/64 dev eth0"),
		d.wan.IP("addr add 203.0.113.254/24 dev hub", "addr add 2001:db8:a::fe/64 dev hub"),
		d.hub.IP("route add default via 203.0.113.254", "-6 route add default via 2001:db8:a::fe"),
		forward(d.wan), forward(d.hub),
	)
	for i := range d.spokes {
		err = errors.Join(err,
			d.lab.Link(d.spokes[i], "eth0", d.wan, spokeNames[i]),
			d.spokes[i].IP("addr add "+spokeAddr[i]+"/24 dev eth0", "route add default via "+spokeGW[i]),
			d.wan.IP("addr add "+spokeGW[i]+"/24 dev "+spokeNames[i]),
			d.lab.Link(d.hosts[i], "eth0", d.spokes[i], "eth1"),
			d.spokes[i].IP("addr add "+insideGW[i]+"/24 dev eth1", "addr add "+insideGW6[i]+"/64 dev eth1"),
			d.hosts[i].IP("addr add "+hostAddr[i]+"/24 dev eth0", "addr add "+hostAddr6[i]+"/64 dev eth0",
				"route add default via "+insideGW[i], "-6 route add default via "+insideGW6[i]),
			forward(d.spokes[i]),
		)
	}
	if err != nil {
		return err
	}
	d.say("host1 %s -- spoke1 %s ..\\", hostAddr[0], spokeAddr[0])
	d.say("                                  internet .. hub %s", hubAddr)
	d.say("host2 %s -- spoke2 %s ..../", hostAddr[1], spokeAddr[1])
	d.say("spoke1 will use native IPsec, spoke2 GRE; the hub's template is in mode auto.")
	return d.writeConfigs()
}

func forward(n *netlab.Node) error {
	return errors.Join(n.Sysctl("net.ipv4.ip_forward", "1"), n.Sysctl("net.ipv6.conf.all.forwarding", "1"))
}

func (d *demo) writeConfigs() error {
	files := map[string]string{"psk": "a demo secret, not for use\n", "hub.yaml": hubConfig(d.dir)}
	for i := range d.spokes {
		files[spokeNames[i]+".yaml"] = spokeConfig(d.dir, i)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func hubConfig(dir string) string {
	return fmt.Sprintf(`node: hub
dataplane: userspace
state-dir: %[1]s/hub
control: {socket: %[1]s/hub.sock}
ikev2:
  keyrings:
    spokes: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: %[1]s/psk}}]
  profiles:
    spokes:
      match: {identity: [{fqdn-domain: branch.example.net}]}
      identity: {fqdn: hub.example.net}
      authentication: {local: psk, remote: psk}
      keyring: spokes
      authorization: {group: {list: local, policy: default}}
      virtual-template: 1
      dpd: {interval: 10s, retry: 2s, mode: on-demand}
  authorization-policies:
    default:
      pool: spokes
      ipv6-pool: spokes6
      dns: [192.168.10.5]
      split-dns: [example.net]
      def-domain: example.net
      routes: {set: [interface, 172.16.0.0/16, "2001:db8:1000::/36"], accept: any}
pools:
  spokes: {range: 10.1.1.2-10.1.1.254}
  spokes6: {range: "2001:db8:fff::2-2001:db8:fff::fe"}
virtual-templates:
  1: {mode: auto, address: [10.1.1.1/32, "2001:db8:fff::1/128"], mtu: 1400, adjust-mss: 1360}
metrics: {listen: "127.0.0.1:9464"}
`, dir)
}

func spokeConfig(dir string, i int) string {
	return fmt.Sprintf(`node: %[2]s
dataplane: userspace
state-dir: %[1]s/%[2]s
control: {socket: %[1]s/%[2]s.sock}
ikev2:
  keyrings:
    hubs: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: %[1]s/psk}}]
  profiles:
    hubs:
      identity: {fqdn: %[2]s.branch.example.net}
      authentication: {local: psk, remote: psk}
      keyring: hubs
      routes: {set: [interface, %[3]s, "%[4]s"], accept: any}
      dpd: {interval: 2s, retry: 1s, mode: periodic}
clients:
  flex1:
    peers: [{sequence: 1, address: %[5]s}]
    profile: hubs
    tunnel: tunnel1
tunnels:
  tunnel1: {mode: %[6]s, address: negotiated, source: dynamic, destination: dynamic, mtu: 1400, adjust-mss: 1360}
`, dir, spokeNames[i], inside[i], inside6[i], hubAddr, modes[i])
}

func (d *demo) start() error {
	var err error
	if d.hubProc, err = d.daemon(d.hub, "hub", "hub"); err != nil {
		return err
	}
	if err := d.until(10*time.Second, "the hub answers on its control socket", func() (bool, error) {
		_, err := d.flexvpn("hub", "show", "sessions")
		return err == nil, nil
	}); err != nil {
		return err
	}
	for i := range d.spokes {
		if d.spokeProcs[i], err = d.daemon(d.spokes[i], "client", spokeNames[i]); err != nil {
			return err
		}
	}
	return d.bothActive(20 * time.Second)
}

// daemon starts one flexvpn in a namespace; its log goes to a file that a failed demo prints.
func (d *demo) daemon(n *netlab.Node, role, name string) (*netlab.Proc, error) {
	log, err := os.Create(filepath.Join(d.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	d.logs = append(d.logs, log)
	return n.Start(log, nil, d.binary, role, "-c", filepath.Join(d.dir, name+".yaml"))
}

func (d *demo) bothActive(limit time.Duration) error {
	for i := range d.spokes {
		err := d.until(limit, spokeNames[i]+" is ACTIVE", func() (bool, error) { return d.clientState(i, "ACTIVE") })
		if err != nil {
			return err
		}
		d.say("%s is ACTIVE", spokeNames[i])
	}
	return nil
}

func (d *demo) clientState(i int, want string) (bool, error) {
	var clients []view.Client
	if err := d.json(spokeNames[i], &clients, "show", "client"); err != nil {
		return false, err
	}
	return len(clients) == 1 && clients[0].State == want, nil
}

func (d *demo) look() error {
	if err := d.print("hub", "show", "sessions"); err != nil {
		return err
	}
	if err := d.print("hub", "show", "session", "spoke2.branch.example.net"); err != nil {
		return err
	}
	return d.print("spoke2", "show", "client")
}

func (d *demo) ping() error {
	for _, dst := range []string{hostAddr[1], hostAddr6[1]} {
		lost, out, err := d.hosts[0].Ping(d.ctx, netlab.Train{To: dst, Count: 3, Interval: 200 * time.Millisecond})
		if err != nil {
			return err
		}
		if len(lost) > 0 {
			return fmt.Errorf("packets %v were lost on the way to %s:\n%s", lost, dst, out)
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		d.say("host1 to host2 (%s): %s", dst, lines[len(lines)-2])
	}
	var sessions []view.Session
	if err := d.json("hub", &sessions, "show", "sessions"); err != nil {
		return err
	}
	for _, s := range sessions {
		if s.InPackets == 0 || s.OutPackets == 0 {
			return fmt.Errorf("session %s of %s counts no packets: the pings did not pass its tunnel", s.ID, s.Identity)
		}
		d.say("%s (%s, %s): %d packets in, %d out", s.Identity, s.Interface, s.Mode, s.InPackets, s.OutPackets)
	}
	return nil
}

func (d *demo) scrape() error {
	out, err := d.hub.Run(d.ctx, "curl", "-sS", "--max-time", "5", "http://127.0.0.1:9464/metrics")
	if err != nil {
		return err
	}
	found := false
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "flexvpn_sessions") || strings.HasPrefix(line, "flexvpn_handshake_duration_seconds_count") ||
			strings.HasPrefix(line, "flexvpn_setups") {
			d.say("%s", strings.TrimSpace(line))
			found = true
		}
	}
	if !found {
		return errors.New("the scrape has no flexvpn_sessions")
	}
	return nil
}

func (d *demo) clear() error {
	before, err := d.sessionOf(0)
	if err != nil {
		return err
	}
	if err := d.print("hub", "clear", "session", before.ID); err != nil {
		return err
	}
	err = d.until(20*time.Second, "spoke1 has a new session", func() (bool, error) {
		now, err := d.sessionOf(0)
		return err == nil && now.ID != before.ID && now.State == "UP-ACTIVE", nil
	})
	if err != nil {
		return err
	}
	d.say("spoke1 is back with a new session")
	return d.pingUntil(10 * time.Second)
}

func (d *demo) sessionOf(i int) (view.Session, error) {
	var sessions []view.Session
	if err := d.json("hub", &sessions, "show", "sessions"); err != nil {
		return view.Session{}, err
	}
	for _, s := range sessions {
		if strings.HasPrefix(s.Identity, spokeNames[i]) && s.State == "UP-ACTIVE" {
			return s, nil
		}
	}
	return view.Session{}, fmt.Errorf("the hub has no session of %s", spokeNames[i])
}

func (d *demo) cut() error {
	if err := d.wan.IP("link set hub down"); err != nil {
		return err
	}
	start := time.Now()
	for i := range d.spokes {
		err := d.until(30*time.Second, spokeNames[i]+" notices", func() (bool, error) {
			up, err := d.clientState(i, "ACTIVE")
			return !up, err
		})
		if err != nil {
			return err
		}
	}
	d.say("both spokes noticed within %s of the cut", time.Since(start).Round(time.Second))
	if err := d.print("spoke1", "show", "client"); err != nil {
		return err
	}
	if err := errors.Join(d.wan.IP("link set hub up"), d.wan.IP("addr replace 2001:db8:a::fe/64 dev hub")); err != nil {
		return err
	}
	if err := d.bothActive(60 * time.Second); err != nil {
		return err
	}
	return d.pingUntil(10 * time.Second)
}

// pingUntil pings host to host until both families answer.
func (d *demo) pingUntil(limit time.Duration) error {
	for _, dst := range []string{hostAddr[1], hostAddr6[1]} {
		err := d.until(limit, "host1 reaches "+dst, func() (bool, error) {
			_, err := d.hosts[0].Run(d.ctx, "ping", "-c", "1", "-W", "1", dst)
			return err == nil, nil
		})
		if err != nil {
			return err
		}
	}
	d.say("host1 reaches host2 again, both families")
	return nil
}

func (d *demo) stop() error {
	for i, p := range []*netlab.Proc{d.spokeProcs[0], d.spokeProcs[1], d.hubProc} {
		if err := p.Stop(10 * time.Second); err != nil {
			return fmt.Errorf("daemon %d did not stop cleanly: %w", i, err)
		}
	}
	for _, n := range []*netlab.Node{d.hub, d.spokes[0], d.spokes[1]} {
		links, err := n.Run(d.ctx, "ip", "-o", "link")
		if err != nil {
			return err
		}
		if strings.Contains(links, ": va") || strings.Contains(links, ": tunnel1") {
			return fmt.Errorf("%s still has an interface of ours:\n%s", n.Name, links)
		}
		for _, family := range []string{"-4", "-6"} {
			routes, err := n.Run(d.ctx, "ip", family, "route", "show", "table", "all", "proto", "178")
			if err != nil {
				return err
			}
			if strings.TrimSpace(routes) != "" {
				return fmt.Errorf("%s still has routes of ours:\n%s", n.Name, routes)
			}
		}
	}
	d.say("no virtual-access, no tunnel, no route of ours is left in hub and spokes")
	return nil
}
