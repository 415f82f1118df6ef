// Package hub is the responder's side of FlexVPN: it turns the engine's questions into decisions
// and runs a session's life. One file per stage: admit, authorize, build, replace, teardown; show
// and stats tell about it.
//
// The engine's questions and events arrive on shard goroutines, which must not block: Ask and
// Notice only match profiles in memory and queue everything else as jobs. A session's jobs run one
// at a time and in order.
package hub

import (
	"context"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"flexvpn/authz"
	"flexvpn/authz/pool"
	"flexvpn/config"
	"flexvpn/dataplane"
	"flexvpn/endpoint"
	"flexvpn/ikev2"
	"flexvpn/profile"
	"flexvpn/routing"
	"flexvpn/vtemplate"
)

// Config is what a Hub works with. The hub closes none of it.
type Config struct {
	Profiles    profile.Set
	Policies    map[string]*config.AuthorizationPolicy
	EAP         map[string]authz.EAPAuthenticator // by profile
	AAA         AAA                               // nil when no list asks servers
	Lists       authz.ListNetworks                // the networks of access lists
	Catalog     vtemplate.Catalog                 // what attributes of a spoke may name
	Plane       dataplane.Plane
	Pools       *pool.Pools
	Routes      *routing.Table
	Names       *vtemplate.Names
	Log         *slog.Logger
	Node        string
	Version     string // APPLICATION_VERSION for spokes that ask
	MaxSessions int    // 0: no limit
}

// A Hub answers peers. It implements endpoint.Handler.
type Hub struct {
	cfg       Config
	jobs      *jobs
	policies  map[string]*attributes // local authorization policies
	started   time.Time              // tells the session ids of this run from those of others
	noted     noted
	deadlines deadlines
	logins    logins

	mu         sync.Mutex
	lastID     uint64
	sessions   map[uint64]*session
	byIdentity map[sessionKey]*session          // the newest authorized session of each identity
	byName     map[string]*session              // by virtual-access
	given      map[*profile.Profile]*attributes // the last that a session of the profile was given
	compared   attributes                       // by give, each with the last
	index      index                            // of those that are up
	stopping   bool
	idle       sync.Cond // signalled when a session leaves; used by Stop
	failed     failedRing
	stats      stats
}

// A session is one peer. Fields below mu are guarded by it; the engine's side of the session is
// reached through conn only.
type session struct {
	hub   *Hub
	id    uint64
	conn  *endpoint.Conn
	peer  string // where it came from first, for the log
	queue queue

	// Set on the shard's goroutine before the first job, constant afterwards.
	profile *profile.Profile
	remote  ikev2.Identity // of IKE; who the session is says identity
	auditID string

	loginFrom netip.Prefix // valid while a login is under way; set by admit, then touched by jobs only

	eap     eapPart
	implied *attributes // came with the key; only the session's jobs touch it; nil: nothing

	indexed []indexKey // guarded by Hub.mu

	mu       sync.Mutex
	account  accountPart
	state    state
	granted  grant
	spec     dataplane.Interface // as last applied; Name is empty before the first Install
	path     ikev2.Path
	since    time.Time // established
	version  string    // the peer's
	closeWhy string    // why this end closes it, for the log
}

// state is where a session is in its life.
type state uint8

const (
	negotiating state = iota
	up
	closing // taken down by us; the engine is still saying good-bye
	gone
)

var stateNames = [...]string{"NEGOTIATING", "UP-ACTIVE", "CLOSING", "DOWN"}

func (s state) String() string { return stateNames[s] }

// grant is what a session was given, to be taken back in teardown.
type grant struct {
	shared            *attributes // all but the addresses; nil: nothing was given yet
	address, address6 authz.Value[netip.Addr]
	decision          vtemplate.Decision
	lease             []netip.Addr
	routes            []framedKey
}

// attributes is what the session was given, whole.
func (g *grant) attributes() (a attributes) {
	if g.shared != nil {
		a = *g.shared
		a.Address, a.Address6 = g.address, g.address6
	}
	return a
}

