package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

// showAccessListsCommand is spelled as on IOS, and laid out likewise.
func (a *app) showAccessListsCommand() *cobra.Command {
	return a.plain("access-lists", "Access lists, and how many packets each entry decided over", "  flexvpn show access-lists",
		asked((*ops.Client).AccessLists, printAccessLists))
}

func printAccessLists(w io.Writer, all []view.AccessList, _ time.Time) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "No access lists.")
		return err
	}
	for _, l := range all {
		_, _ = fmt.Fprintf(w, "Extended access list %s\n", l.Name)
		for i, e := range l.Entries {
			_, _ = fmt.Fprintf(w, "    %d %s (%s)\n", 10*(i+1), e.Text, counted(e.Matches, "match", "matches"))
		}
		if _, err := fmt.Fprintf(w, "    the rest is denied (%s)\n", counted(l.Unmatched, "match", "matches")); err != nil {
			return err
		}
	}
	return nil
}

func counted(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
