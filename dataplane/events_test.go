package dataplane

import (
	"sync"
	"testing"
)

// Nobody who tells an event waits, whether it is read or not, before the end and after it.
func TestEventQueue(t *testing.T) {
	q := NewEventQueue()
	for range eventQueue + 3 {
		q.Tell(Event{Kind: SoftExpire})
	}
	if n := q.EventsDropped(); n != 3 {
		t.Errorf("%d events were dropped, want 3", n)
	}
	var tellers sync.WaitGroup
	for range 8 {
		tellers.Go(func() {
			for range 1000 {
				q.Tell(Event{Kind: SoftExpire})
			}
		})
	}
	q.End()
	q.End()
	tellers.Wait()
	n := 0
	for range q.Events() {
		n++
	}
	if n != eventQueue {
		t.Errorf("%d events are read, want %d", n, eventQueue)
	}
}
