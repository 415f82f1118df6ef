package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops"
	"flexvpn/ops/view"
)

// A flexvpn is our daemon in a namespace.
type flexvpn struct {
	t     *testing.T
	node  *netlab.Node
	dir   string
	role  string
	flags []string
	proc  *netlab.Proc
	log   *syncBuffer

	control *ops.Client
}

// startFlexvpn starts our daemon with a configuration, in which DIR stands for a folder of its own
// that holds files. It waits until the control socket answers.
func startFlexvpn(t *testing.T, n *netlab.Node, role, config string, files map[string][]byte) *flexvpn {
	t.Helper()
	f := &flexvpn{t: t, node: n, dir: t.TempDir(), role: role, log: &syncBuffer{}}
	f.control = ops.Dial(f.socket())
	t.Cleanup(f.control.Close)
	if !strings.Contains(config, "dataplane:") {
		config = "dataplane: userspace\n" + config
	}
	config = "state-dir: DIR/state\ncontrol: {socket: DIR/control.sock}\nlog: {level: debug, format: text}\n" + config
	all := map[string][]byte{"flexvpn.yaml": []byte(strings.ReplaceAll(config, "DIR", f.dir))}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(f.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.start()
	t.Cleanup(func() {
		keepState(t)
		_ = f.proc.Stop(10 * time.Second)
		if t.Failed() {
			t.Logf("the log of flexvpn %s:\n%s", role, lastLines(f.log.String(), 60))
		}
		f.keepLog()
	})
	return f
}

func (f *flexvpn) start() {
	f.t.Helper()
	var err error
	words := slices.Concat([]string{f.role, "-c", filepath.Join(f.dir, "flexvpn.yaml")}, f.flags, f.traceFlags())
	if f.proc, err = f.node.Start(f.log, nil, binary, words...); err != nil {
		f.t.Fatal(err)
	}
	eventually(f.t, 15*time.Second, "flexvpn "+f.role+" answers", func() error {
		select {
		case <-f.proc.Done():
			f.t.Fatalf("flexvpn %s ended:\n%s", f.role, lastLines(f.log.String(), 20))
		default:
		}
		return f.answers()
	})
}

// run runs a flexvpn command against the daemon.
func (f *flexvpn) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit())
	defer cancel()
	return f.node.Run(ctx, binary, append([]string{"--socket", f.socket()}, args...)...)
}

// commandLimit is how long a command or a question may take.
func commandLimit() time.Duration {
	if os.Getenv("FLEXVPN_VM") != "" {
		return 100 * time.Second // the machine is emulated, and stands still for seconds now and then
	}
	return 20 * time.Second
}

// up waits until exactly one session is up and returns it.
func (f *flexvpn) up() view.Session {
	f.t.Helper()
	var s view.Session
	eventually(f.t, 20*time.Second, "one session is up", func() error {
		all := show[[]view.Session](f, "sessions")
		if len(all) != 1 || all[0].State != "UP-ACTIVE" {
			return fmt.Errorf("sessions: %+v", all)
		}
		s = all[0]
		return nil
	})
	return s
}

// none waits until there is no session.
func (f *flexvpn) none() {
	f.t.Helper()
	eventually(f.t, 20*time.Second, "no session is left", func() error {
		if all := show[[]view.Session](f, "sessions"); len(all) != 0 {
			return fmt.Errorf("sessions: %+v", all)
		}
		return nil
	})
}

// lab makes a lab that the test's end removes. Names are short: interface and namespace names are.
func newLab(t *testing.T, name string) *netlab.Lab {
	t.Helper()
	l, err := netlab.New("fvit" + name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		keepState(t)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func node(t *testing.T, l *netlab.Lab, name string) *netlab.Node {
	t.Helper()
	n, err := l.Node(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// ping sends count packets of size octets and fails when any is lost or changed.
func ping(t *testing.T, from *netlab.Node, to string, count, size int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	lost, out, err := from.Ping(ctx, netlab.Train{To: to, Count: count, Size: size, Pattern: "5aa5c3"})
	if err != nil || len(lost) > 0 || strings.Contains(out, "wrong data byte") {
		t.Fatalf("ping %s: lost %v, %v\n%s", to, lost, err, out)
	}
}

// transfer sends size octets from one node to another and back over TCP and compares both.
func transfer(t *testing.T, from, to *netlab.Node, addr string, size int) {
	t.Helper()
	log := &syncBuffer{}
	server, err := to.Start(log, []string{helperEnv + "=serve"}, os.Args[0], addr, fmt.Sprint(size))
	must(t, err)
	eventually(t, 5*time.Second, "the server listens", func() error {
		if !strings.Contains(log.String(), "listening") {
			return fmt.Errorf("it says %q", log.String())
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := from.Command(ctx, os.Args[0], addr, fmt.Sprint(size))
	cmd.Env = append(os.Environ(), helperEnv+"=fetch")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("fetch %s: %v\n%s", addr, err, out)
	}
	<-server.Done()
	if err := server.Stop(time.Second); err != nil {
		t.Fatalf("serve %s: %v\n%s", addr, err, log.String())
	}
}
