// Package load sets up many sessions against one hub from one process and reports how that went. It
// is an initiator like any spoke: the real engine over real sockets, with the data plane's objects
// or without.
package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"flexvpn/authz"
	"flexvpn/dataplane"
	"flexvpn/endpoint"
	"flexvpn/ikev2"
	"flexvpn/ikev2/wire"
	"flexvpn/vtemplate"
)

// Options say what load to make.
type Options struct {
	Sessions int           // how many; 1 to 1,000,000
	Rate     float64       // handshakes begun a second; 0: as fast as Window lets them
	Window   int           // handshakes under way at once; 0: 64
	Hold     time.Duration // how long the sessions stand before they are ended
	Report   time.Duration // between lines of progress; 0: none

	Hub    netip.AddrPort
	Local  netip.Addr    // invalid: chosen by the routing table
	Policy *ikev2.Policy // shared by all; the identity is made of it
	// SharedIdentity keeps Policy.Local for every session instead of numbering it (certificates).
	SharedIdentity bool
	Plane          dataplane.Plane
	Interfaces     bool // make the plane's objects, one interface a session
}

// Starter begins SAs; *endpoint.Endpoint is one.
type Starter interface {
	Initiate(h endpoint.Handler, data any, p *ikev2.Policy, local netip.Addr, remote netip.AddrPort) (*endpoint.Conn, error)
}

// Result is what a load run found.
type Result struct {
	Asked       int            `json:"asked"`
	Established int            `json:"established"`
	Failed      map[string]int `json:"failed"` // by reason
	Lost        map[string]int `json:"lost"`   // of the established, by reason, before the hold ended
	SetupTime   time.Duration  `json:"setup_nanoseconds"`
	PerSecond   float64        `json:"setups_per_second"`
	P50, P99    time.Duration  `json:"-"`
	P50Seconds  float64        `json:"handshake_p50_seconds"`
	P99Seconds  float64        `json:"handshake_p99_seconds"`
}

// A run is one load; it implements endpoint.Handler.
type run struct {
	opt   Options
	slots chan struct{} // one per handshake under way

	mu      sync.Mutex
	changed sync.Cond
	pending int
	result  Result
	took    []time.Duration
	conns   map[*endpoint.Conn]struct{} // established
	ending  bool
}

// A spoke is one session's place.
type spoke struct {
	number int
	ended  bool
	up     bool
	spec   dataplane.Interface
}

// Run makes the load, holds it, ends it. Progress goes to w. It returns what it found also when ctx
// ends early; the error is of things that made the run impossible, not of refused sessions.
func Run(ctx context.Context, w io.Writer, start Starter, opt Options) (Result, error) {
	if opt.Sessions < 1 || opt.Sessions > 1_000_000 {
		return Result{}, fmt.Errorf("%d sessions: give 1 to 1000000", opt.Sessions)
	}
	if opt.Window == 0 {
		opt.Window = 64
	}
	r := &run{opt: opt, slots: make(chan struct{}, opt.Window), conns: map[*endpoint.Conn]struct{}{}}
	r.changed.L = &r.mu
	r.result = Result{Asked: opt.Sessions, Failed: map[string]int{}, Lost: map[string]int{}}
	stop := context.AfterFunc(ctx, r.wake)
	defer stop()

	begin := time.Now()
	err := r.begin(ctx, w, start)
	r.wait(ctx, func() bool { return r.pending == 0 })
	r.mu.Lock()
	r.result.SetupTime = time.Since(begin)
	r.mu.Unlock()
	if err == nil && opt.Hold > 0 {
		fmt.Fprintf(w, "%d sessions stand; holding them for %s\n", r.standing(), opt.Hold)
		select {
		case <-time.After(opt.Hold):
		case <-ctx.Done():
		}
	}
	r.finish()
	return r.summary(), err
}

func (r *run) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed.Broadcast()
}

func (r *run) wait(ctx context.Context, done func() bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !done() && ctx.Err() == nil {
		r.changed.Wait()
	}
}

func (r *run) standing() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

