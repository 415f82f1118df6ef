package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flexvpn/config"
	"flexvpn/ops"
)

// The exit codes.
const (
	exitOK          = 0
	exitNo          = 1 // the answer is no, or the check failed
	exitUsage       = 2
	exitUnreachable = 3 // no node answers at the control socket
)

// commands is the top level. Every verb has its own file.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.hubCommand(), a.clientCommand(), a.checkCommand(),
		a.showCommand(), a.clearCommand(), a.connectCommand(), a.disconnectCommand(), a.rekeyCommand(), a.debugCommand(),
		a.cryptoCommand(), a.demoCommand(), a.loadCommand(), a.versionCommand(),
	}
}

func (a *app) root() *cobra.Command {
	cobra.EnablePrefixMatching = true // sh cry ikev2 sa det, as on IOS
	root := group("flexvpn", "FlexVPN for Linux: hub and spoke in one binary", `FlexVPN for Linux: hub and spoke in one binary.

Words may be shortened as on IOS as long as they stay unique: flexvpn sh cry ikev2 sa det.`, a.commands()...)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%s: %v: see %s --help", cmd.CommandPath(), err, cmd.CommandPath())
	})
	root.PersistentFlags().StringVar(&a.socket, "socket", cmp.Or(a.getenv("FLEXVPN_SOCKET"), ops.DefaultSocket), "control socket of the running node (or FLEXVPN_SOCKET)")
	return root
}

// execute runs one command line and returns the exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !errors.Is(err, context.Canceled) {
		a.complain(err)
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*ops.UnreachableError](err); ok {
		return exitUnreachable
	}
	return exitNo
}

// complain prints an error. Those of a configuration have a line each, in the form editors understand,
// and stand without a prefix.
func (a *app) complain(err error) {
	if list, ok := errors.AsType[config.Errors](err); ok {
		for _, e := range list {
			_, _ = fmt.Fprintln(a.err, clean(e.Error()))
		}
		return
	}
	if e, ok := errors.AsType[*ops.Error](err); ok && e.Hint != "" {
		_, _ = fmt.Fprintf(a.err, "flexvpn: %s\n  %s\n", clean(e.Message), clean(e.Hint))
		return
	}
	_, _ = fmt.Fprintf(a.err, "flexvpn: %s\n", clean(err.Error()))
}

// usageError is a command line that cannot be understood.
type usageError string

func (e usageError) Error() string { return string(e) }

func usagef(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

// group is a command that only leads to others; without one of them it says which there are.
func group(use, short, long string, words ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownWord(cmd, args[0])
			}
			if !cmd.HasParent() {
				return cmd.Help()
			}
			return usagef("%s needs one more word: %s", cmd.CommandPath(), choices(cmd, ""))
		},
		// The unknown word matters more than a flag that would have belonged to it.
		FParseErrWhitelist:         cobra.FParseErrWhitelist{UnknownFlags: true},
		SuggestionsMinimumDistance: 2,
	}
	g.AddCommand(words...)
	return g
}

func unknownWord(cmd *cobra.Command, word string) error {
	if several := choices(cmd, word); several != "" {
		return usagef("%q is ambiguous after %s: %s", clean(word), cmd.CommandPath(), several)
	}
	did := ""
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		did = fmt.Sprintf(" (did you mean %s?)", near[0])
	}
	return usagef("unknown word %q after %s%s: choose %s", clean(word), cmd.CommandPath(), did, choices(cmd, ""))
}

// choices names the words that may follow cmd and begin with prefix.
func choices(cmd *cobra.Command, prefix string) string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && strings.HasPrefix(c.Name(), prefix) {
			names = append(names, c.Name())
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// arguments checks the number of words after a command; what names them.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usagef("%s needs %s: see %s --help", cmd.CommandPath(), what, cmd.CommandPath())
		case len(args) > most:
			return usagef("%s: %q is one word too many: see %s --help", cmd.CommandPath(), clean(args[most]), cmd.CommandPath())
		}
		return nil
	}
}

// dial is a client of the running node.
func (a *app) dial() *ops.Client { return ops.Dial(a.socket) }
