package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

func (a *app) showSACommand() *cobra.Command {
	return &cobra.Command{
		Use: "sa", Short: "The IKE SAs and their Child SAs: algorithms, lifetimes, SPIs",
		Example: `  flexvpn show sa
  flexvpn show sa --json`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.show(cmd.Context(), saPage) },
	}
}

var saPage = asked((*ops.Client).SAs, printSAs)

func printSAs(w io.Writer, list []view.SA, now time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "No IKE SAs. Peers that were refused or lost: flexvpn show sessions --failed")
		return err
	}
	_, _ = fmt.Fprintln(w, "IKE SAs")
	t := newTable(indent(w), "SESSION", "STATE", "LOCAL", "REMOTE", "PEER", "ALGORITHMS", "AUTH", "AGE", "REKEY IN")
	for _, sa := range list {
		t.row(sa.Session, sa.State, sa.Local, sa.Remote, sa.RemoteID, ikeSuite(sa),
			sa.LocalAuth+"/"+sa.RemoteAuth, age(now, sa.Keyed), until(now, sa.RekeyAt))
	}
	if err := t.done(); err != nil {
		return err
	}
	return printChildren(w, list, now)
}

func printChildren(w io.Writer, list []view.SA, now time.Time) error {
	_, _ = fmt.Fprint(w, "\nChild SAs\n")
	t := newTable(indent(w), "SESSION", "SPI IN/OUT", "MODE", "ALGORITHMS", "LOCAL", "REMOTE", "AGE", "REKEY IN", "IN", "OUT")
	for _, sa := range list {
		for _, c := range sa.Children {
			t.row(sa.Session, c.SPIIn+"/"+c.SPIOut, c.Mode, childSuite(c), strings.Join(c.Local, ","), strings.Join(c.Remote, ","),
				age(now, c.Made), until(now, c.RekeyAt), bytesText(c.InBytes), bytesText(c.OutBytes))
		}
	}
	return t.done()
}

// ikeSuite names an IKE SA's algorithms: cipher, integrity where the cipher has none of its own, PRF,
// group.
func ikeSuite(sa view.SA) string {
	integrity := ""
	if sa.Integrity != "" {
		integrity = "hmac-" + sa.Integrity
	}
	return joined(" ", cipherText(sa.Encryption, sa.KeyBits), integrity, "prf-"+sa.PRF, sa.Group)
}

func childSuite(c view.Child) string {
	integrity := ""
	if c.Integrity != "" {
		integrity = "hmac-" + c.Integrity
	}
	return joined(" ", cipherText(c.Encryption, c.KeyBits), integrity, c.Group)
}
