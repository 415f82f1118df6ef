package ikev2_test

import (
	"testing"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
)

// An end whose data plane cannot take what it has negotiated deletes that, and not what it was to replace
// (RFC 7296 section 1.4.1: a Delete names the SA). The old Child SA goes on at both ends, and either may
// rekey it again.
func TestChildRekeyThatCannotBeInstalled(t *testing.T) {
	for _, again := range []string{"spoke", "hub"} {
		p := iketest.Up(t)
		first := p.Spoke.Outbound
		p.Spoke.World.Install = func(q ikev2.Install) ikev2.Answer {
			return ikev2.InstallAnswer{ID: q.ID, Err: errTest}
		}
		p.Spoke.RekeyChild()
		p.Deliver()
		settled(t, p, "the spoke could not install what it had negotiated")
		if p.Spoke.Outbound != first {
			t.Error("the first Child SA is no longer in use")
		}
		p.Spoke.World.Install = nil
		map[string]*iketest.End{"spoke": p.Spoke, "hub": p.Hub}[again].RekeyChild()
		p.Deliver()
		settled(t, p, "now it can, and "+again+" rekeys")
		if p.Spoke.Outbound == first {
			t.Errorf("%s could not rekey the Child SA again", again)
		}
	}
}
