package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/ops/view"
)

// eapSpokeText is our client that logs in by EAP; eap is its section, empty when it asks a person.
func eapSpokeText(name, eap, connect, hub string) string {
	if eap != "" {
		eap = "\n      eap: " + eap
	}
	return `node: ` + name + `
ikev2:
  profiles:
    hubs:
      identity: {fqdn: ` + name + `.branch.example.net}
      authentication: {local: eap, remote: certificate}
      certificate: {chain: DIR/cert.pem, key: DIR/key.pem, ca: [DIR/ca.pem]}` + eap + `
      routes: {accept: any}
      dpd: {interval: 10s, retry: 2s, mode: periodic}
clients:
  flex1: {peers: [{sequence: 1, address: "` + hub + `"}], profile: hubs, tunnel: tunnel1, connect: ` + connect + `}
tunnels:
  tunnel1: {mode: ipsec, address: negotiated, source: dynamic, destination: dynamic, mtu: 1400, adjust-mss: 1360}
`
}

// eapResponder is a strongSwan that proves itself by certificate and asks for EAP.
func eapResponder(p *pair, method, eapID, remoteID string) string {
	ours, theirs := p.addrs()
	if eapID != "" {
		eapID = "eap_id = " + eapID
	}
	return fmt.Sprintf(`connections {
  peer {
    version = 2
    local_addrs = %[2]s
    remote_addrs = %[1]s
    proposals = aes256gcm16-prfsha384-x25519
    encap = yes
    pools = v4, v6
    local {
      auth = pubkey
      certs = cert.pem
      id = %[3]s
    }
    remote {
      auth = %[4]s
      %[5]s
      id = %[6]s
    }
    children {
      net {
        local_ts = 0.0.0.0/0, ::/0
        esp_proposals = aes256gcm16
        mode = tunnel
      }
    }
  }
}
pools {
  v4 {
    addrs = 10.1.1.2-10.1.1.9
    subnet = 10.99.0.0/24
  }
  v6 {
    addrs = 2001:db8:fff::2-2001:db8:fff::9
    subnet = 2001:db8:99::/64
  }
}
secrets {
  eap-alice {
    id = alice
    secret = "open sesame"
  }
  eap-spoke1 {
    id = %[7]s
    secret = "open sesame"
  }
}
`, ours, theirs, oursHub, method, eapID, remoteID, oursSpoke)
}

// eapClient starts strongSwan as a hub and our client against it.
func eapClient(t *testing.T, v6 bool, method, eapID, eap string) *pair {
	t.Helper()
	p := newPair(t, false, v6, "")
	must(t, p.theirNode.IP("addr add "+behindHub+"/32 dev lo", "addr add "+behindHub6+"/128 dev lo"))
	authority := newCA(t)
	cert, key := authority.issue(oursHub, "ecdsa")
	ownCert, ownKey := authority.issue(oursSpoke, "ecdsa")
	p.theirs = startStrongswan(t, p.theirNode, eapResponder(p, method, eapID, oursSpoke), map[string][]byte{
		"x509ca/ca.pem": authority.pem, "x509/cert.pem": cert, "private/key.pem": key,
	})
	_, theirs := p.addrs()
	p.ours = startFlexvpn(t, p.oursNode, "client", eapSpokeText("spoke1", eap, "auto", theirs), map[string][]byte{
		"ca.pem": authority.pem, "cert.pem": ownCert, "key.pem": ownKey, "password": []byte("open sesame\n"),
	})
	return p
}

const typedPassword = "{username: alice, password: {file: DIR/password}"

// Our client logs in to strongSwan by every method with a password. EAP-TLS is judged by FreeRADIUS:
// strongSwan 5.9 has neither the extended master secret nor the key derivation of RFC 9190.
func TestEAPClientLogsInToStrongSwan(t *testing.T) {
	for name, c := range map[string]struct {
		v6                 bool
		theirs, eapID, eap string
		method, user       string
	}{
		"mschapv2":             {false, "eap-mschapv2", "%any", typedPassword + "}", "mschapv2", "alice"},
		"mschapv2-not-queried": {true, "eap-mschapv2", "", "{password: {file: DIR/password}}", "mschapv2", oursSpoke},
		"gtc":                  {false, "eap-gtc", "%any", typedPassword + ", method: gtc}", "gtc", "alice"},
		"md5":                  {true, "eap-md5", "%any", typedPassword + "}", "md5", "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := eapClient(t, c.v6, c.theirs, c.eapID, c.eap)
			s := p.ours.up()
			if s.EAPMethod != c.method || s.EAPName != c.user || s.Identity != oursHub {
				t.Errorf("the session is with %s, logged in as %q by %q", s.Identity, s.EAPName, s.EAPMethod)
			}
			if sa := p.sa(); sa.LocalAuth != "eap" || sa.RemoteAuth != "certificate" {
				t.Errorf("the SA shows %s and %s", sa.LocalAuth, sa.RemoteAuth)
			}
			p.traffic()
		})
	}
}

