// Command bench prints the figures of the project's budgets, one line each: `bench NAME VALUE`. Every
// figure is a ratio or a count from this one run, so that a slow machine slows both sides of it; what
// is only reported depends on the machine. It needs root.
//
// Words choose measurements, as in `go run ./bench handshakes`; without one all are made. -cpuprofile
// names a file for the profile of this process, which is the hub in handshakes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
)

func main() {
	if role := os.Getenv(sideRole); role != "" {
		if err := runSide(role, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	profile := flag.String("cpuprofile", "", "write a CPU profile to this `file`")
	flag.Parse()
	if err := run(context.Background(), flag.Args(), *profile); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measurements are made in this order.
var measurements = []struct {
	name string
	make func(ctx context.Context, dir, binary string) error
}{
	{"handshakes", control},
	{"radius", radiusAAA},
	{"esp", dataPath},
	{"tunnel", tunnel},
	{"failover", failover},
	{"kernel", kernelPlane},
	{"bgp", speakers},
}

func run(ctx context.Context, chosen []string, profile string) error {
	for _, name := range chosen {
		if !isMeasurement(name) {
			return fmt.Errorf("there is no measurement %q", name)
		}
	}
	dir, err := os.MkdirTemp("", "flexvpn-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "flexvpn")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "flexvpn/cmd/flexvpn")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build flexvpn: %w\n%s", err, out)
	}
	stop, err := startProfile(profile)
	if err != nil {
		return err
	}
	defer stop()
	for _, m := range measurements {
		if len(chosen) > 0 && !slices.Contains(chosen, m.name) {
			continue
		}
		if err := m.make(ctx, dir, binary); err != nil {
			return err
		}
	}
	return nil
}

func isMeasurement(name string) bool {
	for _, m := range measurements {
		if m.name == name {
			return true
		}
	}
	return false
}

func startProfile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, pprof.StartCPUProfile(f)
}

// say prints one figure.
func say(name string, value float64) { fmt.Printf("bench %s %.4g\n", name, value) }

// write puts a configuration of a bench into dir, with DIR replaced.
func write(dir, name, text string) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600)
}
