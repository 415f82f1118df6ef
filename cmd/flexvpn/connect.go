package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"flexvpn/ops"
)

func (a *app) connectCommand() *cobra.Command {
	return &cobra.Command{
		Use: "connect CLIENT", Short: "Connect a client profile",
		Long: `Connect a client profile that has connect: manual, or that was disconnected.

Where the hub authenticates by EAP and user name or password are not in the profile, they are asked for on
the terminal: the user name only if the hub wants to know it, else the IKE identity is the user name. The
command then waits until the session is up. Otherwise it does not wait for the tunnel.`,
		Example: "  flexvpn connect flex1\n  flexvpn show client flex1 --watch",
		Args:    arguments(1, 1, "the name of a client profile"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.dial()
			defer c.Close()
			if t, ok := person(); ok {
				return runLogin(cmd.Context(), c, a.out, t, args[0])
			}
			return runConnect(cmd.Context(), c, a.out, args[0])
		},
	}
}

func runConnect(ctx context.Context, c *ops.Client, w io.Writer, name string) error {
	if err := c.Connect(ctx, name); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "client %s is connecting: flexvpn show client %s\n", clean(name), clean(name))
	return err
}

func (a *app) disconnectCommand() *cobra.Command {
	return &cobra.Command{
		Use: "disconnect CLIENT", Short: "Take a client profile's tunnel down until connect",
		Example: "  flexvpn disconnect flex1",
		Args:    arguments(1, 1, "the name of a client profile"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.dial()
			defer c.Close()
			return runDisconnect(cmd.Context(), c, a.out, args[0])
		},
	}
}

func runDisconnect(ctx context.Context, c *ops.Client, w io.Writer, name string) error {
	if err := c.Disconnect(ctx, name); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "client %s is disconnected until flexvpn connect %s\n", clean(name), clean(name))
	return err
}