// give keeps attributes. Sessions of a profile differ in little but their addresses, so that the rest is
// kept once for as many as follow each other with the same.
func (h *Hub) give(g *grant, p *profile.Profile, a *attributes) {
	g.address, g.address6 = a.Address, a.Address6
	h.mu.Lock()
	defer h.mu.Unlock()
	h.compared = *a
	h.compared.Address, h.compared.Address6 = authz.Value[netip.Addr]{}, authz.Value[netip.Addr]{}
	if last := h.given[p]; last != nil && authz.Same(last, &h.compared) {
		g.shared = last
		return
	}
	kept := h.compared
	h.given[p], g.shared = &kept, &kept
}

// New starts a hub's workers. Stop ends them.
func New(cfg Config) *Hub {
	h := &Hub{
		cfg:        cfg,
		policies:   fromPolicies(cfg.Policies),
		started:    time.Now(),
		jobs:       newJobs(4 * runtime.GOMAXPROCS(0)),
		sessions:   map[uint64]*session{},
		byIdentity: map[sessionKey]*session{},
		byName:     map[string]*session{},
		given:      map[*profile.Profile]*attributes{},
	}
	h.index = index{}
	h.deadlines.fire = func(s *session) { h.jobs.push(&s.queue, s.due) }
	h.idle.L = &h.mu
	h.stats.init()
	if len(cfg.EAP) > 0 {
		h.stats.expectEAP()
	}
	return h
}

// Ask implements endpoint.Handler.
func (h *Hub) Ask(c *endpoint.Conn, q ikev2.Question) {
	if a, ok := q.(ikev2.Authenticate); ok {
		h.admit(c, a)
		return
	}
	s, ok := c.Data.(*session)
	if !ok {
		return
	}
	h.jobs.push(&s.queue, func() { s.answer(q) })
}

func (s *session) answer(q ikev2.Question) {
	switch q := q.(type) {
	case ikev2.EAP:
		s.converse(q)
	case ikev2.Authorize:
		s.authorize(q)
	case ikev2.Install:
		s.conn.Answer(ikev2.InstallAnswer{ID: q.ID, Err: s.install(q)})
	case ikev2.Traffic:
		s.conn.Answer(s.traffic(q))
	case ikev2.ConfigSet:
		s.acceptRoutes(q.Attributes)
		s.conn.Answer(ikev2.ConfigSetAnswer{ID: q.ID})
	}
}

// Notice implements endpoint.Handler.
func (h *Hub) Notice(c *endpoint.Conn, e ikev2.Event) {
	s, ok := c.Data.(*session)
	if !ok {
		if closed, isClosed := e.(ikev2.Closed); isClosed {
			h.refusedEarly(closed)
		}
		return
	}
	switch e.(type) {
	case ikev2.SPIAdded, ikev2.SPIRemoved:
		return
	}
	h.jobs.push(&s.queue, func() { s.react(e) })
}

func (s *session) react(e ikev2.Event) {
	switch e := e.(type) {
	case ikev2.Established:
		s.established(e)
	case ikev2.UseChild:
		s.useChild(e)
	case ikev2.ChildGone:
		s.childGone(e)
	case ikev2.Moved:
		s.moved(e)
		s.hub.reindex(s)
	case ikev2.IKERekeyed:
		s.log().Info("ike sa rekeyed", "suite", e.Suite.String())
	case ikev2.Closed:
		s.ended(e)
	}
}

// log is the session's logger: identity, address and session id stand in every line.
func (s *session) log() *slog.Logger {
	return s.hub.cfg.Log.With("session", sessionName(s.id), "identity", s.identity(), "peer", s.peer)
}

// info is log().Info for what every session says: where it is not written, it costs nothing.
func (s *session) info(message string, args ...any) {
	if s.hub.cfg.Log.Enabled(context.Background(), slog.LevelInfo) {
		s.log().Info(message, args...)
	}
}
