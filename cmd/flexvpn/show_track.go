package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

func (a *app) showTrackCommand() *cobra.Command {
	return &cobra.Command{
		Use: "track [NUMBER | brief]", Short: "Tracked objects: their state, since when, why, and who waits for them",
		Example: `  flexvpn show track
  flexvpn show track 10
  flexvpn show track brief --watch`,
		Args: arguments(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && shortens(args[0], "brief") {
				return a.show(cmd.Context(), trackPage(0, printTracksBrief))
			}
			number := 0
			if len(args) == 1 {
				var err error
				if number, err = strconv.Atoi(args[0]); err != nil || number < 1 {
					return usagef("%s: %q is no number of a tracked object: choose one, or brief, or nothing", cmd.CommandPath(), clean(args[0]))
				}
			}
			return a.show(cmd.Context(), trackPage(number, printTracks))
		},
	}
}

// trackPage shows one object, or with number 0 all.
func trackPage(number int, text func(io.Writer, []view.Track, time.Time) error) page {
	return answer(func(ctx context.Context, c *ops.Client) ([]view.Track, error) {
		list, err := c.Tracks(ctx)
		if err != nil || number == 0 {
			return list, err
		}
		for _, t := range list {
			if t.Number == number {
				return []view.Track{t}, nil
			}
		}
		return nil, ops.NotFound(fmt.Sprintf("no tracked object %d", number), "flexvpn show track brief lists those there are")
	}, text)
}

// printTracks has the layout of IOS, and the reason besides.
func printTracks(w io.Writer, list []view.Track, now time.Time) error {
	var b strings.Builder
	if len(list) == 0 {
		b.WriteString("No objects are tracked.\n")
	}
	for _, t := range list {
		fmt.Fprintf(&b, "Track %d\n  %s\n  %s is %s (%s)\n", t.Number, t.Object, trackNoun(t.Kind), capital(t.State), t.Reason)
		if t.PendingAt != nil {
			fmt.Fprintf(&b, "    delayed %s, %s remaining\n", capital(t.Pending), until(now, *t.PendingAt))
		}
		noun := "changes"
		if t.Changes == 1 {
			noun = "change"
		}
		fmt.Fprintf(&b, "    %d %s, last change %s\n", t.Changes, noun, iosUptime(now.Sub(t.Since)))
		if t.DelayUp > 0 || t.DelayDown > 0 {
			fmt.Fprintf(&b, "  Delay up %g secs, down %g secs\n", t.DelayUp, t.DelayDown)
		}
		if len(t.UsedBy) > 0 {
			fmt.Fprintf(&b, "  Tracked by:\n    %s\n", strings.Join(t.UsedBy, "\n    "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func trackNoun(kind string) string {
	switch kind {
	case "line-protocol":
		return "Line protocol"
	case "ip-routing":
		return "IP routing"
	case "route":
		return "Reachability"
	case "list":
		return "List"
	}
	return "Probe"
}

func capital(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] }

func printTracksBrief(w io.Writer, list []view.Track, now time.Time) error {
	t := newTable(w, "TRACK", "OBJECT", "STATE", "LAST CHANGE", "USED BY", "REASON")
	for _, o := range list {
		t.row(fmt.Sprint(o.Number), o.Object, o.State, age(now, o.Since), strings.Join(o.UsedBy, ", "), o.Reason)
	}
	return t.done()
}
