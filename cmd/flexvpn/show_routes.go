package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

func (a *app) showRoutesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "routes", Short: "The routes this node installed, and whose they are",
		Example: `  flexvpn show routes
  flexvpn show routes --json`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.show(cmd.Context(), routesPage) },
	}
}

var routesPage = answer(func(ctx context.Context, c *ops.Client) ([]view.Route, error) { return c.Routes(ctx) }, printRoutes)

func printRoutes(w io.Writer, list []view.Route, now time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "No routes are installed.")
		return err
	}
	t := newTable(w, "PREFIX", "INTERFACE", "FROM", "DISTANCE", "SESSION", "IDENTITY", "AGE")
	for _, r := range list {
		t.row(r.Prefix.String(), r.Interface, r.Source, fmt.Sprint(r.Distance), r.Session, r.Identity, age(now, r.Since))
	}
	return t.done()
}
