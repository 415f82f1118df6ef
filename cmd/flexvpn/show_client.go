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
	t.row("Peer", joined(", ", c.Peer, fmt.Sprintf("attempt %d", c.Attempt)))
	if c.NextTry != nil {
		t.row("Next try", "in "+until(now, *c.NextTry))
	}
	if c.LastError != "" {
		t.row("Last error", c.LastError)
	}
	t.row("Source", c.Source)
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

func printPeers(w io.Writer, list []view.ClientPeer) error {
	_, _ = fmt.Fprint(w, "\nPeers\n")
	t := newTable(indent(w), "SEQUENCE", "PEER", "CURRENT", "FAILURES")
	for _, p := range list {
		t.row(fmt.Sprint(p.Sequence), p.Peer, yesNo(p.Current), fmt.Sprint(p.Failures))
	}
	return t.done()
}
