package main

import (
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/node"
)

func (a *app) loadCommand() *cobra.Command {
	var opt node.LoadOptions
	cmd := &cobra.Command{
		Use: "load -c FILE", Short: "Set up many sessions against a hub and report",
		Long: `Run many initiators in this process against the first peer of a client profile, and print set-ups per
second, handshake times and failures by reason. Every session has its own identity, loadN. in front of
the profile's; with a certificate all share one, and the hub needs replace-session: never.
With dataplane: none in FILE no interfaces are made here; with userspace one for each session.
The exit code is 0 when every session was established and none was lost.`,
		Example: `  flexvpn load -c spoke.yaml -n 2000 --rate 200 --hold 1m`,
		Args:    arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opt.ConfigPath == "" {
				return usagef("flexvpn load needs the configuration of a spoke: -c FILE")
			}
			res, err := node.Load(cmd.Context(), a.err, opt)
			if err != nil {
				return err
			}
			if a.json {
				err = json.NewEncoder(a.out).Encode(res)
			} else {
				res.Print(a.out)
			}
			if err != nil {
				return err
			}
			return res.Check()
		},
	}
	f := cmd.Flags()
	f.StringVarP(&opt.ConfigPath, "config", "c", "", "configuration of a spoke")
	f.StringVar(&opt.Client, "client", "", "client profile to use, when there are several")
	f.IntVarP(&opt.Load.Sessions, "sessions", "n", 100, "sessions to set up")
	f.Float64Var(&opt.Load.Rate, "rate", 0, "handshakes begun a second (0: as fast as the window lets them)")
	f.IntVar(&opt.Load.Window, "window", 64, "handshakes under way at once")
	f.DurationVar(&opt.Load.Hold, "hold", 0, "how long the sessions stand before they are ended")
	f.DurationVar(&opt.Load.Report, "report", 2*time.Second, "time between lines of progress (0: none)")
	f.BoolVar(&a.json, "json", false, "print the result as JSON")
	return cmd
}
