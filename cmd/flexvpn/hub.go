package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"flexvpn/node"
)

// runNode runs a node until its context ends; tests put another in its place.
var runNode = node.Run

func (a *app) hubCommand() *cobra.Command {
	return a.daemonCommand("hub", "Run a hub: answer spokes", `Run a hub: answer spokes until SIGTERM or Ctrl-C, then tell them and take everything down. A second
signal ends the process at once.

The log goes to standard error: text on a terminal, JSON otherwise.`, `  flexvpn check -c /etc/flexvpn/hub.yaml
  flexvpn hub -c /etc/flexvpn/hub.yaml`)
}

func (a *app) clientCommand() *cobra.Command {
	return a.daemonCommand("client", "Run a spoke: connect to hubs", `Run a spoke: connect the client profiles of the configuration until SIGTERM or Ctrl-C, then tell the
hubs and take everything down. A second signal ends the process at once.

The log goes to standard error: text on a terminal, JSON otherwise.`, `  flexvpn check -c /etc/flexvpn/spoke.yaml
  flexvpn client -c /etc/flexvpn/spoke.yaml`)
}

func (a *app) daemonCommand(role, short, long, example string) *cobra.Command {
	var opt node.Options
	var trace string
	cmd := &cobra.Command{
		Use: role + " -c FILE", Short: short, Long: long, Example: example,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opt.ConfigPath == "" {
				return usagef("flexvpn %s needs its configuration: -c FILE", role)
			}
			opt.Role, opt.LogTo, opt.Version = role, a.err, version
			return runTraced(cmd.Context(), opt, trace)
		},
	}
	cmd.Flags().StringVarP(&opt.ConfigPath, "config", "c", "", "configuration file")
	cmd.Flags().StringVar(&trace, "trace", "", "write every IKE message from the first on to this file, as debug ike --packet does; it grows")
	if role == "hub" {
		cmd.Flags().BoolVar(&opt.Keep, "keep", false, "leave interfaces, SAs and routes in the kernel on stop, and tell no spoke (dataplane kernel)")
	}
	return cmd
}

// runTraced runs a node whose messages go to a file as well, when one is named.
func runTraced(ctx context.Context, opt node.Options, path string) error {
	if path == "" {
		return runNode(ctx, opt)
	}
	t, err := openTrace(path)
	if err != nil {
		return err
	}
	opt.Trace = t.add
	err = runNode(ctx, opt)
	return errors.Join(err, t.close())
}
