package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
)

func (a *app) showCommand() *cobra.Command {
	cmd := group("show", "Show what a running node does", `Show what the node that runs here does.

With --json the output is the stable interface for programs; the text is for people and may change.
With --watch it is shown again every second.`,
		a.showSessionsCommand(), a.showSessionCommand(), a.showSACommand(), a.showPoolsCommand(), a.showPolicyCommand(),
		a.showInterfacesCommand(), a.showRoutesCommand(), a.showClientCommand(), a.showCountersCommand(),
		a.showCryptoCommand(), a.showTrackCommand(), a.showDNSCommand(), a.showIPCommand(), a.showAccessListsCommand(),
		a.showNATCommand(), a.showDHCPCommand(), a.showBGPCommand(), a.showAAACommand(),
	)
	cmd.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON")
	cmd.PersistentFlags().BoolVar(&a.watch, "watch", false, "show it again every second, until Ctrl-C")
	return cmd
}

// A page asks a node and prints the answer on w.
type page func(ctx context.Context, c *ops.Client, w io.Writer, s style) error

// style is how a page is printed.
type style struct {
	json bool
	now  time.Time // ages and remaining times count from here
}

// show prints a page, with --watch again and again.
func (a *app) show(ctx context.Context, p page) error {
	c := a.dial()
	defer c.Close()
	if a.watch {
		return a.watchPage(ctx, c, p)
	}
	return p(ctx, c, a.out, style{json: a.json, now: a.now()})
}

// watchInterval is the time between two looks.
const watchInterval = time.Second

// watchPage shows p every second until ctx ends. Once it has been shown, a node that goes away is
// waited for: whoever watches a restart wants to see the end of it.
func (a *app) watchPage(ctx context.Context, c *ops.Client, p page) error {
	again := time.NewTicker(watchInterval)
	defer again.Stop()
	for first := true; ; first = false {
		var b bytes.Buffer
		err := p(ctx, c, &b, style{json: a.json, now: a.now()})
		if ctx.Err() != nil {
			return nil
		}
		if _, away := errors.AsType[*ops.UnreachableError](err); err != nil && (first || !away) {
			return err
		}
		if err != nil {
			b.Reset()
			_, _ = fmt.Fprintln(&b, clean(err.Error()))
		}
		if err := a.frame(b.Bytes()); err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// frame puts one look on the screen, over the one before; in a file they follow each other.
func (a *app) frame(text []byte) error {
	if a.screen {
		// Home, each line cleared to its end, then the rest of the screen: no flicker.
		text = bytes.ReplaceAll(text, []byte("\n"), []byte("\x1b[K\n"))
		text = append(append([]byte("\x1b[H"), text...), "\x1b[J"...)
	} else if !a.json {
		text = append(text, '\n')
	}
	_, err := a.out.Write(text)
	return err
}

// answer is a page made of one question and its text form; its JSON form is the answer itself.
func answer[T any](ask func(context.Context, *ops.Client) (T, error), text func(io.Writer, T, time.Time) error) page {
	return func(ctx context.Context, c *ops.Client, w io.Writer, s style) error {
		v, err := ask(ctx, c)
		if err != nil {
			return err
		}
		if s.json {
			return printJSON(w, v)
		}
		makeSafe(&v)
		return text(w, v, s.now)
	}
}

// asked is answer for a question that has no arguments.
func asked[T any](ask func(*ops.Client, context.Context) (T, error), text func(io.Writer, T, time.Time) error) page {
	return answer(func(ctx context.Context, c *ops.Client) (T, error) { return ask(c, ctx) }, text)
}

// printJSONLine prints v on one line of its own.
func printJSONLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
