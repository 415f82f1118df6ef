package integration

import (
	"context"
	"fmt"
	"hash/crc32"
	"os"
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
	plane     string // of both: "kernel", or empty for user space
	// Settings that single tests change before start.
	oursSecret, theirSecret string
	theirID                 string
	theirProposal           string
}

const (
	behindHub, behindHub6 = "10.99.0.1", "2001:db8:99::1"
	oursHub, oursSpoke    = "hub.example.net", "spoke1.branch.example.net"
	theirSuite            = "aes256gcm16-prfsha384-x25519"
)

func newPair(t *testing.T, hub, v6 bool, cert string) *pair {
	t.Helper()
	// Pairs run side by side: each test's name makes its lab's.
	l := newLab(t, fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(t.Name()))))
	p := &pair{t: t, hub: hub, v6: v6, cert: cert, oursSecret: "a test secret, not for use"}
	p.oursNode, p.theirNode = node(t, l, "ours"), node(t, l, "swan")
	must(t, l.Link(p.oursNode, "eth0", p.theirNode, "eth0"),
		p.oursNode.IP("addr add 192.0.2.1/24 dev eth0", "addr add 2001:db8:1::1/64 dev eth0"),
		p.theirNode.IP("addr add 192.0.2.2/24 dev eth0", "addr add 2001:db8:1::2/64 dev eth0"))
	p.usual()
	return p
}

// usual takes back what a test has changed of the peer's settings.
func (p *pair) usual() {
	p.theirSecret, p.theirProposal, p.theirID = p.oursSecret, theirSuite, oursSpoke
	if !p.hub {
		p.theirID = oursHub
	}
}

// in makes t the test that fails by what the pair does from now on.
func (p *pair) in(t *testing.T) {
	p.t, p.ours.t, p.theirs.t = t, t, t
}

func (p *pair) addrs() (ours, theirs string) {
	if p.v6 {
		return "2001:db8:1::1", "2001:db8:1::2"
	}
	return "192.0.2.1", "192.0.2.2"
}

// start starts both ends; as responder first the hub, so that the initiator finds it. When they run,
// strongSwan takes its settings anew, and a client of ours forgets what it went through.
func (p *pair) start() {
	p.t.Helper()
	if p.ours != nil {
		p.again()
		return
	}
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
	settings := charonSettings
	if p.plane == "kernel" {
		settings = kernelCharon
	}
	if p.hub {
		p.ours = startFlexvpn(p.t, p.oursNode, "hub", p.hubConfig(), oursFiles)
		p.theirs = startCharon(p.t, p.theirNode, settings, p.swanctl(), theirFiles)
		return
	}
	p.theirs = startCharon(p.t, p.theirNode, settings, p.swanctl(), theirFiles)
	p.ours = startFlexvpn(p.t, p.oursNode, "client", p.spokeConfig(), oursFiles)
}

func (p *pair) again() {
	p.t.Helper()
	p.theirs.reload(p.swanctl())
	if !p.hub {
		mustRun(p.ours, "disconnect", "flex1")
		mustRun(p.ours, "connect", "flex1")
	}
}

