package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"flexvpn/node"
)

func (a *app) checkCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "check -c FILE", Short: "Say everything that is wrong with a configuration",
		Long: `Read a configuration and everything it refers to, change nothing, and say all that is wrong with it:
one line each, with file, line, column and remedy. Exit code 0 means that a node would start with it.`,
		Example: `  flexvpn check -c /etc/flexvpn/hub.yaml`,
		Args:    arguments(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			if file == "" {
				return usagef("flexvpn check needs the configuration: -c FILE")
			}
			return runCheck(a.out, file, loadConfig)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file")
	return cmd
}

// loadConfig reads a configuration as a node does.
func loadConfig(file string) (string, error) {
	cfg, err := node.CheckConfig(file)
	if err != nil {
		return "", err
	}
	return cfg.Summary(), nil
}

func runCheck(w io.Writer, file string, load func(string) (string, error)) error {
	summary, err := load(file)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s: ok: %s\n", clean(file), summary)
	return err
}
