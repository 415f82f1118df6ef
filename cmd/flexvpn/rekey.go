package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

func (a *app) rekeyCommand() *cobra.Command {
	return group("rekey", "Renew a session's keys now", `Renew the keys of one session now instead of at the end of their lifetime. Traffic goes on: the new
keys are in place before the old ones are given up.`,
		a.rekeyKind(view.RekeyIKE, "Renew the IKE SA's keys"), a.rekeyKind(view.RekeyChild, "Renew the Child SA's keys"))
}

func (a *app) rekeyKind(kind view.RekeyKind, short string) *cobra.Command {
	return &cobra.Command{
		Use: string(kind) + " ID", Short: short,
		Example: "  flexvpn rekey " + string(kind) + " spoke1.branch.example.net",
		Args:    arguments(1, 1, "a session's id, identity or interface"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.dial()
			defer c.Close()
			return runRekey(cmd.Context(), c, a.out, args[0], kind)
		},
	}
}

func runRekey(ctx context.Context, c *ops.Client, w io.Writer, id string, kind view.RekeyKind) error {
	if err := c.Rekey(ctx, id, kind); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "rekeying: flexvpn show session %s\n", clean(id))
	return err
}
