package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

func (a *app) showNATCommand() *cobra.Command {
	return a.plain("nat", "Address translation for the hosts behind a spoke: rules and connections", "  flexvpn show nat", asked((*ops.Client).NAT, printNAT))
}

func printNAT(w io.Writer, v view.NAT, _ time.Time) error {
	if len(v.Rules) == 0 {
		_, err := fmt.Fprintln(w, "No NAT is configured.")
		return err
	}
	t := newTable(w, "INSIDE", "SOURCE", "OUTSIDE", "ADDRESSES", "TRANSLATED SO FAR", "PROBLEM")
	for _, r := range v.Rules {
		t.row(strings.Join(r.Inside, " "), sourceText(r.Source), r.Outside, addressesText(r.Addresses), countText(r.Translations), r.Error)
	}
	if err := t.done(); err != nil || len(v.Translations) == 0 {
		return err
	}
	_, _ = fmt.Fprintln(w)
	t = newTable(w, "PROTOCOL", "HOST", "TRANSLATED TO", "PEER", "OUTSIDE", "EXPIRES")
	for _, c := range v.Translations {
		t.row(c.Protocol, c.InsideLocal.String(), c.InsideGlobal.String(), c.OutsideGlobal.String(), c.Outside, "in "+durationText(time.Duration(c.Timeout*float64(time.Second))))
	}
	if err := t.done(); err != nil || !v.Truncated {
		return err
	}
	_, err := fmt.Fprintln(w, "There are more.")
	return err
}

func sourceText(list []netip.Prefix) string {
	if len(list) == 0 {
		return "all"
	}
	return prefixesText(list)
}

// iosTranslations is show ip nat translations.
func iosTranslations(w io.Writer, v view.NAT, _ time.Time) error {
	const line = "%-4s %-21s %-21s %-21s %s\n"
	_, err := fmt.Fprintf(w, line, "Pro", "Inside global", "Inside local", "Outside local", "Outside global")
	for _, c := range v.Translations {
		_, err = fmt.Fprintf(w, line, c.Protocol, c.InsideGlobal, c.InsideLocal, c.OutsideLocal, c.OutsideGlobal)
	}
	return err
}
