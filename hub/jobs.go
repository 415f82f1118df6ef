package hub

import "sync"

// Jobs runs the blocking work of sessions (data plane, pools, routes) beside the shards. The jobs
// of one queue run one at a time and in order; different queues run at once, on as many
// goroutines as there are workers. A session has at most a handful of jobs waiting, because the
// engine asks one question at a time, so the memory here is bounded by the number of sessions.
type jobs struct {
	mu    sync.Mutex
	wake  sync.Cond
	ready []*queue // queues with work and no worker, oldest first
	stop  bool
	wait  sync.WaitGroup
}

// A queue is the ordered work of one session. Its fields are guarded by jobs.mu.
type queue struct {
	pending []func()
	running bool
}

func newJobs(workers int) *jobs {
	j := &jobs{}
	j.wake.L = &j.mu
	for range workers {
		j.wait.Go(j.work)
	}
	return j
}

// push adds f to q; it never blocks.
func (j *jobs) push(q *queue, f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	q.pending = append(q.pending, f)
	if q.running {
		return
	}
	q.running = true
	j.ready = append(j.ready, q)
	j.wake.Signal()
}

// close lets the workers finish what is queued and waits for them.
func (j *jobs) close() {
	j.mu.Lock()
	j.stop = true
	j.wake.Broadcast()
	j.mu.Unlock()
	j.wait.Wait()
}

func (j *jobs) work() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		for len(j.ready) == 0 {
			if j.stop {
				return
			}
			j.wake.Wait()
		}
		q := j.ready[0]
		j.ready[0] = nil
		j.ready = j.ready[1:]
		j.runOne(q)
	}
}

// runOne runs the oldest job of q without the lock, then puts q back in line if it has more.
func (j *jobs) runOne(q *queue) {
	f := q.pending[0]
	q.pending = q.pending[1:]
	j.mu.Unlock()
	f()
	j.mu.Lock()
	if len(q.pending) > 0 {
		j.ready = append(j.ready, q)
		j.wake.Signal()
		return
	}
	q.pending, q.running = nil, false
}