// A wrong password, and a hub that proves itself with a certificate of nobody the client trusts.
func TestEAPClientIsRefusedByStrongSwan(t *testing.T) {
	p := eapClient(t, false, "eap-mschapv2", "%any", "{username: alice, password: simsalabim}")
	eventually(t, 30*time.Second, "the client says why", func() error {
		c := show[[]view.Client](p.ours, "client")
		if len(c) != 1 || !strings.Contains(c[0].LastError, "user name or password is wrong") {
			return fmt.Errorf("it says %+v", c)
		}
		return nil
	})
	if strings.Contains(p.ours.log.String(), "simsalabim") {
		t.Error("the log shows the password")
	}
}

// Both ends are ours. eapStar is a hub with its own EAP server and any number of spokes.
func eapStar(t *testing.T, lab, server string, spokes ...string) (*star, *ca, *flexvpn) {
	t.Helper()
	s := newStar(t, lab, append([]string{"hub"}, spokes...)...)
	authority := newCA(t)
	cert, key := authority.issue(oursHub, "ecdsa")
	hub := startFlexvpn(t, s.nodes["hub"], "hub", eapHubText(server), map[string][]byte{"cert.pem": cert, "key.pem": key, "users": []byte(eapUsers)})
	return s, authority, hub
}

func (s *star) eapSpoke(name string, authority *ca, eap, connect string) *flexvpn {
	s.t.Helper()
	cert, key := authority.issue(name+".branch.example.net", "ecdsa")
	return startFlexvpn(s.t, s.nodes[name], "client", eapSpokeText(name, eap, connect, "192.0.2.1"), map[string][]byte{
		"ca.pem": authority.pem, "cert.pem": cert, "key.pem": key, "password": []byte("open sesame\n"),
	})
}

// Done when 2: two spokes with one EAP identity are one session to the hub: the second ends the first,
// whose log line says so.
func TestEAPIdentityClash(t *testing.T) {
	t.Parallel()
	s, authority, hub := eapStar(t, "eapc", eapServer(true, "mschapv2"), "spoke1", "spoke2")
	first := s.eapSpoke("spoke1", authority, typedPassword+"}", "auto")
	was := hub.up()
	if was.Identity != "alice" || !strings.HasPrefix(was.Remote, "192.0.2.2:") {
		t.Fatalf("the first session is %+v", was)
	}
	first.up()
	second := s.eapSpoke("spoke2", authority, typedPassword+"}", "auto")
	second.up()
	eventually(t, 20*time.Second, "the hub says that the first session was replaced", func() error {
		for line := range strings.Lines(hub.log.String()) {
			if strings.Contains(line, "session="+was.ID) && strings.Contains(line, "replaced by a newer session of the same identity") && strings.Contains(line, "identity=alice") {
				return nil
			}
		}
		return fmt.Errorf("its log:\n%s", lastLines(hub.log.String(), 20))
	})
}

// A login is counted by method and outcome.
func TestEAPIsCounted(t *testing.T) {
	t.Parallel()
	s, authority, hub := eapStar(t, "eapm", eapServer(true, "gtc"), "spoke1", "spoke2")
	s.eapSpoke("spoke1", authority, "{username: carol, password: {file: DIR/password}}", "auto").up()
	s.eapSpoke("spoke2", authority, "{username: carol, password: wrong one}", "auto")
	eventually(t, 20*time.Second, "both logins are counted", func() error {
		counts := map[string]uint64{}
		for _, c := range show[view.Stats](hub, "counters").EAP {
			counts[c.Method+" "+c.Outcome] = c.Count
		}
		if counts["gtc accepted"] != 1 || counts["gtc rejected"] == 0 || counts["mschapv2 accepted"] != 0 {
			return fmt.Errorf("the hub counts %v", counts)
		}
		return nil
	})
}

// A pseudo terminal for the command that asks.
type pty struct {
	*os.File
	slave *os.File
	out   *syncBuffer
}

func newPTY(t *testing.T) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	must(t, err)
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	p := &pty{File: master, slave: slave, out: &syncBuffer{}}
	go func() {
		b := make([]byte, 1024)
		for {
			n, err := master.Read(b)
			_, _ = p.out.Write(b[:n])
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _ = slave.Close(); _ = master.Close() })
	return p
}

// asks waits for a question and types the answer.
func (p *pty) asks(t *testing.T, question, answer string) {
	t.Helper()
	eventually(t, 20*time.Second, "the terminal shows "+question, func() error {
		if !strings.Contains(p.out.String(), question) {
			return fmt.Errorf("it shows %q", p.out.String())
		}
		return nil
	})
	_, err := p.WriteString(answer + "\n")
	must(t, err)
}

// connectOn runs flexvpn connect on a terminal.
func connectOn(t *testing.T, f *flexvpn, p *pty) {
	t.Helper()
	cmd := f.node.Command(t.Context(), binary, "--socket", filepath.Join(f.dir, "control.sock"), "connect", "flex1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.slave, p.slave, p.slave
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() })
}

