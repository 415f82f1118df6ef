package endpoint_test

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"flexvpn/endpoint"
	"flexvpn/endpoint/endpointtest"
	"flexvpn/ikev2"
	"flexvpn/ikev2/suite"
)

// A listener keeps what its peers tell of their addresses.
type listener struct {
	friend
	told map[*endpoint.Conn][]netip.Addr
}

func (l *listener) Notice(c *endpoint.Conn, e ikev2.Event) {
	if p, ok := e.(ikev2.PeerAddresses); ok {
		l.mu.Lock()
		l.told[c] = p.List
		l.mu.Unlock()
	}
	l.friend.Notice(c, e)
}

// Every peer of every shard hears of new addresses, once, and sessions that begin later know them from
// the beginning.
func TestAddressesAreToldToEveryPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sessions = 60 // more than a shard tells at once
		n := endpointtest.New(3)
		n.Set(endpointtest.Link{Latency: time.Millisecond})
		here, more := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
		h, f := friends()
		h.policy.MOBIKE, f.policy.MOBIKE = true, true
		s := &listener{friend: friend{policy: f.policy, changed: f.changed}, told: map[*endpoint.Conn][]netip.Addr{}}
		common := func() *ikev2.Common { return &ikev2.Common{Proposals: suite.DefaultIKE()} }
		hub, stopHub := start(t, endpoint.Config{Network: n.Host(here), Shards: 3, Common: common(), Accept: h})
		defer stopHub()
		spoke, stopSpoke := start(t, endpoint.Config{Network: n.Host(netip.MustParseAddr("198.51.100.7")), Shards: 2, Common: common()})
		defer stopSpoke()
		connect := func() {
			t.Helper()
			if _, err := spoke.Initiate(s, nil, s.policy, netip.Addr{}, netip.AddrPortFrom(here, 500)); err != nil {
				t.Fatal(err)
			}
		}
		for range sessions {
			connect()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		before := hub.Counters()["tx_datagrams"]
		hub.SetAddresses([]netip.Addr{here, more})
		hub.SetAddresses([]netip.Addr{here, more}) // nothing new
		time.Sleep(time.Second)
		synctest.Wait()
		if len(s.told) != sessions {
			t.Fatalf("%d of %d peers were told", len(s.told), sessions)
		}
		for _, list := range s.told {
			if !slices.Equal(list, []netip.Addr{more}) {
				t.Errorf("a peer was told %v", list)
			}
		}
		if sent := hub.Counters()["tx_datagrams"] - before; sent != sessions {
			t.Errorf("%d datagrams for %d peers", sent, sessions)
		}
		connect()
		time.Sleep(time.Second)
		synctest.Wait()
		if last := s.established[len(s.established)-1]; !last.MOBIKE || !slices.Equal(last.Additional, []netip.Addr{more}) {
			t.Errorf("a new session knows of %v", last.Additional)
		}
	})
}
