package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

func (a *app) showSessionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "session ID", Short: "Everything about one session",
		Long: `Everything about one session, named by its id, its peer's identity or its interface. If there is none,
say when and why that peer was refused or lost.`,
		Example: `  flexvpn show session h17
  flexvpn show session spoke1.branch.example.net
  flexvpn show session va3 --watch`,
		Args: arguments(1, 1, "a session's id, its peer's identity or its interface"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.show(cmd.Context(), sessionPage(args[0]))
		},
	}
}

// sessionPage explains one session; in text, a missing one is explained by what became of its peer.
func sessionPage(id string) page {
	there := answer(func(ctx context.Context, c *ops.Client) (view.Session, error) {
		return c.Session(ctx, id)
	}, printSession)
	return func(ctx context.Context, c *ops.Client, w io.Writer, s style) error {
		err := there(ctx, c, w, s)
		if e, ok := errors.AsType[*ops.Error](err); ok && e.Status == http.StatusNotFound && !s.json {
			return errors.Join(printGone(ctx, c, w, s, id), err)
		}
		return err
	}
}

func printGone(ctx context.Context, c *ops.Client, w io.Writer, s style, id string) error {
	list, err := c.Failed(ctx)
	if err != nil {
		return err
	}
	list = failedOf(list, func(f view.Failed) bool { return ops.MatchesPeer(id, f.Identity, f.Remote) })
	if len(list) == 0 {
		return nil
	}
	makeSafe(&list)
	_, _ = fmt.Fprintf(w, "%s was refused or lost:\n", clean(id))
	return printFailed(w, list, s.now)
}

func printSession(w io.Writer, s view.Session, now time.Time) error {
	_, _ = fmt.Fprintf(w, "Session %s: %s\n", s.ID, s.Identity)
	facts := newTable(indent(w))
	facts.row("State", stateText(s, now))
	facts.row("Last heard", lastHeard(s, now))
	facts.row("Role", s.Role+", profile "+s.Profile)
	if s.EAPMethod != "" {
		facts.row("EAP", s.EAPMethod+", as "+s.EAPName)
	}
	facts.row("Path", s.Local+" -> "+s.Remote)
	facts.row("NAT", natText(s))
	facts.row("Interface", joined(", ", s.Interface, "mode "+s.Mode))
	facts.row("Addresses", addressesText(s.Addresses))
	facts.row("DPD", s.DPD)
	facts.row("Peer runs", s.Version)
	facts.row("Received", traffic(s.InBytes, s.InPackets))
	facts.row("Sent", traffic(s.OutBytes, s.OutPackets))
	if err := facts.done(); err != nil {
		return err
	}
	if err := printAttributes(w, "Attributes", s.Attributes); err != nil {
		return err
	}
	if err := printSessionRoutes(w, s.Routes, now); err != nil {
		return err
	}
	return printSessionSA(w, s.SA, now)
}

func stateText(s view.Session, now time.Time) string {
	if s.Since.IsZero() {
		return s.State
	}
	return fmt.Sprintf("%s for %s, since %s", s.State, age(now, s.Since), clock(s.Since))
}

func lastHeard(s view.Session, now time.Time) string {
	if s.LastIn == nil {
		return "nothing yet through the tunnel"
	}
	return fmt.Sprintf("%s ago through the tunnel, at %s", age(now, *s.LastIn), clock(*s.LastIn))
}

func natText(s view.Session) string {
	where := "none"
	switch {
	case s.SA != nil && s.SA.NATLocal && s.SA.NATRemote:
		where = "in front of both ends"
	case s.SA != nil && s.SA.NATLocal:
		where = "in front of this node"
	case s.SA != nil && s.SA.NATRemote:
		where = "in front of the peer"
	case s.NAT:
		where = "on the way"
	}
	if s.Encap {
		return where + ", ESP in UDP"
	}
	return where
}

func traffic(bytes, packets uint64) string {
	return fmt.Sprintf("%s in %s packets", bytesText(bytes), countText(packets))
}

func printAttributes(w io.Writer, title string, list []view.Attribute) error {
	if len(list) == 0 {
		return nil
	}
	_, _ = fmt.Fprintf(w, "\n%s\n", title)
	t := newTable(indent(w), "NAME", "VALUE", "FROM")
	for _, a := range list {
		t.row(a.Name, a.Value, a.Origin)
	}
	return t.done()
}

func printSessionRoutes(w io.Writer, list []view.Route, now time.Time) error {
	if len(list) == 0 {
		return nil
	}
	_, _ = fmt.Fprint(w, "\nRoutes\n")
	t := newTable(indent(w), "PREFIX", "FROM", "DISTANCE", "AGE")
	for _, r := range list {
		t.row(r.Prefix.String(), r.Source, fmt.Sprint(r.Distance), age(now, r.Since))
	}
	return t.done()
}

func printSessionSA(w io.Writer, sa *view.SA, now time.Time) error {
	if sa == nil {
		return nil
	}
	_, _ = fmt.Fprintf(w, "\nIKE SA %s\n", sa.State)
	t := newTable(indent(w))
	t.row("Identities", sa.LocalID+" (this node), "+sa.RemoteID+" (peer)")
	t.row("Authentication", sa.LocalAuth+" (this node), "+sa.RemoteAuth+" (peer)")
	t.row("Algorithms", ikeSuite(*sa))
	t.row("SPIs", sa.SPILocal+" (this node), "+sa.SPIRemote+" (peer)")
	t.row("Keys", fmt.Sprintf("%s old, rekeyed in %s", age(now, sa.Keyed), until(now, sa.RekeyAt)))
	t.row("MOBIKE", mobikeText(*sa))
	t.row("Message ids", fmt.Sprintf("next to send %d, next to receive %d", sa.NextSend, sa.NextReceive))
	t.row("Fragmentation", yesNo(sa.Fragmentation))
	if err := t.done(); err != nil {
		return err
	}
	for _, c := range sa.Children {
		if err := printSessionChild(w, c, now); err != nil {
			return err
		}
	}
	return nil
}

func printSessionChild(w io.Writer, c view.Child, now time.Time) error {
	_, _ = fmt.Fprintf(w, "\nChild SA %s/%s\n", c.SPIIn, c.SPIOut)
	t := newTable(indent(w))
	t.row("Mode", joined(", ", c.Mode, map[bool]string{true: "extended sequence numbers"}[c.ESN], map[bool]string{true: "offloaded to hardware"}[c.Offloaded]))
	t.row("Algorithms", childSuite(c))
	t.row("Selectors here", strings.Join(c.Local, ", "))
	t.row("Selectors there", strings.Join(c.Remote, ", "))
	t.row("Keys", fmt.Sprintf("%s old, rekeyed in %s", age(now, c.Made), until(now, c.RekeyAt)))
	t.row("Received", traffic(c.InBytes, c.InPackets))
	t.row("Sent", traffic(c.OutBytes, c.OutPackets))
	t.row("Refused", fmt.Sprintf("%s replayed, %s with bad integrity", countText(c.Replayed), countText(c.BadIntegrity)))
	return t.done()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// indent puts two spaces before every line.
func indent(w io.Writer) io.Writer { return &indenter{w: w, start: true} }

type indenter struct {
	w     io.Writer
	start bool // of a line
}

func (i *indenter) Write(p []byte) (int, error) {
	var b strings.Builder
	for _, c := range p {
		if i.start && c != '\n' {
			b.WriteString("  ")
		}
		b.WriteByte(c)
		i.start = c == '\n'
	}
	_, err := io.WriteString(i.w, b.String())
	return len(p), err
}
