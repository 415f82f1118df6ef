package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"flexvpn/ops/view"
)

func (a *app) debugClientCommand() *cobra.Command {
	return a.debugTopicCommand(view.TopicClient, "What client profiles decide",
		"What client profiles decide, one line each: states and why they change, peers that are skipped, attempts at\nbetter peers, changes of source.",
		"only profiles with this in their name", "flex1")
}

// debugCryptoCommand is the tree of IOS spellings.
func (a *app) debugCryptoCommand() *cobra.Command {
	client := a.debugClientCommand()
	client.Use, client.Example = "flexvpn", "  flexvpn debug crypto ikev2 client flexvpn"
	ike := under("ikev2", "IKE messages and client profiles", a.debugPacketCommand(), under("client", "Client mode", client))
	plain := a.debugIKECommand()
	ike.Use, ike.Example = "ikev2", "  flexvpn debug crypto ikev2\n  flexvpn debug crypto ikev2 packet hexdump --peer 203.0.113.1"
	ike.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownWord(cmd, args[0])
		}
		return plain.RunE(cmd, nil)
	}
	return under("crypto", "IOS spellings", ike)
}

// debugPacketCommand is debug crypto ikev2 packet [hexdump].
func (a *app) debugPacketCommand() *cobra.Command {
	filter := view.TraceFilter{Packet: true}
	cmd := &cobra.Command{
		Use: "packet [hexdump]", Short: "IKE messages with their payloads, or with their octets, too",
		Example: "  flexvpn debug crypto ikev2 packet hexdump",
		Args:    arguments(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && !shortens(args[0], "hexdump") {
				return usagef("unknown word %q after %s: choose hexdump, or nothing", clean(args[0]), cmd.CommandPath())
			}
			filter.Hex = len(args) == 1
			c := a.dial()
			defer c.Close()
			started := func() { _, _ = fmt.Fprintln(a.err, "waiting for IKE messages; Ctrl-C ends") }
			return runDebug(cmd.Context(), c, a.out, filter, false, started, printTrace)
		},
	}
	cmd.Flags().StringVar(&filter.Peer, "peer", "", "only peers with this in their identity or address")
	return cmd
}
