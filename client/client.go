// Package client runs client profiles: the spoke's side of FlexVPN. A profile has one goroutine that
// owns its state: which peer is tried, when the next attempt is due, what the hub gave.
//
//	IDLE --connect--> CONNECTING --established--> ACTIVE --lost--> CONNECTING (next peer)
//	                      |  ^
//	                 failed  | back-off 2, 4, 8, 16 s
//	                      v  |
//	                    BACKOFF
//
// Tracks, reactivation, backup groups, and what a spoke serves inside (DNS, DHCP, NAT) have their
// places in sub-rooms and are not built yet.
package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"flexvpn/authz"
	"flexvpn/config"
	"flexvpn/dataplane"
	"flexvpn/endpoint"
	"flexvpn/ikev2"
	"flexvpn/ops/view"
	"flexvpn/profile"
	"flexvpn/routing"
)

// backoff are the waits after failed attempts, as on IOS: four, then from the beginning.
var backoff = [...]time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}

// errStopped is what verbs get after the end of Run.
var errStopped = errors.New("the client has stopped")

// Starter begins an SA towards a peer; *endpoint.Endpoint is one.
type Starter interface {
	Initiate(h endpoint.Handler, data any, p *ikev2.Policy, local netip.Addr, remote netip.AddrPort) (*endpoint.Conn, error)
}

// Resolver finds the addresses of a host name; *net.Resolver is one.
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
	Log      *slog.Logger
	Node     string
	Version  string
	IKEPort  uint16 // of the peers
	// LocalTo is the address this host would use towards a peer.
	LocalTo func(netip.Addr) (netip.Addr, error)
	// Inside are told of the tunnel, in this order.
	Inside []Inside
}

// A Client runs one profile. It implements endpoint.Handler: the engine's questions and events are
// queued to its goroutine.
type Client struct {
	cfg   Config
	inbox chan func() // what others want done on the client's goroutine
	done  chan struct{}

	// Owned by the goroutine of Run.
	wanted  bool // whether a tunnel is wanted at all
	peer    int  // index of the peer in use or tried
	failure int  // failed attempts since the last session
	session *session
	retry   *time.Timer
	stop    context.CancelFunc // of a running name look-up

	mu      sync.Mutex // guards status
	status  status
	totals  totals
	nextID  uint64
	resolve uint64 // number of the newest look-up; answers to older ones are stale
}

// state is a client profile's state as show prints it.
type state string

const (
	idle       state = "IDLE"
	connecting state = "CONNECTING"
	waiting    state = "BACKOFF"
	active     state = "ACTIVE"
)

// status is what show reads.
type status struct {
	state    state
	since    time.Time
	peer     int
	attempt  int
	nextTry  time.Time
	lastErr  string
	failures []int // by peer
	session  *session
}

// New makes a client that does nothing until Run.
func New(cfg Config) *Client {
	c := &Client{cfg: cfg, inbox: make(chan func(), 64), done: make(chan struct{})}
	c.status = status{state: idle, since: time.Now(), failures: make([]int, len(cfg.Client.Peers))}
	c.totals.init()
	return c
}

// Run runs the profile until ctx ends; then it takes the tunnel down and tells the hub.
func (c *Client) Run(ctx context.Context) error {
	defer close(c.done)
	c.retry = time.NewTimer(0)
	if !c.retry.Stop() {
		<-c.retry.C
	}
	if c.cfg.Client.Connect != "manual" {
		c.connect()
	}
	for {
		select {
		case f := <-c.inbox:
			f()
		case <-c.retry.C:
			c.attempt()
		case <-ctx.Done():
			c.farewell()
			return nil
		}
	}
}

