package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

// cryptoCommand and clearCryptoCommand are the IOS spellings of verbs that have names of their own
// here; those of show are in show_crypto.go.
func (a *app) cryptoCommand() *cobra.Command {
	connect, disconnect := a.connectCommand(), a.disconnectCommand()
	connect.Use, disconnect.Use = "connect NAME", "disconnect NAME"
	connect.Example = "  flexvpn crypto ikev2 client flexvpn connect flex1"
	disconnect.Example = "  flexvpn crypto ikev2 client flexvpn disconnect flex1"
	return under("crypto", "IOS spellings of connect and disconnect",
		under("ikev2", "IKEv2", under("client", "Client mode", under("flexvpn", "Client profiles", connect, disconnect))))
}

func (a *app) clearCryptoCommand() *cobra.Command {
	all := func(use, short, example string) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Example: example, Args: arguments(0, 0, ""),
			RunE: func(cmd *cobra.Command, _ []string) error {
				c := a.dial()
				defer c.Close()
				return runClearAll(cmd.Context(), c, a.out)
			},
		}
	}
	client := &cobra.Command{
		Use: "flexvpn [NAME]", Short: "Clear one client profile, or all of them",
		Example: "  flexvpn clear crypto ikev2 client flexvpn flex1",
		Args:    arguments(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.dial()
			defer c.Close()
			return runClearClient(cmd.Context(), c, a.out, append(args, "")[0])
		},
	}
	return under("crypto", "IOS spellings",
		all("session", "End every session", "  flexvpn clear crypto session"),
		under("ikev2", "IKEv2",
			a.clearSACommand(),
			under("client", "Client mode", client)))
}

// clearSACommand ends every session, or those with one remote address.
func (a *app) clearSACommand() *cobra.Command {
	return &cobra.Command{
		Use: "sa [remote ADDRESS]", Short: "End every session, or those with a peer",
		Example: "  flexvpn clear crypto ikev2 sa\n  flexvpn clear crypto ikev2 sa remote 203.0.113.1",
		Args:    arguments(0, 2, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.dial()
			defer c.Close()
			if len(args) == 0 {
				return runClearAll(cmd.Context(), c, a.out)
			}
			if !shortens(args[0], "remote") || len(args) == 1 {
				return usagef("%s takes nothing, or remote and an address", cmd.CommandPath())
			}
			remote, err := netip.ParseAddr(args[1])
			if err != nil {
				return usagef("%s: %q is no IP address", cmd.CommandPath(), clean(args[1]))
			}
			return runClearRemote(cmd.Context(), c, a.out, remote.Unmap())
		},
	}
}

// runClearRemote ends the sessions whose peer is at an address.
func runClearRemote(ctx context.Context, c *ops.Client, w io.Writer, remote netip.Addr) error {
	list, err := c.Sessions(ctx, view.SessionFilter{})
	if err != nil {
		return err
	}
	cleared := 0
	for _, s := range list {
		if at, err := netip.ParseAddrPort(s.Remote); err != nil || at.Addr().Unmap() != remote {
			continue
		}
		if err := c.ClearSession(ctx, s.ID); err != nil {
			return err
		}
		cleared++
	}
	if cleared == 0 {
		return ops.NotFound("no session with "+remote.String(), "flexvpn show sessions lists those that stand")
	}
	noun := "sessions"
	if cleared == 1 {
		noun = "session"
	}
	_, err = fmt.Fprintf(w, "%d %s with %s cleared\n", cleared, noun, remote)
	return err
}

// under is a group whose long help says no more than its short one.
func under(use, short string, words ...*cobra.Command) *cobra.Command {
	return group(use, short, short+".", words...)
}
