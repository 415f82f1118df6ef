package endpoint

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"flexvpn/ikev2"
)

// ErrGone is returned for an SA that has ended, ErrStopped when the whole endpoint has.
var (
	ErrGone    = errors.New("the IKE SA has ended")
	ErrStopped = errors.New("the IKE endpoint has stopped")
)

// Conn is one SA as its handler sees it. It stays the same over rekeys of the IKE SA.
type Conn struct {
	// Data belongs to the handler, which touches it only on the shard's goroutine (in Ask, Notice
	// and Do), or before Initiate returns.
	Data any

	// Constant after it was made.
	handler Handler
	shard   *shard
	half    halfKey // of a peer's attempt; zero for one of ours

	// Owned by the shard's goroutine.
	sa       machine  // nil before it began and after it ended
	spis     []uint64 // that lead here
	slot     int32    // in the shard's deadlines
	halfOpen bool     // counted as such

	gone atomic.Bool // written by the shard's goroutine
}

// Answer gives the reply to a question. Any goroutine may call it, also the shard's own in Ask; it
// does not wait.
func (c *Conn) Answer(a ikev2.Answer) {
	c.post(letter{run: func(now time.Time) { c.sa.Answer(now, a) }})
}

// Do runs f with the SA on its shard, then does what the SA wants done. It does not wait for that;
// any goroutine may call it. It is false when the SA is gone. If the SA ends in the meantime f does
// not run, and the handler has been told of the end.
func (c *Conn) Do(f func(now time.Time, sa *ikev2.SA)) bool {
	return c.post(letter{run: func(now time.Time) {
		if sa, ok := c.sa.(*ikev2.SA); ok {
			f(now, sa)
		}
	}})
}

// Facts asks the SA about itself and waits for the answer: not to be called in Ask, Notice or Do.
func (c *Conn) Facts(ctx context.Context) (ikev2.Facts, error) {
	var facts ikev2.Facts
	done := make(chan error, 2) // run and lost may both happen, when the SA dies of the question
	ok := c.post(letter{
		run:  func(time.Time) { facts = c.sa.Facts(); done <- nil },
		lost: func() { done <- ErrGone },
	})
	if !ok {
		return ikev2.Facts{}, ErrGone
	}
	select {
	case err := <-done:
		return facts, err
	case <-ctx.Done():
		return ikev2.Facts{}, ctx.Err()
	}
}

func (c *Conn) post(l letter) bool {
	l.conn = c
	return !c.gone.Load() && c.shard.mail.put(l)
}

// leads records that spi leads to c.
func (c *Conn) leads(spi uint64) {
	c.spis = append(c.spis, spi)
	c.shard.conns[spi] = c
}

// leadsNoMore takes that back.
func (c *Conn) leadsNoMore(spi uint64) {
	if c.shard.conns[spi] != c {
		return
	}
	delete(c.shard.conns, spi)
	c.spis = slices.DeleteFunc(c.spis, func(s uint64) bool { return s == spi })
}
