package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

func (a *app) showPolicyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "policy [NAME]", Short: "The local authorization policies: what each gives, and who uses it",
		Long: `The local authorization policies (authorization-policies): what each gives, which profiles name it, and how
many sessions stand that use it. With a NAME also those sessions. What one of them got of which origin says
flexvpn show session ID.`,
		Example: `  flexvpn show policy
  flexvpn show policy default`,
		Args: arguments(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.show(cmd.Context(), policyPage(append(args, "")[0]))
		},
	}
}

func policyPage(name string) page {
	return answer(func(ctx context.Context, c *ops.Client) ([]view.Policy, error) { return c.Policies(ctx, name) }, printPolicies)
}

func printPolicies(w io.Writer, list []view.Policy, _ time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "No authorization policies are configured.")
		return err
	}
	for i, p := range list {
		if i > 0 {
			_, _ = fmt.Fprintln(w)
		}
		if err := printPolicy(w, p); err != nil {
			return err
		}
	}
	return nil
}

func printPolicy(w io.Writer, p view.Policy) error {
	_, _ = fmt.Fprintf(w, "Policy %s: %s\n", p.Name, counted(uint64(p.Sessions), "session", "sessions"))
	t := newTable(indent(w))
	for _, a := range p.Attributes {
		t.row(a.Name, a.Value)
	}
	if len(p.Attributes) == 0 {
		t.row("gives nothing")
	}
	t.row("used by", policyProfiles(p.Profiles))
	if err := t.done(); err != nil || len(p.Users) == 0 {
		return err
	}
	_, _ = fmt.Fprintln(w)
	users := newTable(indent(w), "SESSION", "IDENTITY", "PROFILE")
	for _, u := range p.Users {
		users.row(u.Session, u.Identity, u.Profile)
	}
	return users.done()
}

func policyProfiles(list []view.PolicyProfile) string {
	if len(list) == 0 {
		return "no profile"
	}
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = fmt.Sprintf("profile %s (%s)", p.Profile, joined(", ", p.Role, map[bool]string{true: "while no server answers"}[p.Backup]))
	}
	return strings.Join(texts, ", ")
}
