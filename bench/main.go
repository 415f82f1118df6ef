// Command bench prints the figures of the project's budgets, one line each: `bench NAME VALUE`. Every
// figure is a ratio or a count from this one run, so that a slow machine slows both sides of it; what
// is only reported depends on the machine. It needs root.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if role := os.Getenv(bgpSide); role != "" {
		if err := runSide(role, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
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
	for _, measure := range []func(context.Context, string, string) error{control, radiusAAA, dataPath, tunnel, failover, kernelPlane, speakers} {
		if err := measure(ctx, dir, binary); err != nil {
			return err
		}
	}
	return nil
}

// say prints one figure.
func say(name string, value float64) { fmt.Printf("bench %s %.4g\n", name, value) }

// write puts a configuration of a bench into dir, with DIR replaced.
func write(dir, name, text string) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600)
}
