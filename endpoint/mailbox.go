package endpoint

import (
	"sync"
	"time"
)

// A letter is what another goroutine wants done on a shard's.
type letter struct {
	conn *Conn // the SA it is about; nil: the shard itself
	run  func(now time.Time)
	lost func() // called instead of run when the SA or the shard has ended; may be nil
}

// mailbox holds letters until the shard reads them. It is never full: see the package comment.
type mailbox struct {
	wake chan struct{} // holds one token while there may be letters

	mu      sync.Mutex // guards the rest
	letters []letter
	closed  bool
}

// put queues a letter; false when nobody will read it any more.
func (m *mailbox) put(l letter) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.letters = append(m.letters, l)
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return true
}

// take empties the mailbox; the letters are the caller's, spare (emptied) takes their place.
func (m *mailbox) take(spare []letter) []letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	letters := m.letters
	m.letters = spare
	return letters
}

// close refuses further letters and returns those that nobody read.
func (m *mailbox) close() []letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	letters := m.letters
	m.letters = nil
	return letters
}
