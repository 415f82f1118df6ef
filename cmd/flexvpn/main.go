// Command flexvpn is the whole product in one binary: it runs a node (hub, client), checks its
// configuration, and asks a running one (show, clear, connect, debug).
//
// This package parses words, calls one room, prints and chooses the exit code; it decides nothing
// about sessions. There is one file per verb, with its flags, its help and its run function.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"
)

// version is set by the linker: -X main.version=….
var version = "unknown"

func main() {
	ctx := untilSignal()
	a := &app{out: os.Stdout, err: os.Stderr, now: time.Now, getenv: os.Getenv, screen: term.IsTerminal(int(os.Stdout.Fd()))}
	os.Exit(a.execute(ctx, os.Args[1:]))
}

// untilSignal is a context that ends with the first SIGINT or SIGTERM, so that everything can be
// taken down in order. The second one ends the process at once.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitNo)
	}()
	return ctx
}

// app is what the commands share.
type app struct {
	out, err io.Writer
	now      func() time.Time
	getenv   func(string) string
	screen   bool // out is a terminal

	socket string // of the running node
	json   bool
	watch  bool
}
