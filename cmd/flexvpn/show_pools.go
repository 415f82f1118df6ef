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

func (a *app) showPoolsCommand() *cobra.Command {
	var leases bool
	cmd := &cobra.Command{
		Use: "pools", Short: "The address pools and how full they are",
		Example: `  flexvpn show pools
  flexvpn show pools --leases`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.show(cmd.Context(), poolsPage(leases)) },
	}
	cmd.Flags().BoolVar(&leases, "leases", false, "with every address that was given, and to whom")
	return cmd
}

func poolsPage(leases bool) page {
	return answer(func(ctx context.Context, c *ops.Client) ([]view.Pool, error) { return c.Pools(ctx, leases) }, printPools)
}

func printPools(w io.Writer, list []view.Pool, now time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "No address pools are configured.")
		return err
	}
	t := newTable(w, "POOL", "RANGE", "SIZE", "USED", "REMEMBERED", "FREE")
	for _, p := range list {
		free := p.Size - min(p.Size, p.Used+p.Remembered)
		t.row(p.Name, p.Range, countText(p.Size), countText(p.Used), countText(p.Remembered), countText(free))
	}
	if err := t.done(); err != nil {
		return err
	}
	return printLeases(w, list, now)
}

func printLeases(w io.Writer, list []view.Pool, now time.Time) error {
	var t *table
	for _, p := range list {
		for _, l := range p.Leases {
			if t == nil {
				_, _ = fmt.Fprintln(w)
				t = newTable(w, "ADDRESS", "POOL", "IDENTITY", "STATE", "AGE")
			}
			state := "remembered"
			if l.Active {
				state = "in use"
			}
			t.row(l.Address.String(), p.Name, l.Identity, state, age(now, l.Since))
		}
	}
	if t == nil {
		return nil
	}
	return t.done()
}
