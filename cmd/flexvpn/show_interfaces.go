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
	if err := t.done(); err != nil {
		return err
	}
	return printAttached(w, list)
}

// printAttached shows what is attached to those interfaces that have anything, with what it cost them.
func printAttached(w io.Writer, list []view.Interface) error {
	t := newTable(w, "INTERFACE", "VRF", "FRONT VRF", "LIST IN", "DENIED", "LIST OUT", "DENIED", "POLICE", "DROPPED", "SHAPE", "DROPPED")
	some := false
	for _, i := range list {
		lists := i.AccessGroupIn != "" || i.AccessGroupOut != ""
		if i.VRF == "" && i.FrontVRF == "" && !lists && i.PoliceBPS == 0 && i.ShapeBPS == 0 {
			continue
		}
		some = true
		cells := []string{i.Name, orNone(i.VRF), orNone(i.FrontVRF)}
		for _, x := range []struct {
			what string
			lost uint64
		}{{i.AccessGroupIn, i.DeniedIn}, {i.AccessGroupOut, i.DeniedOut}, {rateText(i.PoliceBPS), i.PolicedPackets}, {rateText(i.ShapeBPS), i.ShapedPackets}} {
			if x.what == "" {
				cells = append(cells, none, none)
				continue
			}
			cells = append(cells, x.what, fmt.Sprint(x.lost))
		}
		t.row(cells...)
	}
	if !some {
		return nil
	}
	_, _ = fmt.Fprintln(w)
	return t.done()
}

func orNone(s string) string {
	if s == "" {
		return none
	}
	return s
}

// rateText is a rate as the configuration has it.
func rateText(bits uint64) string {
	switch {
	case bits == 0:
		return ""
	case bits%1e9 == 0:
		return fmt.Sprintf("%dg", bits/1e9)
	case bits%1e6 == 0:
		return fmt.Sprintf("%dm", bits/1e6)
	case bits%1e3 == 0:
		return fmt.Sprintf("%dk", bits/1e3)
	}
	return fmt.Sprint(bits)
}
