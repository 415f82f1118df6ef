package integration

import (
	"context"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// One pair is a flexvpn and a strongSwan that face each other over one link. The overlay has
// 10.99.0.1 and 2001:db8:99::1 behind the responder, and pool addresses at the initiator.
type pair struct {
	t         *testing.T
	ours      *flexvpn
	theirs    *strongswan
	oursNode  *netlab.Node
	theirNode *netlab.Node
	v6        bool
	cert      string // kind of key, or empty for PSK
	hub       bool   // we are the responder
	// Settings that single tests change before start.
	oursSecret, theirSecret string
	theirID                 string
	theirProposal           string
}

const (
	behindHub, behindHub6 = "10.99.0.1", "2001:db8:99::1"
	oursHub, oursSpoke    = "hub.example.net", "spoke1.branch.example.net"
)

func newPair(t *testing.T, hub, v6 bool, cert string) *pair {
	t.Helper()
	// Pairs run side by side: each test's name makes its lab's.
	l := newLab(t, fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(t.Name()))))
	p := &pair{t: t, hub: hub, v6: v6, cert: cert, oursSecret: "a test secret, not for use", theirSecret: "a test secret, not for use"}
	p.oursNode, p.theirNode = node(t, l, "ours"), node(t, l, "swan")
	must(t, l.Link(p.oursNode, "eth0", p.theirNode, "eth0"),
		p.oursNode.IP("addr add 192.0.2.1/24 dev eth0", "addr add 2001:db8:1::1/64 dev eth0"),
		p.theirNode.IP("addr add 192.0.2.2/24 dev eth0", "addr add 2001:db8:1::2/64 dev eth0"))
	p.theirID = oursSpoke
	if !hub {
		p.theirID = oursHub
	}
	p.theirProposal = "aes256gcm16-prfsha384-x25519"
	return p
}

func (p *pair) addrs() (ours, theirs string) {
	if p.v6 {
		return "2001:db8:1::1", "2001:db8:1::2"
	}
	return "192.0.2.1", "192.0.2.2"
}

// start starts both ends; as responder first the hub, so that the initiator finds it.
func (p *pair) start() {
	p.t.Helper()
	behind := p.oursNode
	if !p.hub {
		behind = p.theirNode
	}
	must(p.t, behind.IP("addr add "+behindHub+"/32 dev lo", "addr add "+behindHub6+"/128 dev lo"))
	oursFiles, theirFiles := map[string][]byte{"psk": []byte(p.oursSecret + "\n")}, map[string][]byte{}
	if p.cert != "" {
		ca := newCA(p.t)
		oursID := oursHub
		if !p.hub {
			oursID = oursSpoke
		}
		oursFiles["ca.pem"], theirFiles["x509ca/ca.pem"] = ca.pem, ca.pem
		oursFiles["cert.pem"], oursFiles["key.pem"] = ca.issue(oursID, p.cert)
		theirFiles["x509/cert.pem"], theirFiles["private/key.pem"] = ca.issue(p.theirID, p.cert)
	}
	if p.hub {
		p.ours = startFlexvpn(p.t, p.oursNode, "hub", p.hubConfig(), oursFiles)
		p.theirs = startStrongswan(p.t, p.theirNode, p.swanctl(), theirFiles)
		return
	}
	p.theirs = startStrongswan(p.t, p.theirNode, p.swanctl(), theirFiles)
	p.ours = startFlexvpn(p.t, p.oursNode, "client", p.spokeConfig(), oursFiles)
}

// connect starts both ends and waits for the session.
func (p *pair) connect() view.Session {
	p.t.Helper()
	p.start()
	if p.hub {
		p.theirs.must("--initiate", "--child", "net", "--timeout", "15")
	}
	return p.ours.up()
}

func (p *pair) auth() string {
	if p.cert != "" {
		return "authentication: {local: certificate, remote: certificate}\n      certificate: {chain: DIR/cert.pem, key: DIR/key.pem, ca: [DIR/ca.pem]}"
	}
	return "authentication: {local: psk, remote: psk}\n      keyring: peers"
}

