package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"flexvpn/ikev2/suite/floor"
	"flexvpn/load"
	"flexvpn/node"
	"flexvpn/ops"
)

const (
	// sessions is enough that the process's fixed costs do not show, and takes seconds.
	sessions = 2000
	// slice is how many of them are set up between two looks at the floor.
	slice = 200
)

const hubConfig = `node: bench
dataplane: none
state-dir: DIR/state
control: {socket: DIR/control.sock}
log: {level: error}
ikev2:
  listen: [127.0.0.1]
  port: 15500
  nat-port: 15540
  max-half-open: 10000
  proposals: {bench: {encryption: [aes-gcm-256], prf: [sha384], group: [x25519]}}
` + hubProfile + `      dpd: {mode: "off"}
  authorization-policies: {default: {pool: p}}
pools: {p: {range: 10.0.0.2-10.0.255.254}}
virtual-templates: {1: {mode: auto, address: 10.0.0.1/32}}
`

const loadConfig = `node: bench
dataplane: none
state-dir: DIR/load
control: {socket: DIR/load.sock}
ikev2:
  port: 15500
  nat-port: 15540
  proposals: {bench: {encryption: [aes-gcm-256], prf: [sha384], group: [x25519]}}
` + spokeProfile + `      dpd: {mode: "off"}
clients: {c: {peers: [{sequence: 1, address: 127.0.0.1}], profile: any, tunnel: t}}
tunnels: {t: {mode: ipsec, address: negotiated, source: dynamic, destination: dynamic}}
`

// control runs a hub inside this process and the load in others, so that this process's CPU time and
// heap are the responder's alone.
func control(ctx context.Context, dir, binary string) error {
	hubPath, err := write(dir, "hub.yaml", hubConfig)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- node.Run(ctx, node.Options{Role: "hub", ConfigPath: hubPath, LogTo: io.Discard, Version: "bench"})
	}()
	hub := ops.Dial(dir + "/control.sock")
	defer hub.Close()
	if err := ready(ctx, hub, ended); err != nil {
		return err
	}
	h := handshakes{dir: dir, binary: binary, hub: hub}
	if err := h.measure(ctx); err != nil {
		return err
	}
	cancel()
	return <-ended
}

func ready(ctx context.Context, hub *ops.Client, ended <-chan error) error {
	for range 100 {
		if _, err := hub.Info(ctx); err == nil {
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("the hub did not start: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("the hub did not answer within ten seconds")
}

// handshakes are measured in slices: a few hundred by the hub, then as much bare cryptography by a
// process that does nothing else. What the machine does to one it does to the other.
type handshakes struct {
	dir, binary string
	hub         *ops.Client
	floor       *side
	loads       []*standingLoad
}

func (h *handshakes) measure(ctx context.Context) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if h.floor, err = startSide(exec.CommandContext(ctx, self), sideFloor); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.floor.end()) }()
	loadPath, err := write(h.dir, "load.yaml", loadConfig)
	if err != nil {
		return err
	}
	// To warm pools and maps, and the other side's caches.
	if _, err := loadRun(ctx, h.binary, loadPath, 200); err != nil {
		return err
	}
	if _, err := h.bare(slice); err != nil {
		return err
	}
	if err := h.sliced(ctx); err != nil {
		return err
	}
	res, err := loadRun(ctx, h.binary, loadPath, sessions)
	if err != nil {
		return err
	}
	say("setup_per_second", res.PerSecond)
	return nil
}

// sliced says what a handshake and a standing session cost, and has the sessions end.
func (h *handshakes) sliced(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, h.endLoads()) }()
	heap := liveHeap()
	var cpu, bare time.Duration
	for n := slice; n <= sessions; n += slice {
		spent, err := h.more(ctx, n)
		if err != nil {
			return err
		}
		floor, err := h.bare(slice)
		if err != nil {
			return err
		}
		cpu, bare = cpu+spent, bare+floor
	}
	say("handshake_cpu_over_crypto", float64(cpu)/float64(bare))
	time.Sleep(time.Second) // what handshakes hold for a moment is let go
	say("heap_bytes_per_session", float64(liveHeap()-heap)/sessions)
	return nil
}

// more adds a slice of sessions, after which n stand, and returns the CPU time it took this process.
func (h *handshakes) more(ctx context.Context, n int) (time.Duration, error) {
	name := fmt.Sprintf("load%d.yaml", n)
	path, err := write(h.dir, name, strings.Replace(loadConfig, "{fqdn: spoke", fmt.Sprintf("{fqdn: spoke%d", n), 1))
	if err != nil {
		return 0, err
	}
	before := cpuTime()
	l, err := startLoad(ctx, h.binary, path, slice)
	if err != nil {
		return 0, err
	}
	h.loads = append(h.loads, l)
	if err := l.stands(); err != nil {
		return 0, err
	}
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		s, err := h.hub.Stats(ctx)
		switch up := s.SessionsUp["hub"]; {
		case err != nil:
			return 0, err
		case up == uint64(n):
			return cpuTime() - before, nil
		case time.Since(begin) > time.Minute:
			return 0, fmt.Errorf("only %d of %d sessions stand after a minute", up, n)
		}
	}
}

// bare is the CPU time of the bare cryptography of n handshakes.
func (h *handshakes) bare(n int) (time.Duration, error) {
	if err := h.floor.tell(fmt.Sprint(n)); err != nil {
		return 0, err
	}
	seconds, err := h.floor.wait("cpu")
	return time.Duration(seconds * float64(time.Second)), err
}

// floorSide is the other side of bare.
func floorSide() error {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		n := 0
		if _, err := fmt.Sscan(in.Text(), &n); err != nil {
			return err
		}
		before := cpuTime()
		for range n {
			floor.Handshake()
		}
		fmt.Printf("cpu %g\n", (cpuTime() - before).Seconds())
	}
	return nil
}

func (h *handshakes) endLoads() (err error) {
	for _, l := range h.loads {
		err = errors.Join(err, l.cmd.Process.Signal(os.Interrupt))
	}
	for _, l := range h.loads {
		err = errors.Join(err, l.cmd.Wait())
	}
	return err
}

// A standingLoad is a load run whose sessions stand until it is interrupted.
type standingLoad struct {
	cmd   *exec.Cmd
	lines *bufio.Reader
}

func startLoad(ctx context.Context, binary, config string, n int) (*standingLoad, error) {
	cmd := exec.CommandContext(ctx, binary, "load", "-c", config, "-n", fmt.Sprint(n), "--report", "0", "--hold", "1h")
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	return &standingLoad{cmd, bufio.NewReaderSize(out, 256)}, cmd.Start()
}

// stands waits until every session that could be established is.
func (l *standingLoad) stands() error {
	if line, err := l.lines.ReadString('\n'); err != nil || !strings.Contains(line, " sessions stand;") {
		return fmt.Errorf("flexvpn load said %q: %w", line, err)
	}
	return nil
}

// loadRun runs flexvpn load in a process of its own to its end.
func loadRun(ctx context.Context, binary, config string, n int) (res load.Result, err error) {
	out, err := exec.CommandContext(ctx, binary, "load", "-c", config, "-n", fmt.Sprint(n), "--json").Output()
	if err != nil {
		return res, fmt.Errorf("flexvpn load: %w\n%s", err, out)
	}
	return res, json.Unmarshal(out, &res)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
