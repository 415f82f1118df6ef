package endpoint

import (
	"context"
	"time"

	"flexvpn/ikev2"
)

// Conn is one SA as its handler sees it. It stays the same over rekeys of the IKE SA.
type Conn struct {
	// Data belongs to the handler, which touches it only on the shard's goroutine (in Ask, Notice
	// and Do), or before Initiate returns.
	Data any
}

// Answer gives the reply to a question. Any goroutine may call it.
func (c *Conn) Answer(a ikev2.Answer) {}

// Do runs f with the SA on its shard and returns without waiting for it; false if the SA is gone.
func (c *Conn) Do(f func(now time.Time, sa *ikev2.SA)) bool { return false }

// Facts asks the SA; not to be called on a shard's goroutine.
func (c *Conn) Facts(ctx context.Context) (ikev2.Facts, error) { return ikev2.Facts{}, ErrStopped }
