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
	"flexvpn/ops/view"
)

// The peers of this file have their ESP from the kernel, as ours.

const peerHub = `dataplane: kernel
node: hub
ikev2:
  proposals:
    modern: {encryption: aes-gcm-256, prf: [sha384, sha256, sha512], group: [x25519, "19", "14"]}
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]}
  profiles:
    spokes: {match: {identity: [{fqdn-domain: branch.example.net}]}, identity: {fqdn: hub.example.net}, authentication: {local: psk, remote: psk},
             keyring: peers, authorization: {group: {list: local, policy: default}}, virtual-template: 1}
  authorization-policies: {default: {pool: v4, routes: {set: [interface], accept: any}}}
ipsec: {proposals: {gcm: {encryption: aes-gcm-256}, cbc: {encryption: aes-cbc-256, integrity: [sha512, sha256], esn: prefer}}}
pools: {v4: {range: 10.1.1.2-10.1.1.9}}
virtual-templates:
  1: {mode: auto, address: 10.1.1.1/32, mtu: 1400, adjust-mss: 1200}
`

// newPeer is our hub on the kernel plane, 192.0.2.1, and a node for a peer, 192.0.2.2.
func newPeer(t *testing.T, lab string) (hub *flexvpn, peer *netlab.Node) {
	t.Helper()
	return newPeerOn(t, lab, "kernel")
}

func newPeerOn(t *testing.T, lab, plane string) (hub *flexvpn, peer *netlab.Node) {
	t.Helper()
	needKernel(t)
	s := newStar(t, lab, "hub", "peer")
	return startFlexvpn(t, s.nodes["hub"], "hub", strings.Replace(peerHub, "dataplane: kernel", "dataplane: "+plane, 1), map[string][]byte{"psk": []byte(starPSK)}), s.nodes["peer"]
}

// kernelCharon are strongSwan's settings with its ESP in the kernel.
var kernelCharon = strings.NewReplacer("kernel-libipsec kernel-netlink", "kernel-netlink",
	"    kernel-libipsec {\n      allow_peer_ts = yes\n    }\n", "",
	"    kernel-netlink {\n      fwmark = !0x42\n    }\n", "", "    socket-default {\n      fwmark = 0x42\n    }\n", "").Replace(charonSettings)

// swanKernel is a connection to our hub with one child.
func swanKernel(conn, child string) string {
	return `connections {
  peer {
    version = 2
    local_addrs = 192.0.2.2
    remote_addrs = 192.0.2.1
    proposals = aes256gcm16-prfsha384-x25519
    ` + conn + `
    local {
      auth = psk
      id = spoke1.branch.example.net
    }
    remote {
      auth = psk
      id = hub.example.net
    }
    children {
      net {
        esp_proposals = aes256gcm16-esn
        ` + child + `
      }
    }
  }
}
secrets {
  ike-1 {
    secret = "` + strings.TrimSpace(starPSK) + `"
  }
}
`
}

// carries holds that a peer's traffic goes through the tunnel: small and large packets, TCP both ways with
// the segment size of the template, and counted by the hub.
func carries(t *testing.T, hub *flexvpn, peer *netlab.Node) view.Session {
	t.Helper()
	ping(t, peer, "10.1.1.1", 5, 1300)
	transfer(t, peer, hub.node, "10.1.1.1:5201", 200<<10)
	checkMSS(t, peer, hub.node, "10.1.1.1:5202", 1200)
	got := hub.up()
	if got.InPackets < 10 || got.OutPackets < 10 {
		t.Errorf("the hub counted %+v", got)
	}
	return got
}

