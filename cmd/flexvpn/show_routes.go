package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

func (a *app) showRoutesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "routes", Short: "The best way to each prefix, and why the others lost",
		Example: `  flexvpn show routes
  flexvpn show routes --json`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.show(cmd.Context(), routesPage) },
	}
}

var routesPage = asked((*ops.Client).Routes, printRoutes)

func printRoutes(w io.Writer, list []view.Route, now time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "No routes are known.")
		return err
	}
	t := newTable(w, "PREFIX", "NEXT HOP", "FROM", "DISTANCE", "SESSION", "IDENTITY", "AGE", "NOTE")
	for _, r := range list {
		t.row(inVRF(r.Prefix.String(), r.VRF), strings.Join(r.NextHops, ", "), r.Source, fmt.Sprint(r.Distance), r.Session, r.Identity, age(now, r.Since), r.Problem)
		for _, o := range r.Others {
			t.row("  not", strings.Join(o.NextHops, ", "), o.Source, fmt.Sprint(o.Distance), o.Session, o.Identity, age(now, o.Since), o.Why)
		}
	}
	return t.done()
}

// inVRF marks what is in a VRF.
func inVRF(text, vrf string) string {
	if vrf == "" {
		return text
	}
	return text + " vrf " + vrf
}
