package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

func (a *app) debugCommand() *cobra.Command {
	return group("debug", "Follow what a running node does, message by message", "Follow what a running node does, message by message, until Ctrl-C.", a.debugIKECommand(), a.debugRadiusCommand(), a.debugDNSCommand(), a.debugDHCPCommand(), a.debugIPCommand(), a.debugClientCommand(), a.debugCryptoCommand())
}

// A debugged is a kind of packet that can be followed.
type debugged struct {
	topic                 view.Topic // empty: IKE
	use, noun             string
	short, long, examples string
	peer, packet          string // what these flags do
}

// debugPacketsCommand follows packets of one kind; what it asks for may be given more flags.
func (a *app) debugPacketsCommand(d debugged) (*cobra.Command, *view.TraceFilter) {
	filter := view.TraceFilter{Topic: d.topic}
	var asJSON bool
	cmd := &cobra.Command{
		Use: d.use, Short: d.short, Long: d.long, Example: d.examples,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.dial()
			defer c.Close()
			started := func() { _, _ = fmt.Fprintf(a.err, "waiting for %s; Ctrl-C ends\n", d.noun) }
			return runDebug(cmd.Context(), c, a.out, filter, asJSON, started, printTrace)
		},
	}
	cmd.Flags().StringVar(&filter.Peer, "peer", "", d.peer)
	cmd.Flags().BoolVar(&filter.Packet, "packet", false, d.packet)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object per line")
	return cmd, &filter
}

func (a *app) debugIKECommand() *cobra.Command {
	cmd, filter := a.debugPacketsCommand(debugged{
		use: "ike", noun: "IKE messages", short: "IKE messages, sent and received",
		long: `IKE messages, sent (->) and received (<-), one line each. Keys and credentials are never shown: --packet
tells what is in the payloads, --hex the datagram as it was on the wire.`,
		examples: `  flexvpn debug ike --peer spoke1
  flexvpn debug ike --peer 198.51.100.7 --packet --hex`,
		peer: "only peers with this in their identity or address", packet: "with one line per payload",
	})
	cmd.Flags().BoolVar(&filter.Hex, "hex", false, "with the datagram's octets")
	return cmd
}

func (a *app) debugRadiusCommand() *cobra.Command {
	cmd, _ := a.debugPacketsCommand(debugged{
		topic: view.TopicRadius, use: "radius", noun: "RADIUS packets", short: "RADIUS packets, sent and received",
		long: `RADIUS packets, sent (->) and received (<-), one line each; with --packet every attribute. Passwords and keys
are never shown.`,
		examples: `  flexvpn debug radius --peer spoke1
  flexvpn debug radius --packet`,
		peer: "only packets with this in the user's name or the server's address", packet: "with one line per attribute",
	})
	return cmd
}

// runDebug prints what a node traces, until ctx ends.
func runDebug(ctx context.Context, c *ops.Client, w io.Writer, filter view.TraceFilter, asJSON bool, started func(), print func(io.Writer, view.TraceLine) error) error {
	return c.Trace(ctx, filter, started, func(l view.TraceLine) error {
		if asJSON {
			return printJSONLine(w, l)
		}
		makeSafe(&l)
		return printLost(w, l, print)
	})
}

// printLost prints a line, and before it how many nobody read in time.
func printLost(w io.Writer, l view.TraceLine, print func(io.Writer, view.TraceLine) error) error {
	if l.Lost > 0 {
		_, _ = fmt.Fprintf(w, "(%d messages are missing here: they came faster than they were read)\n", l.Lost)
	}
	return print(w, l)
}

func printTrace(w io.Writer, l view.TraceLine) error {
	var b strings.Builder
	arrow := "<-"
	if l.Sent {
		arrow = "->"
	}
	fmt.Fprintf(&b, "%s %s\n", l.Time.Local().Format("15:04:05.000"), joined(" ", arrow, l.Remote, l.Identity, l.Message))
	if len(l.Text) > 0 && l.SPIi != "" {
		fmt.Fprintf(&b, "    SPIs %s/%s, on %s\n", l.SPIi, l.SPIr, l.Local)
	}
	for _, t := range l.Text {
		fmt.Fprintf(&b, "    %s\n", t)
	}
	if octets, err := hex.DecodeString(l.Hex); err == nil && len(octets) > 0 {
		for dumped := range strings.Lines(hex.Dump(octets)) {
			b.WriteString("    " + dumped)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
