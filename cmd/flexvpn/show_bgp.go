package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

func (a *app) showBGPCommand() *cobra.Command {
	summary := &cobra.Command{
		Use: "summary", Short: "The BGP speakers and their neighbors, one line each",
		Example: `  flexvpn show bgp summary`,
		Args:    arguments(0, 0, ""),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.show(cmd.Context(), bgpPage("", printBGPSummary)) },
	}
	neighbors := &cobra.Command{
		Use: "neighbors [ADDRESS]", Short: "Everything about the BGP neighbors, or about one: with its prefixes",
		Example: `  flexvpn show bgp neighbors
  flexvpn show bgp neighbors 10.1.1.2`,
		Args: arguments(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.show(cmd.Context(), bgpPage(append(args, "")[0], printBGPNeighbors))
		},
	}
	routes := &cobra.Command{
		Use: "routes [PREFIX]", Short: "The BGP table, or all paths to one prefix",
		Example: `  flexvpn show bgp routes
  flexvpn show bgp routes 172.16.1.0/24`,
		Args: arguments(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.show(cmd.Context(), bgpRoutesPage(append(args, "")[0]))
		},
	}
	return under("bgp", "The BGP speaker: neighbors and table", summary, neighbors, routes)
}

func bgpPage(neighbor string, text func(io.Writer, []view.BGP, time.Time) error) page {
	return answer(func(ctx context.Context, c *ops.Client) ([]view.BGP, error) { return c.BGP(ctx, neighbor) }, text)
}

func printBGPSummary(w io.Writer, list []view.BGP, now time.Time) error {
	if len(list) == 0 {
		return printNoBGP(w)
	}
	for i, b := range list {
		if i > 0 {
			_, _ = fmt.Fprintln(w)
		}
		_, _ = fmt.Fprintf(w, "BGP router identifier %s, local AS number %d%s\n%d network entries using %d paths\n\n", b.RouterID, b.ASN, ofVRF(b.VRF), b.Prefixes, b.Paths)
		t := newTable(w, "Neighbor", "V", "AS", "MsgRcvd", "MsgSent", "Up/Down", "State/PfxRcd", "PfxSnt", "Identity")
		for _, n := range b.Neighbors {
			t.row(starred(n), "4", fmt.Sprint(n.ASN), fmt.Sprint(n.MessagesIn), fmt.Sprint(n.MessagesOut), upDown(n, now), stateOrPrefixes(n), fmt.Sprint(n.Advertised), n.Identity)
		}
		if err := t.done(); err != nil {
			return err
		}
		if len(b.ListenRanges) > 0 {
			limit := "no limit"
			if b.ListenLimit > 0 {
				limit = fmt.Sprintf("limit %d", b.ListenLimit)
			}
			_, _ = fmt.Fprintf(w, "\n* Dynamically created based on a listen range command\nDynamically created neighbors: %d, %s, Subnet ranges: %s\n", b.Dynamic, limit, prefixesText(b.ListenRanges))
		}
	}
	return nil
}

func printNoBGP(w io.Writer) error {
	_, err := fmt.Fprintln(w, "This node runs no BGP speaker: the configuration has no bgp section.")
	return err
}

func ofVRF(vrf string) string {
	if vrf == "" {
		return ""
	}
	return ", vrf " + vrf
}

func starred(n view.BGPNeighbor) string {
	if n.Dynamic {
		return "*" + n.Address.String()
	}
	return n.Address.String()
}

func upDown(n view.BGPNeighbor, now time.Time) string {
	if n.State != "Established" && n.Drops == 0 {
		return "never"
	}
	return iosUptime(now.Sub(n.Since))
}

// stateOrPrefixes is the number of prefixes of a session that stands, else its state.
func stateOrPrefixes(n view.BGPNeighbor) string {
	switch {
	case n.Blocked == "maximum prefixes reached":
		return "Idle (PfxCt)"
	case n.Blocked != "":
		return "Idle (" + n.Blocked + ")"
	case n.State == "Established":
		return fmt.Sprint(n.Accepted)
	}
	return n.State
}

func printBGPNeighbors(w io.Writer, list []view.BGP, now time.Time) error {
	if len(list) == 0 {
		return printNoBGP(w)
	}
	first := true
	for _, b := range list {
		for _, n := range b.Neighbors {
			if !first {
				_, _ = fmt.Fprintln(w)
			}
			first = false
			if err := printBGPNeighbor(w, b, n, now); err != nil {
				return err
			}
		}
	}
	if first {
		_, err := fmt.Fprintln(w, "There are no BGP neighbors.")
		return err
	}
	return nil
}