// farewell takes the tunnel down and gives the engine up to two seconds to tell the hub.
func (c *Client) farewell() {
	c.disconnect("the client is shutting down")
	limit := time.NewTimer(2 * time.Second)
	defer limit.Stop()
	for c.session != nil {
		select {
		case f := <-c.inbox:
			f()
		case <-limit.C:
			c.session.teardown()
			return
		}
	}
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

// enqueue is do for shard goroutines, which must not wait: when the inbox is full, a goroutine of
// its own waits instead. Order is kept by the engine, which asks one thing at a time.
func (c *Client) enqueue(f func()) {
	select {
	case c.inbox <- f:
	case <-c.done:
	default:
		go c.do(f)
	}
}

// Connect starts the profile (manual mode, or after Disconnect).
func (c *Client) Connect() error {
	if !c.do(c.connect) {
		return errStopped
	}
	return nil
}

// Disconnect takes the tunnel down until Connect.
func (c *Client) Disconnect() error {
	if !c.do(func() { c.disconnect("disconnected by the operator") }) {
		return errStopped
	}
	return nil
}

// Clear takes the tunnel down; in mode auto it comes up again at once.
func (c *Client) Clear() error {
	ok := c.do(func() {
		c.disconnect("cleared by the operator")
		if c.cfg.Client.Connect != "manual" {
			c.connect()
		}
	})
	if !ok {
		return errStopped
	}
	return nil
}

// Rekey begins rekeying the session's IKE SA or Child SA; without a session it does nothing.
func (c *Client) Rekey(kind view.RekeyKind) error {
	ok := c.do(func() {
		if s := c.session; s != nil && s.up {
			profile.Rekey(s.conn, kind, s.spec.Outbound)
		}
	})
	if !ok {
		return errStopped
	}
	return nil
}

func (c *Client) connect() {
	if c.wanted {
		return
	}
	c.wanted, c.failure, c.peer = true, 0, 0
	if c.session == nil {
		c.attempt()
	}
}

func (c *Client) disconnect(why string) {
	c.wanted = false
	c.retry.Stop()
	c.resolve++
	if c.stop != nil {
		c.stop()
	}
	if c.session != nil {
		c.session.asked = true
		c.session.close(why)
	}
	c.set(func(s *status) { s.state, s.nextTry = idle, time.Time{} })
}

// attempt tries the current peer: resolves its name if it has one, then starts IKE.
func (c *Client) attempt() {
	if !c.wanted || c.session != nil {
		return
	}
	peer := c.cfg.Client.Peers[c.peer]
	c.set(func(s *status) {
		s.state, s.peer, s.attempt, s.nextTry = connecting, c.peer, c.failure+1, time.Time{}
	})
	if peer.Address.IsValid() {
		c.start(peer.Address)
		return
	}
	c.resolve++
	number := c.resolve
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	c.stop = cancel
	go func() {
		defer cancel()
		addrs, err := c.cfg.Resolver.LookupNetIP(ctx, "ip", peer.FQDN)
		c.do(func() { c.resolved(number, peer.FQDN, addrs, err) })
	}()
}

func (c *Client) resolved(number uint64, name string, addrs []netip.Addr, err error) {
	if number != c.resolve || !c.wanted {
		return
	}
	if err == nil && len(addrs) == 0 {
		err = errors.New("no address")
	}
	if err != nil {
		c.failed(fmt.Sprintf("resolve %s: %v", name, err))
		return
	}
	// Each further attempt at the name takes the next address of the answer.
	c.start(addrs[c.failure%len(addrs)].Unmap())
}

func (c *Client) start(addr netip.Addr) {
	local := c.cfg.Client.Tunnel.Source
	if !local.IsValid() {
		var err error
		if local, err = c.cfg.LocalTo(addr); err != nil {
			c.failed(err.Error())
			return
		}
	}
	pol, err := c.policy(addr, local)
	if err != nil {
		c.failed(err.Error())
		return
	}
	c.nextID++
	s := &session{client: c, id: c.nextID, started: time.Now()}
	remote := netip.AddrPortFrom(addr, c.cfg.IKEPort)
	s.path = ikev2.Path{Local: netip.AddrPortFrom(local, 0), Remote: remote}
	c.session = s
	conn, err := c.cfg.Start.Initiate(c, s, pol, local, remote)
	if err != nil {
		c.session = nil
		c.failed(err.Error())
		return
	}
	s.conn = conn
	c.set(func(st *status) { st.session = s })
	c.cfg.Log.Info("connecting", "client", c.cfg.Client.Name, "peer", addr.String(), "attempt", c.failure+1)
}

// policy is the engine's policy for an attempt at addr: the profile's, with this tunnel's wishes.
func (c *Client) policy(addr, local netip.Addr) (*ikev2.Policy, error) {
	base, err := c.cfg.Profile.Policy(ikev2.Identity{}, addr, local)
	if err != nil {
		return nil, err
	}
	pol := *base
	t := c.cfg.Client.Tunnel
	pol.InitialContact = true
	pol.TSLocal, pol.TSRemote = selectors(t.Mode, local, addr)
	pol.Transport, pol.RequireTransport = t.Mode == "gre", t.Mode == "gre"
	pol.Config = authz.Request(authz.Wanted{Address: t.Negotiated, Version: c.cfg.Version})
	// A spoke with another hub to go to must not wait as long as a lone peer would.
	pol.RetransmitTries = 4
	return &pol, nil
}

// failed counts a failed attempt and arms the next one at the next peer.
func (c *Client) failed(why string) {
	c.set(func(s *status) { s.failures[c.peer]++; s.lastErr = why })
	c.totals.failed.Add(1)
	if !c.wanted {
		return
	}
	wait := backoff[c.failure%len(backoff)]
	c.failure++
	c.peer = (c.peer + 1) % len(c.cfg.Client.Peers)
	c.cfg.Log.Warn("connection attempt failed", "client", c.cfg.Client.Name, "err", why, "next_peer", peerText(c.cfg.Client.Peers[c.peer]), "wait", wait)
	c.retry.Reset(wait)
	c.set(func(s *status) { s.state, s.peer, s.nextTry = waiting, c.peer, time.Now().Add(wait) })
}

// lost goes to the next peer at once: an established session was lost, which says nothing about
// the others.
func (c *Client) lost(why string) {
	c.set(func(s *status) { s.failures[c.peer]++; s.lastErr = why })
	if !c.wanted {
		return
	}
	c.failure = 0
	c.peer = (c.peer + 1) % len(c.cfg.Client.Peers)
	c.attempt()
}

func (c *Client) set(f func(*status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.status.state
	f(&c.status)
	if c.status.state != before {
		c.status.since = time.Now()
	}
}

func peerText(p config.Peer) string {
	if p.FQDN != "" {
		return p.FQDN
	}
	return p.Address.String()
}
