package integration

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// Two customers with the same addresses everywhere: each has a spoke with 192.168.1.0/24 behind it, and
// each a host 10.50.0.5 behind the hub, in a VRF of its own. Spokes, tunnels and the hub's side of the
// tunnels have one address in both.
const vrfHub = `node: hub
ikev2:
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]}
  profiles:
    red: {match: {identity: [{fqdn: spoke1.branch.example.net}]}, identity: {fqdn: hub.example.net}, authentication: {local: psk, remote: psk},
          keyring: peers, authorization: {group: {list: local, policy: default}}, virtual-template: 1}
    blue: {match: {identity: [{fqdn: spoke2.branch.example.net}]}, identity: {fqdn: hub.example.net}, authentication: {local: psk, remote: psk},
          keyring: peers, authorization: {group: {list: local, policy: blue}}, virtual-template: 1}
  authorization-policies:
    default: {routes: {set: [interface, 10.50.0.0/24], accept: any}}
    blue: {routes: {set: [interface, 10.50.0.0/24], accept: any}, interface-config: vrf forwarding blue}
virtual-templates:
  1: {mode: auto, address: 10.1.1.1/32, vrf: red, adjust-mss: 1200, access-group: {in: from-spokes}}
access-lists:
  from-spokes: [deny tcp any any eq 7777, permit ip any any]
`

func vrfSpoke(name, mode string) string {
	return `node: ` + name + `
ikev2:
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]}
  profiles:
    hubs: {identity: {fqdn: ` + name + `.branch.example.net}, authentication: {local: psk, remote: psk}, keyring: peers,
           routes: {set: [interface, 192.168.1.0/24], accept: any}}
clients:
  flex1: {peers: [{sequence: 1, address: 192.0.2.1}], profile: hubs, tunnel: tunnel1}
tunnels:
  tunnel1: {mode: ` + mode + `, address: 10.1.1.2/32, mtu: 1400}
`
}

func TestKernelTemplateVRFs(t *testing.T) {
	s := newKernelStar(t, "vrf", "hub", "spoke1", "spoke2")
	n := s.nodes["hub"]
	must(t, forwardOn(n))
	hosts := map[string]*netlab.Node{}
	for i, vrf := range []string{"red", "blue"} {
		h := node(t, s.lab, vrf)
		hosts[vrf] = h
		must(t, s.lab.Link(h, "eth0", n, "lan"+vrf), n.IP(fmt.Sprintf("link add %s type vrf table %d", vrf, 1001+i), "link set "+vrf+" up",
			"link set lan"+vrf+" master "+vrf, "addr add 10.50.0.1/24 dev lan"+vrf),
			h.IP("addr add 10.50.0.5/24 dev eth0", "route add default via 10.50.0.1"))
	}
	hub := startFlexvpn(t, n, "hub", s.dataplane()+vrfHub, map[string][]byte{"psk": []byte(starPSK)})
	spokes := map[string]*flexvpn{}
	for i, vrf := range []string{"red", "blue"} {
		name := fmt.Sprintf("spoke%d", i+1)
		must(t, forwardOn(s.nodes[name]), s.nodes[name].IP("link add lan type bridge", "addr add 192.168.1.1/24 dev lan", "link set lan up"))
		spokes[vrf] = startFlexvpn(t, s.nodes[name], "client", s.dataplane()+vrfSpoke(name, []string{"ipsec", "gre"}[i]), map[string][]byte{"psk": []byte(starPSK)})
		spokes[vrf].up()
	}
	eventually(t, 30*time.Second, "the hub has both spokes' routes", func() error {
		for _, vrf := range []string{"red", "blue"} {
			out, err := n.Run(context.Background(), "ip", "route", "show", "vrf", vrf)
			if err != nil || !strings.Contains(out, "192.168.1.0/24 dev va") {
				return fmt.Errorf("VRF %s (%v): %s", vrf, err, out)
			}
		}
		return nil
	})
	before := map[string]uint64{}
	for _, v := range show[[]view.Interface](hub, "interfaces") {
		before[v.VRF] = v.InPackets
	}
	ping(t, hosts["red"], "192.168.1.1", 5, 500)
	after := map[string]uint64{}
	for _, v := range show[[]view.Interface](hub, "interfaces") {
		after[v.VRF] = v.InPackets - before[v.VRF]
	}
	if after["red"] < 5 || after["blue"] >= 5 {
		t.Errorf("five pings from red reached %v", after)
	}
	ping(t, hosts["blue"], "192.168.1.1", 5, 500)
	ping(t, spokes["blue"].node, "10.1.1.1", 3, 500) // the hub itself, in the VRF
	transfer(t, hosts["red"], spokes["red"].node, "192.168.1.1:5201", 100<<10)
	transfer(t, spokes["blue"].node, hosts["blue"], "10.50.0.5:5201", 100<<10)
	if _, err := n.Run(context.Background(), "ping", "-c", "1", "-W", "1", "192.168.1.1"); err == nil {
		t.Error("the default routing domain reaches a customer's network")
	}
	// A list sees packets of a VRF's port.
	denied := func() uint64 {
		for _, v := range show[[]view.Interface](hub, "interfaces") {
			if v.VRF == "red" {
				return v.DeniedIn
			}
		}
		return 0
	}
	_, _ = spokes["red"].node.Run(context.Background(), "timeout", "3", "bash", "-c", "echo >/dev/tcp/10.50.0.5/7777")
	if denied() == 0 {
		t.Error("the access list denied nothing")
	}
	checkMSS(t, hosts["red"], spokes["red"].node, "192.168.1.1:5202", 1200)

	// Somebody deletes a VRF under load: its sessions end with that reason, the others do not notice.
	said := &syncBuffer{}
	stream, err := hosts["red"].Start(said, nil, "ping", "-i", "0.02", "192.168.1.1")
	must(t, err)
	doomed, err := hosts["blue"].Start(&syncBuffer{}, nil, "ping", "-i", "0.02", "192.168.1.1")
	must(t, err)
	must(t, n.IP("link del blue"))
	eventually(t, 30*time.Second, "the session in the VRF has ended", func() error {
		for _, f := range show[[]view.Failed](hub, "sessions", "--failed") {
			if strings.Contains(f.Detail, "its VRF blue was deleted") || strings.Contains(f.Detail, "there is no VRF blue") {
				return nil
			}
		}
		return fmt.Errorf("failed are %+v", show[[]view.Failed](hub, "sessions", "--failed"))
	})
	doomed.Kill()
	_ = stream.Cmd.Process.Signal(syscall.SIGINT)
	<-stream.Done()
	if missing, last := gaps(said.String()); len(missing) > 0 || last < 5 {
		t.Errorf("the other VRF lost packets %v of %d", missing, last)
	}
	ping(t, hosts["red"], "192.168.1.1", 3, 500)
}

