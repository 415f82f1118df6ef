package integration

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

// eapRadiusHub is a hub that passes EAP through to the FreeRADIUS at 192.0.2.2.
func eapRadiusHub(s *star, authority *ca) *flexvpn {
	s.t.Helper()
	return eapRadiusHubThat(s, authority, "{list: radius, query-identity: true}")
}

func eapRadiusHubThat(s *star, authority *ca, section string) *flexvpn {
	s.t.Helper()
	cert, key := authority.issue(oursHub, "ecdsa")
	text := strings.NewReplacer(
		"ikev2:\n", "aaa:\n  servers:\n    r1: {address: 192.0.2.2, secret: {file: DIR/radius.secret}}\n  groups: {radius: {servers: [r1]}}\nikev2:\n",
		"authorization: {group: {list: local, policy: default}}", "authorization: {group: {list: local, policy: default}, user: {list: cached}}",
		"pools:\n", "pools:\n  flexspokes: {range: 10.1.1.20-10.1.1.29}\n",
	).Replace(eapHubText(section))
	return startFlexvpn(s.t, s.nodes["hub"], "hub", text, map[string][]byte{
		"cert.pem": cert, "key.pem": key, "radius.secret": []byte(radiusSecret + "\n"),
	})
}

// radiusPeers are as many peers as methods, each with a user of its own.
var radiusPeers = []struct{ node, method, user string }{
	{"swan1", "mschapv2", "carl"},
	{"swan2", "md5", "dora"},
	{"swan3", "gtc", "emil"},
	{"swan4", "tls", "swan4.branch.example.net"},
	{"spoke5", "mschapv2", "alice"},
	{"spoke6", "md5", "fred"},
	{"spoke7", "gtc", "gina"},
	{"spoke8", "tls", "spoke8.branch.example.net"},
}

func radiusUsers(t *testing.T) []byte {
	text := bytes.NewBuffer(freeradiusFiles(t)["users"])
	for _, p := range radiusPeers {
		if p.user != "alice" && p.method != "tls" {
			fmt.Fprintf(text, "\n%s\tCleartext-Password := \"open sesame\"\n\tClass = \"people\"\n", p.user)
		}
	}
	return text.Bytes()
}

// swanInitiator is a strongSwan at addr that logs in as user.
func swanInitiator(addr, id, method, user, password string) string {
	more := ""
	if method == "tls" {
		more = "certs = cert.pem\n      aaa_id = radius.example.net"
	}
	return fmt.Sprintf(`connections {
  peer {
    version = 2
    local_addrs = %s
    remote_addrs = 192.0.2.1
    proposals = aes256gcm16-prfsha384-x25519
    encap = yes
    vips = 0.0.0.0
    local {
      auth = eap-%s
      id = %s
      eap_id = %s
      %s
    }
    remote {
      auth = pubkey
      id = %s
    }
    children {
      net {
        remote_ts = 0.0.0.0/0
        esp_proposals = aes256gcm16
        mode = tunnel
      }
    }
  }
}
secrets {
  eap-user {
    id = %[4]s
    secret = "%[7]s"
  }
}
`, addr, method, id, user, more, oursHub, password)
}

