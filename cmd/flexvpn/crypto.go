package main

import "github.com/spf13/cobra"

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
			all("sa", "End every session", "  flexvpn clear crypto ikev2 sa"),
			under("client", "Client mode", client)))
}

// under is a group whose long help says no more than its short one.
func under(use, short string, words ...*cobra.Command) *cobra.Command {
	return group(use, short, short+".", words...)
}
