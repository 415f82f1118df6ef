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

func (a *app) debugIKECommand() *cobra.Command {
	var filter view.TraceFilter
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ike", Short: "IKE messages, sent and received",
		Long: `IKE messages, sent (->) and received (<-), one line each. Keys and credentials are never shown: --packet
tells what is in the payloads, --hex the datagram as it was on the wire.`,
		Example: `  flexvpn debug ike --peer spoke1
  flexvpn debug ike --peer 198.51.100.7 --packet --hex`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.dial()
			defer c.Close()
			started := func() { _, _ = fmt.Fprintln(a.err, "waiting for IKE messages; Ctrl-C ends") }
			return runDebugIKE(cmd.Context(), c, a.out, filter, asJSON, started)
		},
	}
	cmd.Flags().StringVar(&filter.Peer, "peer", "", "only peers with this in their identity or address")
	cmd.Flags().BoolVar(&filter.Packet, "packet", false, "with one line per payload")
	cmd.Flags().BoolVar(&filter.Hex, "hex", false, "with the datagram's octets")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object per line")
	return cmd
}

func runDebugIKE(ctx context.Context, c *ops.Client, w io.Writer, filter view.TraceFilter, asJSON bool, started func()) error {
	return c.Trace(ctx, filter, started, func(l view.TraceLine) error {
		if asJSON {
			return printJSONLine(w, l)
		}
		makeSafe(&l)
		return printTrace(w, l)
	})
}

func printTrace(w io.Writer, l view.TraceLine) error {
	var b strings.Builder
	if l.Lost > 0 {
		fmt.Fprintf(&b, "(%d messages are missing here: they came faster than they were read)\n", l.Lost)
	}
	arrow := "<-"
	if l.Sent {
		arrow = "->"
	}
	fmt.Fprintf(&b, "%s %s\n", l.Time.Local().Format("15:04:05.000"), joined(" ", arrow, l.Remote, l.Identity, l.Message))
	if len(l.Text) > 0 {
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