func (p *pair) keyring() string {
	if p.cert != "" {
		return ""
	}
	return "  keyrings:\n    peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]\n"
}

func (p *pair) hubConfig() string {
	return `node: hub
ikev2:
` + p.keyring() + `  profiles:
    spokes:
      match: {identity: [{fqdn-domain: branch.example.net}]}
      identity: {fqdn: ` + oursHub + `}
      ` + p.auth() + `
      authorization: {group: {list: local, policy: default}}
      virtual-template: 1
      dpd: {interval: 10s, retry: 2s, mode: on-demand}
  authorization-policies:
    default: {pool: v4, ipv6-pool: v6, dns: [192.168.10.5], routes: {set: [interface], accept: any}}
pools:
  v4: {range: 10.1.1.2-10.1.1.9}
  v6: {range: "2001:db8:fff::2-2001:db8:fff::9"}
virtual-templates:
  1: {mode: auto, address: [10.1.1.1/32, "2001:db8:fff::1/128"], mtu: 1400, adjust-mss: 1360}
`
}

func (p *pair) spokeConfig() string {
	_, theirs := p.addrs()
	return `node: spoke1
ikev2:
` + p.keyring() + `  profiles:
    hubs:
      identity: {fqdn: ` + oursSpoke + `}
      ` + p.auth() + `
      routes: {accept: any}
      dpd: {interval: 10s, retry: 2s, mode: periodic}
clients:
  flex1: {peers: [{sequence: 1, address: "` + theirs + `"}], profile: hubs, tunnel: tunnel1}
tunnels:
  tunnel1: {mode: ipsec, address: negotiated, source: dynamic, destination: dynamic, mtu: 1400, adjust-mss: 1360}
`
}

func (p *pair) swanctl() string {
	ours, theirs := p.addrs()
	auth := "auth = psk"
	if p.cert != "" {
		auth = "auth = pubkey\n      certs = cert.pem"
	}
	remoteAuth := "auth = psk"
	if p.cert != "" {
		remoteAuth = "auth = pubkey"
	}
	oursID, vips, ts, pools := oursHub, "vips = 0.0.0.0, ::", "remote_ts = 0.0.0.0/0, ::/0", ""
	if !p.hub {
		oursID, vips, ts = oursSpoke, "pools = v4, v6", "local_ts = 0.0.0.0/0, ::/0"
		pools = `pools {
  v4 {
    addrs = 10.1.1.2-10.1.1.9
    subnet = 10.99.0.0/24
  }
  v6 {
    addrs = 2001:db8:fff::2-2001:db8:fff::9
    subnet = 2001:db8:99::/64
  }
}
`
	}
	return fmt.Sprintf(`connections {
  peer {
    version = 2
    local_addrs = %[2]s
    remote_addrs = %[1]s
    proposals = %[7]s
    encap = yes
    %[4]s
    local {
      %[5]s
      id = %[8]s
    }
    remote {
      %[6]s
      id = %[3]s
    }
    children {
      net {
        %[9]s
        esp_proposals = aes256gcm16, aes128gcm16-x25519
        mode = tunnel
      }
    }
  }
}
%[10]ssecrets {
  ike-all {
    secret = "%[11]s"
  }
}
`, ours, theirs, oursID, vips, auth, remoteAuth, p.theirProposal, p.theirID, ts, pools, p.theirSecret)
}

// traffic proves the tunnel from the initiator towards the responder's inside, both families, with
// content checked in both directions.
func (p *pair) traffic() {
	p.t.Helper()
	from, to := p.theirNode, p.oursNode
	targets := []string{"10.1.1.1", "2001:db8:fff::1"} // the hub's template addresses
	if !p.hub {
		from, to = p.oursNode, p.theirNode
		targets = []string{behindHub, behindHub6}
	}
	for _, addr := range targets {
		ping(p.t, from, addr, 10, 1000)
		host := addr + ":7777"
		if strings.Contains(addr, ":") {
			host = "[" + addr + "]:7777"
		}
		transfer(p.t, from, to, host, 300_000)
	}
	s := p.ours.up()
	if s.InPackets < 100 || s.OutPackets < 100 {
		p.t.Errorf("the tunnel counts %d packets in and %d out: the traffic went elsewhere", s.InPackets, s.OutPackets)
	}
}

