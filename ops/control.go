package ops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultSocket is where a node is found when nobody says otherwise.
const DefaultSocket = "/run/flexvpn/control.sock"

// maxSocketPath is what fits into sockaddr_un, with its terminating zero.
const maxSocketPath = 107

// Limits of one connection to the control socket. Its users are root's programs; the limits keep a
// broken one from holding the daemon's memory.
const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 5 * time.Second
	answerTimeout = 60 * time.Second // for the whole answer; debug renews it with every line
	idleTimeout   = 30 * time.Second
	maxHeader     = 16 << 10
	// shutdownTimeout is for answers under way when the node stops.
	shutdownTimeout = 2 * time.Second
)

// Control is the control socket of a running node.
type Control struct {
	listener *net.UnixListener
	path     string
	log      *slog.Logger
	owner    uint32 // may connect, as root may
	traces   chan struct{}

	closing  sync.Once
	closeErr error
}

// Listen makes the control socket at path, replacing the one of a process that died, and refuses
// when a process answers there. Connections wait until Serve.
func Listen(path string, log *slog.Logger) (*Control, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("control socket %s: the path is %d octets long, a socket's is at most %d: choose a shorter one (control.socket)", path, len(path), maxSocketPath)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the control socket's directory: %w: start as root, or choose another place (control.socket)", err)
	}
	unlock, err := lockDirectory(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w: start as root, or choose another place (control.socket)", path, err)
	}
	// Whoever connects before the mode is set meets the check of credentials all the same.
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("restrict control socket: %w", err)
	}
	return &Control{
		listener: l, path: path, log: log, owner: uint32(os.Geteuid()),
		traces: make(chan struct{}, maxTraces),
	}, nil
}

// lockDirectory keeps two nodes that start at one moment from both taking a stale socket away. The
// lock is on the directory itself, so that no lock file is left behind.
func lockDirectory(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("control socket's directory: %w", err)
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("lock the control socket's directory %s: %w", dir, err)
	}
	return func() { _ = d.Close() }, nil
}

// removeStale removes the socket of a process that is gone. Anything else at path is not ours.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("control socket %s: something that is no socket is in its place: move it away, or choose another path (control.socket)", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		defer func() { _ = conn.Close() }()
		return fmt.Errorf("control socket %s: another flexvpn%s answers there: stop it first, or give this one another socket (control.socket)", path, processOf(conn))
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("control socket %s: %w: look who uses it before you remove it", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the control socket of a process that is gone: %w", err)
	}
	return nil
}

// processOf names the process at the other end of a unix connection.
func processOf(conn net.Conn) string {
	if cred, err := peerCredentials(conn); err == nil && cred.Pid > 0 {
		return fmt.Sprintf(" (process %d)", cred.Pid)
	}
	return ""
}

// Serve answers for node until ctx ends, then removes the socket. Answers under way see their context
// end and have two seconds to finish.
func (c *Control) Serve(ctx context.Context, node Node) error {
	server := &http.Server{
		Handler:           c.handler(node),
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
		ConnContext:       withPeer,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	if err := serveUntil(ctx, server, c.listener); err != nil {
		return errors.Join(fmt.Errorf("control socket %s: %w", c.path, err), c.Close())
	}
	return c.Close()
}

// serveUntil serves on l until ctx ends or l fails, and returns when the handlers have.
func serveUntil(ctx context.Context, server *http.Server, l net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		_ = server.Close()
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if server.Shutdown(grace) != nil {
		_ = server.Close()
	}
	<-failed // http.ErrServerClosed
	return nil
}

// Close removes the socket without serving it. Closing again does nothing.
func (c *Control) Close() error {
	c.closing.Do(func() {
		if err := c.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			c.closeErr = fmt.Errorf("close control socket: %w", err)
		}
	})
	return c.closeErr
}