// The prompts of the seeds: a hub that queries the identity has the client ask for user name and
// password, another one for the password alone, which is not shown; the IKE identity is the user then.
func TestEAPPrompts(t *testing.T) {
	t.Parallel()
	s, authority, hub := eapStar(t, "eapp", eapServer(true, "mschapv2"), "spoke1")
	spoke := s.eapSpoke("spoke1", authority, "", "manual")
	if out, err := spoke.run("connect", "flex1"); err == nil || !strings.Contains(err.Error()+out, "on a terminal") {
		t.Errorf("without a terminal connect says %v %s", err, out)
	}
	p := newPTY(t)
	connectOn(t, spoke, p)
	p.asks(t, "User name for "+oursHub, "bob")
	p.asks(t, "Password of bob for "+oursHub, "open sesame")
	eventually(t, 20*time.Second, "the command says that it is connected", func() error {
		if !strings.Contains(p.out.String(), "client flex1 is connected") {
			return fmt.Errorf("the terminal shows %q", p.out.String())
		}
		return nil
	})
	if strings.Contains(p.out.String(), "open sesame") {
		t.Error("the terminal shows the password")
	}
	if got := hub.up(); got.Identity != "bob" {
		t.Errorf("the hub has %s", got.Identity)
	}

	mustRun(spoke, "disconnect", "flex1")
	hub.none()
	wrong := newPTY(t)
	connectOn(t, spoke, wrong)
	wrong.asks(t, "User name for "+oursHub, "bob")
	wrong.asks(t, "Password of bob for "+oursHub, "simsalabim")
	eventually(t, 20*time.Second, "the command says why", func() error {
		if !strings.Contains(wrong.out.String(), "user name or password is wrong") {
			return fmt.Errorf("the terminal shows %q", wrong.out.String())
		}
		if c := show[[]view.Client](spoke, "client"); c[0].State != "IDLE" {
			return fmt.Errorf("the client is %s: a person has to try again", c[0].State)
		}
		return nil
	})
}

// Our client logs in to our own EAP server by each method, with every form in which a password is kept,
// over either family. The hub offers all methods; a client of one refuses what comes before.
func TestEAPOursWithOurs(t *testing.T) {
	t.Parallel()
	logins := []struct{ spoke, method, user, hub string }{
		{"spoke1", "md5", "alice", "192.0.2.1"},
		{"spoke2", "gtc", "carol", "192.0.2.1"},    // bcrypt
		{"spoke3", "mschapv2", "bob", "192.0.2.1"}, // NT hash
		{"spoke4", "md5", "spoke4.branch.example.net", "2001:db8:1::1"},
		{"spoke5", "gtc", "spoke5.branch.example.net", "2001:db8:1::1"},
	}
	var names []string
	users := eapUsers
	for _, l := range logins {
		names = append(names, l.spoke)
		if strings.HasPrefix(l.user, "spoke") {
			users += l.user + ":text:open sesame\n"
		}
	}
	s := newStar(t, "eapo", append([]string{"hub"}, names...)...)
	authority := newCA(t)
	cert, key := authority.issue(oursHub, "ecdsa")
	hub := startFlexvpn(t, s.nodes["hub"], "hub", eapHubText(eapServer(true, "mschapv2, gtc, md5")), map[string][]byte{"cert.pem": cert, "key.pem": key, "users": []byte(users)})
	for _, l := range logins {
		cert, key := authority.issue(l.spoke+".branch.example.net", "ecdsa")
		section := fmt.Sprintf("{method: %s, username: %s, password: {file: DIR/password}}", l.method, l.user)
		spoke := startFlexvpn(t, s.nodes[l.spoke], "client", eapSpokeText(l.spoke, section, "auto", l.hub), map[string][]byte{
			"ca.pem": authority.pem, "cert.pem": cert, "key.pem": key, "password": []byte("open sesame\n"),
		})
		spoke.up()
		v := show[view.Session](hub, "session", l.user)
		if v.State != "UP-ACTIVE" || v.EAPMethod != l.method || v.EAPName != l.user || v.Identity != l.user {
			t.Errorf("%s: the hub shows %s as %q by %q", l.spoke, v.State, v.EAPName, v.EAPMethod)
		}
		ping(t, spoke.node, "10.1.1.1", 3, 500)
	}
	counts := map[string]uint64{}
	for _, c := range show[view.Stats](hub, "counters").EAP {
		counts[c.Method+" "+c.Outcome] = c.Count
	}
	if counts["md5 accepted"] != 2 || counts["gtc accepted"] != 2 || counts["mschapv2 accepted"] != 1 {
		t.Errorf("the hub counts %v", counts)
	}
}

func TestEAPPromptsForThePasswordAlone(t *testing.T) {
	t.Parallel()
	s, authority, hub := eapStar(t, "eapq", eapServer(false, "gtc"), "spoke1")
	spoke := s.eapSpoke("spoke1", authority, "", "manual")
	p := newPTY(t)
	connectOn(t, spoke, p)
	p.asks(t, "Password of "+oursSpoke+" for "+oursHub, "open sesame")
	if got := hub.up(); got.Identity != oursSpoke || got.EAPMethod != "gtc" {
		t.Errorf("the hub has %s by %s", got.Identity, got.EAPMethod)
	}
	if out := p.out.String(); strings.Contains(out, "User name") {
		t.Errorf("the terminal shows %q", out)
	}
}
