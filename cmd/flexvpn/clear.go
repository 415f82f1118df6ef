package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"flexvpn/ops"
)

func (a *app) clearCommand() *cobra.Command {
	return group("clear", "End sessions: the peers are told and may connect again", "End sessions: the peers are told and may connect again.",
		a.clearSessionCommand(), a.clearClientCommand(), a.clearCryptoCommand(), a.clearBGPCommand())
}

func (a *app) clearSessionCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "session {ID | --all}", Aliases: []string{"sa"}, Short: "End one session or all of them",
		Long: `End one session, named by its id, its peer's identity or its interface, or all of them. Each peer is told;
interfaces, routes and SAs go.`,
		Example: `  flexvpn clear session h17
  flexvpn clear session spoke1.branch.example.net
  flexvpn clear session --all`,
		Args: arguments(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) == 1) {
				return usagef("%s needs either a session's ID or --all", cmd.CommandPath())
			}
			c := a.dial()
			defer c.Close()
			if all {
				return runClearAll(cmd.Context(), c, a.out)
			}
			return runClearSession(cmd.Context(), c, a.out, args[0])
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every session of this node")
	return cmd
}

func runClearSession(ctx context.Context, c *ops.Client, w io.Writer, id string) error {
	if err := c.ClearSession(ctx, id); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "session %s cleared\n", clean(id))
	return err
}

func runClearAll(ctx context.Context, c *ops.Client, w io.Writer) error {
	n, err := c.ClearAll(ctx)
	if err != nil {
		return err
	}
	noun := "sessions"
	if n == 1 {
		noun = "session"
	}
	_, err = fmt.Fprintf(w, "%d %s cleared\n", n, noun)
	return err
}

func (a *app) clearClientCommand() *cobra.Command {
	return &cobra.Command{
		Use: "client NAME", Short: "Take a client profile's tunnel down; with connect: auto it comes up again at once",
		Example: `  flexvpn clear client flex1`,
		Args:    arguments(1, 1, "the name of a client profile"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.dial()
			defer c.Close()
			return runClearClient(cmd.Context(), c, a.out, args[0])
		},
	}
}

// runClearClient clears one client profile; an empty name means all of them.
func runClearClient(ctx context.Context, c *ops.Client, w io.Writer, name string) error {
	if err := c.ClearClient(ctx, name); err != nil {
		return err
	}
	what := "all clients"
	if name != "" {
		what = "client " + clean(name)
	}
	_, err := fmt.Fprintf(w, "%s cleared\n", what)
	return err
}