// begin starts all handshakes, as the rate and the window let it.
func (r *run) begin(ctx context.Context, w io.Writer, start Starter) error {
	first, reported := time.Now(), time.Now()
	for i := range r.opt.Sessions {
		if r.opt.Rate > 0 {
			due := first.Add(time.Duration(float64(i) / r.opt.Rate * float64(time.Second)))
			select {
			case <-time.After(time.Until(due)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		select {
		case r.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		r.mu.Lock()
		r.pending++
		r.mu.Unlock()
		if _, err := start.Initiate(r, &spoke{number: i}, r.policy(i), r.opt.Local, r.opt.Hub); err != nil {
			r.over()
			return fmt.Errorf("begin session %d: %w", i, err)
		}
		if r.opt.Report > 0 && time.Since(reported) >= r.opt.Report {
			reported = time.Now()
			fmt.Fprintf(w, "%d of %d begun, %d established\n", i+1, r.opt.Sessions, r.standing())
		}
	}
	return nil
}

// policy is the shared policy with this session's identity: "load17." in front of the profile's.
func (r *run) policy(i int) *ikev2.Policy {
	p := *r.opt.Policy
	if !r.opt.SharedIdentity {
		p.Local.Data = numbered(p.Local, i)
	}
	p.TSLocal = []wire.Selector{wire.SelectorFromPrefix(netip.MustParsePrefix("0.0.0.0/0"), 0)}
	p.TSRemote = slices.Clone(p.TSLocal)
	p.Config = authz.Request(authz.Wanted{Address: true})
	return &p
}

func numbered(id ikev2.Identity, i int) string {
	if user, host, ok := strings.Cut(id.Data, "@"); ok && id.Type == wire.IDEmail {
		return fmt.Sprintf("%s%d@%s", user, i, host)
	}
	return fmt.Sprintf("load%d.%s", i, id.Data)
}

// over frees a handshake's slot.
func (r *run) over() {
	<-r.slots
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending--
	r.changed.Broadcast()
}

// Ask implements endpoint.Handler. Without interfaces the answers need no data plane at all.
func (r *run) Ask(c *endpoint.Conn, q ikev2.Question) {
	s := c.Data.(*spoke)
	switch q := q.(type) {
	case ikev2.Install:
		if !r.opt.Interfaces {
			c.Answer(ikev2.InstallAnswer{ID: q.ID})
			return
		}
		go func() { c.Answer(ikev2.InstallAnswer{ID: q.ID, Err: r.install(s, q)}) }()
	case ikev2.Traffic:
		c.Answer(ikev2.TrafficAnswer{ID: q.ID})
	case ikev2.ConfigSet:
		c.Answer(ikev2.ConfigSetAnswer{ID: q.ID})
	}
}

func (r *run) install(s *spoke, q ikev2.Install) error {
	r.mu.Lock()
	next := s.spec
	r.mu.Unlock()
	if next.Name == "" {
		next = dataplane.Interface{Name: fmt.Sprintf("load%d", s.number), Mode: dataplane.IPsec, MTU: 1400, Path: vtemplate.Path(q.Path)}
	}
	next.Children = append(slices.Clone(next.Children), vtemplate.Child(q.Child))
	next.Outbound = q.Child.SPIIn
	if err := r.opt.Plane.Apply(next); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.spec = next
	return nil
}

// Notice implements endpoint.Handler.
func (r *run) Notice(c *endpoint.Conn, e ikev2.Event) {
	s := c.Data.(*spoke)
	switch e := e.(type) {
	case ikev2.Established:
		s.up = true
		r.mu.Lock()
		r.took = append(r.took, e.Took)
		r.conns[c] = struct{}{}
		r.mu.Unlock()
		r.over()
	case ikev2.Closed:
		r.closed(c, s, e)
	}
}

func (r *run) closed(c *endpoint.Conn, s *spoke, e ikev2.Closed) {
	r.mu.Lock()
	delete(r.conns, c)
	switch {
	case !s.up:
		r.result.Failed[string(e.Reason)]++
	case !r.ending:
		r.result.Lost[string(e.Reason)]++
	}
	name := s.spec.Name
	s.spec.Name = ""
	r.changed.Broadcast()
	r.mu.Unlock()
	if name != "" {
		go func() { _ = r.opt.Plane.Remove(name) }()
	}
	if !s.up && !s.ended {
		s.ended = true
		r.over()
	}
}

// finish ends every session and waits, at most ten seconds, for the hub's answers.
func (r *run) finish() {
	r.mu.Lock()
	r.ending = true
	r.result.Established = len(r.took)
	conns := make([]*endpoint.Conn, 0, len(r.conns))
	for c := range r.conns {
		conns = append(conns, c)
	}
	r.mu.Unlock()
	for _, c := range conns {
		c.Do(func(now time.Time, sa *ikev2.SA) { sa.Close(now, "the load run is over") })
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stop := context.AfterFunc(ctx, r.wake)
	defer stop()
	r.wait(ctx, func() bool { return len(r.conns) == 0 })
}

func (r *run) summary() Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.result
	slices.Sort(r.took)
	if n := len(r.took); n > 0 {
		out.P50, out.P99 = r.took[n/2], r.took[min(n-1, n*99/100)]
		out.P50Seconds, out.P99Seconds = out.P50.Seconds(), out.P99.Seconds()
		out.PerSecond = float64(n) / out.SetupTime.Seconds()
	}
	return out
}

// Print writes the result for people.
func (res Result) Print(w io.Writer) {
	fmt.Fprintf(w, "asked        %d\nestablished  %d\nset-ups/s    %.0f\nhandshake    p50 %s, p99 %s\n",
		res.Asked, res.Established, res.PerSecond, res.P50.Round(10*time.Microsecond), res.P99.Round(10*time.Microsecond))
	printReasons(w, "failed", res.Failed)
	printReasons(w, "lost", res.Lost)
}

func printReasons(w io.Writer, what string, by map[string]int) {
	reasons := make([]string, 0, len(by))
	for reason := range by {
		reasons = append(reasons, reason)
	}
	slices.SortFunc(reasons, func(a, b string) int { return cmp.Compare(by[b], by[a]) })
	for _, reason := range reasons {
		fmt.Fprintf(w, "%-12s %d %s\n", what, by[reason], reason)
	}
}

// ErrIncomplete is returned by Check when sessions are missing.
var ErrIncomplete = errors.New("not every session was established and stayed")

// Check is nil when every session was established and none was lost.
func (res Result) Check() error {
	if res.Established != res.Asked || len(res.Lost) > 0 {
		return ErrIncomplete
	}
	return nil
}
