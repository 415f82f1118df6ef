package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

// showCryptoCommand is the tree of IOS spellings under show. Their text has the layout that an IOS
// engineer's eye and scripts expect; with --json they print the same views as the other commands.
func (a *app) showCryptoCommand() *cobra.Command {
	return under("crypto", "IOS spellings, in the layouts of IOS",
		a.iosCommand("session [detail]", "Sessions", "detail", "  flexvpn show crypto session detail", iosSessionPage),
		under("ikev2", "IKEv2",
			a.iosCommand("sa [detailed]", "IKE SAs", "detailed", "  flexvpn show crypto ikev2 sa detailed", iosSAPage),
			a.iosCommand("session [detailed]", "IKE SAs with their Child SAs", "detailed", "  flexvpn show crypto ikev2 session detailed", iosIKESessionPage),
			under("client", "Client mode", a.iosClientCommand()),
		),
	)
}

// iosCommand takes nothing, or one keyword that may be shortened.
func (a *app) iosCommand(use, short, keyword, example string, p func(detail bool) page) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: example, Args: arguments(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			detail := len(args) == 1
			if detail && !shortens(args[0], keyword) {
				return usagef("unknown word %q after %s: choose %s, or nothing", clean(args[0]), cmd.CommandPath(), keyword)
			}
			return a.show(cmd.Context(), p(detail))
		},
	}
}

// shortens reports whether word is keyword or a beginning of it.
func shortens(word, keyword string) bool { return word != "" && strings.HasPrefix(keyword, word) }

func (a *app) iosClientCommand() *cobra.Command {
	return &cobra.Command{
		Use: "flexvpn [NAME] [detail]", Short: "Client profiles",
		Example: "  flexvpn show crypto ikev2 client flexvpn\n  flexvpn show crypto ikev2 client flexvpn flex1 detail",
		Args:    arguments(0, 2, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 && !shortens(args[1], "detail") {
				return usagef("unknown word %q after %s: choose detail, or nothing", clean(args[1]), cmd.CommandPath())
			}
			return a.show(cmd.Context(), iosClientPage(args))
		},
	}
}

// iosSA is an IKE SA with what the detailed layouts tell of its session.
type iosSA struct {
	view.SA
	session *view.Session // nil in the short layouts, and when it has just ended
}

func iosSAs(detail bool) func(context.Context, *ops.Client) ([]iosSA, error) {
	return func(ctx context.Context, c *ops.Client) ([]iosSA, error) {
		list, err := c.SAs(ctx)
		if err != nil {
			return nil, err
		}
		out := make([]iosSA, len(list))
		for i, sa := range list {
			out[i] = iosSA{SA: sa}
			if detail {
				out[i].session = sessionIfThere(ctx, c, sa.Session)
			}
		}
		return out, ctx.Err()
	}
}

// sessionIfThere makes its texts safe: the pages do that for exported fields only.
func sessionIfThere(ctx context.Context, c *ops.Client, id string) *view.Session {
	s, err := c.Session(ctx, id)
	if err != nil {
		return nil
	}
	makeSafe(&s)
	return &s
}
