package main

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"flexvpn/ops/view"
)

// traceQueue is how many messages wait for a slow disk: a node does not.
const traceQueue = 1024

// A traceFile holds a node's IKE messages as debug ike --packet prints them, from its first on.
type traceFile struct {
	file  *os.File
	lines chan view.TraceLine
	lost  atomic.Uint64
	done  chan error
}

// openTrace begins to write at the end of a file.
func openTrace(path string) (*traceFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--trace: %w", err)
	}
	t := &traceFile{file: f, lines: make(chan view.TraceLine, traceQueue), done: make(chan error, 1)}
	go func() { t.done <- t.write() }()
	return t, nil
}

// add does not block.
func (t *traceFile) add(l view.TraceLine) {
	select {
	case t.lines <- l:
	default:
		t.lost.Add(1)
	}
}

// write goes on after an error, so that nobody waits; it returns the first.
func (t *traceFile) write() (first error) {
	for l := range t.lines {
		l.Lost = t.lost.Swap(0)
		makeSafe(&l)
		if err := printTrace(t.file, l); first == nil {
			first = err
		}
	}
	return first
}

// close ends it; nobody may add any more.
func (t *traceFile) close() error {
	close(t.lines)
	return errors.Join(<-t.done, t.file.Close())
}
