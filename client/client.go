// Package client runs client profiles: the spoke's side of FlexVPN. What a profile decides (which peer,
// which source, when to connect, when to leave) is a machine without I/O or clock; a [Client] has one
// goroutine that feeds it with events and time and does what it wants done: look names up, begin IKE,
// build the tunnel, move the traffic. Sessions are the legs of the machine made real.
package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"flexvpn/config"
	"flexvpn/dataplane"
	"flexvpn/endpoint"
	"flexvpn/ikev2"
	"flexvpn/ops/view"
	"flexvpn/profile"
	"flexvpn/routing"
)

// errStopped is what verbs get after the end of Run.
var errStopped = errors.New("the client has stopped")

// Starter begins an SA towards a peer; *endpoint.Endpoint is one.
type Starter interface {
	Initiate(h endpoint.Handler, data any, p *ikev2.Policy, local netip.Addr, remote netip.AddrPort) (*endpoint.Conn, error)
}

// Resolver finds the addresses of a host name; *net.Resolver is one. network is ip, ip4 or ip6.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config is what a Client works with. The client closes none of it.
type Config struct {
	Client   *config.Client
	Profile  *profile.Profile
	Start    Starter
	Plane    dataplane.Plane
	Routes   *routing.Table
	Resolver Resolver
	Groups   *Groups // shared by the clients of a node; nil: this one is alone
	Log      *slog.Logger
	Node     string
	Version  string
	IKEPort  uint16 // of the peers
	// LocalTo is the address this host would use towards a peer.
	LocalTo func(netip.Addr) (netip.Addr, error)
	// Owner is the interface that has an address in the routing domain of a VRF, "" when none has; nil: it
	// is not looked for.
	Owner func(a netip.Addr, vrf string) (string, error)
	// Inside are told of the tunnel, in this order.
	Inside []Inside
	Tracks Tracks // nil: there are none, and all are down
	// Trace takes lines for debug client; line is called only when somebody reads. It may be nil.
	Trace func(client string, line func() string)
	// Source is the address by which an interface that is up reaches a peer; the error says why there
	// is none. Packets from that address then leave by that interface.
	Source func(iface string, to netip.Addr) (netip.Addr, error)
}

// Tracks are the tracked objects that peers, sources and profiles wait for; *track.Set is one.
type Tracks interface {
	Up(number int) bool
	Use(number int, who string)
}

// A Client runs one profile. It implements endpoint.Handler: the engine's questions and events are
// queued to its goroutine.
type Client struct {
	cfg   Config
	inbox chan func() // what others want done on the client's goroutine
	done  chan struct{}

	// Owned by the goroutine of Run.
	machine *machine
	legs    map[uint64]*session           // by the machine's number
	lookups map[uint64]context.CancelFunc // that are under way for a leg
	leaving map[*session]bool             // given up, not yet ended
	lead    *session                      // carries the traffic; nil: none
	told    bool                          // the inside services know of the tunnel
	timer   *time.Timer
	login   login

	mu     sync.Mutex // guards these, and what show reads of a session
	tunnel dataplane.Interface
	seen   status
	totals totals
}

// New makes a client that does nothing until Run.
func New(cfg Config) *Client {
	c := &Client{
		cfg: cfg, inbox: make(chan func(), 64), done: make(chan struct{}),
		legs: map[uint64]*session{}, lookups: map[uint64]context.CancelFunc{}, leaving: map[*session]bool{},
	}
	c.machine = newMachine(cfg.Client, surroundings{c})
	c.seen.since = time.Now()
	c.totals.init()
	c.look(time.Now())
	cfg.Groups.join(c)
	c.useTracks()
	return c
}

// useTracks says who waits for which object, for show track.
func (c *Client) useTracks() {
	p := c.cfg.Client
	use := func(number int, format string, args ...any) {
		if number != 0 && c.cfg.Tracks != nil {
			c.cfg.Tracks.Use(number, "client "+p.Name+" "+fmt.Sprintf(format, args...))
		}
	}
	use(p.ConnectTrack.Number, "connect")
	for _, peer := range p.Peers {
		use(peer.Track.Number, "peer %d", peer.Sequence)
	}
	for _, s := range p.Sources {
		use(s.Track, "source %d", s.Sequence)
	}
}

