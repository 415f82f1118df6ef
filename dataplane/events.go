package dataplane

import (
	"sync"
	"sync/atomic"
)

// eventQueue is how many events wait for a reader before new ones are dropped.
const eventQueue = 4096

// EventQueue is where a plane's events wait for their one reader. Who tells an event is on the way of
// packets and never waits: what nobody reads in time is dropped and counted.
type EventQueue struct {
	events  chan Event
	dropped atomic.Uint64

	mu     sync.Mutex // guards telling against closing
	closed bool
}

// NewEventQueue makes an empty queue.
func NewEventQueue() *EventQueue { return &EventQueue{events: make(chan Event, eventQueue)} }

// Tell adds an event; after End it does nothing.
func (q *EventQueue) Tell(e Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	select {
	case q.events <- e:
	default:
		q.dropped.Add(1)
	}
}

// Events is the reader's end; it is closed after the last event.
func (q *EventQueue) Events() <-chan Event { return q.events }

// EventsDropped counts events that nobody read in time.
func (q *EventQueue) EventsDropped() uint64 { return q.dropped.Load() }

// End ends the queue. It may be called twice.
func (q *EventQueue) End() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.events)
	}
}
