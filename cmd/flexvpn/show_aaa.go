package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

func (a *app) showAAACommand() *cobra.Command {
	return under("aaa", "RADIUS servers, and what they say",
		a.plain("servers", "The servers, whether they answer, and what waits for them", "  flexvpn show aaa servers\n  flexvpn show aaa servers --watch", aaaPage),
		a.showAAAAttributesCommand(),
	)
}

func (a *app) showAAAAttributesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "attributes IDENTITY", Short: "What a peer would get, asked from the servers now",
		Long: `Asks the servers for group and user of a peer that claims an identity (a name, an address, a mail address),
merges what they say as for a session, and shows it. Nothing is given to anybody.`,
		Example: "  flexvpn show aaa attributes spoke1.branch.example.net",
		Args:    arguments(1, 1, "the peer's identity"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.show(cmd.Context(), answer(func(ctx context.Context, c *ops.Client) (view.AAAAttributes, error) {
				return c.AAAAttributes(ctx, args[0])
			}, printAAAAttributes))
		},
	}
}

var aaaPage = asked((*ops.Client).AAA, printAAA)

func printAAA(w io.Writer, v view.AAA, now time.Time) error {
	if len(v.Servers) == 0 {
		_, err := fmt.Fprintln(w, "No AAA servers are configured.")
		return err
	}
	t := newTable(w, "SERVER", "PORT", "ADDRESS", "STATE", "FOR", "IN FLIGHT", "SENT", "REPEATED", "TIMEOUTS", "ACCEPTS", "REJECTS", "CHALLENGES", "RESPONSES", "DROPPED", "UNUSABLE", "MEAN")
	for _, s := range v.Servers {
		t.row(s.Name, s.Port, s.Transport+" "+s.Address, s.State, age(now, s.Since), fmt.Sprint(s.InFlight), fmt.Sprint(s.Requests), fmt.Sprint(s.Retransmissions),
			fmt.Sprint(s.Timeouts), fmt.Sprint(s.Accepts), fmt.Sprint(s.Rejects), fmt.Sprint(s.Challenges), fmt.Sprint(s.Responses), droppedText(s.Dropped), droppedText(s.Unusable), meanText(s.Latency))
	}
	if err := t.done(); err != nil {
		return err
	}
	for _, s := range v.Servers {
		if s.LastError != "" {
			_, _ = fmt.Fprintf(w, "%s (%s) is dead: %s\n", s.Name, s.Port, s.LastError)
		}
	}
	_, err := fmt.Fprintf(w, "\nAccounting: %d records wait for a server, %d were dropped.\n", v.Waiting, v.Dropped)
	if len(v.Orders) > 0 {
		_, err = fmt.Fprintf(w, "Disconnect and CoA: %s.\n", droppedText(v.Orders))
	}
	return err
}

// droppedText is what is not zero of counters by reason.
func droppedText(by map[string]uint64) string {
	var words []string
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		if by[reason] > 0 {
			words = append(words, fmt.Sprintf("%s %d", reason, by[reason]))
		}
	}
	if len(words) == 0 {
		return none
	}
	return strings.Join(words, ", ")
}

func printAAAAttributes(w io.Writer, v view.AAAAttributes, _ time.Time) error {
	_, _ = fmt.Fprintf(w, "%s, by profile %s:\n", v.Identity, v.Profile)
	if len(v.Attributes) == 0 {
		_, err := fmt.Fprintln(w, "  nothing")
		return err
	}
	t := newTable(w, "ATTRIBUTE", "VALUE", "FROM")
	for _, a := range v.Attributes {
		t.row(a.Name, a.Value, a.Origin)
	}
	return t.done()
}
