package bgp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	api "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v3/pkg/server"

	"flexvpn/config"
)

// gobgp runs sessions with GoBGP v3.37.0, one server for each. A server with many neighbors selects
// among all their channels at every message and offers every path to every neighbor, which is work of
// the square of their number; with one neighbor it has neither. Servers whose neighbor has gone are
// kept for the next one, because the library's main loop never ends.
type gobgp struct {
	asn uint32
	id  netip.Addr

	mu   sync.Mutex
	idle []*instance
}

// instance is one server and the door for its connections.
type instance struct {
	server  *server.BgpServer
	accept  chan *net.TCPConn
	log     *gobgpLog
	current atomic.Pointer[gobgpSession] // whose events they are
}

func newGoBGP(asn uint32, id netip.Addr) *gobgp { return &gobgp{asn: asn, id: id} }

// starting holds one StartBgp at a time: it writes settings that are global to the library, always the
// same.
var starting sync.Mutex

// take returns a server without a neighbor.
func (g *gobgp) take() (*instance, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.idle); n > 0 {
		i := g.idle[n-1]
		g.idle = g.idle[:n-1]
		return i, nil
	}
	log := &gobgpLog{}
	i := &instance{server: server.NewBgpServer(server.LoggerOption(log)), accept: make(chan *net.TCPConn, 1), log: log}
	door(i.server, i.accept)
	go i.server.Serve()
	starting.Lock()
	defer starting.Unlock()
	err := i.server.StartBgp(context.Background(), &api.StartBgpRequest{Global: &api.Global{
		Asn: g.asn, RouterId: g.id.String(), ListenPort: -1,
	}})
	if err == nil {
		err = i.watch()
	}
	if err != nil {
		return nil, fmt.Errorf("start the BGP library: %w", err)
	}
	return i, nil
}

// door gives a server the channel on which its listeners would pass accepted connections. The library
// has no other way in for a connection that somebody else accepted or opened, and it opens none
// itself within the first five seconds. The field is of v3.37.0, which go.mod pins; a test passes a
// connection through it.
func door(s *server.BgpServer, accept chan *net.TCPConn) {
	field := reflect.ValueOf(s).Elem().FieldByName("acceptCh")
	*(*chan *net.TCPConn)(unsafe.Pointer(field.UnsafeAddr())) = accept
}

func (g *gobgp) release(i *instance) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.idle = append(g.idle, i)
}

// gobgpSession implements session.
type gobgpSession struct {
	lib    *gobgp
	on     *instance
	to     neighbor
	events events
	closed atomic.Bool
	flow   flow

	mu     sync.Mutex
	reason string // as the library last logged it
	up     bool
}

// Start implements library.
func (g *gobgp) Start(n neighbor, e events) (session, error) {
	i, err := g.take()
	if err != nil {
		return nil, err
	}
	s := &gobgpSession{lib: g, on: i, to: n, events: e}
	i.current.Store(s)
	i.log.session.Store(s)
	if err := i.server.AddPeer(context.Background(), &api.AddPeerRequest{Peer: peerConfig(n)}); err != nil {
		i.current.Store(nil)
		g.release(i)
		return nil, fmt.Errorf("neighbor %s: %w", n.address, err)
	}
	s.flow.queues = i.queues(n.address.String())
	return s, nil
}

