// Package track keeps tracked objects: things that are up or down, which client profiles, their peers
// and their sources wait for. An interface's line protocol, a route, IP routing on an interface follow
// events of the kernel; probes (ICMP echo, TCP, HTTP, DNS) ask a target at intervals; lists are made of
// others. It needs no tunnel.
package track

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"flexvpn/config"
)

// Config is what a Set works with.
type Config struct {
	Tracks map[int]*config.Track
	Kernel Kernel // nil: objects of the kernel stay down
	// Probe asks a target once; nil means the real ones ([Ask]).
	Probe func(ctx context.Context, kind config.TrackKind, p config.Probe) error
	Log   *slog.Logger
}

// A Set is all objects of a node. Its methods may be called from any goroutine.
type Set struct {
	cfg   Config
	inbox chan func()
	timer *time.Timer

	mu      sync.Mutex // guards these
	objects map[int]*object
	watch   []func(number int, up bool)
}

// An object is one tracked object. raw is what was seen last; up is that after delay and is what
// others go by.
type object struct {
	*config.Track
	raw     bool
	up      bool
	reason  string // what was seen last, for people
	since   time.Time
	changes int
	due     time.Time // when raw becomes up, unless it changes back; zero: it is
	users   []string

	row     int // probes: equal answers in a row
	lastOK  bool
	decided bool // probes: the first answer has come
}

// New makes the objects, all down.
func New(cfg Config) *Set {
	if cfg.Probe == nil {
		cfg.Probe = Ask
	}
	s := &Set{cfg: cfg, inbox: make(chan func(), 64), objects: map[int]*object{}}
	for n, t := range cfg.Tracks {
		s.objects[n] = &object{Track: t, since: time.Now(), reason: "not looked at yet"}
	}
	return s
}

// Watch has f called after each change, on the Set's goroutine: f must not block. It must be called
// before Run.
func (s *Set) Watch(f func(number int, up bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch = append(s.watch, f)
}

// Use notes who waits for an object, for show.
func (s *Set) Use(number int, who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[number]; o != nil {
		o.users = append(o.users, who)
	}
}

// Up reports whether an object is up; one that is not there is down.
func (s *Set) Up(number int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[number]
	return o != nil && o.up
}

// Run follows the objects until ctx ends.
func (s *Set) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	s.timer = time.NewTimer(time.Hour)
	defer s.timer.Stop()
	for _, o := range s.objects {
		if isProbe(o.Kind) {
			all.Go(func() { s.probe(ctx, o) })
		}
	}
	if s.cfg.Kernel != nil && s.wantsKernel() {
		all.Go(func() { s.watchKernel(ctx) })
	}
	s.settle(time.Now()) // lists that are up with everything down
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-s.inbox:
			f()
		case <-s.timer.C:
			s.settle(time.Now())
		}
	}
}

// do queues f to the Set's goroutine.
func (s *Set) do(ctx context.Context, f func()) {
	select {
	case s.inbox <- f:
	case <-ctx.Done():
	}
}

// A sight is what was seen of an object.
type sight struct {
	o      *object
	up     bool
	reason string
}

// report takes what was seen at one time. Who watches is told when all of it is known: a peer that
// waits for one object to go down is as good a choice as any at the moment another goes down with it.
func (s *Set) report(now time.Time, seen ...sight) {
	s.mu.Lock()
	for _, v := range seen {
		v.o.see(now, v.up, v.reason)
	}
	s.mu.Unlock()
	s.settle(now)
}

// see notes what was seen; a change waits for the object's delay.
func (o *object) see(now time.Time, up bool, reason string) {
	o.reason = reason
	if o.raw == up {
		return
	}
	o.raw = up
	switch delay := o.delay(up); {
	case up == o.up: // it changed back in time
		o.due = time.Time{}
	default:
		o.due = now.Add(delay)
	}
}

func (o *object) delay(up bool) time.Duration {
	if up {
		return o.DelayUp
	}
	return o.DelayDown
}

// A change is told once the lock is free.
type change struct {
	o  *object
	up bool
}

// settle makes the changes that are due, those of lists that follow from them included, tells of
// them, and arms the timer for the next.
func (s *Set) settle(now time.Time) {
	s.mu.Lock()
	var changes []change
	for again := true; again; {
		again = false
		for _, o := range s.objects {
			if o.Kind == config.TrackList {
				up, reason := s.combine(o)
				o.see(now, up, reason)
			}
			if o.due.IsZero() || now.Before(o.due) {
				continue
			}
			o.due, o.up, o.since = time.Time{}, o.raw, now
			o.changes++
			changes = append(changes, change{o, o.up})
			again = true // lists may follow; loops were refused in the configuration
		}
	}
	var next time.Time
	for _, o := range s.objects {
		if !o.due.IsZero() && (next.IsZero() || o.due.Before(next)) {
			next = o.due
		}
	}
	watch := s.watch
	s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		if !next.IsZero() {
			s.timer.Reset(next.Sub(now))
		}
	}
	for _, c := range changes {
		s.cfg.Log.Info("track changed", "event", "TRACK_STATE", "track", c.o.Number, "state", upDown(c.up), "object", c.o.describe(), "reason", c.o.reason)
		for _, f := range watch {
			f(c.o.Number, c.up)
		}
	}
}

func upDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}
