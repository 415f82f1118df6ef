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

func (a *app) showClientCommand() *cobra.Command {
	return &cobra.Command{
		Use: "client [NAME]", Short: "The client profiles: which hub, since when, what went wrong, what the hub gave",
		Example: `  flexvpn show client
  flexvpn show client flex1 --watch`,
		Args: arguments(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error { return a.show(cmd.Context(), clientPage(args)) },
	}
}

func clientPage(names []string) page {
	return answer(func(ctx context.Context, c *ops.Client) ([]view.Client, error) {
		list, err := c.Clients(ctx)
		if err != nil || len(names) == 0 {
			return list, err
		}
		return clientNamed(list, names[0])
	}, printClients)
}

func clientNamed(list []view.Client, name string) ([]view.Client, error) {
	for _, c := range list {
		if c.Name == name {
			return []view.Client{c}, nil
		}
	}
	return nil, ops.NotFound("no client profile "+name, "flexvpn show client lists those there are")
}

func printClients(w io.Writer, list []view.Client, now time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "No client profiles are configured.")
		return err
	}
	for i, c := range list {
		if i > 0 {
			_, _ = fmt.Fprintln(w)
		}
		if err := printClient(w, c, now); err != nil {
			return err
		}
	}
	return nil
}

func printClient(w io.Writer, c view.Client, now time.Time) error {
	_, _ = fmt.Fprintf(w, "Client %s: %s for %s\n", c.Name, c.State, age(now, c.Since))
	t := newTable(indent(w))
	t.row("Peer", joined(", ", c.Peer, attemptText(c.Attempt)))
	if c.Why != "" && c.Why != c.LastError {
		t.row("Waits for", c.Why)
	}
	if c.NextTry != nil {
		t.row("Next try", "in "+until(now, *c.NextTry))
	}
	if c.LastError != "" {
		t.row("Last error", c.LastError)
	}
	t.row("Source", joined(" ", c.Source, c.SourceInterface))
	t.row("Connect", joined(", ", c.Connect, groupText(c.BackupGroup), reactivateText(c.Reactivate)))
	t.row("Tunnel", c.Tunnel)
	t.row("Addresses", addressesText(c.Addresses))
	t.row("Session", c.Session)
	if err := t.done(); err != nil {
		return err
	}
	if err := printPeers(w, c.Peers); err != nil {
		return err
	}
	return printAttributes(w, "Given by the hub", c.Pushed)
}

func attemptText(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("attempt %d", n)
}

func groupText(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("backup group %d", n)
}

func reactivateText(on bool) string {
	if on {
		return "reactivate"
	}
	return ""
}

// printPeers is the whole list in the order of preference. A gateway that a hub pushed stands behind
// the peer that pushed it.
func printPeers(w io.Writer, list []view.ClientPeer) error {
	_, _ = fmt.Fprint(w, "\nPeers\n")
	t := newTable(indent(w), "SEQUENCE", "PEER", "PUSHED BY", "TRACK", "CURRENT", "FAILURES", "STATE")
	for _, p := range list {
		t.row(fmt.Sprint(p.Sequence), joined(" ", p.Peer, addressesOf(p)), p.PushedBy, p.Track, yesNo(p.Current), fmt.Sprint(p.Failures), peerState(p))
	}
	return t.done()
}

func addressesOf(p view.ClientPeer) string {
	if len(p.Addresses) == 0 {
		return ""
	}
	return "(" + addressesText(p.Addresses) + ")"
}

func peerState(p view.ClientPeer) string {
	switch {
	case !p.Available && p.Unavailable != "":
		return p.Unavailable
	case p.LastError != "":
		return "last: " + p.LastError
	}
	return "available"
}