func peerConfig(n neighbor) *api.Peer {
	p := n.peer
	asn := uint32(0) // any: the speaker looks at what the OPEN says
	if len(p.RemoteASNs) == 1 {
		asn = p.RemoteASNs[0]
	}
	out := &api.Peer{
		Conf: &api.PeerConf{NeighborAddress: n.address.String(), PeerAsn: asn},
		// Connections come through the door, in both directions.
		Transport: &api.Transport{PassiveMode: true},
		Timers: &api.Timers{Config: &api.TimersConfig{
			HoldTime: uint64(p.Hold / time.Second), KeepaliveInterval: uint64(p.Keepalive / time.Second), IdleHoldTimeAfterReset: 5,
		}},
	}
	if p.Internal(n.asn) {
		// The library strips ORIGINATOR_ID and CLUSTER_LIST for everybody else; what is reflected to
		// whom is decided before it comes here.
		out.RouteReflector = &api.RouteReflector{RouteReflectorClient: true, RouteReflectorClusterId: n.cluster.String()}
	}
	if p.TTLSecurity > 0 {
		out.TtlSecurity = &api.TtlSecurity{Enabled: true, TtlMin: uint32(256 - p.TTLSecurity)}
	}
	if p.Multihop > 0 {
		out.EbgpMultihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: uint32(p.Multihop)}
	}
	if p.GracefulRestart > 0 {
		// Without families it says only that the neighbor's own paths are kept. The bits for a restart and for
		// forwarding that was preserved are never set: what starts builds its data plane anew.
		out.GracefulRestart = &api.GracefulRestart{Enabled: true, RestartTime: uint32(p.GracefulRestart / time.Second), HelperOnly: !n.stays}
	}
	for _, f := range families(n) {
		a := &api.AfiSafi{Config: &api.AfiSafiConfig{Family: f, Enabled: true}}
		if p.GracefulRestart > 0 {
			a.MpGracefulRestart = &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}}
		}
		out.AfiSafis = append(out.AfiSafis, a)
	}
	return out
}

var (
	ipv4 = &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}
	ipv6 = &api.Family{Afi: api.Family_AFI_IP6, Safi: api.Family_SAFI_UNICAST}
)

func families(n neighbor) (out []*api.Family) {
	four, six := speaks(n.peer, n.address)
	if four {
		out = append(out, ipv4)
	}
	if six {
		out = append(out, ipv6)
	}
	return out
}

// speaks says which families a neighbor has.
func speaks(p *config.BGPPeer, a netip.Addr) (four, six bool) {
	if !p.IPv4 && !p.IPv6 {
		return a.Is4(), a.Is6()
	}
	return p.IPv4, p.IPv6
}

// Take implements session.
func (s *gobgpSession) Take(c *net.TCPConn) {
	if s.closed.Load() {
		_ = c.Close()
		return
	}
	s.flow.conn.Store(c)
	select {
	case s.on.accept <- c:
	default: // one is waiting already
		_ = c.Close()
	}
}

// Announce implements session.
func (s *gobgpSession) Announce(p netip.Prefix, a *Attributes) error {
	path, err := pathOut(p, a)
	if err == nil {
		_, err = s.on.server.AddPath(context.Background(), &api.AddPathRequest{Path: path})
	}
	if err != nil {
		return fmt.Errorf("announce %s to %s: %w", p, s.to.address, err)
	}
	return nil
}

// Withdraw implements session.
func (s *gobgpSession) Withdraw(p netip.Prefix) error {
	a := Attributes{NextHop: netip.IPv6Unspecified()}
	if p.Addr().Is4() {
		a.NextHop = netip.IPv4Unspecified()
	}
	path, err := pathOut(p, &a)
	if err == nil {
		path.IsWithdraw = true
		err = s.on.server.DeletePath(context.Background(), &api.DeletePathRequest{Path: path})
	}
	if err != nil {
		return fmt.Errorf("withdraw %s from %s: %w", p, s.to.address, err)
	}
	return nil
}

// Close implements session.
func (s *gobgpSession) Close() {
	if s.closed.Swap(true) {
		return
	}
	s.on.current.Store(nil)
	ctx := context.Background()
	err := s.on.server.DeletePeer(ctx, &api.DeletePeerRequest{Address: s.to.address.String()})
	if err == nil {
		err = s.on.server.DeletePath(ctx, &api.DeletePathRequest{TableType: api.TableType_GLOBAL})
	}
	select {
	case c := <-s.on.accept:
		_ = c.Close()
	default:
	}
	if err == nil {
		s.lib.release(s.on)
	}
}

