package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "The version of this command, and of the node that runs here",
		Example: "  flexvpn version",
		Args:    arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.dial()
			defer c.Close()
			return runVersion(cmd.Context(), c, a.out, version)
		},
	}
}

// runVersion tells of the running node too, because after an upgrade it may still be the old one. That
// none answers is no failure.
func runVersion(ctx context.Context, c *ops.Client, w io.Writer, own string) error {
	if _, err := fmt.Fprintf(w, "flexvpn %s (%s %s/%s)\n", own, runtime.Version(), runtime.GOOS, runtime.GOARCH); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	i, err := c.Info(ctx)
	if err != nil {
		return nil
	}
	makeSafe(&i)
	up := time.Duration(i.UptimeSeconds * float64(time.Second))
	_, err = fmt.Fprintf(w, "running: %s (%s), version %s, %s plane, process %d, up %s\n", i.Node, i.Role, i.Version, i.Plane, i.PID, durationText(up))
	return err
}