func printBGPNeighbor(w io.Writer, b view.BGP, n view.BGPNeighbor, now time.Time) error {
	link := "external"
	if n.Internal {
		link = "internal"
	}
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("BGP neighbor is %s, remote AS %d, %s link%s", starred(n), n.ASN, link, ofVRF(b.VRF))
	if n.Description != "" {
		p("  Description: %s", n.Description)
	}
	if n.PeerGroup != "" {
		p("  Member of peer-group %s", n.PeerGroup)
	}
	if n.RouterID.IsValid() {
		p("  BGP version 4, remote router ID %s", n.RouterID)
	}
	p("  BGP state = %s, %s", bgpState(n), upText(n, now))
	if n.Session != "" || n.Interface != "" {
		p("  Session %s, identity %s, interface %s", orNone(n.Session), orNone(n.Identity), orNone(n.Interface))
	}
	if n.HoldTime > 0 {
		p("  Hold time is %s, keepalive interval is %s", bgpSeconds(n.HoldTime), bgpSeconds(n.Keepalive))
	}
	if len(n.Capabilities) > 0 {
		p("  Neighbor capabilities: %s", strings.Join(n.Capabilities, "; "))
	}
	p("  Messages: %d received (%d updates), %d sent (%d updates)", n.MessagesIn, n.UpdatesIn, n.MessagesOut, n.UpdatesOut)
	most := ""
	if n.MaxPrefixes > 0 {
		most = fmt.Sprintf(" of at most %d", n.MaxPrefixes)
	}
	p("  Prefixes: %d accepted%s, %d refused, %d advertised", n.Accepted, most, n.Refused, n.Advertised)
	p("  %s", strings.Join(traits(n), ", "))
	p("  Connections dropped %d; last reset: %s", n.Drops, orNone(n.LastReset))
	if n.HeldBack > 0 {
		p("  Held back %d times, last %s ago: its updates came faster than they were taken in", n.HeldBack, iosUptime(now.Sub(n.HeldBackSince)))
	}
	for _, part := range []struct {
		name string
		list []netip.Prefix
	}{{"Accepted", n.AcceptedPrefixes}, {"Advertised", n.SentPrefixes}} {
		if len(part.list) > 0 {
			p("  %s: %s", part.name, prefixesText(part.list))
		}
	}
	for _, r := range n.RefusedPrefixes {
		p("  Refused: %s (%s)", r.Prefix, r.Kind)
	}
	return nil
}

func bgpState(n view.BGPNeighbor) string {
	if n.Blocked != "" {
		return "Idle (" + n.Blocked + "): clear bgp " + n.Address.String()
	}
	return n.State
}

func upText(n view.BGPNeighbor, now time.Time) string {
	if n.State == "Established" {
		return "up for " + iosUptime(now.Sub(n.Since))
	}
	return "down for " + iosUptime(now.Sub(n.Since))
}

func bgpSeconds(s float64) string { return fmt.Sprintf("%g seconds", s) }

func traits(n view.BGPNeighbor) []string {
	out := []string{"next-hop-self " + n.NextHopSelf}
	if n.Client {
		out = append(out, "route-reflector client")
	}
	if n.MD5 {
		out = append(out, "TCP MD5")
	}
	if n.GracefulRestart {
		out = append(out, "graceful restart")
	}
	if n.Restarting {
		out = append(out, "restarting: its paths are stale")
	}
	return out
}

func bgpRoutesPage(prefix string) page {
	return answer(func(ctx context.Context, c *ops.Client) ([]view.BGPRoute, error) { return c.BGPRoutes(ctx, prefix) }, printBGPRoutes)
}

func printBGPRoutes(w io.Writer, list []view.BGPRoute, _ time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "The BGP table is empty.")
		return err
	}
	_, _ = fmt.Fprint(w, "Status codes: s suppressed, * valid, > best, m multipath, i - internal\nOrigin codes: i - IGP, e - EGP, ? - incomplete\n\n")
	t := newTable(w, "", "Network", "Next Hop", "Metric", "LocPrf", "From", "Path", "Note")
	for _, r := range list {
		for i, p := range r.Paths {
			network := inVRF(r.Prefix.String(), r.VRF)
			if i > 0 {
				network = ""
			}
			from := p.Local
			if p.Neighbor.IsValid() {
				from = p.Neighbor.String()
			}
			t.row(statusCodes(r, p), network, p.NextHop.String(), fmt.Sprint(p.MED), fmt.Sprint(p.LocalPref), from, joined(" ", p.ASPath, originCode(p.Origin)), p.Why)
		}
	}
	return t.done()
}

func statusCodes(r view.BGPRoute, p view.BGPPath) string {
	out := "*"
	if r.Suppressed {
		out = "s"
	}
	switch {
	case p.Best:
		out += ">"
	case p.Multipath:
		out += "m"
	}
	if p.Internal {
		out += "i"
	}
	return out
}

func originCode(origin string) string {
	switch origin {
	case "IGP":
		return "i"
	case "EGP":
		return "e"
	}
	return "?"
}

func (a *app) clearBGPCommand() *cobra.Command {
	return &cobra.Command{
		Use: "bgp {ADDRESS | all}", Short: "Begin the BGP session with a neighbor anew, or all of them",
		Example: `  flexvpn clear bgp 10.1.1.2
  flexvpn clear bgp all`,
		Args: arguments(1, 1, "a neighbor's address or all"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.dial()
			defer c.Close()
			neighbor := args[0]
			if neighbor == "all" || neighbor == "*" {
				neighbor = ""
			}
			n, err := c.ClearBGP(cmd.Context(), neighbor)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "%d BGP sessions cleared\n", n)
			return err
		},
	}
}