// connect waits for the session, for which it starts both ends where they do not run, and the peer's
// side where it has to begin.
func (p *pair) connect() view.Session {
	p.t.Helper()
	if p.ours == nil {
		p.start()
	}
	if p.hub && len(show[[]view.Session](p.ours, "sessions")) == 0 {
		p.theirs.must("--initiate", "--child", "net", "--timeout", initiateLimit())
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

// patience is when our node asks whether its peer lives: an emulated machine stands still for seconds.
func (p *pair) patience() string {
	if p.plane == "kernel" {
		return "interval: 60s, retry: 30s"
	}
	return "interval: 10s, retry: 2s"
}

func (p *pair) hubConfig() string {
	return planeLine(p.plane) + `node: hub
ikev2:
` + p.keyring() + `  profiles:
    spokes:
      match: {identity: [{fqdn-domain: branch.example.net}]}
      identity: {fqdn: ` + oursHub + `}
      ` + p.auth() + `
      authorization: {group: {list: local, policy: default}}
      virtual-template: 1
      dpd: {` + p.patience() + `, mode: on-demand}
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
	return planeLine(p.plane) + `node: spoke1
ikev2:
` + p.keyring() + `  profiles:
    hubs:
      identity: {fqdn: ` + oursSpoke + `}
      ` + p.auth() + `
      routes: {accept: any}
      dpd: {` + p.patience() + `, mode: periodic}
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
    encap = %[12]s
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
`, ours, theirs, oursID, vips, auth, remoteAuth, p.theirProposal, p.theirID, ts, pools, p.theirSecret, map[bool]string{true: "yes", false: "no"}[p.plane == ""])
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
	if want := p.plane == ""; s.Encap != want {
		p.t.Errorf("ESP goes in UDP: %v, want %v", s.Encap, want)
	}
	if s.InPackets < 100 || s.OutPackets < 100 {
		p.t.Errorf("the tunnel counts %d packets in and %d out: the traffic went elsewhere", s.InPackets, s.OutPackets)
	}
}

// underPing runs f while a ping stream runs through the tunnel, and fails when a packet is lost.
func (p *pair) underPing(f func()) {
	p.t.Helper()
	from, target := p.theirNode, "10.1.1.1"
	if !p.hub {
		from, target = p.oursNode, behindHub
	}
	why := watchDrops(p.t, p.ours)
	s := streamEvery(p.t, from, target, 10*time.Millisecond)
	f()
	s.answered(100)
	out := s.stop()
	if missing, last := gaps(out); len(missing) > 0 {
		p.t.Fatalf("packets %v of %d were lost:\n%s\nsince the first there were\n%s", missing, last, around(out, missing), why.since(p.t))
	}
}

// sa is our view of the one IKE SA, when there is but one.
func (p *pair) sa() (one view.SA) {
	p.t.Helper()
	eventually(p.t, 15*time.Second, "there is one IKE SA", func() error {
		all := show[[]view.SA](p.ours, "sa")
		if len(all) != 1 {
			return fmt.Errorf("they are %+v", all)
		}
		one = all[0]
		return nil
	})
	return one
}

// rekeys connects, and has something rekeyed under traffic.
func (p *pair) rekeys(what string, changed func(a, b view.SA) bool, rekey func(view.Session)) {
	p.t.Helper()
	s, before := p.connect(), p.sa()
	p.underPing(func() {
		rekey(s)
		eventually(p.t, 15*time.Second, what+" has been rekeyed", func() error {
			now := p.sa()
			if !changed(before, now) || len(now.Children) != 1 {
				return fmt.Errorf("it stands as %+v", now)
			}
			return nil
		})
	})
}

// gone waits until we have no session, and our kernel nothing of one.
func (p *pair) gone() {
	p.t.Helper()
	p.ours.none()
	if p.plane != "kernel" {
		return
	}
	eventually(p.t, 10*time.Second, "our kernel has no state left", func() error {
		out, err := p.oursNode.Run(context.Background(), "ip", "xfrm", "state")
		if err != nil || out != "" {
			return fmt.Errorf("%w: it has\n%s", err, out)
		}
		return nil
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
	before := len(show[[]view.Failed](p.ours, "sessions", "--failed"))
	if _, err := p.theirs.swanctl("--initiate", "--child", "net", "--timeout", initiateLimit()); err == nil {
		p.t.Fatal("strongSwan connected, but should have been refused")
	}
	eventually(p.t, 10*time.Second, "our hub lists "+reason, func() error {
		failed := show[[]view.Failed](p.ours, "sessions", "--failed")
		if len(failed) == before || failed[0].Reason != reason || failed[0].Detail == "" {
			return fmt.Errorf("it lists %+v", failed)
		}
		return nil
	})
	p.gone()
}

// initiateLimit is for how many seconds swanctl waits for a connection.
func initiateLimit() string {
	if os.Getenv("FLEXVPN_VM") != "" {
		return "60"
	}
	return "15"
}