// Done when 1: EAP-MSCHAPv2, EAP-MD5, EAP-GTC and EAP-TLS pass through to FreeRADIUS, with strongSwan
// and with our client as peers. What FreeRADIUS has for a user comes with its login.
func TestEAPThroughRadius(t *testing.T) {
	t.Parallel()
	names := []string{"hub", "radius"}
	for _, p := range radiusPeers {
		names = append(names, p.node)
	}
	s := newStar(t, "eapr", names...)
	authority := newCA(t)
	startFreeradius(t, s.nodes["radius"], authority, map[string][]byte{"users": radiusUsers(t)})
	hub := eapRadiusHub(s, authority)
	for i, p := range radiusPeers {
		id, addr := p.node+".branch.example.net", fmt.Sprintf("192.0.2.%d", i+3)
		if strings.HasPrefix(p.node, "swan") {
			cert, key := authority.issue(id, "ecdsa")
			swan := startStrongswan(t, s.nodes[p.node], swanInitiator(addr, id, p.method, p.user, "open sesame"), map[string][]byte{
				"x509ca/ca.pem": authority.pem, "x509/cert.pem": cert, "private/key.pem": key,
			})
			swan.must("--initiate", "--child", "net", "--timeout", "20")
			continue
		}
		password := "open sesame"
		if p.user == "alice" {
			password = "alice-password-for-tests"
		}
		section := fmt.Sprintf("{method: %s, username: %s, password: %q}", p.method, p.user, password)
		if p.method == "tls" {
			section = "{method: tls, server-name: radius.example.net}"
		}
		s.eapSpoke(p.node, authority, section, "auto").up()
	}
	for _, p := range radiusPeers {
		v := show[view.Session](hub, "session", p.user)
		if v.State != "UP-ACTIVE" || v.EAPMethod != p.method || v.EAPName != p.user {
			t.Errorf("%s: the hub shows %s as %q by %q", p.node, v.State, v.EAPName, v.EAPMethod)
		}
		target := "10.1.1.1"
		ping(t, s.nodes[p.node], target, 3, 500)
	}
	wantLines(t, "show session alice", attributeLines(hub, "alice"), "dns=192.168.10.50 (radius eap alice)")
}

// Without query-identity FreeRADIUS hears the IKE identity in an EAP response that the hub makes of it.
func TestEAPThroughRadiusNotQueried(t *testing.T) {
	t.Parallel()
	s := newStar(t, "eapn", "hub", "radius", "swan1", "spoke2")
	authority := newCA(t)
	users := string(freeradiusFiles(t)["users"])
	for _, name := range []string{"swan1", "spoke2"} {
		users += fmt.Sprintf("\n%s.branch.example.net\tCleartext-Password := \"open sesame\"\n\tClass = \"people\"\n", name)
	}
	startFreeradius(t, s.nodes["radius"], authority, map[string][]byte{"users": []byte(users)})
	hub := eapRadiusHubThat(s, authority, "{list: radius}")
	const swanID = "swan1.branch.example.net"
	swan := startStrongswan(t, s.nodes["swan1"], swanInitiator("192.0.2.3", swanID, "mschapv2", swanID, "open sesame"), map[string][]byte{"x509ca/ca.pem": authority.pem})
	swan.must("--initiate", "--child", "net", "--timeout", "20")
	s.eapSpoke("spoke2", authority, "{method: md5, password: {file: DIR/password}}", "auto").up()
	for name, method := range map[string]string{"swan1": "mschapv2", "spoke2": "md5"} {
		id := name + ".branch.example.net"
		v := show[view.Session](hub, "session", id)
		if v.State != "UP-ACTIVE" || v.EAPMethod != method || v.EAPName != id {
			t.Errorf("%s: the hub shows %s as %q by %q", name, v.State, v.EAPName, v.EAPMethod)
		}
		ping(t, s.nodes[name], "10.1.1.1", 3, 500)
	}
}

