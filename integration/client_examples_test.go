package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"flexvpn/ops/view"
)

// sampleSpoke runs a sample as it stands, in the place of the office's spoke.
func (b *office) sampleSpoke(name string) *machine {
	b.t.Helper()
	m := newMachine(b.t, b.spoke, map[string][]byte{"spoke.yaml": sample(b.t, name), "hub.psk": []byte(starPSK)})
	m.check("/etc/flexvpn/spoke.yaml")
	m.start("client", "-c", "/etc/flexvpn/spoke.yaml")
	return m
}

// is waits until a profile of the machine is in a state, on a peer and from an interface; empty: any.
func (m *machine) is(name, state, peer, source string) {
	m.t.Helper()
	eventually(m.t, 60*time.Second, fmt.Sprintf("%s is %s on %q from %q", name, state, peer, source), func() error {
		out, err := m.run("show", "client", name, "--json")
		if err != nil {
			return err
		}
		var list []view.Client
		if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
			return fmt.Errorf("show client says %s (%v)", out, err)
		}
		if v := list[0]; v.State != state || peer != "" && v.Peer != peer || source != "" && v.SourceInterface != source {
			return fmt.Errorf("it is %s on %s from %s: %s", v.State, v.Peer, v.SourceInterface, v.LastError)
		}
		return nil
	})
}

// Done when 5: the sample with two lines and two hubs does what its comments say.
func TestClientExampleRedundant(t *testing.T) {
	mountPoint(t)
	t.Parallel()
	b := newOffice(t, "cexr", 3)
	for n := 1; n <= 3; n++ {
		b.hub(n)
	}
	m := b.sampleSpoke("spoke-redundant.yaml")
	m.is("flex1", "ACTIVE", "203.0.113.1", "wan0")
	b.reaches()
	must(t, b.net.IP("link set spoke0 down"))
	m.is("flex1", "ACTIVE", "", "wan1")
	b.reaches()
	must(t, b.net.IP("link set spoke0 up"))
	m.is("flex1", "ACTIVE", "203.0.113.1", "wan0")
	b.daemons[1].proc.Kill()
	m.is("flex1", "ACTIVE", "203.0.113.2", "wan0")
	b.reaches()
	b.daemons[2].proc.Kill()
	m.is("dial", "ACTIVE", "203.0.113.3", "")
	b.reaches()
	b.daemons[1].start()
	m.is("flex1", "ACTIVE", "203.0.113.1", "wan0")
	m.is("dial", "WAIT", "", "")
}

// Done when 5: the sample of a backup group.
func TestClientExampleBackupGroup(t *testing.T) {
	mountPoint(t)
	t.Parallel()
	b := newOffice(t, "cexg", 3)
	b.hub(1)
	b.hub(3)
	m := b.sampleSpoke("spoke-backup-group.yaml")
	m.is("flex1", "ACTIVE", "203.0.113.1", "")
	m.is("flex2", "IDLE", "", "")
	if out, err := m.run("crypto", "ikev2", "client", "flexvpn", "connect", "flex2"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m.is("flex2", "ACTIVE", "203.0.113.3", "")
	if out, err := b.spoke.Run(context.Background(), "ip", "-o", "link", "show", "tunnel2"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
