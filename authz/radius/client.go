package radius

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"layeh.com/radius"

	"flexvpn/authz"
	"flexvpn/config"
	"flexvpn/secret"
)

// requestLimit bounds an exchange over all servers: an IKE SA waits 20 seconds for its answers.
const requestLimit = 18 * time.Second

// probeEvery is how often a dead server is asked for its status.
const probeEvery = 3 * time.Second

// A Client asks the servers of a configuration. Its methods are safe for concurrent use.
type Client struct {
	log    *slog.Logger
	nas    nas
	groups map[string]*group // constant
	open   opener
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	trace  atomic.Pointer[tracer]

	mu     sync.Mutex // guards all ports, lanes and exchanges
	closed bool

	wait sync.WaitGroup
}

// nas is what servers are told of this node.
type nas struct {
	identifier string
	address    netip.Addr
}

// A group is servers in their order: their ports for authentication and for accounting.
type group struct {
	*config.AAAGroup
	auth, acct []*port
}

// New prepares the servers of cfg; nothing is sent before the first request.
func New(cfg config.AAA, node string, log *slog.Logger) *Client {
	return newClient(cfg, node, log, open)
}

func newClient(cfg config.AAA, node string, log *slog.Logger, open opener) *Client {
	c := &Client{log: log, nas: nas{cfg.NASIdentifier, cfg.NASAddress}, groups: map[string]*group{}, open: open}
	if c.nas.identifier == "" {
		c.nas.identifier = node
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	ports := map[*config.AAAServer][2]*port{}
	for _, g := range cfg.Groups {
		made := &group{AAAGroup: g}
		for _, s := range g.Servers {
			pair, ok := ports[s]
			if !ok {
				pair = newPorts(c, s)
				ports[s] = pair
			}
			for _, p := range pair {
				p.deadTime = max(p.deadTime, g.DeadTime)
			}
			made.auth, made.acct = append(made.auth, pair[0]), append(made.acct, pair[1])
		}
		c.groups[g.Name] = made
	}
	return c
}

// ports lists every port once, in the order of names.
func (c *Client) ports() []*port {
	seen := map[*port]bool{}
	for _, g := range c.groups {
		for _, p := range slices.Concat(g.auth, g.acct) {
			seen[p] = true
		}
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b *port) int {
		if a.server.Name != b.server.Name {
			return compare(a.server.Name, b.server.Name)
		}
		return compare(b.kind, a.kind) // auth before acct
	})
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Close ends all exchanges; their callbacks are told that nobody answers.
func (c *Client) Close() {
	c.cancel()
	c.mu.Lock()
	c.closed = true
	var after []func()
	for _, p := range c.ports() {
		after = append(after, p.shut()...)
	}
	c.mu.Unlock()
	run(after)
	c.wait.Wait()
}

// An exchange is one question on its way through the servers of a group. Guarded by Client.mu.
type exchange struct {
	client   *Client
	code     radius.Code
	attrs    radius.Attributes
	password secret.Bytes
	ports    []*port // still to be tried
	deadline time.Time
	done     func(*answer, error)

	at    *port
	lane  *lane // nil while it waits for a connection
	id    byte
	raw   []byte
	tries int
	first time.Time // sent to at
	sent  time.Time
	timer *time.Timer
	turn  int // of the timer: an older one that fires late is none
	over  bool
	trial *port // dead, and asked all the same: see lastResort
}

// answer is what a server said, with the request it belongs to.
type answer struct {
	*radius.Packet
	request []byte
	server  string
	from    *port
}

// send asks the ports in turn. done is called once, on any goroutine.
func (c *Client) send(code radius.Code, attrs radius.Attributes, password secret.Bytes, ports []*port, limit time.Duration, done func(*answer, error)) {
	e := &exchange{client: c, code: code, attrs: attrs, password: password, ports: ports, deadline: time.Now().Add(limit), done: done}
	c.mu.Lock()
	after := e.next()
	c.mu.Unlock()
	run(after)
}

// run calls what a change left to be told, without the lock.
func run(after []func()) {
	for _, f := range after {
		f()
	}
}

// next goes to the next server that is not dead, or when all are to the one that lastResort finds; mu is
// held.
func (e *exchange) next() []func() {
	now := time.Now()
	all := e.ports
	for !e.client.closed && now.Before(e.deadline) && len(e.ports) > 0 {
		p := e.ports[0]
		e.ports = e.ports[1:]
		if !p.usable(now) {
			continue
		}
		e.at, e.tries, e.first = p, 0, now
		return p.take(e)
	}
	if p := e.lastResort(now, all); p != nil {
		e.trial, p.tried = p, true
		e.at, e.tries, e.first = p, 0, now
		return p.take(e)
	}
	return e.finish(nil, authz.ErrUnreachable)
}

// lastResort is, when every server was dead already, the one whose dead time ends first; nil without any.
// A server is passed over only while another is there: one that is back and does not know
// Status-Server need not be missed until its time is over. One request at a time finds out about each, and is
// not repeated; all others have their answer at once. mu is held.
func (e *exchange) lastResort(now time.Time, ports []*port) (best *port) {
	if e.at != nil || e.client.closed || !now.Before(e.deadline) {
		return nil
	}
	for _, p := range ports {
		if !p.tried && (best == nil || p.deadUntil.Before(best.deadUntil)) {
			best = p
		}
	}
	return best
}

// finish ends the exchange; mu is held.
func (e *exchange) finish(a *answer, err error) []func() {
	if e.over {
		return nil
	}
	e.over = true
	if e.trial != nil {
		e.trial.tried = false
	}
	if e.timer != nil {
		e.timer.Stop()
	}
	return []func(){func() { e.done(a, err) }}
}

// transmit sends the request, again or for the first time; mu is held.
func (e *exchange) transmit() []func() {
	now := time.Now()
	e.tries++
	e.sent = now
	e.at.stats.Requests++
	if e.tries > 1 {
		e.at.stats.Retransmissions++
	}
	e.client.traced(true, e.at, e.raw)
	wait := e.at.server.Timeout
	if e.at.stream() {
		wait *= time.Duration(e.at.server.Tries) // RFC 6613 section 2.6: nothing is sent twice on one connection
	}
	wait += time.Duration(rand.Int64N(int64(wait)/10 + 1))
	if err := e.lane.link.write(e.raw); err != nil && e.tries == 1 {
		e.client.log.Debug("radius request not sent", "server", e.at.server.Name, "err", err)
	}
	e.turn++
	turn := e.turn
	e.timer = time.AfterFunc(wait, func() { e.silent(turn) })
	return nil
}

// silent is the timer's: nobody answered in time.
func (e *exchange) silent(turn int) {
	c := e.client
	c.mu.Lock()
	var after []func()
	if turn == e.turn {
		after = e.timedOut()
	}
	c.mu.Unlock()
	run(after)
}

func (e *exchange) timedOut() []func() {
	if e.over || e.lane == nil {
		return nil
	}
	now := time.Now()
	e.at.stats.Timeouts++
	if !e.at.stream() && e.tries < e.at.server.Tries && now.Before(e.deadline) && e.at.usable(now) {
		return e.transmit()
	}
	at := e.at
	e.lane.release(e)
	after := at.unblock()
	if e.code == radius.CodeStatusServer {
		return append(after, e.finish(nil, authz.ErrUnreachable)...)
	}
	// Silence towards one request, while others are answered, is that request's fault.
	if at.lastAnswer.Before(e.first) {
		after = append(after, at.die(now, fmt.Errorf("no answer to %d requests", e.tries))...)
	}
	return append(after, e.next()...)
}