// checkMSS opens a TCP connection and holds that its sender may use segments of most octets, less the
// room for TCP's time stamps.
func checkMSS(t *testing.T, from, to *netlab.Node, addr string, most int) {
	t.Helper()
	log := &syncBuffer{}
	server, err := to.Start(log, []string{helperEnv + "=serve"}, os.Args[0], addr, "1000")
	must(t, err)
	defer func() { _ = server.Stop(time.Second) }()
	eventually(t, 10*time.Second, "the server listens", func() error {
		if !strings.Contains(log.String(), "listening") {
			return fmt.Errorf("it says %q", log.String())
		}
		return nil
	})
	cmd := from.Command(context.Background(), os.Args[0], addr, "1000")
	cmd.Env = append(os.Environ(), helperEnv+"=fetch")
	out, err := cmd.CombinedOutput()
	got := 0
	if at := strings.Index(string(out), "segments of at most "); at >= 0 {
		_, _ = fmt.Sscanf(string(out[at:]), "segments of at most %d", &got)
	}
	if err != nil || got > most || got < most-12 {
		t.Errorf("TCP to %s (%v) has segments of %d, want %d:\n%s", addr, err, got, most, out)
	}
}

const frontHub = `node: hub
ikev2:
  listen: [{address: 0.0.0.0, vrf: internet}, {address: "::", vrf: internet}]
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}, {peer: six, address: "::/0", pre-shared-key: {file: DIR/psk}}]}
  profiles:
    spokes: {match: {identity: [{fqdn-domain: branch.example.net}]}, identity: {fqdn: hub.example.net}, authentication: {local: psk, remote: psk},
             keyring: peers, authorization: {group: {list: local, policy: default}}, virtual-template: 1}
  authorization-policies:
    default: {pool: v4, routes: {set: [interface], accept: any}}
pools: {v4: {range: 10.1.1.2-10.1.1.9}}
virtual-templates:
  1: {mode: auto, address: 10.1.1.1/32, front-vrf: internet}
`

// The hub's way to the internet is in a VRF, and so is a spoke's: IKE, ESP and the routes of both
// travel there, the inner packets do not.
func TestKernelTemplateFrontVRF(t *testing.T) {
	s := newKernelStar(t, "front", "hub", "spoke1", "spoke2", "spoke3")
	n := s.nodes["hub"]
	must(t, front(n, 1), front(s.nodes["spoke3"], 4))
	hub := startFlexvpn(t, n, "hub", s.dataplane()+frontHub, map[string][]byte{"psk": []byte(starPSK)})
	over6 := `[{sequence: 1, address: "2001:db8:1::1"}]`
	spokes := []*flexvpn{s.spoke("spoke1", "ipsec", firstHub), s.spoke("spoke2", "gre", over6)}
	text := strings.Replace(spokeText("spoke3", "gre", firstHub), "\nikev2:\n", "\nikev2:\n  listen: [{address: 0.0.0.0, vrf: internet}]\n", 1)
	text = strings.Replace(text, "tunnel1: {", "tunnel1: {front-vrf: internet, ", 1)
	spokes = append(spokes, startFlexvpn(t, s.nodes["spoke3"], "client", s.dataplane()+text, map[string][]byte{"psk": []byte(starPSK)}))
	for _, f := range spokes {
		f.up()
		ping(t, f.node, "10.1.1.1", 5, 1000)
	}
	for _, v := range show[[]view.Interface](hub, "interfaces") {
		if v.FrontVRF != "internet" || v.VRF != "" || v.InPackets < 5 {
			t.Errorf("show interfaces says %+v", v)
		}
	}
}

// front puts eth0, with the addresses that a star gave it, into a VRF: what it loses by that is given
// again.
func front(n *netlab.Node, i int) error {
	return n.IP("link add internet type vrf table 1005", "link set internet up", "link set eth0 master internet",
		fmt.Sprintf("addr replace 192.0.2.%d/24 dev eth0", i), fmt.Sprintf("addr replace 2001:db8:1::%d/64 dev eth0 nodad", i))
}
