package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"flexvpn/demo"
)

func (a *app) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "demo", Short: "Show a hub and two spokes at work on this machine",
		Long: `Build a hub, two spokes and a host behind each in network namespaces of their own, send traffic
through the tunnels, show what an operator looks at, break things and see them heal, and remove
everything. Needs root, iproute2, ping and curl. The exit code is 0 when every step did what it should.`,
		Example: "  flexvpn demo",
		Args:    arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			return demo.Run(cmd.Context(), a.out, self)
		},
	}
}
