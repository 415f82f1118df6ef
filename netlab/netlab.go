// Package netlab builds small networks of network namespaces on this machine for the demo, the
// benchmarks and the integration tests, and takes them away again. It needs root and iproute2.
//
// A Lab owns what it makes: namespaces (named with the lab's prefix), the veth pairs in them, and
// the processes started in them. Close ends the processes by id and removes the namespaces; a Lab
// that finds namespaces of its own prefix left by a crashed run removes them first.
package netlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Lab is a set of namespaces. Its methods may be called from several goroutines.
type Lab struct {
	prefix string

	mu    sync.Mutex
	nodes []*Node
	links int
}

// Node is one network namespace: a machine of the lab.
type Node struct {
	lab  *Lab
	Name string // of the namespace

	mu    sync.Mutex
	procs []*Proc
}

// Proc is a process started in a namespace.
type Proc struct {
	Cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// apart is the environment variable that keeps the labs of two checkouts on one machine apart: its
// value is appended to every lab's prefix.
const apart = "FLEXVPN_LAB"

// New makes an empty lab. prefix begins every namespace's name; namespaces that already carry it
// are removed, because only a run that crashed can have left them.
func New(prefix string) (*Lab, error) {
	prefix += os.Getenv(apart)
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces need root: run this as root")
	}
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return nil, fmt.Errorf("ip netns list: %w (is iproute2 installed?)", err)
	}
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(name, prefix+"-") {
			_ = exec.Command("ip", "netns", "del", name).Run()
		}
	}
	return &Lab{prefix: prefix}, nil
}

// Node makes a namespace called PREFIX-name with its loopback up.
func (l *Lab) Node(name string) (*Node, error) {
	n := &Node{lab: l, Name: l.prefix + "-" + name}
	if err := run("ip", "netns", "add", n.Name); err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.nodes = append(l.nodes, n)
	l.mu.Unlock()
	if err := n.IP("link set lo up"); err != nil {
		return nil, err
	}
	// Addresses of a lab are unique: waiting for duplicate address detection would cost a second
	// on every link.
	return n, n.Sysctl("net.ipv6.conf.default.accept_dad", "0")
}

// Link joins a and b with a veth pair whose ends are called aName and bName, both up.
func (l *Lab) Link(a *Node, aName string, b *Node, bName string) error {
	l.mu.Lock()
	l.links++
	t1, t2 := fmt.Sprintf("nl%da%d", os.Getpid()%10000, l.links), fmt.Sprintf("nl%db%d", os.Getpid()%10000, l.links)
	l.mu.Unlock()
	err := a.IP(fmt.Sprintf("link add %s type veth peer name %s netns %s", t1, t2, b.Name))
	return errors.Join(err,
		a.IP(fmt.Sprintf("link set %s name %s up", t1, aName)),
		b.IP(fmt.Sprintf("link set %s name %s up", t2, bName)))
}

// Close ends every process of the lab and removes its namespaces.
func (l *Lab) Close() error {
	l.mu.Lock()
	nodes := l.nodes
	l.nodes = nil
	l.mu.Unlock()
	var errs []error
	for _, n := range nodes {
		n.stopAll()
	}
	for _, n := range nodes {
		errs = append(errs, run("ip", "netns", "del", n.Name))
	}
	return errors.Join(errs...)
}

// IP runs one or more `ip` commands, one a line, in the namespace.
func (n *Node) IP(lines ...string) error {
	for _, text := range lines {
		for line := range strings.Lines(text) {
			if args := strings.Fields(line); len(args) > 0 {
				if err := run("ip", append([]string{"-n", n.Name}, args...)...); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Sysctl sets a kernel setting in the namespace.
func (n *Node) Sysctl(key, value string) error {
	path := "/proc/sys/" + strings.ReplaceAll(key, ".", "/")
	return run("ip", "netns", "exec", n.Name, "sh", "-c", fmt.Sprintf("echo %s > %s", value, path))
}

// Command prepares a command that will run in the namespace.
func (n *Node) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.Name, name}, args...)...)
}

// Run runs a command in the namespace and returns what it printed; the error carries its output.
func (n *Node) Run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := n.Command(ctx, name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %s %s: %w\n%s", n.Name, name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// Start starts a process in the namespace; its output goes to log. The lab stops it at the latest
// in Close.
func (n *Node) Start(log io.Writer, env []string, name string, args ...string) (*Proc, error) {
	cmd := n.Command(context.Background(), name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), env...)
	// A daemon may leave children with its output open; do not wait for those.
	cmd.WaitDelay = time.Second
	// The process is the leader of its own group, so that signals meant for the caller's terminal
	// do not reach it, and dies with the caller.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: start %s: %w", n.Name, name, err)
	}
	p := &Proc{Cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	n.mu.Lock()
	n.procs = append(n.procs, p)
	n.mu.Unlock()
	return p, nil
}

func (n *Node) stopAll() {
	n.mu.Lock()
	procs := n.procs
	n.procs = nil
	n.mu.Unlock()
	for _, p := range procs {
		_ = p.Stop(5 * time.Second)
	}
}

// PID is the process's id.
func (p *Proc) PID() int { return p.Cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Proc) Done() <-chan struct{} { return p.done }

// Kill ends the process at once (SIGKILL) and waits for it.
func (p *Proc) Kill() {
	_ = p.Cmd.Process.Kill()
	<-p.done
}

// Stop asks the process to end (SIGTERM), kills it after grace, and returns how it ended.
func (p *Proc) Stop(grace time.Duration) error {
	_ = p.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		_ = p.Cmd.Process.Kill()
		<-p.done
	}
	return p.err
}

func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
