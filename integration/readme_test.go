package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// A machine is a namespace with an /etc/flexvpn, /run and /var/lib of its own, so that a daemon runs
// in it exactly as the README says, with the samples as they stand and no path changed.
type machine struct {
	t    *testing.T
	node *netlab.Node
	etc  string
	proc *netlab.Proc
	log  *syncBuffer
}

// newMachine needs a mountPoint.
func newMachine(t *testing.T, n *netlab.Node, files map[string][]byte) *machine {
	t.Helper()
	m := &machine{t: t, node: n, etc: t.TempDir(), log: &syncBuffer{}}
	must(t, os.Chmod(m.etc, 0o700))
	for name, text := range files {
		must(t, os.WriteFile(filepath.Join(m.etc, name), text, 0o600))
	}
	return m
}

// machines counts those that need the mount point.
var machines struct {
	sync.Mutex
	n    int
	made bool
}

// mountPoint makes /etc/flexvpn until the last machine's test has ended; what is mounted on it is seen
// in the machine only.
func mountPoint(t *testing.T) {
	t.Helper()
	machines.Lock()
	defer machines.Unlock()
	if _, err := os.Stat("/etc/flexvpn"); err != nil {
		must(t, os.Mkdir("/etc/flexvpn", 0o700))
		machines.made = true
	}
	machines.n++
	t.Cleanup(func() {
		machines.Lock()
		defer machines.Unlock()
		if machines.n--; machines.n == 0 && machines.made {
			_ = os.Remove("/etc/flexvpn")
			machines.made = false
		}
	})
}

const asMachine = `mount -t tmpfs none /run && mount -t tmpfs none /var/lib && mount --bind "$1" /etc/flexvpn && shift && exec "$@"`

// start runs a flexvpn command as the machine's daemon.
func (m *machine) start(args ...string) {
	m.t.Helper()
	var err error
	words := append([]string{"-m", "--propagation", "private", "sh", "-c", asMachine, "sh", m.etc, binary}, args...)
	m.proc, err = m.node.Start(m.log, nil, "unshare", words...)
	must(m.t, err)
	m.t.Cleanup(func() {
		_ = m.proc.Stop(10 * time.Second)
		if m.t.Failed() {
			m.t.Logf("the log of %s:\n%s", strings.Join(args, " "), lastLines(m.log.String(), 40))
		}
	})
}

// run runs a flexvpn command beside the daemon, as its operator would: without naming a socket.
func (m *machine) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return m.node.Run(ctx, "nsenter", append([]string{"-t", strconv.Itoa(m.proc.PID()), "-m", binary}, args...)...)
}

// check runs flexvpn check on the machine's file.
func (m *machine) check(file string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := m.node.Run(ctx, "unshare", "-m", "--propagation", "private", "sh", "-c", asMachine, "sh", m.etc, binary, "check", "-c", file)
	if err != nil || !strings.Contains(out, "ok") {
		m.t.Fatalf("flexvpn check -c %s: %v\n%s", file, err, out)
	}
}

func sample(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "deploy", "examples", name))
	must(t, err)
	return text
}

// Done when 8: somebody follows the README with two machines and gets a ping through.
func TestReadmeTwoMachines(t *testing.T) {
	mountPoint(t)
	secret := []byte("nGmvQ1bQ5l0rCzv1mEXAMPLEONLYx0XhYxv0p3q6n7A=\n")
	ca := newCA(t)
	hubCert, hubKey := ca.issue("hub1.example.net", "ecdsa")
	spokeCert, spokeKey := ca.issue("spoke1.branch.example.net", "ecdsa")
	for _, c := range []struct {
		name, hub, spoke, identity string
	}{
		{"native", "hub.yaml", "spoke.yaml", "spoke"},
		{"gre", "hub.yaml", "spoke-gre.yaml", "spoke"},
		{"certificates", "hub-certificates.yaml", "spoke-certificates.yaml", "spoke"},
		{"eap", "hub-eap.yaml", "spoke-eap.yaml", "alice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, "readme"+c.name[:1])
			a, b := node(t, l, "hub"), node(t, l, "spoke")
			// The samples' addresses: the hub is 203.0.113.1, as `peers` of the spoke says.
			must(t, l.Link(a, "eth0", b, "eth0"), a.IP("addr add 203.0.113.1/24 dev eth0"), b.IP("addr add 203.0.113.2/24 dev eth0"))
			hub := newMachine(t, a, map[string][]byte{
				"hub.yaml": sample(t, c.hub), "spokes.psk": secret, "hub1.crt": hubCert, "hub1.key": hubKey, "ca.crt": ca.pem,
				"users": []byte("alice:text:open sesame\n"),
			})
			spoke := newMachine(t, b, map[string][]byte{
				"spoke.yaml": sample(t, c.spoke), "hub.psk": secret, "spoke1.crt": spokeCert, "spoke1.key": spokeKey, "ca.crt": ca.pem,
				"eap.password": []byte("open sesame\n"),
			})
			hub.check("/etc/flexvpn/hub.yaml")
			spoke.check("/etc/flexvpn/spoke.yaml")
			hub.start("hub", "-c", "/etc/flexvpn/hub.yaml")
			eventually(t, 10*time.Second, "the hub answers", func() error { _, err := hub.run("show", "sessions"); return err })
			spoke.start("client", "-c", "/etc/flexvpn/spoke.yaml")
			eventually(t, 20*time.Second, "flexvpn show client says ACTIVE", func() error {
				out, err := spoke.run("show", "client")
				if err == nil && !strings.Contains(out, "ACTIVE") {
					err = fmt.Errorf("it says %s", out)
				}
				return err
			})
			ping(t, b, "10.1.1.1", 3, 56)
			ping(t, b, "2001:db8:1:1::1", 3, 56)
			out, err := hub.run("show", "sessions", "--json")
			must(t, err)
			var sessions []view.Session
			must(t, json.Unmarshal([]byte(out), &sessions))
			if len(sessions) != 1 || sessions[0].InPackets == 0 || !strings.HasPrefix(sessions[0].Identity, c.identity) {
				t.Errorf("flexvpn show sessions on the hub lists %+v", sessions)
			}
			if out, err := spoke.run("show", "crypto", "ikev2", "client", "flexvpn", "flex1"); err != nil || !strings.Contains(out, "Current state:ACTIVE\n") {
				t.Errorf("the IOS spelling gave %v\n%s", err, out)
			}
		})
	}
}