func TestKernelPeerStrongswanNative(t *testing.T) {
	hub, peer := newPeer(t, "knat1")
	swan := startCharon(t, peer, kernelCharon, swanKernel("vips = 0.0.0.0", "remote_ts = 0.0.0.0/0, ::/0\n        mode = tunnel"), nil)
	swan.must("--initiate", "--child", "net", "--timeout", "60")
	if got := carries(t, hub, peer); got.Mode != "ipsec" {
		t.Errorf("the session is %+v", got)
	}
	swan.must("--rekey", "--child", "net")
	eventually(t, 20*time.Second, "the child is a new one, alone", func() error {
		if sas := show[[]view.SA](hub, "sa"); len(sas) != 1 || len(sas[0].Children) != 1 || time.Since(sas[0].Children[0].Made) > time.Minute {
			return fmt.Errorf("the hub shows %+v", sas)
		}
		return nil
	})
	ping(t, peer, "10.1.1.1", 5, 1300)
}

func TestKernelPeerStrongswanGRE(t *testing.T) {
	hub, peer := newPeer(t, "kgre1")
	must(t, peer.IP("link add gre7 type gre local 192.0.2.2 remote 192.0.2.1 ttl 64", "link set gre7 mtu 1400 up"))
	swan := startCharon(t, peer, kernelCharon, swanKernel("vips = 0.0.0.0", "local_ts = 192.0.2.2/32[gre]\n        remote_ts = 192.0.2.1/32[gre]\n        mode = transport"), nil)
	swan.must("--initiate", "--child", "net", "--timeout", "60")
	address := hub.up().Addresses[0]
	must(t, peer.IP("addr replace "+address.String()+"/32 dev gre7", "route add 10.1.1.1/32 dev gre7 src "+address.String()))
	if got := carries(t, hub, peer); got.Mode != "gre" {
		t.Errorf("the session is %+v", got)
	}
}

// A peer that does not ask for transport mode has one more IP header: both planes take it off and put
// it on, as the peer's kernel does.
func TestKernelPeerStrongswanGRETunnel(t *testing.T) {
	for plane, conn := range map[string]string{"kernel": "vips = 0.0.0.0", "userspace": "vips = 0.0.0.0\n    encap = yes"} {
		t.Run(plane, func(t *testing.T) {
			hub, peer := newPeerOn(t, "kgrt"+plane[:1], plane)
			must(t, peer.IP("link add gre7 type gre local 192.0.2.2 remote 192.0.2.1 ttl 64", "link set gre7 mtu 1380 up"))
			swan := startCharon(t, peer, kernelCharon, swanKernel(conn, "local_ts = 192.0.2.2/32[gre]\n        remote_ts = 192.0.2.1/32[gre]\n        mode = tunnel"), nil)
			swan.must("--initiate", "--child", "net", "--timeout", "60")
			address := hub.up().Addresses[0]
			must(t, peer.IP("addr replace "+address.String()+"/32 dev gre7", "route add 10.1.1.1/32 dev gre7 src "+address.String()))
			if got := carries(t, hub, peer); got.Mode != "gre" {
				t.Errorf("the session is %+v", got)
			}
			if out := swan.must("--list-sas"); !strings.Contains(out, "TUNNEL") {
				t.Errorf("the SA is not in tunnel mode:\n%s", out)
			}
			swan.must("--rekey", "--child", "net")
			eventually(t, 20*time.Second, "the child is a new one, alone", func() error {
				if sas := show[[]view.SA](hub, "sa"); len(sas) != 1 || len(sas[0].Children) != 1 {
					return fmt.Errorf("the hub shows %+v", sas)
				}
				return nil
			})
			ping(t, peer, "10.1.1.1", 5, 1300)
		})
	}
}

// behind gives a peer the network that it proposes, and the hub the route that such peers announce to
// nobody.
func behind(t *testing.T, hub *flexvpn, peer *netlab.Node) {
	t.Helper()
	must(t, peer.IP("addr add 172.16.7.1/32 dev lo", "route add 10.1.1.1/32 via 192.0.2.1 src 172.16.7.1"),
		hub.node.IP("route add 172.16.7.1/32 dev "+hub.up().Interface))
}

