package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What a test leaves where make test-kernel keeps it when one fails: the exchange of every node, decoded,
// from the first message on, its log, and the state of the kernel.

// artifact is the path of a file about a test; empty when nobody keeps any.
func artifact(t *testing.T, name string) string {
	dir := os.Getenv("FLEXVPN_ARTIFACTS")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "-")+"-"+name)
}

// traceFlags let a daemon write its exchange down. A test that hangs leaves it as well.
func (f *flexvpn) traceFlags() []string {
	path := artifact(f.t, f.node.Name+".exchange")
	if path == "" {
		return nil
	}
	return []string{"--trace", path}
}

// keepLog keeps a daemon's log, of any test: one that panics has not failed yet.
func (f *flexvpn) keepLog() {
	path := artifact(f.t, f.node.Name+".log")
	if path == "" {
		return
	}
	if err := os.WriteFile(path, []byte(f.log.String()), 0o600); err != nil {
		f.t.Log(err)
	}
}

// keepState keeps a dump of the kernel's state of a failed test, the first that is asked for: later
// ones lack what ends with the daemons.
func keepState(t *testing.T) {
	path := artifact(t, "state.txt")
	if !t.Failed() || path == "" {
		return
	}
	if _, err := os.Stat(path); err == nil {
		return
	}
	out, err := exec.Command("../deploy/vm/dump.sh").CombinedOutput()
	if err != nil {
		t.Log(err)
	}
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Log(err)
	}
}
