package endpoint_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flexvpn/endpoint"
	"flexvpn/endpoint/endpointtest"
	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
	"flexvpn/ikev2/suite"
	"flexvpn/secret"
)

// A friend is a handler that agrees to everything and tells of established and ended SAs.
type friend struct {
	policy *ikev2.Policy

	mu          sync.Mutex
	conns       []*endpoint.Conn
	established []ikev2.Established
	closed      []ikev2.Closed
	rekeyed     int
	changed     chan struct{} // one token for every event
}

func (f *friend) Ask(c *endpoint.Conn, q ikev2.Question) {
	switch q := q.(type) {
	case ikev2.Authenticate:
		c.Answer(ikev2.AuthenticateAnswer{ID: q.ID, Policy: f.policy})
	case ikev2.Authorize:
		c.Answer(iketest.Granted(q))
	case ikev2.Install:
		c.Answer(ikev2.InstallAnswer{ID: q.ID})
	case ikev2.Traffic:
		c.Answer(ikev2.TrafficAnswer{ID: q.ID})
	case ikev2.ConfigSet:
		c.Answer(ikev2.ConfigSetAnswer{ID: q.ID})
	}
}

func (f *friend) Notice(c *endpoint.Conn, e ikev2.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch e := e.(type) {
	case ikev2.Established:
		f.conns = append(f.conns, c)
		f.established = append(f.established, e)
	case ikev2.IKERekeyed:
		f.rekeyed++
	case ikev2.Closed:
		f.closed = append(f.closed, e)
	}
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// counts are the established and the ended SAs so far.
func (f *friend) counts() (up, down, rekeyed int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.established), len(f.closed), f.rekeyed
}

// friends are a hub's and a spoke's handler with a common secret.
func friends() (hub, spoke *friend) {
	key := secret.FromString("the secret of this test")
	base := ikev2.Policy{
		Credential: ikev2.Credential{Kind: ikev2.AuthPSK, PSK: key},
		Trust:      ikev2.Trust{Kind: ikev2.AuthPSK, PSK: key},
		IKE:        suite.DefaultIKE(), ESP: suite.DefaultESP(),
		TSLocal: iketest.Anything(), TSRemote: iketest.Anything(),
		// So many that a lossy link gives up on nobody by bad luck.
		RetransmitMax: 4 * time.Second, RetransmitTries: 12,
	}
	h, s := base, base
	h.Local, s.Local = iketest.FQDN("hub1.example.net"), iketest.FQDN("spoke1.example.net")
	return &friend{policy: &h, changed: make(chan struct{}, 1)}, &friend{policy: &s, changed: make(chan struct{}, 1)}
}

// start runs an endpoint until the returned function is called.
func start(t *testing.T, cfg endpoint.Config) (e *endpoint.Endpoint, stop func()) {
	t.Helper()
	e, err := endpoint.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	return e, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestSessionsOverALossyLink drives real SAs through their whole life in virtual time: made behind
// cookies, rekeyed, looked at, ended.
func TestSessionsOverALossyLink(t *testing.T) {
	for _, c := range []struct{ family, hub, spoke string }{
		{"v4", "192.0.2.1", "198.51.100.7"},
		{"v6", "2001:db8::1", "2001:db8:7::7"},
	} {
		for _, encap := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, forced encapsulation %v", c.family, encap), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { lifeOfSessions(t, c.hub, c.spoke, encap) })
			})
		}
	}
}

