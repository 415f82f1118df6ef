package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"flexvpn/ops/view"
)

// debugTopicCommand follows a topic that tells lines of words about a host or profile; like is one of them.
func (a *app) debugTopicCommand(topic view.Topic, short, long, peer, like string) *cobra.Command {
	filter := view.TraceFilter{Topic: topic}
	var asJSON bool
	cmd := &cobra.Command{
		Use: string(topic), Short: short, Long: long,
		Example: fmt.Sprintf("  flexvpn debug %s --peer %s", topic, like),
		Args:    arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.dial()
			defer c.Close()
			started := func() { _, _ = fmt.Fprintf(a.err, "waiting for %s; Ctrl-C ends\n", topic) }
			return runDebug(cmd.Context(), c, a.out, filter, asJSON, started, printTopic)
		},
	}
	cmd.Flags().StringVar(&filter.Peer, "peer", "", peer)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object per line")
	return cmd
}

func (a *app) debugDNSCommand() *cobra.Command {
	return a.debugTopicCommand(view.TopicDNS, "Name queries of hosts behind a spoke",
		"Name queries of hosts behind a spoke, one line each: who asked for what, which way it went, what came back. Views\nof clients that come and go are told, too.",
		"only hosts with this in their address, or clients with this in their name", "172.16.1.10")
}

// debugIPCommand is the tree of IOS spellings; what IOS tells in two streams is one here.
func (a *app) debugIPCommand() *cobra.Command {
	spelled := func(use, example string, cmd *cobra.Command) *cobra.Command {
		cmd.Use, cmd.Example = use, example
		return cmd
	}
	return under("ip", "IOS spellings",
		under("dns", "Names", spelled("name-list", "  flexvpn debug ip dns name-list", a.debugDNSCommand()), spelled("view", "  flexvpn debug ip dns view", a.debugDNSCommand())),
		under("dhcp", "DHCP", spelled("server", "  flexvpn debug ip dhcp server", a.debugDHCPCommand())))
}

func (a *app) debugDHCPCommand() *cobra.Command {
	return a.debugTopicCommand(view.TopicDHCP, "DHCP messages of hosts behind a spoke",
		"DHCP messages of hosts behind a spoke, one line each: who asked for what, and what was answered.", "only hosts with this in their hardware address", "52:54:00")
}

func printTopic(w io.Writer, l view.TraceLine) error {
	_, err := fmt.Fprintf(w, "%s %s %s\n", l.Time.Local().Format("15:04:05.000"), l.Remote, l.Message)
	return err
}
