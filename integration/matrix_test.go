package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

// The lines of the matrix. Each takes a pair as the one before may have left it: not yet started, or
// connected, or with nothing between its ends.

func carriesTraffic(p *pair) {
	p.connect()
	p.traffic()
}

func childChanged(a, b view.SA) bool {
	return len(a.Children) == 1 && len(b.Children) == 1 && a.Children[0].SPIIn != b.Children[0].SPIIn
}

func ikeChanged(a, b view.SA) bool { return a.SPILocal != b.SPILocal && a.SPIRemote != b.SPIRemote }

func childRekeyByStrongSwan(p *pair) {
	p.rekeys("the Child SA", childChanged, func(view.Session) { p.theirs.must("--rekey", "--child", "net") })
}

func ikeRekeyByStrongSwan(p *pair) {
	p.rekeys("the IKE SA", ikeChanged, func(view.Session) { p.theirs.must("--rekey", "--ike", "peer") })
}

func childRekeyByUs(p *pair) {
	p.rekeys("the Child SA", childChanged, func(s view.Session) { mustRun(p.ours, "rekey", "child", s.ID) })
}

func ikeRekeyByUs(p *pair) {
	p.rekeys("the IKE SA", ikeChanged, func(s view.Session) { mustRun(p.ours, "rekey", "ike", s.ID) })
}

func deleteByStrongSwan(p *pair) {
	before := p.connect()
	p.theirs.must("--terminate", "--ike", "peer")
	if p.hub {
		p.gone()
		return
	}
	eventually(p.t, 20*time.Second, "our client comes back with a new session", func() error {
		if now := p.ours.up(); now.ID == before.ID {
			return fmt.Errorf("it is still %s", now.ID)
		}
		return nil
	})
}

func deleteByUs(p *pair) {
	s := p.connect()
	if p.hub {
		mustRun(p.ours, "clear", "session", s.ID)
	} else {
		mustRun(p.ours, "disconnect", "flex1")
	}
	p.gone()
	eventually(p.t, 10*time.Second, "strongSwan has no SA left", func() error {
		if out := p.theirs.must("--list-sas"); strings.Contains(out, "ESTABLISHED") {
			return fmt.Errorf("it has:\n%s", out)
		}
		return nil
	})
}

func wrongSecret(p *pair) {
	p.theirSecret = "another secret, not for use"
	p.refused("authentication")
}

func unknownIdentity(p *pair) {
	p.theirID = "stranger.example.org"
	p.refused("authentication")
}

func noCommonProposal(p *pair) {
	p.theirProposal = "aes128-sha1-modp1024"
	p.refused("no_proposal")
}

// The matrix in user space: a pair of its own for each line, role, transport and way to authenticate.

func TestTraffic(t *testing.T)                { matrix(t, carriesTraffic, "", "ecdsa") }
func TestChildRekeyByStrongSwan(t *testing.T) { matrix(t, childRekeyByStrongSwan, "") }
func TestIKERekeyByStrongSwan(t *testing.T)   { matrix(t, ikeRekeyByStrongSwan, "") }
func TestChildRekeyByUs(t *testing.T)         { matrix(t, childRekeyByUs, "") }
func TestIKERekeyByUs(t *testing.T)           { matrix(t, ikeRekeyByUs, "") }
func TestDeleteByStrongSwan(t *testing.T)     { matrix(t, deleteByStrongSwan, "") }
func TestDeleteByUs(t *testing.T)             { matrix(t, deleteByUs, "") }
func TestWrongSecret(t *testing.T)            { matrix(t, wrongSecret, "") }
func TestNoCommonProposal(t *testing.T)       { matrix(t, noCommonProposal, "") }

// matrix runs a line for both roles, both transports, and the given ways to authenticate.
func matrix(t *testing.T, line func(*pair), certs ...string) {
	for _, hub := range []bool{true, false} {
		for _, v6 := range []bool{false, true} {
			for _, cert := range certs {
				name := fmt.Sprintf("%s/%s/%s", map[bool]string{true: "hub", false: "client"}[hub], map[bool]string{true: "ipv6", false: "ipv4"}[v6], map[bool]string{true: "psk", false: "cert-" + cert}[cert == ""])
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					line(newPair(t, hub, v6, cert))
				})
			}
		}
	}
}

func TestCertificateKinds(t *testing.T) {
	for _, hub := range []bool{true, false} {
		for _, kind := range []string{"rsa", "ed25519"} {
			t.Run(fmt.Sprintf("%s/%s", map[bool]string{true: "hub", false: "client"}[hub], kind), func(t *testing.T) {
				t.Parallel()
				carriesTraffic(newPair(t, hub, false, kind))
			})
		}
	}
}

func TestUnknownIdentity(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(map[bool]string{true: "hub/ipv6", false: "hub/ipv4"}[v6], func(t *testing.T) {
			t.Parallel()
			unknownIdentity(newPair(t, true, v6, ""))
		})
	}
}

func mustRun(f *flexvpn, args ...string) string {
	f.t.Helper()
	out, err := f.run(args...)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}
