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

func (a *app) showSessionsCommand() *cobra.Command {
	var filter view.SessionFilter
	var failed bool
	cmd := &cobra.Command{
		Use: "sessions", Short: "One line for each session, or for each peer that was refused or lost",
		Example: `  flexvpn show sessions
  flexvpn show sessions --peer branch.example.net --json
  flexvpn show sessions --failed`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkRole(filter.Role); err != nil {
				return err
			}
			if failed {
				return a.show(cmd.Context(), failedPage(filter.Peer))
			}
			return a.show(cmd.Context(), sessionsPage(filter))
		},
	}
	cmd.Flags().StringVar(&filter.Peer, "peer", "", "only peers with this in their identity or address")
	cmd.Flags().StringVar(&filter.Role, "role", "", "only sessions in which this node is hub or client")
	cmd.Flags().BoolVar(&failed, "failed", false, "peers that were refused or lost, and why, newest first")
	cmd.MarkFlagsMutuallyExclusive("failed", "role")
	return cmd
}

func checkRole(role string) error {
	switch role {
	case "", "hub", "client":
		return nil
	}
	return usagef("--role %q: choose hub or client", clean(role))
}

func sessionsPage(filter view.SessionFilter) page {
	return answer(func(ctx context.Context, c *ops.Client) ([]view.Session, error) {
		return c.Sessions(ctx, filter)
	}, printSessions)
}

func printSessions(w io.Writer, list []view.Session, now time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "No sessions. Peers that were refused or lost: flexvpn show sessions --failed")
		return err
	}
	t := newTable(w, "ID", "IDENTITY", "STATE", "REMOTE", "INTERFACE", "MODE", "ADDRESS", "UP", "IN", "OUT")
	for _, s := range list {
		t.row(s.ID, s.Identity, s.State, s.Remote, s.Interface, s.Mode, addressesText(s.Addresses),
			age(now, s.Since), bytesText(s.InBytes), bytesText(s.OutBytes))
	}
	return t.done()
}

func failedPage(peer string) page {
	return answer(func(ctx context.Context, c *ops.Client) ([]view.Failed, error) {
		list, err := c.Failed(ctx)
		return failedOf(list, func(f view.Failed) bool { return ops.MatchesPeer(peer, f.Identity, f.Remote) }), err
	}, printFailed)
}

func failedOf(list []view.Failed, wanted func(view.Failed) bool) []view.Failed {
	out := []view.Failed{}
	for _, f := range list {
		if wanted(f) {
			out = append(out, f)
		}
	}
	return out
}

func printFailed(w io.Writer, list []view.Failed, now time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "No peer was refused or lost since the start.")
		return err
	}
	t := newTable(w, "TIME", "AGO", "IDENTITY", "REMOTE", "STAGE", "REASON", "DETAIL")
	for _, f := range list {
		t.row(clock(f.Time), age(now, f.Time), f.Identity, f.Remote, f.Stage, f.Reason, f.Detail)
	}
	return t.done()
}
