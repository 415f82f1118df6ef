package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

func (a *app) showInterfacesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "interfaces", Short: "The virtual-access and tunnel interfaces",
		Example: `  flexvpn show interfaces
  flexvpn show interfaces --json`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.show(cmd.Context(), interfacesPage) },
	}
}

var interfacesPage = answer(func(ctx context.Context, c *ops.Client) ([]view.Interface, error) {
	return c.Interfaces(ctx)
}, printInterfaces)

func printInterfaces(w io.Writer, list []view.Interface, _ time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "No virtual-access or tunnel interfaces.")
		return err
	}
	t := newTable(w, "INTERFACE", "SESSION", "IDENTITY", "MODE", "MTU", "MSS", "ADDRESSES", "REMOTE", "PLANE", "IN", "OUT")
	for _, i := range list {
		mss := none
		if i.AdjustMSS > 0 {
			mss = fmt.Sprint(i.AdjustMSS)
		}
		t.row(i.Name, i.Session, i.Identity, i.Mode, fmt.Sprint(i.MTU), mss, prefixesText(i.Addresses), i.Remote, i.Plane,
			bytesText(i.InBytes), bytesText(i.OutBytes))
	}
	return t.done()
}
