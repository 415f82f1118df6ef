package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

// An eapPeer is a strongSwan that logs in to our hub, whose own EAP server judges it.
type eapPeer struct {
	method   string // as strongSwan names it
	user     string // its EAP identity; empty: its IKE identity
	password string
	server   string // our eap section
	ca       *ca    // that strongSwan trusts; nil: the hub's own
}

// The users of the tests' hubs, in every form a password can be kept.
const eapUsers = `# for tests, nothing real
alice:text:open sesame
bob:nt:eddcf896aaf1f0c3f83d4daa964f17bf
carol:$2a$05$V79uYJFYMPMy8HCCT8KrF.acbPDIeRwsCTBfMh/06CKOg1hOQAnhS
spoke1.branch.example.net:text:open sesame
`

func eapHubText(server string) string {
	return `node: hub
ikev2:
  profiles:
    spokes:
      match: {identity: [{fqdn-domain: branch.example.net}]}
      identity: {fqdn: ` + oursHub + `}
      authentication: {local: certificate, remote: eap}
      certificate: {chain: DIR/cert.pem, key: DIR/key.pem}
      eap: ` + server + `
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
metrics: {listen: "127.0.0.1:9464"}
`
}

func (e eapPeer) swanctl(p *pair) string {
	ours, theirs := p.addrs()
	user, eapID := e.user, ""
	if user == "" {
		user = oursSpoke
	} else {
		eapID = "eap_id = " + user
	}
	return fmt.Sprintf(`connections {
  peer {
    version = 2
    local_addrs = %[2]s
    remote_addrs = %[1]s
    proposals = aes256gcm16-prfsha384-x25519
    encap = yes
    vips = 0.0.0.0, ::
    local {
      auth = %[3]s
      id = %[4]s
      %[5]s
    }
    remote {
      auth = pubkey
      id = %[6]s
    }
    children {
      net {
        remote_ts = 0.0.0.0/0, ::/0
        esp_proposals = aes256gcm16
        mode = tunnel
      }
    }
  }
}
secrets {
  eap-user {
    id = %[7]s
    secret = "%[8]s"
  }
}
`, ours, theirs, e.method, oursSpoke, eapID, oursHub, user, e.password)
}

// start starts our hub and the peer.
func (e eapPeer) start(t *testing.T, v6 bool) *pair {
	t.Helper()
	p := newPair(t, true, v6, "")
	authority := newCA(t)
	cert, key := authority.issue(oursHub, "ecdsa")
	p.ours = startFlexvpn(t, p.oursNode, "hub", eapHubText(e.server), map[string][]byte{"cert.pem": cert, "key.pem": key, "users": []byte(eapUsers)})
	trusted := authority
	if e.ca != nil {
		trusted = e.ca
	}
	p.theirs = startStrongswan(t, p.theirNode, e.swanctl(p), map[string][]byte{"x509ca/ca.pem": trusted.pem})
	return p
}

func eapServer(query bool, methods string) string {
	return fmt.Sprintf("{list: local, query-identity: %t, methods: [%s], users: {file: DIR/users}}", query, methods)
}

// Done when 2: strongSwan logs in to our own EAP server by every method, hub proven by certificate.
func TestEAPStrongSwanLogsIn(t *testing.T) {
	for name, c := range map[string]struct {
		peer     eapPeer
		v6       bool
		method   string
		identity string
	}{
		"mschapv2":              {eapPeer{method: "eap-mschapv2", user: "alice", server: eapServer(true, "mschapv2")}, false, "mschapv2", "alice"},
		"mschapv2 with a hash":  {eapPeer{method: "eap-mschapv2", user: "bob", server: eapServer(true, "mschapv2, gtc")}, true, "mschapv2", "bob"},
		"mschapv2, not queried": {eapPeer{method: "eap-mschapv2", server: eapServer(false, "mschapv2")}, false, "mschapv2", oursSpoke},
		"gtc with bcrypt":       {eapPeer{method: "eap-gtc", user: "carol", server: eapServer(true, "mschapv2, gtc")}, false, "gtc", "carol"},
		"md5":                   {eapPeer{method: "eap-md5", user: "alice", server: eapServer(true, "md5")}, true, "md5", "alice"},
		"refuses the first":     {eapPeer{method: "eap-md5", user: "alice", server: eapServer(true, "mschapv2, gtc, md5")}, false, "md5", "alice"},
	} {
		t.Run(strings.NewReplacer(" ", "-", ",", "").Replace(name), func(t *testing.T) {
			t.Parallel()
			c.peer.password = "open sesame"
			p := c.peer.start(t, c.v6)
			p.theirs.must("--initiate", "--child", "net", "--timeout", "20")
			s := p.ours.up()
			if s.Identity != c.identity || s.EAPName != c.identity || s.EAPMethod != c.method {
				t.Errorf("the session is %s, logged in as %q by %q", s.Identity, s.EAPName, s.EAPMethod)
			}
			if sa := p.sa(); sa.RemoteAuth != "eap" || sa.LocalAuth != "certificate" || sa.RemoteID != oursSpoke {
				t.Errorf("the SA shows %s by %s, peer %s", sa.RemoteAuth, sa.LocalAuth, sa.RemoteID)
			}
			p.traffic()
			if out := p.theirs.must("--list-sas"); !strings.Contains(out, "ESTABLISHED") {
				t.Errorf("strongSwan lists:\n%s", out)
			}
		})
	}
}

// A wrong password, an unknown user and a hub whose certificate nobody trusts end with their reason.
func TestEAPStrongSwanIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		peer   eapPeer
		detail string
	}{
		"wrong password":      {eapPeer{method: "eap-mschapv2", user: "alice", password: "simsalabim", server: eapServer(true, "mschapv2")}, "the password is wrong"},
		"wrong password, gtc": {eapPeer{method: "eap-gtc", user: "carol", password: "simsalabim", server: eapServer(true, "gtc")}, "the password is wrong"},
		"unknown user":        {eapPeer{method: "eap-md5", user: "mallory", password: "open sesame", server: eapServer(true, "md5")}, "no such user"},
		"no common method":    {eapPeer{method: "eap-md5", user: "bob", password: "open sesame", server: eapServer(true, "mschapv2")}, "no method is left"},
		"an untrusted hub":    {eapPeer{method: "eap-mschapv2", user: "alice", password: "open sesame", server: eapServer(true, "mschapv2"), ca: new(ca)}, ""},
	} {
		t.Run(strings.NewReplacer(" ", "-", ",", "").Replace(name), func(t *testing.T) {
			t.Parallel()
			if c.peer.ca != nil {
				c.peer.ca = newCA(t)
			}
			p := c.peer.start(t, false)
			if _, err := p.theirs.swanctl("--initiate", "--child", "net", "--timeout", "20"); err == nil {
				t.Fatal("strongSwan connected, but should have been refused")
			}
			eventually(t, 10*time.Second, "the hub lists why", func() error {
				failed := show[[]view.Failed](p.ours, "sessions", "--failed")
				if len(failed) == 0 || failed[0].Reason != "authentication" || !strings.Contains(failed[0].Detail, c.detail) {
					return fmt.Errorf("it lists %+v", failed)
				}
				return nil
			})
			if strings.Contains(p.ours.log.String(), c.peer.password) {
				t.Error("the hub's log shows a password")
			}
			p.ours.none()
		})
	}
}