func lifeOfSessions(t *testing.T, hubAddr, spokeAddr string, encap bool) {
	const sessions = 40
	n := endpointtest.New(7)
	n.Set(endpointtest.Link{Latency: 10 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.1, Duplicate: 0.2})
	common := func() *ikev2.Common { return &ikev2.Common{Proposals: suite.DefaultIKE(), ForceEncap: encap} }
	h, s := friends()
	hub, stopHub := start(t, endpoint.Config{
		Network: n.Host(netip.MustParseAddr(hubAddr)), Shards: 3, Common: common(), Accept: h, MaxHalfOpen: 10,
	})
	defer stopHub()
	spoke, stopSpoke := start(t, endpoint.Config{Network: n.Host(netip.MustParseAddr(spokeAddr)), Shards: 2, Common: common()})
	defer stopSpoke()

	for range sessions {
		if _, err := spoke.Initiate(s, nil, s.policy, netip.Addr{}, netip.AddrPortFrom(netip.MustParseAddr(hubAddr), 500)); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	if up, down, _ := s.counts(); up != sessions || down != 0 {
		t.Fatalf("%d of %d sessions stand at the spoke, %d ended: %+v", up, sessions, down, s.closed)
	}
	if up, _, _ := h.counts(); up != sessions || hub.HalfOpen() != 0 {
		t.Fatalf("%d of %d sessions stand at the hub, %d handshakes are under way", up, sessions, hub.HalfOpen())
	}
	if hub.Counters()["cookies_sent"]+hub.Counters()["dropped_no_cookie"] == 0 {
		t.Error("no cookie was asked for, though more than ten came at once")
	}
	for _, e := range s.established {
		if e.Path.Encap != encap {
			t.Fatalf("encapsulation on the path %+v", e.Path)
		}
	}

	for i, f := range []*friend{s, h} {
		for _, c := range f.conns {
			c.Do(func(now time.Time, sa *ikev2.SA) { sa.RekeyIKE(now) })
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, down, rekeyed := s.counts(); rekeyed != (i+1)*sessions || down != 0 {
			t.Errorf("%d rekeys of %d, %d sessions ended: %+v", rekeyed, (i+1)*sessions, down, s.closed)
		}
	}

	facts, err := s.conns[0].Facts(t.Context())
	if err != nil || !facts.Initiator || facts.State != "READY" || facts.Remote != h.policy.Local {
		t.Errorf("facts of a session: %+v, %v", facts, err)
	}

	n.Set(endpointtest.Link{Latency: 10 * time.Millisecond}) // a Delete is not repeated for long
	for _, c := range s.conns {
		c.Do(func(now time.Time, sa *ikev2.SA) { sa.Close(now, "the test is over") })
	}
	time.Sleep(time.Second)
	synctest.Wait()
	for who, f := range map[string]*friend{"hub": h, "spoke": s} {
		if _, down, _ := f.counts(); down != sessions {
			t.Errorf("%d of %d sessions ended at the %s", down, sessions, who)
		}
	}
	for _, e := range []*endpoint.Endpoint{hub, spoke} {
		if e.Counters()["panics"] != 0 || e.HalfOpen() != 0 {
			t.Errorf("%d panics, %d handshakes under way at the end", e.Counters()["panics"], e.HalfOpen())
		}
	}
}

// TestSessionOverTheKernelsLoopback is the same once through real sockets, ports floated.
func TestSessionOverTheKernelsLoopback(t *testing.T) {
	for _, l := range loopbacks {
		t.Run(l.family, func(t *testing.T) {
			h, s := friends()
			hub, stopHub := start(t, endpoint.Config{
				IKEPort: endpoint.AnyPort, NATPort: endpoint.AnyPort, Accept: h,
				Common: &ikev2.Common{Proposals: suite.DefaultIKE(), ForceEncap: true},
			})
			defer stopHub()
			ike, nat := hub.Ports()
			spoke, stopSpoke := start(t, endpoint.Config{
				IKEPort: endpoint.AnyPort, NATPort: endpoint.AnyPort,
				Common: &ikev2.Common{Proposals: suite.DefaultIKE(), ForceEncap: true, NATPort: nat},
			})
			defer stopSpoke()
			_, err := spoke.Initiate(s, nil, s.policy, netip.Addr{}, netip.AddrPortFrom(netip.MustParseAddr(l.there), ike))
			if err != nil {
				t.Fatal(err)
			}
			until(t, s, func() bool { up, _, _ := s.counts(); return up == 1 })
			e := s.established[0]
			_, spokeNAT := spoke.Ports()
			if !e.Path.Encap || e.Path.Remote.Port() != nat || e.Path.Local.Port() != spokeNAT || !e.Path.Local.Addr().IsLoopback() {
				t.Errorf("the session's path is %+v, want from port %d to port %d", e.Path, spokeNAT, nat)
			}
			s.conns[0].Do(func(now time.Time, sa *ikev2.SA) { sa.Close(now, "the test is over") })
			until(t, h, func() bool { _, down, _ := h.counts(); return down == 1 })
			until(t, s, func() bool { _, down, _ := s.counts(); return down == 1 })
		})
	}
}

// until waits for events of f until done says so.
func until(t *testing.T, f *friend, done func() bool) {
	t.Helper()
	limit := time.After(patience)
	for !done() {
		select {
		case <-f.changed:
		case <-limit:
			t.Fatalf("not within %v: established %d, ended %+v", patience, len(f.established), f.closed)
		}
	}
}

// TestGarbageLeavesNothing sends what no peer would send.
func TestGarbageLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := endpointtest.New(1)
		h, _ := friends()
		e, stop := start(t, endpoint.Config{
			Network: n.Host(hubAddrs...), Shards: 2, Accept: h, Common: &ikev2.Common{Proposals: suite.DefaultIKE()},
		})
		defer stop()
		for i, d := range [][]byte{
			nil,
			{0xFF},
			make([]byte, 27), make([]byte, 28), make([]byte, 3000),
			firstRequest(1), append(firstRequest(2), make([]byte, 100)...),
			message(3, 4, auth, fromInitiator), message(3, 0, initSA, aResponse), message(0, 0, initSA, fromInitiator),
		} {
			for _, to := range []string{hub4, hub6, hubNAT} {
				from := peer4
				if to == hub6 {
					from = peer6
				}
				n.Inject(endpointtest.Datagram{From: netip.MustParseAddrPort(from), To: netip.MustParseAddrPort(to), Data: d})
				n.Inject(endpointtest.Datagram{From: netip.MustParseAddrPort(from), To: netip.MustParseAddrPort(to), Data: append(make([]byte, 4), d...)})
			}
			synctest.Wait()
			if e.HalfOpen() != 0 {
				t.Errorf("datagram %d (% x) left a half-open SA", i, d[:min(len(d), 28)])
			}
		}
		if e.Counters()["panics"] != 0 {
			t.Error("a panic")
		}
	})
}
