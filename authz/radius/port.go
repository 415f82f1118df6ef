package radius

import (
	"fmt"
	"net/netip"
	"time"

	"layeh.com/radius"

	"flexvpn/config"
)

// latencyBounds are the buckets of the latency histogram, in seconds.
var latencyBounds = [...]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

// Bounds of one port: lanes have 256 identifiers each.
const (
	maxLanes   = 64
	maxWaiting = 4096
)

// A port is where one server takes requests of one kind. Guarded by Client.mu.
type port struct {
	client   *Client
	server   *config.AAAServer // constant
	kind     string            // auth or acct, constant
	address  netip.AddrPort    // constant
	deadTime time.Duration     // constant

	lanes      []*lane
	dialing    bool
	waiting    []*exchange // for a connection
	deadUntil  time.Time   // zero: alive
	tried      bool        // an exchange finds out whether it still is dead
	lastAnswer time.Time
	lastError  string
	since      time.Time // in this state
	probe      *time.Timer
	probing    bool
	stats      portStats
}

// portStats only grow.
type portStats struct {
	Requests, Retransmissions, Timeouts uint64
	Accepts, Rejects, Challenges        uint64
	Responses                           uint64            // of accounting
	Bad                                 map[string]uint64 // dropped, by reason
	Unusable                            map[string]uint64 // believed, by what is wrong with them
	Deaths                              uint64
	latency                             [len(latencyBounds)]uint64
	latencySum                          float64
	latencyCount                        uint64
}

// What is wrong with answers that are dropped: a closed set.
const (
	badSource        = "source"
	badIdentifier    = "identifier"
	badAuthenticator = "authenticator"
	badUnsigned      = "unsigned"
	badMalformed     = "malformed"
	badCode          = "code"
)

var badReasons = []string{badSource, badIdentifier, badAuthenticator, badUnsigned, badMalformed, badCode}

func newPorts(c *Client, s *config.AAAServer) [2]*port {
	make1 := func(kind string, n uint16) *port {
		return &port{
			client: c, server: s, kind: kind, address: netip.AddrPortFrom(s.Address, n), since: time.Now(),
			stats: portStats{Bad: map[string]uint64{}, Unusable: map[string]uint64{}},
		}
	}
	auth := make1("auth", s.AuthPort)
	if s.Transport == config.AAAOverTLS {
		return [2]*port{auth, auth}
	}
	return [2]*port{auth, make1("acct", s.AcctPort)}
}

func (p *port) stream() bool { return p.server.Transport == config.AAAOverTLS }

func (p *port) usable(now time.Time) bool { return p.deadUntil.IsZero() || !now.Before(p.deadUntil) }

// take sends e over a lane with a free identifier, or has it wait for one; mu is held.
func (p *port) take(e *exchange) []func() {
	for _, l := range p.lanes {
		if l.inUse < len(l.ids) {
			return l.carry(e)
		}
	}
	if len(p.waiting) >= maxWaiting {
		return e.next()
	}
	p.waiting = append(p.waiting, e)
	p.dial()
	return nil
}

// dial opens one more lane beside the callers, which never wait; mu is held.
func (p *port) dial() {
	c := p.client
	if p.dialing || len(p.lanes) >= maxLanes || c.closed {
		return
	}
	p.dialing = true
	c.wait.Go(func() {
		l := &lane{port: p}
		opened, err := c.open(c.ctx, p, l.received, l.lost)
		c.mu.Lock()
		after := p.dialed(l, opened, err)
		c.mu.Unlock()
		run(after)
	})
}

func (p *port) dialed(l *lane, opened link, err error) []func() {
	p.dialing = false
	if err == nil && p.client.closed {
		opened.close()
	}
	waiting := p.waiting
	p.waiting = nil
	if err != nil || p.client.closed {
		after := []func(){}
		if err != nil {
			after = p.die(time.Now(), err)
		}
		for _, e := range waiting {
			after = append(after, e.next()...)
		}
		return after
	}
	l.link = opened
	p.lanes = append(p.lanes, l)
	var after []func()
	for _, e := range waiting {
		if !e.over {
			after = append(after, p.take(e)...)
		}
	}
	return after
}

// die marks the server dead and moves what waits for it to the next one; mu is held.
func (p *port) die(now time.Time, why error) []func() {
	if p.client.closed {
		return nil
	}
	if p.usable(now) {
		p.stats.Deaths++
		p.since, p.lastError = now, why.Error()
		p.client.log.Warn("radius server dead", "server", p.server.Name, "port", p.kind, "address", p.address.String(), "err", why, "dead_time", p.deadTime)
	}
	p.deadUntil = now.Add(p.deadTime)
	if !p.probing {
		p.probing = true
		p.probe = time.AfterFunc(probeEvery, p.askStatus)
	}
	var after []func()
	waiting := p.waiting
	p.waiting = nil
	for _, e := range waiting {
		after = append(after, e.next()...)
	}
	for _, l := range p.lanes {
		for _, e := range l.ids {
			if e != nil && e.code != radius.CodeStatusServer {
				l.release(e)
				after = append(after, e.next()...)
			}
		}
	}
	return after
}

// askStatus asks a dead server whether it is back (RFC 5997). One that does not know the question
// is simply tried again when its dead time is over.
func (p *port) askStatus() {
	c := p.client
	c.mu.Lock()
	if c.closed || p.deadUntil.IsZero() {
		p.probing = false
		c.mu.Unlock()
		return
	}
	e := &exchange{client: c, code: radius.CodeStatusServer, attrs: c.nasAttributes(p), at: p, deadline: time.Now().Add(probeEvery)}
	e.first = time.Now()
	e.tries = p.server.Tries // once is enough
	e.done = func(*answer, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.closed && !p.deadUntil.IsZero() {
			p.probe = time.AfterFunc(probeEvery, p.askStatus)
			return
		}
		p.probing = false
	}
	after := p.take(e)
	c.mu.Unlock()
	run(after)
}

// alive notes an answer; mu is held.
func (p *port) alive(now time.Time) []func() {
	p.lastAnswer = now
	if p.deadUntil.IsZero() {
		return nil
	}
	p.deadUntil, p.since, p.lastError = time.Time{}, now, ""
	p.client.log.Info("radius server back", "server", p.server.Name, "port", p.kind, "address", p.address.String())
	return nil
}

func (p *port) shut() (after []func()) {
	if p.probe != nil {
		p.probe.Stop()
	}
	for _, e := range p.waiting {
		after = append(after, e.next()...)
	}
	p.waiting = nil
	for _, l := range p.lanes {
		for _, e := range l.ids {
			if e != nil {
				l.release(e)
				after = append(after, e.next()...)
			}
		}
		l.link.close()
	}
	return after
}

func (p *port) observe(took time.Duration) {
	s := &p.stats
	s.latencyCount++
	s.latencySum += took.Seconds()
	for i, bound := range latencyBounds {
		if took.Seconds() <= bound {
			s.latency[i]++
		}
	}
}

func (p *port) String() string { return fmt.Sprintf("%s (%s)", p.server.Name, p.address) }
