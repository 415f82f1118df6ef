package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"flexvpn/ops"
	"flexvpn/ops/opstest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	time.Local = time.UTC
	if os.Getenv("FLEXVPN_TEST_SIGNALS") != "" {
		stubbornNode()
	}
	os.Exit(m.Run())
}

// stubbornNode waits for the first signal like a node, and then does not end.
func stubbornNode() {
	ctx := untilSignal()
	fmt.Println("started")
	<-ctx.Done()
	fmt.Println("stopping")
	select {}
}

// The first signal asks the node to stop, the second one ends the process at once.
func TestSignals(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FLEXVPN_TEST_SIGNALS=1")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	for _, c := range []struct {
		says   string
		signal os.Signal
	}{{"started", syscall.SIGTERM}, {"stopping", os.Interrupt}} {
		if !lines.Scan() || lines.Text() != c.says {
			t.Errorf("the process says %q, want %q", lines.Text(), c.says)
		}
		if err := cmd.Process.Signal(c.signal); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitNo {
		t.Errorf("the process ended with %v, want exit code %d", err, exitNo)
	}
}

// now is the moment of every golden output.
var now = time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC)

// shell runs command lines against one node.
type shell struct {
	t      *testing.T
	socket string
}

// serve runs node behind a control socket until the test ends; a nil node means nobody is there.
func serve(t *testing.T, node ops.Node) shell {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	if node == nil {
		return shell{t, path}
	}
	control, err := ops.Listen(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, node) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return shell{t, path}
}

// result is what a command line left behind; the socket's path reads SOCKET.
type result struct {
	out, err string
	code     int
}

func (s shell) run(line string) result {
	s.t.Helper()
	return s.runWords(s.t.Context(), strings.Fields(line)...)
}

func (s shell) runWords(ctx context.Context, words ...string) result {
	var out, errs bytes.Buffer
	getenv := func(name string) string {
		if name == "FLEXVPN_SOCKET" {
			return s.socket
		}
		return ""
	}
	a := &app{out: &out, err: &errs, now: func() time.Time { return now }, getenv: getenv}
	code := a.execute(ctx, words)
	hide := strings.NewReplacer(s.socket, "SOCKET")
	return result{hide.Replace(out.String()), hide.Replace(errs.String()), code}
}

// golden compares with testdata/NAME.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it anew); got:\n%s", file, got)
	}
}

// sample is the node of the golden files.
func sample() *opstest.Node { return opstest.Sample(now) }
