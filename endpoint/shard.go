package endpoint

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"flexvpn/ikev2"
)

// machine is what a shard needs of an SA. *ikev2.SA is one; tests of the shards have others.
type machine interface {
	Receive(now time.Time, p ikev2.Path, datagram []byte)
	Answer(now time.Time, a ikev2.Answer)
	Advance(now time.Time)
	Next() time.Time
	Take() []ikev2.Output
	SPI() uint64
	Facts() ikev2.Facts
}

// gate is what asks peers for cookies. *ikev2.Gate is one.
type gate interface {
	Check(now time.Time, p ikev2.Path, datagram []byte) (admit bool, reply []byte)
}

// engine makes what a shard drives.
type engine struct {
	initiator func(time.Time, *ikev2.Common, *ikev2.Policy, ikev2.Path) machine
	responder func(time.Time, *ikev2.Common, ikev2.Path) machine
	gate      func(time.Time) gate
	stateless func(*ikev2.Common, ikev2.Path, []byte) ([]byte, bool)
}

// realEngine is package ikev2.
var realEngine = engine{
	initiator: func(now time.Time, c *ikev2.Common, p *ikev2.Policy, path ikev2.Path) machine {
		return ikev2.NewInitiator(now, c, p, path)
	},
	responder: func(now time.Time, c *ikev2.Common, path ikev2.Path) machine {
		return ikev2.NewResponder(now, c, path)
	},
	gate:      func(now time.Time) gate { return ikev2.NewGate(now) },
	stateless: ikev2.Stateless,
}

// ReasonInternal is in the Closed event that the endpoint itself makes when an SA died of a bug.
const ReasonInternal ikev2.CloseReason = "internal"

const (
	// burst is how many datagrams, or deadlines, a shard takes before it sends what has come of them.
	burst = 16
	// tooSoon is when an SA is called again that wants to be called at a moment already gone.
	tooSoon = time.Millisecond
)

// A shard owns a part of the SAs: one goroutine, the one of run, does all that concerns them.
type shard struct {
	// Constant after start.
	number int
	e      *Endpoint
	common *ikev2.Common // its fields belong to the shard's goroutine
	inbox  chan *datagram
	mail   mailbox
	epoch  time.Time

	// Owned by the goroutine of run.
	conns   map[uint64]*Conn  // by our SPIs
	halves  map[halfKey]*Conn // peers' attempts, for as long as their SA lives
	due     deadlines
	timer   *time.Timer
	armed   int64 // what the timer is set to, since epoch; 0: stopped
	gate    gate
	replies bucket // for answers to messages of no SA
	out     outbox
	read    []letter // the spare of mail
}

func newShard(e *Endpoint, number int, template *ikev2.Common) *shard {
	s := &shard{
		number: number, e: e,
		inbox:  make(chan *datagram, queueLength),
		mail:   mailbox{wake: make(chan struct{}, 1)},
		epoch:  time.Now(),
		conns:  map[uint64]*Conn{},
		halves: map[halfKey]*Conn{},
	}
	s.common = copyCommon(template)
	s.common.Counters = &ikev2.Counters{}
	s.common.NewSPI = s.newSPI
	s.out.e = e
	return s
}

// newSPI is the Common's NewSPI.
func (s *shard) newSPI() uint64 {
	for {
		if spi := newSPI(s.number); s.conns[spi] == nil {
			return spi
		}
	}
}

// run is the shard's life.
func (s *shard) run(stop <-chan struct{}) {
	defer s.end()
	s.gate = s.e.engine.gate(time.Now())
	s.timer = time.NewTimer(time.Hour)
	s.timer.Stop()
	defer s.timer.Stop()
	for {
		select {
		case <-stop:
			return
		case d := <-s.inbox:
			s.receive(d)
			s.receiveMore()
		case <-s.mail.wake:
			s.readMail()
		case <-s.timer.C:
			s.armed = 0
		}
		s.advance()
		s.out.flush()
		s.arm()
	}
}

func (s *shard) end() {
	for _, l := range s.mail.close() {
		if l.lost != nil {
			l.lost()
		}
	}
}

