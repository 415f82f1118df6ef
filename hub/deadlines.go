package hub

import (
	"container/heap"
	"sync"
	"time"
)

// deadlines wakes sessions that have limits or report: one timer for all of them, set to the
// earliest. A session without a deadline costs nothing.
type deadlines struct {
	fire func(*session)

	mu    sync.Mutex
	heap  dueHeap
	of    map[*session]*dueEntry
	timer *time.Timer
	armed time.Time // what the timer waits for; zero: nothing
	done  bool
}

type dueEntry struct {
	session *session
	at      time.Time
	index   int
}

// set makes at the deadline of s; zero: none.
func (d *deadlines) set(s *session, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.of[s]
	switch {
	case at.IsZero() && e == nil:
		return
	case at.IsZero():
		heap.Remove(&d.heap, e.index)
		delete(d.of, s)
	case e == nil:
		if d.of == nil {
			d.of = map[*session]*dueEntry{}
		}
		e = &dueEntry{session: s, at: at}
		d.of[s] = e
		heap.Push(&d.heap, e)
	default:
		e.at = at
		heap.Fix(&d.heap, e.index)
	}
	d.arm()
}

// arm sets the timer to the earliest deadline; mu is held.
func (d *deadlines) arm() {
	if d.done || len(d.heap) == 0 || !d.armed.IsZero() && !d.heap[0].at.Before(d.armed) {
		return
	}
	d.armed = d.heap[0].at
	if d.timer == nil {
		d.timer = time.AfterFunc(time.Until(d.armed), d.wake)
		return
	}
	d.timer.Reset(time.Until(d.armed))
}

func (d *deadlines) wake() {
	d.mu.Lock()
	d.armed = time.Time{}
	var all []*session
	for now := time.Now(); len(d.heap) > 0 && !d.heap[0].at.After(now); {
		e := heap.Pop(&d.heap).(*dueEntry)
		delete(d.of, e.session)
		all = append(all, e.session)
	}
	d.arm()
	d.mu.Unlock()
	for _, s := range all {
		d.fire(s)
	}
}

func (d *deadlines) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done = true
	if d.timer != nil {
		d.timer.Stop()
	}
}

// dueHeap implements heap.Interface.
type dueHeap []*dueEntry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	e := x.(*dueEntry)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
