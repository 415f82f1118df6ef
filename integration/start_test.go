package integration

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startFails runs a hub with words before it and returns what it says; it must end by itself, with
// one line, and not with exit code 0.
func startFails(t *testing.T, lab, plane string, prepare func(s *star), words ...string) string {
	t.Helper()
	s := newStar(t, lab, "hub")
	dir := t.TempDir()
	text := strings.ReplaceAll(`node: hub
state-dir: DIR/state
control: {socket: DIR/control.sock}
dataplane: PLANE
ikev2:
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]}
  profiles:
    spokes: {match: {identity: [{address: any}]}, identity: {fqdn: hub.example.net}, authentication: {local: psk, remote: psk}, keyring: peers, virtual-template: 1}
virtual-templates: {1: {mode: auto, address: 10.1.1.1/32}}
`, "DIR", dir)
	text = strings.ReplaceAll(text, "PLANE", plane)
	must(t, os.WriteFile(filepath.Join(dir, "psk"), []byte(starPSK), 0o600), os.WriteFile(filepath.Join(dir, "hub.yaml"), []byte(text), 0o600))
	if prepare != nil {
		prepare(s)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	words = append(words, binary, "hub", "-c", filepath.Join(dir, "hub.yaml"))
	out, err := s.nodes["hub"].Run(ctx, words[0], words[1:]...)
	if err == nil || ctx.Err() != nil {
		t.Fatalf("the hub did not refuse to start: %v\n%s", err, out)
	}
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) > 2 {
		t.Errorf("a refusal of %d lines:\n%s", len(lines), out)
	}
	return out
}

func TestStartSaysWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name  string
		plane string // empty: userspace
		words []string
		prep  func(s *star)
		want  []string
	}{
		{name: "nonetadmin", words: []string{"setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"}, want: []string{"CAP_NET_ADMIN", "root"}},
		{name: "kernelnonetadmin", plane: "kernel", words: []string{"setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"}, want: []string{"dataplane: kernel", "CAP_NET_ADMIN", "root"}},
		{name: "notun", words: []string{"unshare", "-m", "--propagation", "private", "sh", "-c", `mount -t tmpfs none /dev/net && exec "$@"`, "sh"}, want: []string{"/dev/net/tun"}},
		{name: "portinuse", prep: func(s *star) {
			s.hub("hub", "10.1.1.2-10.1.1.9")
		}, want: []string{"500", "in use", "ikev2.port"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := startFails(t, "st"+c.name[:4], cmp.Or(c.plane, "userspace"), c.prep, c.words...)
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("the refusal does not mention %q:\n%s", want, out)
				}
			}
		})
	}
}
