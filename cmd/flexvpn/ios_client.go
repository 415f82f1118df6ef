package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

// iosClientPage is show crypto ikev2 client flexvpn [NAME] [detail]. A single word is a name if there
// is a profile of that name, else it may be the keyword.
func iosClientPage(words []string) page {
	return func(ctx context.Context, c *ops.Client, w io.Writer, s style) error {
		list, err := c.Clients(ctx)
		if err != nil {
			return err
		}
		list, detail, err := iosChosen(list, words)
		if err != nil {
			return err
		}
		if s.json {
			return printJSON(w, list)
		}
		makeSafe(&list)
		var b strings.Builder
		for _, one := range list {
			iosClientBlock(&b, one, detail)
		}
		_, err = io.WriteString(w, b.String())
		return err
	}
}

func iosChosen(list []view.Client, words []string) (chosen []view.Client, detail bool, err error) {
	if len(words) == 0 {
		return list, false, nil
	}
	known := slices.ContainsFunc(list, func(c view.Client) bool { return c.Name == words[0] })
	if !known && len(words) == 1 && shortens(words[0], "detail") {
		return list, true, nil
	}
	chosen, err = clientNamed(list, words[0])
	return chosen, len(words) == 2, err
}

// iosClientBlock is one profile. Programs of others look for the line "Current state:ACTIVE", which
// ends there.
func iosClientBlock(b *strings.Builder, c view.Client, detail bool) {
	fmt.Fprintf(b, "  Profile : %s\n", c.Name)
	fmt.Fprintf(b, "  Current state:%s\n", c.State)
	fmt.Fprintf(b, "  Peer : %s\n", c.Peer)
	fmt.Fprintf(b, "  Source : %s\n", cmp.Or(c.SourceInterface, c.Source))
	fmt.Fprintf(b, "  ivrf : %s\n  fvrf : %s\n", iosVRF(c.VRF), iosVRF(c.TransportVRF))
	fmt.Fprintf(b, "  Backup group: %s\n", iosGroupName(c.BackupGroup))
	fmt.Fprintf(b, "  Tunnel interface : %s\n", c.Tunnel)
	for _, a := range c.Addresses {
		fmt.Fprintf(b, "  Assigned IP address: %s\n", a)
	}
	if detail {
		b.WriteString("  Peer list:\n")
		for _, p := range c.Peers {
			fmt.Fprintf(b, "    %d %s\n", p.Sequence, joined(" ", p.Peer, p.Track, iosPeerNotes(p)))
		}
		for _, a := range c.Pushed {
			fmt.Fprintf(b, "  Pushed %s: %s\n", a.Name, a.Value)
		}
	}
	b.WriteByte('\n')
}

func iosVRF(name string) string {
	if name == "" {
		return "IP DEFAULT"
	}
	return name
}

func iosGroupName(n int) string {
	if n == 0 {
		return "Default"
	}
	return fmt.Sprint(n)
}

func iosPeerNotes(p view.ClientPeer) string {
	var notes []string
	if p.PushedBy != "" {
		notes = append(notes, "pushed by "+p.PushedBy)
	}
	if p.Current {
		notes = append(notes, "current")
	}
	if len(notes) == 0 {
		return ""
	}
	return "(" + strings.Join(notes, ", ") + ")"
}