// What FreeRADIUS refuses is refused, whoever asks, with its reason.
func TestEAPRefusedByRadius(t *testing.T) {
	t.Parallel()
	s := newStar(t, "eapx", "hub", "radius", "swan1", "spoke2", "spoke3")
	authority := newCA(t)
	startFreeradius(t, s.nodes["radius"], authority, nil)
	hub := eapRadiusHub(s, authority)
	swan := startStrongswan(t, s.nodes["swan1"], swanInitiator("192.0.2.3", "swan1.branch.example.net", "mschapv2", "bob", "simsalabim"),
		map[string][]byte{"x509ca/ca.pem": authority.pem})
	if _, err := swan.swanctl("--initiate", "--child", "net", "--timeout", "20"); err == nil {
		t.Error("strongSwan is in with a wrong password")
	}
	s.eapSpoke("spoke2", authority, "{method: mschapv2, username: alice, password: simsalabim}", "auto")
	s.eapSpoke("spoke3", authority, "{method: md5, username: mallory, password: simsalabim}", "auto")
	eventually(t, 30*time.Second, "the hub lists all three", func() error {
		missing := map[string]string{"bob": "mschapv2", "alice": "mschapv2", "mallory": "md5"}
		for _, f := range show[[]view.Failed](hub, "sessions", "--failed") {
			if m := missing[f.Identity]; m != "" && f.Reason == "authentication" && strings.Contains(f.Detail, "EAP") {
				delete(missing, f.Identity)
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("it lacks %v: %+v", missing, show[[]view.Failed](hub, "sessions", "--failed"))
		}
		return nil
	})
	if all := show[[]view.Session](hub, "sessions"); len(all) != 0 {
		t.Errorf("there are sessions: %+v", all)
	}
}

// While no server answers nobody's password is wrong: both ends say what is, and the login is good once a
// server is back.
func TestEAPRadiusDead(t *testing.T) {
	t.Parallel()
	s := newStar(t, "eapd", "hub", "radius", "spoke1")
	authority := newCA(t)
	server := startFreeradius(t, s.nodes["radius"], authority, nil)
	server.stop()
	hub := eapRadiusHub(s, authority)
	spoke := s.eapSpoke("spoke1", authority, "{method: mschapv2, username: alice, password: alice-password-for-tests}", "auto")
	eventually(t, 30*time.Second, "both ends say what is wrong", func() error {
		failed := show[[]view.Failed](hub, "sessions", "--failed")
		c := show[[]view.Client](spoke, "client")
		if len(failed) == 0 || !strings.Contains(failed[0].Detail, "no AAA server answers") || !strings.Contains(c[0].LastError, "TEMPORARY_FAILURE") {
			return fmt.Errorf("the hub lists %+v, the client says %+v", failed, c)
		}
		return nil
	})
	server.start()
	eventually(t, 60*time.Second, "the hub sees that the server is back", func() error {
		if !strings.Contains(hub.log.String(), "radius server back") {
			return fmt.Errorf("the log does not say so")
		}
		return nil
	})
	mustRun(spoke, "disconnect", "flex1") // its back-off after a refusal is long
	mustRun(spoke, "connect", "flex1")
	if got := hub.up(); got.Identity != "alice" {
		t.Errorf("the hub has %+v", got)
	}
}

// EAP-TLS with TLS 1.3 has a key derivation and a closing word of its own (RFC 9190).
func TestEAPTLS13ThroughRadius(t *testing.T) {
	t.Parallel()
	s := newStar(t, "eapt", "hub", "radius", "spoke1")
	authority := newCA(t)
	conf := bytes.Replace(freeradiusFiles(t)["eap.conf"], []byte(`tls_max_version = "1.2"`), []byte(`tls_max_version = "1.3"`), 1)
	server := startFreeradius(t, s.nodes["radius"], authority, map[string][]byte{"eap.conf": conf})
	hub := eapRadiusHub(s, authority)
	spoke := s.eapSpoke("spoke1", authority, "{method: tls, server-name: radius.example.net}", "auto")
	spoke.up()
	if got := hub.up(); got.EAPMethod != "tls" || got.Identity != oursSpoke {
		t.Errorf("the hub has %s by %s", got.Identity, got.EAPMethod)
	}
	if !strings.Contains(server.log.String(), "TLS 1.3") {
		t.Errorf("FreeRADIUS did not speak TLS 1.3:\n%s", lastLines(server.log.String(), 30))
	}
}

// A client trusts only the authentication servers it is configured for.
func TestEAPTLSOfAnotherServer(t *testing.T) {
	t.Parallel()
	s := newStar(t, "eapu", "hub", "radius", "spoke1")
	authority := newCA(t)
	startFreeradius(t, s.nodes["radius"], authority, nil)
	eapRadiusHub(s, authority)
	spoke := s.eapSpoke("spoke1", authority, "{method: tls, server-name: aaa.example.net}", "auto")
	eventually(t, 30*time.Second, "the client says why", func() error {
		c := show[[]view.Client](spoke, "client")
		if len(c) != 1 || !strings.Contains(c[0].LastError, "aaa.example.net") || !strings.Contains(c[0].LastError, "authentication server's certificate") {
			return fmt.Errorf("it says %+v", c)
		}
		return nil
	})
}
