package bgp

import (
	"net"
	"reflect"
	"sync/atomic"
	"time"
	"unsafe"
)

// The library reads whatever a neighbor sends and queues it without a bound, before its own table and
// again before us. A neighbor that announces the same few prefixes faster than they are decided on would
// fill the memory of the node without ever breaking a limit of prefixes. So while much of what it said
// waits, nothing more is read from its connection: TCP makes it wait, and what waits is bounded. Its
// KEEPALIVEs wait behind its updates, which can end its own session, no other.
const (
	waitingMost = 128                   // messages read and not taken in, at which reading pauses
	waitingLess = 32                    // and at which it goes on: the queue never runs dry, so a pause costs no time
	flowLook    = 10 * time.Millisecond // between looks at a session that has something to say
	flowPause   = 2 * time.Millisecond  // and at one that is held back
	flowCalm    = time.Minute           // without a pause ends an episode
)

// flow watches how much of a session waits. It costs nothing while the neighbor is silent.
type flow struct {
	queues  []queue
	conn    atomic.Pointer[net.TCPConn]
	busy    atomic.Bool // an event is on its way to the speaker
	looking atomic.Bool // look runs, or will
	holding atomic.Bool
	last    time.Time // of the last pause; of look's goroutine
}

type queue interface{ Len() int }

// queueIn is a queue of the library in a field of what v points to. The library tells the length of its
// queues nowhere; as with the door, the fields are of v3.37.0.
func queueIn(v reflect.Value, field string) queue {
	f := v.Elem().FieldByName(field)
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem().Interface().(queue)
}

// queues are what is read from the neighbor and not looked at by the library, and what the library has
// looked at and we have not. Nobody but us adds neighbors and watchers, so the maps do not change here.
func (i *instance) queues(neighbor string) (out []queue) {
	server := reflect.ValueOf(i.server).Elem()
	peer := server.FieldByName("neighborMap").MapIndex(reflect.ValueOf(neighbor))
	out = append(out, queueIn(peer.Elem().FieldByName("fsm"), "incomingCh"))
	watchers := server.FieldByName("watcherMap").MapRange()
	watchers.Next() // one watcher, under the kind of each event that it wants
	return append(out, queueIn(watchers.Value().Index(0), "ch"))
}

func (f *flow) waiting() (n int) {
	for _, q := range f.queues {
		n += q.Len()
	}
	return n
}

// deliver passes on what the library found, and has the session looked at meanwhile: the speaker may be
// busy with others.
func (s *gobgpSession) deliver(event func()) {
	s.flow.busy.Store(true)
	s.lookSoon()
	event()
	s.flow.busy.Store(false)
}

func (s *gobgpSession) lookSoon() {
	if !s.flow.looking.Swap(true) {
		time.AfterFunc(flowLook, s.look)
	}
}

// look holds the neighbor back if too much of what it said waits, until nothing does.
func (s *gobgpSession) look() {
	f := &s.flow
	if s.closed.Load() {
		return
	}
	n := f.waiting()
	if n > waitingMost {
		s.hold()
	}
	if n > 0 || f.busy.Load() {
		time.AfterFunc(flowLook, s.look)
		return
	}
	f.looking.Store(false)
	if f.busy.Load() { // it came in between and took us for looking
		s.lookSoon()
	}
}

// hold keeps the library from reading: who reads a connection has its lock, and here that is us. The
// library's queues have no bound and no way to make it stop, and it insists on a TCPConn, which cannot be
// wrapped.
func (s *gobgpSession) hold() {
	f := &s.flow
	c := f.conn.Load()
	if c == nil {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(uintptr) bool { // an error is the end of the connection, and of the flood
		if f.waiting() <= waitingMost {
			return true // the lock came late
		}
		f.holding.Store(true)
		defer f.holding.Store(false)
		if time.Since(f.last) > flowCalm {
			go s.events.Held()
		}
		for f.waiting() > waitingLess && !s.closed.Load() {
			time.Sleep(flowPause)
		}
		f.last = time.Now()
		return true
	})
}
