package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/opstest"
	"flexvpn/ops/view"
)

// leaves lists the command lines that do something.
func leaves(a *app) []string {
	var out []string
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if !c.HasSubCommands() {
			out = append(out, c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(a.root())
	return out
}

func traceLine() view.TraceLine {
	return view.TraceLine{
		Time: now, Local: "203.0.113.1:500", Remote: "198.51.100.7:500", Identity: "spoke1\x1b[2J",
		SPIi: "000d3669857a0f82", SPIr: "e0419b1db02de6ae", Message: "IKE_AUTH request 1 [IDi AUTH SA TSi TSr]",
		Text: []string{"IDi: FQDN spoke1.branch.example.net", "AUTH: shared key, 48 octets"},
	}
}

func TestDebugGolden(t *testing.T) {
	node := &opstest.Node{}
	s := serve(t, node)
	for name, filter := range map[string]view.TraceFilter{
		"debug": {}, "debug_packet_hex": {Peer: "spoke1", Packet: true, Hex: true},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		out := &watcher{text: "response 1", done: cancel}
		c := ops.Dial(s.socket)
		err := runDebug(ctx, c, out, filter, false, func() {
			received, sent := traceLine(), traceLine()
			sent.Sent, sent.Message, sent.Text = true, "IKE_AUTH response 1 [IDr AUTH SA TSi TSr]", nil
			node.Emit(received, []byte("0123456789abcdefghij"))
			node.Emit(sent, nil)
		}, printTrace)
		if err != nil {
			t.Error(err)
		}
		cancel()
		c.Close()
		golden(t, name+".txt", out.String())
	}
}

func TestDebugJSON(t *testing.T) {
	node := &opstest.Node{}
	s := serve(t, node)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out := &watcher{text: "\n", done: cancel}
	c := ops.Dial(s.socket)
	defer c.Close()
	if err := runDebug(ctx, c, out, view.TraceFilter{}, true, func() { node.Emit(traceLine(), nil) }, printTrace); err != nil {
		t.Error(err)
	}
	want := `{"time":"2026-11-24T05:00:00Z","sent":false,"local":"203.0.113.1:500","remote":"198.51.100.7:500","spi_i":"000d3669857a0f82","spi_r":"e0419b1db02de6ae","identity":"spoke1\u001b[2J","message":"IKE_AUTH request 1 [IDi AUTH SA TSi TSr]"}` + "\n"
	if out.String() != want {
		t.Errorf("got  %swant %s", out, want)
	}
}

func TestLostLinesAreTold(t *testing.T) {
	var b bytes.Buffer
	l := traceLine()
	l.Lost, l.Text = 12, nil
	if err := printLost(&b, l, printTrace); err != nil || !strings.HasPrefix(b.String(), "(12 messages are missing here") {
		t.Errorf("%v %s", err, &b)
	}
}

// watcher collects output and calls done when text is in it.
type watcher struct {
	mu   sync.Mutex
	b    bytes.Buffer
	text string
	done func()
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.b.Write(p)
	if bytes.Contains(w.b.Bytes(), []byte(w.text)) {
		w.done()
	}
	return n, err
}

func (w *watcher) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// Watching goes on over a restart of the node, and ends with Ctrl-C.
func TestWatch(t *testing.T) {
	for screen, want := range map[bool]string{
		false: "page\n\nthe flexvpn at SOCKET does not answer: context deadline exceeded\n\npage\n\n",
		true: "\x1b[Hpage\x1b[K\n\x1b[J\x1b[Hthe flexvpn at SOCKET does not answer: context deadline exceeded\x1b[K\n\x1b[J" +
			"\x1b[Hpage\x1b[K\n\x1b[J",
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*watchInterval+1)
			defer cancel()
			asked := 0
			p := func(_ context.Context, _ *ops.Client, w io.Writer, _ style) error {
				if asked++; asked == 2 {
					return &ops.UnreachableError{Socket: "SOCKET", Err: context.DeadlineExceeded}
				}
				_, err := io.WriteString(w, "page\n")
				return err
			}
			var out bytes.Buffer
			a := &app{out: &out, screen: screen, now: time.Now}
			if err := a.watchPage(ctx, ops.Dial("SOCKET"), p); err != nil {
				t.Errorf("watching ended with %v", err)
			}
			if out.String() != want {
				t.Errorf("screen %v: got %q, want %q", screen, &out, want)
			}
		})
	}
}

func TestWatchEndsWhenTheAnswerIsNo(t *testing.T) {
	if r := serve(t, sample()).run("show client nothing --watch"); r.code != exitNo || r.out != "" {
		t.Errorf("%+v", r)
	}
}
