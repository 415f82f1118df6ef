package dns

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// answerWithin is how long a host waits before it is given what is stale (the client response timer of
// RFC 8767 section 5).
const answerWithin = 1800 * time.Millisecond

// recheck is how long a stale answer is given at once before its servers are asked again (the failure
// recheck timer of RFC 8767 section 5).
const recheck = 5 * time.Second

// origin says where an answer came from.
type origin string

const (
	fromServer origin = "server"
	fromCache  origin = "cache"
	fromStale  origin = "stale"
	fromNobody origin = "nobody"
)

// A flight is a question under way; those who ask the same meanwhile wait for it, so that a hundred
// hosts cost one query, and guessing replies to many equal ones gains nothing (RFC 5452 section 5).
type flight struct {
	done   chan struct{}
	answer *dns.Msg
	err    error
}

type flights struct {
	mu     sync.Mutex
	going  map[key]*flight
	failed map[key]time.Time // when a question failed that has a stale answer
}

// resolve finds the answer to a question on a path: remembered, asked for, or stale.
func (p *Proxy) resolve(ctx context.Context, q dns.Question, do, cd bool, way path) (*dns.Msg, origin, error) {
	k := key{way.view, strings.ToLower(q.Name), q.Qtype, do, cd}
	old, fresh := p.cache.get(k, time.Now())
	if fresh {
		return old, fromCache, nil
	}
	if way.view == "" {
		old = nil // the default servers' own staleness is theirs
	}
	if old != nil && p.flights.failedLately(k, time.Now()) {
		return old, fromStale, nil
	}
	f := p.fly(ctx, k, q, way)
	patience := make(<-chan time.Time)
	if old != nil {
		timer := time.NewTimer(answerWithin)
		defer timer.Stop()
		patience = timer.C
	}
	select {
	case <-f.done:
	case <-patience:
		return old, fromStale, nil
	case <-ctx.Done():
		return nil, fromNobody, ctx.Err()
	}
	if f.err == nil && f.answer.Rcode != dns.RcodeServerFailure {
		return f.answer.Copy(), fromServer, nil
	}
	if old != nil {
		return old, fromStale, nil
	}
	if f.err != nil {
		return nil, fromNobody, f.err
	}
	return f.answer.Copy(), fromServer, nil
}

// fly joins or starts the flight of a question. It goes on when those who wait have left, until ctx, the
// proxy's, ends.
func (p *Proxy) fly(ctx context.Context, k key, q dns.Question, way path) *flight {
	p.flights.mu.Lock()
	defer p.flights.mu.Unlock()
	if f, ok := p.flights.going[k]; ok {
		return f
	}
	f := &flight{done: make(chan struct{})}
	if p.flights.going == nil {
		p.flights.going, p.flights.failed = map[key]*flight{}, map[key]time.Time{}
	}
	p.flights.going[k] = f
	p.flying.Go(func() {
		f.answer, f.err = p.ask(ctx, q, k.do, k.cd, way.servers)
		if f.err == nil && p.current(way, k.name) {
			p.cache.put(k, f.answer, time.Now())
		}
		p.flights.land(k, f.err != nil, time.Now())
		close(f.done)
	})
	return f
}

// current reports whether a view still stands: an answer that arrives after its tunnel was dismissed
// must not be remembered.
func (p *Proxy) current(way path, name string) bool {
	if way.view == "" {
		return true
	}
	t := p.table.Load()
	for _, v := range t.views {
		if _, ok := v.longest(name); ok && strings.Contains(" "+way.view+" ", " "+v.client+" ") {
			return true
		}
	}
	return false
}

func (f *flights) land(k key, failed bool, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.going, k)
	delete(f.failed, k)
	if !failed {
		return
	}
	if len(f.failed) >= maxEntries {
		clear(f.failed)
	}
	f.failed[k] = now
}

func (f *flights) failedLately(k key, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, ok := f.failed[k]
	return ok && now.Sub(at) < recheck
}

// remembered is what is known of a question of a view whose hub is away.
func (p *Proxy) remembered(q dns.Question, do, cd bool, clients []string) *dns.Msg {
	m, _ := p.cache.get(key{strings.Join(clients, " "), strings.ToLower(q.Name), q.Qtype, do, cd}, time.Now())
	return m
}
