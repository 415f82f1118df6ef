package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

// A terminal is where a person types.
type terminal interface {
	// line reads a line that may be seen, secret one that may not. Both end with ctx.
	line(ctx context.Context) ([]byte, error)
	secret(ctx context.Context) ([]byte, error)
}

// errLogin ends a login that failed; its reason is printed already.
var errLogin = errors.New("the client is not connected")

// runLogin connects a client profile for a person: it asks for what the hub wants to know, and waits
// for the session where something had to be asked for.
func runLogin(ctx context.Context, c *ops.Client, w io.Writer, t terminal, name string) error {
	ended := false
	err := c.Login(ctx, name, func(e view.Login) error {
		switch {
		case e.Need != "":
			return askFor(ctx, c, w, t, e)
		case e.Note != "":
			_, err := fmt.Fprintf(w, "%s; trying again\n", clean(e.Note))
			return err
		case e.Failed != "":
			_, _ = fmt.Fprintln(w, clean(e.Failed))
			return errLogin
		case e.Up:
			ended = true
			_, err := fmt.Fprintf(w, "client %s is connected\n", clean(name))
			return err
		}
		return nil
	})
	if err != nil || ended {
		return err
	}
	_, err = fmt.Fprintf(w, "client %s is connecting: flexvpn show client %s\n", clean(name), clean(name))
	return err
}

// askFor asks for one thing and gives the answer to the daemon.
func askFor(ctx context.Context, c *ops.Client, w io.Writer, t terminal, e view.Login) error {
	if e.Prompt != "" {
		_, _ = fmt.Fprintf(w, "%s says: %s\n", clean(e.Hub), clean(strings.TrimSpace(e.Prompt)))
	}
	read := t.secret
	if e.Need == view.NeedUsername {
		_, _ = fmt.Fprintf(w, "User name for %s: ", clean(e.Hub))
		read = t.line
	} else {
		_, _ = fmt.Fprintf(w, "Password of %s for %s: ", clean(e.User), clean(e.Hub))
	}
	typed, err := read(ctx)
	defer clear(typed)
	if e.Need == view.NeedPassword {
		_, _ = fmt.Fprintln(w)
	}
	if err != nil {
		return err
	}
	if e.Need == view.NeedUsername {
		typed = []byte(strings.TrimSpace(string(typed)))
	}
	return c.AnswerLogin(ctx, e.Client, e.Number, typed)
}

// tty is the terminal this command was started on.
type tty struct{ in *os.File }

func (t tty) line(ctx context.Context) ([]byte, error) {
	return typed(ctx, func() {}, func() ([]byte, error) {
		b, err := bufio.NewReader(t.in).ReadBytes('\n')
		return []byte(strings.TrimRight(string(b), "\r\n")), err
	})
}

// secret turns the echo off, and on again also when ctx ends in the middle.
func (t tty) secret(ctx context.Context) ([]byte, error) {
	fd := int(t.in.Fd()) //nolint:gosec // a file descriptor
	state, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	return typed(ctx, func() { _ = term.Restore(fd, state) }, func() ([]byte, error) { return term.ReadPassword(fd) })
}

// typed waits for what is read, or for the end of ctx: Ctrl-C, or a daemon that went away. The reader
// then stays behind until the process ends.
func typed(ctx context.Context, restore func(), read func() ([]byte, error)) ([]byte, error) {
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		b, err := read()
		done <- result{b, err}
	}()
	select {
	case r := <-done:
		if errors.Is(r.err, io.EOF) {
			return nil, errors.New("nothing was typed")
		}
		return r.b, r.err
	case <-ctx.Done():
		restore()
		return nil, ctx.Err()
	}
}

// person is the terminal if standard input is one.
func person() (terminal, bool) {
	if !term.IsTerminal(int(os.Stdin.Fd())) { //nolint:gosec // a file descriptor
		return nil, false
	}
	return tty{os.Stdin}, true
}