// matrix runs f for both roles, both transports, and the given ways to authenticate.
func matrix(t *testing.T, certs []string, f func(t *testing.T, p *pair)) {
	for _, hub := range []bool{true, false} {
		for _, v6 := range []bool{false, true} {
			for _, cert := range certs {
				name := fmt.Sprintf("%s/%s/%s", map[bool]string{true: "hub", false: "client"}[hub], map[bool]string{true: "ipv6", false: "ipv4"}[v6], map[bool]string{true: "psk", false: "cert-" + cert}[cert == ""])
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					f(t, newPair(t, hub, v6, cert))
				})
			}
		}
	}
}

func TestTraffic(t *testing.T) {
	matrix(t, []string{"", "ecdsa"}, func(t *testing.T, p *pair) {
		p.connect()
		p.traffic()
	})
}

func TestCertificateKinds(t *testing.T) {
	for _, hub := range []bool{true, false} {
		for _, kind := range []string{"rsa", "ed25519"} {
			t.Run(fmt.Sprintf("%s/%s", map[bool]string{true: "hub", false: "client"}[hub], kind), func(t *testing.T) {
				t.Parallel()
				p := newPair(t, hub, false, kind)
				p.connect()
				p.traffic()
			})
		}
	}
}

// underPing runs f while a ping stream runs through the tunnel, and fails when a packet is lost.
func (p *pair) underPing(f func()) {
	p.t.Helper()
	from, target := p.theirNode, "10.1.1.1"
	if !p.hub {
		from, target = p.oursNode, behindHub
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	type result struct {
		lost []int
		out  string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		lost, out, err := from.Ping(ctx, netlab.Train{To: target, Count: 400, Interval: 10 * time.Millisecond})
		done <- result{lost, out, err}
	}()
	time.Sleep(500 * time.Millisecond) // the stream is under way
	f()
	r := <-done
	if r.err != nil || len(r.lost) > 0 {
		p.t.Fatalf("packets were lost: %v, %v\n%s", r.lost, r.err, lastLines(r.out, 4))
	}
}

// sa is our view of the one IKE SA.
func (p *pair) sa() view.SA {
	p.t.Helper()
	all := show[[]view.SA](p.ours, "sa")
	if len(all) != 1 {
		p.t.Fatalf("expected one IKE SA, got %+v", all)
	}
	return all[0]
}

func (p *pair) rekeyed(what string, before view.SA, changed func(a, b view.SA) bool) {
	p.t.Helper()
	eventually(p.t, 15*time.Second, what+" has been rekeyed", func() error {
		now := p.sa()
		if !changed(before, now) || len(now.Children) != 1 {
			return fmt.Errorf("it stands as %+v", now)
		}
		return nil
	})
}

func childChanged(a, b view.SA) bool {
	return len(a.Children) == 1 && len(b.Children) == 1 && a.Children[0].SPIIn != b.Children[0].SPIIn
}

func ikeChanged(a, b view.SA) bool { return a.SPILocal != b.SPILocal && a.SPIRemote != b.SPIRemote }

func TestChildRekeyByStrongSwan(t *testing.T) {
	matrix(t, []string{""}, func(t *testing.T, p *pair) {
		p.connect()
		before := p.sa()
		p.underPing(func() {
			p.theirs.must("--rekey", "--child", "net")
			p.rekeyed("the Child SA", before, childChanged)
		})
	})
}

func TestIKERekeyByStrongSwan(t *testing.T) {
	matrix(t, []string{""}, func(t *testing.T, p *pair) {
		p.connect()
		before := p.sa()
		p.underPing(func() {
			p.theirs.must("--rekey", "--ike", "peer")
			p.rekeyed("the IKE SA", before, ikeChanged)
		})
	})
}

func TestChildRekeyByUs(t *testing.T) {
	matrix(t, []string{""}, func(t *testing.T, p *pair) {
		s := p.connect()
		before := p.sa()
		p.underPing(func() {
			mustRun(p.ours, "rekey", "child", s.ID)
			p.rekeyed("the Child SA", before, childChanged)
		})
	})
}

func TestIKERekeyByUs(t *testing.T) {
	matrix(t, []string{""}, func(t *testing.T, p *pair) {
		s := p.connect()
		before := p.sa()
		p.underPing(func() {
			mustRun(p.ours, "rekey", "ike", s.ID)
			p.rekeyed("the IKE SA", before, ikeChanged)
		})
	})
}

func mustRun(f *flexvpn, args ...string) string {
	f.t.Helper()
	out, err := f.run(args...)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

func TestDeleteByStrongSwan(t *testing.T) {
	matrix(t, []string{""}, func(t *testing.T, p *pair) {
		before := p.connect()
		p.theirs.must("--terminate", "--ike", "peer")
		if p.hub {
			p.ours.none()
			return
		}
		eventually(t, 20*time.Second, "our client comes back with a new session", func() error {
			if now := p.ours.up(); now.ID == before.ID {
				return fmt.Errorf("it is still %s", now.ID)
			}
			return nil
		})
	})
}

func TestDeleteByUs(t *testing.T) {
	matrix(t, []string{""}, func(t *testing.T, p *pair) {
		s := p.connect()
		if p.hub {
			mustRun(p.ours, "clear", "session", s.ID)
			p.ours.none()
		} else {
			mustRun(p.ours, "disconnect", "flex1")
			p.ours.none()
		}
		eventually(t, 10*time.Second, "strongSwan has no SA left", func() error {
			if out := p.theirs.must("--list-sas"); strings.Contains(out, "ESTABLISHED") {
				return fmt.Errorf("it has:\n%s", out)
			}
			return nil
		})
	})
}

// refused starts a pair that must not come up and waits for the reason on our side.
func (p *pair) refused(reason string) {
	p.t.Helper()
	p.start()
	if !p.hub {
		eventually(p.t, 30*time.Second, "our client says "+reason, func() error {
			c := show[[]view.Client](p.ours, "client")
			if len(c) != 1 || !strings.HasPrefix(c[0].LastError, reason) {
				return fmt.Errorf("it says %+v", c)
			}
			return nil
		})
		return
	}
	if _, err := p.theirs.swanctl("--initiate", "--child", "net", "--timeout", "15"); err == nil {
		p.t.Fatal("strongSwan connected, but should have been refused")
	}
	eventually(p.t, 10*time.Second, "our hub lists "+reason, func() error {
		failed := show[[]view.Failed](p.ours, "sessions", "--failed")
		if len(failed) == 0 || failed[0].Reason != reason || failed[0].Detail == "" {
			return fmt.Errorf("it lists %+v", failed)
		}
		return nil
	})
	p.ours.none()
}

func TestWrongSecret(t *testing.T) {
	matrix(t, []string{""}, func(t *testing.T, p *pair) {
		p.theirSecret = "another secret, not for use"
		p.refused("authentication")
	})
}

func TestUnknownIdentity(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(map[bool]string{true: "hub/ipv6", false: "hub/ipv4"}[v6], func(t *testing.T) {
			t.Parallel()
			p := newPair(t, true, v6, "")
			p.theirID = "stranger.example.org"
			p.refused("authentication")
		})
	}
}

func TestNoCommonProposal(t *testing.T) {
	matrix(t, []string{""}, func(t *testing.T, p *pair) {
		p.theirProposal = "aes128-sha1-modp1024"
		p.refused("no_proposal")
	})
}