// Status implements session.
func (s *gobgpSession) Status() (out status) {
	_ = s.on.server.ListPeer(context.Background(), &api.ListPeerRequest{Address: s.to.address.String()}, func(p *api.Peer) {
		st := p.State
		if st == nil {
			return
		}
		out.State = stateNames[st.SessionState]
		if m := st.Messages; m != nil {
			out.Received, out.ReceivedUpdates, out.NotificationsIn = m.Received.GetTotal(), m.Received.GetUpdate(), m.Received.GetNotification()
			out.Sent, out.SentUpdates, out.NotesOut = m.Sent.GetTotal(), m.Sent.GetUpdate(), m.Sent.GetNotification()
		}
		if t := p.Timers; t != nil && t.State != nil {
			out.Hold = time.Duration(t.State.NegotiatedHoldTime) * time.Second
			out.Keepalive = time.Duration(t.State.KeepaliveInterval) * time.Second
		}
		if g := p.GracefulRestart; g != nil {
			out.GracefulRestart, out.Stale = g.Enabled, g.PeerRestarting
		}
		out.Capabilities = capabilities(st.RemoteCap)
	})
	return out
}

var stateNames = map[api.PeerState_SessionState]string{
	api.PeerState_IDLE: "Idle", api.PeerState_CONNECT: "Connect", api.PeerState_ACTIVE: "Active", api.PeerState_OPENSENT: "OpenSent",
	api.PeerState_OPENCONFIRM: "OpenConfirm", api.PeerState_ESTABLISHED: "Established",
}

// watch passes on the server's events for as long as the process lives.
func (i *instance) watch() error {
	return i.server.WatchEvent(context.Background(), &api.WatchEventRequest{
		Peer:  &api.WatchEventRequest_Peer{},
		Table: &api.WatchEventRequest_Table{Filters: []*api.WatchEventRequest_Table_Filter{{Type: api.WatchEventRequest_Table_Filter_POST_POLICY}}},
	}, func(r *api.WatchEventResponse) {
		s := i.current.Load()
		if s == nil {
			return
		}
		if p := r.GetPeer(); p != nil {
			s.peerEvent(p)
		}
		if paths := r.GetTable().GetPaths(); len(paths) > 0 {
			s.deliver(func() {
				for _, p := range paths {
					s.pathEvent(p)
				}
			})
		}
	})
}

func (s *gobgpSession) peerEvent(e *api.WatchEventResponse_PeerEvent) {
	st := e.GetPeer().GetState()
	if a, err := netip.ParseAddr(st.GetNeighborAddress()); err != nil || a.Unmap() != s.to.address {
		return // of the neighbor that the server had before
	}
	s.mu.Lock()
	was := s.up
	s.up = st.SessionState == api.PeerState_ESTABLISHED
	up, reason := s.up, s.reason
	if st.SessionState == api.PeerState_OPENSENT {
		s.reason = ""
	}
	s.mu.Unlock()
	switch {
	case up && !was:
		id, _ := netip.ParseAddr(st.RouterId)
		local, _ := netip.ParseAddr(e.GetPeer().GetTransport().GetLocalAddress())
		s.events.Up(established{asn: st.PeerAsn, routerID: id, local: local.Unmap()})
	case was && !up:
		if s.flow.holding.Load() {
			reason += ", while it was held back: its updates came faster than they were taken in"
		}
		s.events.Down(reason)
	case st.SessionState == api.PeerState_IDLE && reason != "":
		s.events.Failed(reason)
	}
	if st.SessionState == api.PeerState_ACTIVE {
		s.events.Ready()
	}
}

func (s *gobgpSession) pathEvent(p *api.Path) {
	prefix, attrs, err := pathIn(p)
	switch {
	case err != nil: // a family that was not asked for, or End-of-RIB
	case p.IsWithdraw:
		s.events.Withdrawn(prefix)
	default:
		s.events.Update(prefix, attrs)
	}
}

// noteReason keeps why a session ended, for the event that follows.
func (s *gobgpSession) noteReason(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reason = reason
}