func TestKernelPeerLibreswan(t *testing.T) {
	hub, peer := newPeer(t, "klibre")
	// It is not installed, for Debian does not let it beside strongSwan; its paths are in its programs.
	if out, err := peer.Run(context.Background(), "cp", "-a", "/var/cache/flexvpn-test/libreswan/usr/libexec/ipsec", "/usr/libexec/"); err != nil {
		t.Fatalf("unpack libreswan (make vm-deps): %v\n%s", err, out)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600))
	}
	write("ipsec.conf", `config setup
	nssdir=DIR
	secretsfile=DIR/ipsec.secrets
	logfile=DIR/log
	plutodebug=none
conn net
	left=192.0.2.2
	leftid=@spoke1.branch.example.net
	leftsubnet=172.16.7.1/32
	right=192.0.2.1
	rightid=@hub.example.net
	rightsubnet=10.1.1.1/32
	authby=secret
	ikev2=insist
	ike=aes_gcm256-sha2_256-dh14
	esp=aes_gcm256
	esn=yes
	leftupdown=%disabled
	auto=add
`)
	write("ipsec.secrets", `@spoke1.branch.example.net @hub.example.net : PSK "`+strings.TrimSpace(starPSK)+`"`+"\n")
	run := func(name string, args ...string) string {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		out, err := peer.Run(ctx, name, args...)
		if err != nil {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("%s %v: %v\n%s\n%s", name, args, err, out, lastLines(string(log), 40))
		}
		return out
	}
	run("certutil", "-N", "-d", "sql:"+dir, "--empty-password")
	log := &syncBuffer{}
	p, err := peer.Start(log, nil, "/usr/libexec/ipsec/pluto", "--nofork", "--config", dir+"/ipsec.conf", "--rundir", dir)
	must(t, err)
	t.Cleanup(func() {
		keepState(t)
		_ = p.Stop(5 * time.Second)
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("pluto says:\n%s\n%s", log.String(), lastLines(string(text), 60))
		}
	})
	socket := dir + "/pluto.ctl"
	eventually(t, 20*time.Second, "pluto answers", func() error {
		_, err := peer.Run(context.Background(), "/usr/libexec/ipsec/whack", "--ctlsocket", socket, "--status")
		return err
	})
	run("/usr/libexec/ipsec/addconn", "--config", dir+"/ipsec.conf", "--ctlsocket", socket, "net")
	run("/usr/libexec/ipsec/whack", "--ctlsocket", socket, "--name", "net", "--initiate")
	behind(t, hub, peer)
	if got := carries(t, hub, peer); got.Mode != "ipsec" {
		t.Errorf("the session is %+v", got)
	}
}

func TestKernelPeerOpenIKED(t *testing.T) {
	hub, peer := newPeer(t, "kiked")
	dir := t.TempDir()
	conf := filepath.Join(dir, "iked.conf")
	// PF_KEY of Linux knows no AEAD, and truncates SHA2-256 to less than RFC 4868 says.
	must(t, os.WriteFile(conf, []byte(`ikev2 "net" active tunnel esp from 172.16.7.1/32 to 10.1.1.1/32 local 192.0.2.2 peer 192.0.2.1 \
	ikesa enc aes-256-gcm prf hmac-sha2-256 group curve25519 \
	childsa enc aes-256 auth hmac-sha2-512 noesn \
	srcid spoke1.branch.example.net dstid hub.example.net psk "`+strings.TrimSpace(starPSK)+`"
`), 0o600))
	log := &syncBuffer{}
	p, err := peer.Start(log, nil, "iked", "-d", "-v", "-f", conf, "-s", filepath.Join(dir, "sock"))
	must(t, err)
	t.Cleanup(func() {
		keepState(t)
		_ = p.Stop(5 * time.Second)
		if t.Failed() {
			t.Logf("iked says:\n%s", lastLines(log.String(), 60))
		}
	})
	behind(t, hub, peer)
	if got := carries(t, hub, peer); got.Mode != "ipsec" {
		t.Errorf("the session is %+v", got)
	}
}