// receiveMore takes what else has arrived, up to a burst.
func (s *shard) receiveMore() {
	for range burst - 1 {
		select {
		case d := <-s.inbox:
			s.receive(d)
		default:
			return
		}
	}
}

func (s *shard) readMail() {
	letters := s.mail.take(s.read)
	for i, l := range letters {
		letters[i] = letter{}
		s.open(l)
	}
	s.read = letters[:0]
}

func (s *shard) open(l letter) {
	now := time.Now()
	if l.conn == nil {
		l.run(now)
		return
	}
	if l.conn.gone.Load() {
		if l.lost != nil {
			l.lost()
		}
		return
	}
	ran := s.call(l.conn, func() {
		l.run(now)
		s.carry(l.conn, now)
	})
	if !ran && l.lost != nil {
		l.lost()
	}
}

// advance calls the SAs whose deadline has come.
func (s *shard) advance() {
	for range burst {
		now := time.Now()
		d, ok := s.due.first()
		if !ok || d.at > int64(now.Sub(s.epoch)) {
			return
		}
		s.call(d.conn, func() {
			d.conn.sa.Advance(now)
			s.carry(d.conn, now)
		})
	}
}

// arm sets the timer to the first deadline.
func (s *shard) arm() {
	d, ok := s.due.first()
	switch {
	case !ok && s.armed != 0:
		s.timer.Stop()
		s.armed = 0
	case ok && d.at != s.armed:
		s.timer.Reset(time.Duration(d.at) - time.Since(s.epoch))
		s.armed = d.at
	}
}

// schedule puts c's next deadline into the heap.
func (s *shard) schedule(c *Conn, now time.Time) {
	next := c.sa.Next()
	if next.IsZero() {
		s.due.remove(c)
		return
	}
	if !next.After(now) {
		next = now.Add(tooSoon)
	}
	s.due.set(c, int64(next.Sub(s.epoch)))
}

// begin starts one of our own attempts.
func (s *shard) begin(c *Conn, now time.Time, p *ikev2.Policy, path ikev2.Path) {
	c.sa = s.e.engine.initiator(now, s.common, p, path)
	c.leads(c.sa.SPI())
}

// forget takes c out of every table.
func (s *shard) forget(c *Conn) {
	if c.gone.Swap(true) {
		return
	}
	for _, spi := range c.spis {
		delete(s.conns, spi)
	}
	if s.halves[c.half] == c {
		delete(s.halves, c.half)
	}
	s.stands(c)
	s.due.remove(c)
	c.sa, c.spis = nil, nil
}

// stands says that c is not half-open any more.
func (s *shard) stands(c *Conn) {
	if c.halfOpen {
		c.halfOpen = false
		s.e.halfOpen.Add(-1)
	}
}

// call runs f, which is about c. A panic there, in the engine or in the handler, ends c alone; then
// call is false.
func (s *shard) call(c *Conn, f func()) (ran bool) {
	defer func() {
		if r := recover(); r != nil {
			s.crashed(c, fmt.Sprint(r), panicSite())
		}
	}()
	f()
	return true
}

// crashed takes away an SA that met a bug and tells its handler. Nothing is sent to the peer: what
// the SA knows cannot be trusted any more.
func (s *shard) crashed(c *Conn, what, where string) {
	s.e.count.Panics.Add(1)
	if c.gone.Load() {
		return // its handler knows already; the bug is the handler's
	}
	s.forget(c)
	defer func() { _ = recover() }() // the handler's own bug: counted above
	c.handler.Notice(c, ikev2.Closed{
		Reason: ReasonInternal,
		Detail: "a bug in this program ended the SA, please report it: " + what + " at " + where,
		Path:   ikev2.Path{Remote: c.half.remote},
	})
}

// panicSite names the innermost frames of our own code that a recovered panic came from.
func panicSite() string {
	pc := make([]uintptr, 32)
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc)])
	var sites []string
	for more := true; more && len(sites) < 4; {
		var f runtime.Frame
		f, more = frames.Next()
		if f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") {
			sites = append(sites, fmt.Sprintf("%s:%d", f.Function, f.Line))
		}
	}
	return strings.Join(sites, " < ")
}
