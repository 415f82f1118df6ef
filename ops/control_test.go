package ops_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/ops"
	"flexvpn/ops/opstest"
	"flexvpn/ops/view"
)

// logs is a log that tests may read while it is written.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve runs node behind a control socket until the test ends.
func serve(t *testing.T, node ops.Node) (*ops.Control, *ops.Client, *logs) {
	t.Helper()
	log := &logs{}
	path := filepath.Join(t.TempDir(), "control.sock")
	c, err := ops.Listen(path, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Serve(ctx, node) }()
	client := ops.Dial(path)
	t.Cleanup(func() {
		client.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve ended with %v", err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket is still there after Serve: %v", err)
		}
	})
	return c, client, log
}

func TestEveryQuestionReachesTheNode(t *testing.T) {
	node := opstest.Sample(time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC))
	_, c, _ := serve(t, node)
	ctx := t.Context()
	check := func(what string, got, want any, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s came over the socket as\n%+v\nwant\n%+v", what, got, want)
		}
	}
	sessions, err := c.Sessions(ctx, view.SessionFilter{})
	want, _ := node.Sessions(ctx, view.SessionFilter{})
	check("sessions", sessions, want, err)
	sessions, err = c.Sessions(ctx, view.SessionFilter{Peer: "SPOKE2", Role: "hub"})
	check("sessions of spoke2", sessions, want[1:2], err)
	session, err := c.Session(ctx, "spoke1.branch.example.net")
	check("session", session, node.Full[0], err)
	failed, err := c.Failed(ctx)
	check("failed", failed, node.Refused, err)
	sas, err := c.SAs(ctx)
	wantSAs, _ := node.SAs(ctx)
	check("sas", sas, wantSAs, err)
	pools, err := c.Pools(ctx, false)
	check("pools", pools, node.Pools(false), err)
	pools, err = c.Pools(ctx, true)
	check("pools with leases", pools, node.Pools(true), err)
	interfaces, err := c.Interfaces(ctx)
	check("interfaces", interfaces, node.Interfaced, err)
	routes, err := c.Routes(ctx)
	check("routes", routes, node.Routed, err)
	clients, err := c.Clients(ctx)
	check("clients", clients, node.Profiles, err)
	stats, err := c.Stats(ctx)
	check("stats", stats, node.Counted, err)
	info, err := c.Info(ctx)
	check("info", info, node.Is, err)

	check("clear session", nil, nil, c.ClearSession(ctx, "h1"))
	n, err := c.ClearAll(ctx)
	check("clear all", n, len(node.Full), err)
	check("connect", nil, nil, c.Connect(ctx, "flex1"))
	check("disconnect", nil, nil, c.Disconnect(ctx, "flex1"))
	check("clear client", nil, nil, c.ClearClient(ctx, "flex1"))
	check("clear clients", nil, nil, c.ClearClient(ctx, ""))
	told := []string{"clear session h1", "clear all", "connect flex1", "disconnect flex1", "clear client flex1", "clear all clients"}
	check("what the node was told", node.Calls(), told, nil)
}

func TestAnswersOfNo(t *testing.T) {
	node := &opstest.Node{}
	_, c, _ := serve(t, node)
	_, err := c.Session(t.Context(), "nobody")
	e, ok := errors.AsType[*ops.Error](err)
	if !ok || e.Status != http.StatusNotFound || e.Message != "no session nobody" || e.Hint == "" {
		t.Errorf("an unknown session came back as %v, want the node's own answer with its hint", err)
	}
	if err := c.Connect(t.Context(), "nothing"); err == nil || !strings.Contains(err.Error(), "no client profile nothing") {
		t.Errorf("connect of an unknown client: %v", err)
	}
	node.Fail = errors.New("shard 3 is stuck")
	_, err = c.ClearAll(t.Context())
	if e, ok := errors.AsType[*ops.Error](err); !ok || e.Status != http.StatusInternalServerError || e.Message != "shard 3 is stuck" {
		t.Errorf("a failure of the node came back as %v, want its text with status 500", err)
	}
}

func TestNobodyIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	_, err := ops.Dial(path).Info(t.Context())
	if _, ok := errors.AsType[*ops.UnreachableError](err); !ok {
		t.Fatalf("asking without a daemon gave %v, want an UnreachableError", err)
	}
	want := "no flexvpn is running here (" + path + "): start it with flexvpn hub -c FILE or flexvpn client -c FILE"
	if err.Error() != want {
		t.Errorf("asking without a daemon says\n%q, want\n%q", err, want)
	}
}

func TestSocketIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flexvpn")
	c, err := ops.Listen(filepath.Join(dir, "control.sock"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for path, want := range map[string]fs.FileMode{dir: 0o755, filepath.Join(dir, "control.sock"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
	}
}

func TestStrangerIsRefused(t *testing.T) {
	control, client, log := serve(t, &opstest.Node{})
	path := ops.SocketOf(client)
	if _, err := client.Info(t.Context()); err != nil {
		t.Fatalf("the daemon's own user: %v", err)
	}
	var err error
	if os.Geteuid() == 0 {
		// The kernel notes the credentials of the thread that connects: this thread becomes nobody
		// and ends with the goroutine, because it is never unlocked. The modes are opened first, so
		// that the check of credentials stands alone.
		for p := path; len(p) > len(os.TempDir()); p = filepath.Dir(p) {
			if err := os.Chmod(p, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		err = asNobody(func() error { return info(path) })
	} else {
		control.SetOwner(uint32(os.Geteuid()) + 1)
		err = info(path)
	}
	if err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("a stranger got %v, want status 403", err)
	}
	if !strings.Contains(log.String(), `msg="control request refused" uid=`) {
		t.Errorf("the refusal is not in the log: %s", log)
	}
}

// info asks on a connection that is made on the calling goroutine.
func info(path string) error {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "GET /v1/info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && !bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) {
		err = fmt.Errorf("answer %s", answer)
	}
	return err
}

func asNobody(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		const nobody = 65534
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), nobody, ^uintptr(0)); errno != 0 {
			done <- errno
			return
		}
		done <- f()
	}()
	return <-done
}

// abandonSocket leaves a socket as a killed process does.
func abandonSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
}

func TestSocketOfADeadProcessIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	abandonSocket(t, path)
	c, err := ops.Listen(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("the socket of a dead process is in the way: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestSocketInUseIsRefused(t *testing.T) {
	_, client, _ := serve(t, &opstest.Node{})
	path := ops.SocketOf(client)
	_, err := ops.Listen(path, slog.New(slog.DiscardHandler))
	want := fmt.Sprintf("another flexvpn (process %d) answers there: stop it first", os.Getpid())
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a second daemon got %v, want an error with %q", err, want)
	}
	if _, err := client.Info(t.Context()); err != nil {
		t.Errorf("the first daemon does not answer any more: %v", err)
	}
}

func TestListenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		file: "something that is no socket is in its place",
		filepath.Join(dir, strings.Repeat("x", 120)): "choose a shorter one (control.socket)",
		filepath.Join(file, "control.sock"):          "make the control socket's directory",
	} {
		if _, err := ops.Listen(path, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Listen(%s) = %v, want an error with %q", path, err, want)
		}
	}
	if b, _ := os.ReadFile(file); string(b) != "precious" {
		t.Error("the file in the socket's place was touched")
	}
}

// Each round finds the socket of a dead process: without a lock, one start removes what another has
// just made.
func TestStartsAtOnceHaveOneWinner(t *testing.T) {
	for range 100 {
		path := filepath.Join(t.TempDir(), "control.sock")
		abandonSocket(t, path)
		const starts = 4
		results := make(chan *ops.Control, starts)
		for range starts {
			go func() {
				c, _ := ops.Listen(path, slog.New(slog.DiscardHandler))
				results <- c
			}()
		}
		won := 0
		for range starts {
			if c := <-results; c != nil {
				won++
				defer func() { _ = c.Close() }()
			}
		}
		if won != 1 {
			t.Fatalf("%d of %d daemons that started at once have the socket, want 1", won, starts)
		}
	}
}

func TestThousandsOfSessionsAreStreamed(t *testing.T) {
	node := &opstest.Node{}
	for i := range 5000 {
		node.Full = append(node.Full, view.Session{ID: fmt.Sprintf("h%d", i), Role: "hub", Identity: fmt.Sprintf("spoke%d.example.net", i)})
	}
	_, c, _ := serve(t, node)
	list, err := c.Sessions(t.Context(), view.SessionFilter{})
	if err != nil || len(list) != 5000 || list[4999].ID != "h4999" {
		t.Fatalf("%d sessions came, err %v", len(list), err)
	}
}

func TestServeEndsWithOpenDebugStreams(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	c, err := ops.Listen(filepath.Join(t.TempDir(), "control.sock"), log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx, &opstest.Node{}) }()
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- ops.Dial(ops.PathOf(c)).Trace(context.Background(), view.TraceFilter{}, func() { close(started) }, nil)
	}()
	<-started
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	err = <-ended
	if _, ok := errors.AsType[*ops.UnreachableError](err); !ok || !strings.Contains(err.Error(), "went away in the middle of its answer") {
		t.Errorf("the reader of debug is not told that the daemon went away: %v", err)
	}
}
