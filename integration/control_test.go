package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

// What tests look at again and again is asked from the control socket itself: a process for every
// look is slow, above all in an emulated machine. The commands that change something, and what
// `flexvpn show` makes of the rarer answers, go through the program.

// socket is where the daemon answers.
func (f *flexvpn) socket() string { return filepath.Join(f.dir, "control.sock") }

// asked are the questions that tests repeat, by their words on the command line. The last word of
// session is its argument.
var asked = map[string]func(context.Context, *ops.Client, string) (any, error){
	"sessions": func(ctx context.Context, c *ops.Client, _ string) (any, error) {
		return c.Sessions(ctx, view.SessionFilter{})
	},
	"sessions --failed": func(ctx context.Context, c *ops.Client, _ string) (any, error) { return c.Failed(ctx) },
	"session":           func(ctx context.Context, c *ops.Client, id string) (any, error) { return c.Session(ctx, id) },
	"sa":                func(ctx context.Context, c *ops.Client, _ string) (any, error) { return c.SAs(ctx) },
	"interfaces":        func(ctx context.Context, c *ops.Client, _ string) (any, error) { return c.Interfaces(ctx) },
	"client":            func(ctx context.Context, c *ops.Client, _ string) (any, error) { return c.Clients(ctx) },
	"track":             func(ctx context.Context, c *ops.Client, _ string) (any, error) { return c.Tracks(ctx) },
	"counters":          func(ctx context.Context, c *ops.Client, _ string) (any, error) { return c.Stats(ctx) },
}

// ask answers a show command without the program; false when it is not one that tests repeat.
func (f *flexvpn) ask(words []string) (v any, err error, known bool) {
	q, argument := asked[strings.Join(words, " ")], ""
	if q == nil && len(words) == 2 && words[0] == "session" {
		q, argument = asked["session"], words[1]
	}
	if q == nil {
		return nil, nil, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit())
	defer cancel()
	v, err = q(ctx, f.control, argument)
	return v, err, true
}

// show runs a show command and decodes what its --json says.
func show[T any](f *flexvpn, words ...string) T {
	f.t.Helper()
	if v, err, known := f.ask(words); known {
		if err != nil {
			f.t.Fatalf("show %s: %v", strings.Join(words, " "), err)
		}
		t, ok := v.(T)
		if !ok {
			f.t.Fatalf("show %s is a %T, the test wants a %T", strings.Join(words, " "), v, t)
		}
		return t
	}
	out, err := f.run(append(append([]string{"show"}, words...), "--json")...)
	if err != nil {
		f.t.Fatal(err)
	}
	var v T
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		f.t.Fatalf("show %s --json: %v in %q", strings.Join(words, " "), err, out)
	}
	return v
}

// answers is an error while the daemon does not.
func (f *flexvpn) answers() error {
	_, err, _ := f.ask([]string{"sessions"})
	if err != nil {
		return fmt.Errorf("ask for sessions: %w", err)
	}
	return nil
}