// Run runs the profile until ctx ends; then it takes the tunnel down and tells the hub.
func (c *Client) Run(ctx context.Context) error {
	defer close(c.done)
	c.timer = time.NewTimer(0)
	if !c.timer.Stop() {
		<-c.timer.C
	}
	c.step(c.machine.start)
	for {
		select {
		case f := <-c.inbox:
			f()
		case <-c.timer.C:
			c.step(c.machine.tick)
		case <-ctx.Done():
			c.farewell()
			return nil
		}
	}
}

// farewell takes the tunnel down and gives the engine up to two seconds to tell the hub.
func (c *Client) farewell() {
	c.step(func(now time.Time) { c.machine.disconnect(now, "the client is shutting down") })
	limit := time.NewTimer(2 * time.Second)
	defer limit.Stop()
	for len(c.leaving) > 0 {
		select {
		case f := <-c.inbox:
			f()
		case <-limit.C:
			return
		}
	}
}

// step gives the machine an input, does what it wants, and arms the timer.
func (c *Client) step(input func(now time.Time)) {
	now := time.Now()
	input(now)
	for todo := c.machine.take(); len(todo) > 0; todo = c.machine.take() {
		for _, a := range todo {
			c.perform(now, a)
		}
	}
	c.timer.Stop()
	if at := c.machine.deadline(); !at.IsZero() {
		c.timer.Reset(time.Until(at))
	}
	c.look(now)
}

// do queues f to the client's goroutine; false when the client has ended.
func (c *Client) do(f func()) bool {
	select {
	case <-c.done:
		return false
	default:
	}
	select {
	case c.inbox <- f:
		return true
	case <-c.done:
		return false
	}
}

// Ask implements endpoint.Handler.
func (c *Client) Ask(conn *endpoint.Conn, q ikev2.Question) {
	s := conn.Data.(*session)
	c.enqueue(func() { s.answer(conn, q) })
}

// Notice implements endpoint.Handler.
func (c *Client) Notice(conn *endpoint.Conn, e ikev2.Event) {
	switch e.(type) {
	case ikev2.SPIAdded, ikev2.SPIRemoved:
		return
	}
	s := conn.Data.(*session)
	c.enqueue(func() { s.react(conn, e) })
}

// enqueue is do for goroutines that must not wait (a shard's, another client's): when the inbox is
// full, a goroutine of its own waits instead. Order is kept by the engine, which asks one thing at a
// time.
func (c *Client) enqueue(f func()) {
	select {
	case c.inbox <- f:
	case <-c.done:
	default:
		go c.do(f)
	}
}

// Changed has the profile look again at its tracks, its sources and its backup group.
func (c *Client) Changed() {
	c.enqueue(func() {
		c.step(c.machine.changed)
		for _, s := range c.legs {
			s.reachable()
		}
	})
}

// verb does an input for somebody outside.
func (c *Client) verb(input func(now time.Time)) error {
	if !c.do(func() { c.step(input) }) {
		return errStopped
	}
	return nil
}

// Connect starts the profile (manual mode, or after Disconnect).
func (c *Client) Connect() error { return c.verb(c.machine.connect) }

// Disconnect takes the tunnel down until Connect.
func (c *Client) Disconnect() error {
	return c.verb(func(now time.Time) {
		c.login.asker.tell(view.Login{Client: c.Name(), Failed: "disconnected by the operator"})
		c.forgetTyped()
		c.machine.disconnect(now, "disconnected by the operator")
	})
}

// Clear takes the tunnel down; in mode auto it comes up again at once, from the first peer on.
func (c *Client) Clear() error {
	return c.verb(func(now time.Time) { c.machine.clear(now, "cleared by the operator") })
}

// Rekey begins rekeying the session's IKE SA or Child SA; without a session it does nothing.
func (c *Client) Rekey(kind view.RekeyKind) error {
	ok := c.do(func() {
		if s := c.lead; s != nil && s.up {
			profile.Rekey(s.conn, kind, s.outbound)
		}
	})
	if !ok {
		return errStopped
	}
	return nil
}

// PlaneEvent follows an event of the data plane that concerns this client's tunnel; false when the
// interface is another's.
func (c *Client) PlaneEvent(e dataplane.Event) bool {
	if e.Interface != c.cfg.Client.Tunnel.Name {
		return false
	}
	c.do(func() {
		for _, s := range c.legs {
			if s.conn == nil || e.SPIIn != 0 && !s.has(e.SPIIn) {
				continue
			}
			profile.OnPlaneEvent(s.conn, e, s.close)
		}
	})
	return true
}
