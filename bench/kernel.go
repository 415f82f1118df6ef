package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// kernelPlane measures what a spoke costs in the kernel: in the virtual machine, because this machine's
// own kernel may lack what it takes. A test prints the figures there. The machine has two processors, as any
// that would run this: tests have one, which is cheaper to emulate.
func kernelPlane(ctx context.Context, _, _ string) error {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-timeout", "15m", "-exec", filepath.Join(here, "deploy/vm/exec.sh"), "-run", "^TestFigures$", "./dataplane/kernel")
	cmd.Env = append(os.Environ(), "FLEXVPN_FIGURES=1", "VMMEM=2048", "VMSMP=2", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("figures of the kernel's data plane: %w\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "bench ") {
			fmt.Print(line)
		}
	}
	return nil
}
