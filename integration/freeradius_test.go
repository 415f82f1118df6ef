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
)

// A freeradius is Debian's FreeRADIUS in a namespace, with the configuration of deploy/freeradius.
type freeradius struct {
	t    *testing.T
	node *netlab.Node
	dir  string // conf, log, run
	proc *netlab.Proc
	log  *syncBuffer
}

// radiusSecret is that of deploy/freeradius/clients.conf, a test key.
const radiusSecret = "testing-only-change-me"

// freeradiusFiles are the files of deploy/freeradius by name.
func freeradiusFiles(t *testing.T) map[string][]byte {
	t.Helper()
	all, err := filepath.Glob("../deploy/freeradius/*")
	if err != nil || len(all) == 0 {
		t.Fatal("deploy/freeradius is empty", err)
	}
	files := map[string][]byte{}
	for _, path := range all {
		text, err := os.ReadFile(path)
		must(t, err)
		files[filepath.Base(path)] = text
	}
	return files
}

// startFreeradius starts the server of deploy/freeradius in n; its certificate is of by, for
// radius.example.net. files replace or add to those of deploy/freeradius; only local.conf always
// differs, which is there for that.
func startFreeradius(t *testing.T, n *netlab.Node, by *ca, files map[string][]byte) *freeradius {
	t.Helper()
	f := &freeradius{t: t, node: n, dir: t.TempDir(), log: &syncBuffer{}}
	cert, key := by.issue("radius.example.net", "ecdsa")
	all := freeradiusFiles(t)
	for name, text := range files {
		all[name] = text
	}
	all["certs/server.pem"], all["certs/server.key"], all["certs/ca.pem"] = cert, key, by.pem
	all["local.conf"] = fmt.Appendf(nil, "logdir = %[1]s/log\nrun_dir = %[1]s/run\nserver_user = root\ncertdir = ${confdir}/certs\n", f.dir)
	for _, d := range []string{"conf/certs", "log/radacct", "run"} {
		must(t, os.MkdirAll(filepath.Join(f.dir, d), 0o700))
	}
	for name, text := range all {
		must(t, os.WriteFile(filepath.Join(f.dir, "conf", name), text, 0o600))
	}
	f.start()
	t.Cleanup(func() {
		_ = f.proc.Stop(5 * time.Second)
		if t.Failed() {
			t.Logf("FreeRADIUS says:\n%s", lastLines(f.log.String(), 80))
		}
	})
	return f
}

// start starts the server, also again, and waits until it answers requests.
func (f *freeradius) start() {
	f.t.Helper()
	f.log = &syncBuffer{}
	var err error
	f.proc, err = f.node.Start(f.log, nil, "freeradius", "-d", filepath.Join(f.dir, "conf"), "-fxx", "-l", "stdout")
	must(f.t, err)
	eventually(f.t, 20*time.Second, "FreeRADIUS is ready", func() error {
		select {
		case <-f.proc.Done():
			f.t.Fatalf("FreeRADIUS ended:\n%s", lastLines(f.log.String(), 20))
		default:
		}
		if !strings.Contains(f.log.String(), "Ready to process requests") {
			return fmt.Errorf("it says %s", lastLines(f.log.String(), 2))
		}
		return nil
	})
}

// stop ends it; start brings it back.
func (f *freeradius) stop() {
	f.t.Helper()
	f.proc.Kill()
	<-f.proc.Done()
}

// detail is the accounting file so far.
func (f *freeradius) detail() string {
	text, _ := os.ReadFile(filepath.Join(f.dir, "log", "radacct", "detail"))
	return string(text)
}

// A record is one accounting record of the detail file: attributes with their values.
type record map[string][]string

// records parses the detail file in its order.
func (f *freeradius) records() []record {
	var all []record
	var r record
	for line := range strings.Lines(f.detail()) {
		switch {
		case !strings.HasPrefix(line, "\t"):
			if strings.TrimSpace(line) != "" {
				r = record{}
				all = append(all, r)
			}
		case r != nil:
			if name, value, ok := strings.Cut(strings.TrimSpace(line), " = "); ok {
				r[name] = append(r[name], strings.Trim(value, `"`))
			}
		}
	}
	return all
}

// one is the only value of an attribute, or "".
func (r record) one(name string) string {
	if len(r[name]) == 1 {
		return r[name][0]
	}
	return ""
}

// radclient sends one request with attributes from a node and returns what radclient prints; the
// error tells of silence and of answers that say no.
func radclient(n *netlab.Node, to, kind, secret string, attributes ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := n.Command(ctx, "radclient", "-x", "-r", "2", "-t", "2", to, kind, secret)
	cmd.Stdin = strings.NewReader(strings.Join(attributes, "\n") + "\n")
	out, err := cmd.CombinedOutput()
	return string(out), err
}
