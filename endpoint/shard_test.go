package endpoint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flexvpn/endpoint"
	"flexvpn/ikev2"
)

const (
	peer4, hub4     = "198.51.100.7:500", "192.0.2.1:500"
	peer6, hub6     = "[2001:db8:7::7]:500", "[2001:db8::1]:500"
	peerNAT, hubNAT = "198.51.100.7:4500", "192.0.2.1:4500"
)

func TestRepeatedFirstRequestReachesTheSameSA(t *testing.T) {
	for _, c := range []struct{ family, peer, hub string }{{"v4", peer4, hub4}, {"v6", peer6, hub6}} {
		t.Run(c.family, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, b *bench) {
				b.send(c.peer, c.hub, firstRequest(7))
				b.send(c.peer, c.hub, firstRequest(7))
				b.send(c.peer, c.hub, firstRequest(8))
				if len(b.sas) != 2 || len(b.sas[0].received) != 2 || len(b.sas[1].received) != 1 {
					t.Fatalf("two attempts, one of them repeated, made %d SAs", len(b.sas))
				}
				if b.e.HalfOpen() != 2 {
					t.Errorf("%d handshakes are under way, want 2", b.e.HalfOpen())
				}
				b.sas[0].onReceive = func(time.Time, []byte) { b.sas[0].emit(ikev2.Established{}) }
				b.send(c.peer, c.hub, message(7, b.sas[0].spi, auth, fromInitiator))
				if len(b.sas[0].received) != 3 {
					t.Error("a message with our SPI did not reach its SA")
				}
				if b.e.HalfOpen() != 1 {
					t.Errorf("%d handshakes are under way after one was established, want 1", b.e.HalfOpen())
				}
				b.send(c.peer, c.hub, firstRequest(7))
				if len(b.sas) != 2 || len(b.sas[0].received) != 4 {
					t.Error("a late repeat of the first request began another SA")
				}
			})
		})
	}
}

func TestReplyLeavesFromTheAddressThePeerSpokeTo(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		for i, c := range []struct{ peer, hub, first, want string }{
			{peer4, "192.0.2.2:500", "", "hello"},
			{peer6, "[2001:db8::2]:500", "", "hello"},
			{peerNAT, "192.0.2.2:4500", "\x00\x00\x00\x00", "\x00\x00\x00\x00hello"},
		} {
			b.heard = nil
			b.send(c.peer, c.hub, append([]byte(c.first), firstRequest(uint64(i+1))...))
			if len(b.heard) != 1 || b.heard[0].Remote.String() != c.hub || string(b.heard[0].Data) != c.want {
				t.Errorf("the peer of %s heard %+v, want %q from there", c.hub, b.heard, c.want)
			}
		}
		if p := b.sas[2].path; !p.Encap || p.Local.String() != "192.0.2.2:4500" || p.Remote.String() != peerNAT {
			t.Errorf("path on the NAT-traversal port: %+v", p)
		}
		if d := b.sas[2].received[0]; !bytes.Equal(d, firstRequest(3)) {
			t.Errorf("the SA got %x: the marker was not taken off", d)
		}
	})
}

func TestKeepaliveIsOneOctetWithoutMarker(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		b.setUp = func(sa *fakeSA) {
			sa.emit(ikev2.Keepalive{Path: ikev2.Path{
				Local: netip.MustParseAddrPort("192.0.2.1:0"), Remote: netip.MustParseAddrPort(peerNAT), Encap: true,
			}})
		}
		b.send(peerNAT, hubNAT, append(make([]byte, 4), firstRequest(1)...))
		if len(b.heard) != 2 || string(b.heard[0].Data) != "\xFF" || b.heard[0].Remote.String() != hubNAT {
			t.Errorf("the peer heard %+v, want the octet FF from our NAT-traversal port first", b.heard)
		}
	})
}

func TestDeadlinesAreKeptToTheNanosecond(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		start := time.Now()
		b.setUp = func(sa *fakeSA) {
			n := len(b.sas)
			sa.next = start.Add(time.Duration(n)*time.Second + 7)
			sa.onAdvance = func(time.Time) { sa.next = time.Time{} }
		}
		for spi := range uint64(3) {
			b.send(peer4, hub4, firstRequest(spi+1))
		}
		b.sleep(time.Until(start.Add(2*time.Second + 6)))
		if len(b.sas[0].advanced) != 1 || !b.sas[0].advanced[0].Equal(start.Add(time.Second+7)) {
			t.Errorf("the first SA was called at %v", b.sas[0].advanced)
		}
		if len(b.sas[1].advanced) != 0 {
			t.Error("the second SA was called a nanosecond early, or more")
		}
		b.sleep(1)
		if len(b.sas[1].advanced) != 1 {
			t.Error("the second SA was not called at its moment")
		}

		// A message moves the third one's deadline, first earlier, then away.
		third := b.sas[2]
		third.next = time.Now().Add(5)
		b.send(peer4, hub4, firstRequest(3))
		b.sleep(5)
		if len(third.advanced) != 1 {
			t.Error("a deadline that moved closer was not kept")
		}
		third.next = time.Now().Add(time.Second)
		b.send(peer4, hub4, firstRequest(3))
		third.next = time.Time{}
		b.send(peer4, hub4, firstRequest(3))
		b.sleep(24 * time.Hour)
		if len(third.advanced) != 1 {
			t.Error("an SA that waits for nothing was called")
		}
	})
}

func TestDeadlineInThePastDoesNotSpin(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		b.setUp = func(sa *fakeSA) { sa.next = time.Now().Add(-time.Hour) }
		b.send(peer4, hub4, firstRequest(1))
		b.sleep(10*endpoint.TooSoon + 1)
		if n := len(b.sas[0].advanced); n != 10 {
			t.Errorf("called %d times in 10 ms, want 10", n)
		}
	})
}

// fakeGate admits datagrams that end in an exclamation mark.
type fakeGate struct{ asked int }

func (g *fakeGate) Check(_ time.Time, _ ikev2.Path, d []byte) (bool, []byte) {
	g.asked++
	return d[len(d)-1] == '!', []byte("cookie")
}

func TestCookiesAreAskedForOverTheThreshold(t *testing.T) {
	g := &fakeGate{}
	few := func(cfg *endpoint.Config, f *endpoint.Fakes) {
		cfg.MaxHalfOpen = 2
		f.Gate = func(time.Time) endpoint.Gate { return g }
	}
	inBubble(t, few, func(t *testing.T, b *bench) {
		b.send(peer4, hub4, firstRequest(1))
		b.send(peer4, hub4, firstRequest(2))
		if g.asked != 0 || len(b.sas) != 2 {
			t.Fatalf("below the threshold %d were asked and %d admitted", g.asked, len(b.sas))
		}
		b.heard = nil
		b.send(peer4, hub4, firstRequest(3))
		if len(b.sas) != 2 || len(b.heard) != 1 || string(b.heard[0].Data) != "cookie" {
			t.Fatalf("the third was not asked for a cookie: heard %v", b.heard)
		}
		b.wantCounter("dropped_no_cookie", 1)
		b.send(peer4, hub4, firstRequest(1))
		if len(b.sas[0].received) != 2 {
			t.Error("a repeat of an admitted attempt was asked for a cookie")
		}
		for spi := uint64(3); spi < 20; spi++ {
			b.send(peer4, hub4, append(firstRequest(spi), '!'))
		}
		if want := 2 * endpoint.HalfOpenHard; len(b.sas) != want {
			t.Errorf("%d attempts stand, want the hard limit %d", len(b.sas), want)
		}
		b.wantCounter("dropped_half_open", uint64(17+2-2*endpoint.HalfOpenHard))
		for _, sa := range b.sas {
			sa.onReceive = func(time.Time, []byte) { sa.emit(ikev2.Closed{Reason: ikev2.ReasonTimeout}) }
		}
		for spi := uint64(1); spi < 20; spi++ {
			b.send(peer4, hub4, firstRequest(spi))
			if b.e.HalfOpen() == 0 {
				break
			}
		}
		if n := b.e.HalfOpen(); n != 0 {
			t.Errorf("%d handshakes are counted after all have ended", n)
		}
	})
}

func TestCookieAlways(t *testing.T) {
	g := &fakeGate{}
	inBubble(t, func(_ *endpoint.Config, f *endpoint.Fakes) { f.Gate = func(time.Time) endpoint.Gate { return g } }, func(t *testing.T, b *bench) {
		b.e.SetAdmission(0, true)
		b.send(peer4, hub4, firstRequest(1))
		if len(b.sas) != 0 || g.asked != 1 {
			t.Error("the first attempt was not asked for a cookie")
		}
		b.e.SetAdmission(0, false)
		b.send(peer4, hub4, firstRequest(1))
		if len(b.sas) != 1 {
			t.Error("an attempt was not admitted after cookies were turned off")
		}
	})
}

func TestNodeThatOnlyInitiatesDropsFirstRequests(t *testing.T) {
	inBubble(t, func(cfg *endpoint.Config, _ *endpoint.Fakes) { cfg.Accept = nil }, func(t *testing.T, b *bench) {
		b.send(peer4, hub4, firstRequest(1))
		b.wantCounter("dropped_no_acceptor", 1)
		if len(b.sas) != 0 || len(b.heard) != 0 {
			t.Error("an SA was made, or an answer given")
		}
	})
}

func TestUnusableFirstRequestLeavesNothing(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		b.setUp = func(sa *fakeSA) { sa.onReceive = nil }
		b.send(peer4, hub4, firstRequest(1))
		b.send(peer4, hub4, message(1, b.sas[0].spi, auth, fromInitiator))
		if len(b.sas) != 1 || len(b.sas[0].received) != 1 || b.e.HalfOpen() != 0 {
			t.Error("an SA that answered nothing was kept")
		}
		b.wantCounter("dropped_unusable", 1)
	})
}

func TestUnknownSPIIsAnsweredAtALimitedRate(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		const sent = 2 * endpoint.BucketSize
		b.sleep(time.Minute)
		for range sent {
			b.send(peer4, hub4, message(1, 0xABCD00, auth, fromInitiator))
		}
		if len(b.heard) != endpoint.BucketSize {
			t.Errorf("%d answers, want %d", len(b.heard), endpoint.BucketSize)
		}
		b.wantCounter("dropped_unknown_spi", sent)
		b.sleep(20 * time.Millisecond)
		b.send(peer4, hub4, message(1, 0xABCD00, auth, fromInitiator))
		if len(b.heard) != endpoint.BucketSize+1 {
			t.Error("no answer after the bucket got a token")
		}
	})
}

func TestFullQueueDropsAndCounts(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		hold := make(chan struct{})
		b.setUp = func(sa *fakeSA) {
			sa.onReceive = func(time.Time, []byte) {
				sa.emit(ikev2.Send{Path: sa.path, Datagram: []byte("hello")})
				<-hold
			}
		}
		b.send(peer4, hub4, firstRequest(1))
		for range endpoint.QueueLength + 10 {
			b.send(peer4, hub4, firstRequest(1))
		}
		b.wantCounter("dropped_queue_full", 10)
		close(hold)
		synctest.Wait()
		if n := len(b.sas[0].received); n != endpoint.QueueLength+1 {
			t.Errorf("the SA got %d datagrams, want all that fit into the queue and the first", n)
		}
	})
}

func TestPanicEndsOneSAOnly(t *testing.T) {
	for _, c := range []struct {
		where string
		set   func(b *bench, sa *fakeSA)
	}{
		{"Receive", func(_ *bench, sa *fakeSA) {
			sa.onReceive = func(time.Time, []byte) { panic("BUG: a test") }
		}},
		{"Advance", func(_ *bench, sa *fakeSA) {
			sa.next = time.Now()
			sa.onAdvance = func(time.Time) { panic("BUG: a test") }
		}},
		{"the handler", func(b *bench, sa *fakeSA) {
			b.handler.on = func(h told) {
				if _, ok := h.question.(ikev2.Authorize); ok {
					panic("BUG: a test")
				}
			}
			sa.emit(ikev2.Authorize{})
		}},
	} {
		t.Run(c.where, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, b *bench) {
				b.send(peer4, hub4, firstRequest(1))
				b.setUp = func(sa *fakeSA) { c.set(b, sa) }
				b.send(peer4, hub4, firstRequest(2))
				b.sleep(time.Second)
				b.wantCounter("panics", 1)
				closed := b.handler.closed()
				if len(closed) != 1 || closed[0].Reason != endpoint.ReasonInternal || !strings.Contains(closed[0].Detail, "BUG: a test") {
					t.Fatalf("the handler heard %+v", b.handler.told)
				}
				b.send(peer4, hub4, message(2, b.sas[1].spi, auth, fromInitiator))
				b.wantCounter("dropped_unknown_spi", 1)
				b.send(peer4, hub4, firstRequest(1))
				if len(b.sas[0].received) != 2 || b.e.HalfOpen() != 1 {
					t.Error("the other SA did not survive")
				}
			})
		})
	}
}

func TestPanicInNoticeOfTheEndIsSurvived(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		b.handler.on = func(told) { panic("BUG: a test") }
		b.setUp = func(sa *fakeSA) { sa.emit(ikev2.Closed{}) }
		b.send(peer4, hub4, firstRequest(1))
		b.wantCounter("panics", 1)
		if len(b.handler.told) != 1 {
			t.Error("the handler was told of the end twice")
		}
		b.handler.on, b.setUp = nil, nil
		b.send(peer4, hub4, firstRequest(2))
		if len(b.sas) != 2 || b.e.HalfOpen() != 1 {
			t.Error("the shard did not survive")
		}
	})
}

func TestPanicWithoutSAIsSurvived(t *testing.T) {
	buggy := func(_ *endpoint.Config, f *endpoint.Fakes) {
		f.Stateless = func(*ikev2.Common, ikev2.Path, []byte) ([]byte, bool) { panic("BUG: a test") }
	}
	inBubble(t, buggy, func(t *testing.T, b *bench) {
		b.sleep(time.Minute)
		b.send(peer4, hub4, message(1, 2, auth, fromInitiator))
		b.wantCounter("panics", 1)
		b.send(peer4, hub4, firstRequest(1))
		if len(b.sas) != 1 {
			t.Error("the shard did not survive")
		}
	})
}

func TestSPIsOfRekeyedSALeadToIt(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		b.send(peer4, hub4, firstRequest(1))
		sa := b.sas[0]
		old, fresh := sa.spi, endpoint.NewSPI(0)
		sa.onReceive = func(time.Time, []byte) { sa.emit(ikev2.SPIAdded{SPI: fresh}) }
		b.send(peer4, hub4, message(1, old, auth, fromInitiator))
		sa.onReceive = func(time.Time, []byte) { sa.emit(ikev2.SPIRemoved{SPI: old}) }
		b.send(peer4, hub4, message(fresh, 1, auth, 0)) // roles may change with a rekey
		if len(sa.received) != 3 {
			t.Error("a message with the new SPI did not reach the SA")
		}
		sa.onReceive = nil
		b.send(peer4, hub4, message(1, old, auth, fromInitiator))
		b.wantCounter("dropped_unknown_spi", 1)
		sa.onReceive = func(time.Time, []byte) { sa.emit(ikev2.Closed{}) }
		b.send(peer4, hub4, message(1, fresh, auth, fromInitiator))
		b.send(peer4, hub4, message(1, fresh, auth, fromInitiator))
		b.wantCounter("dropped_unknown_spi", 2)
		if len(sa.received) != 4 {
			t.Errorf("the SA got %d messages, want 4", len(sa.received))
		}
	})
}

func TestQuestionIsAnsweredAtOnceOrLater(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		b.handler.on = func(h told) {
			if q, ok := h.question.(ikev2.Authenticate); ok {
				h.conn.Data = "mine"
				h.conn.Answer(ikev2.AuthenticateAnswer{ID: q.ID})
			}
		}
		b.setUp = func(sa *fakeSA) {
			sa.emit(ikev2.Authenticate{ID: 1})
			sa.onAnswer = func(a ikev2.Answer) {
				if _, ok := a.(ikev2.AuthenticateAnswer); ok {
					sa.emit(ikev2.Install{ID: 2})
				} else {
					sa.emit(ikev2.Send{Path: sa.path, Datagram: []byte("welcome")})
				}
			}
		}
		b.send(peer4, hub4, firstRequest(1))
		last := b.handler.last(t)
		if q, ok := last.question.(ikev2.Install); !ok || q.ID != 2 || last.conn.Data != "mine" {
			t.Fatalf("the second question is %+v", last)
		}
		b.sleep(time.Second)
		last.conn.Answer(ikev2.InstallAnswer{ID: 2})
		synctest.Wait()
		if string(b.heard[len(b.heard)-1].Data) != "welcome" {
			t.Error("the reply did not leave when the question was answered")
		}
	})
}

func TestInitiateUsesARealAddressAndThePeersPort(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		for _, c := range []struct{ local, remote, from, heard string }{
			{"", "198.51.100.7:0", "192.0.2.1:500", "first"},
			{"192.0.2.2", "198.51.100.7:500", "192.0.2.2:500", "first"},
			{"", "[2001:db8:7::7]:500", "[2001:db8::1]:500", "first"},
			{"", "[::ffff:198.51.100.7]:500", "192.0.2.1:500", "first"},
			{"", "198.51.100.7:4500", "192.0.2.1:4500", "\x00\x00\x00\x00first"},
		} {
			b.heard = nil
			var local netip.Addr
			if c.local != "" {
				local = netip.MustParseAddr(c.local)
			}
			conn, err := b.e.Initiate(b.handler, 42, nil, local, netip.MustParseAddrPort(c.remote))
			if err != nil || conn.Data != 42 {
				t.Fatalf("initiate to %s: %v", c.remote, err)
			}
			synctest.Wait()
			if len(b.heard) != 1 || b.heard[0].Remote.String() != c.from || string(b.heard[0].Data) != c.heard {
				t.Errorf("the peer at %s heard %+v, want %q from %s", c.remote, b.heard, c.heard, c.from)
			}
		}
		sa := b.sas[0]
		b.send(peer4, hub4, message(sa.spi, 99, initSA, aResponse))
		if len(sa.received) != 1 {
			t.Error("the answer did not reach the SA that began")
		}
		if b.e.HalfOpen() != 0 {
			t.Error("our own attempts count as half-open")
		}
	})
}

func TestInitiateSaysWhatIsWrong(t *testing.T) {
	only4 := func(cfg *endpoint.Config, _ *endpoint.Fakes) { cfg.Listen = []netip.Addr{hubAddrs[0]} }
	inBubble(t, only4, func(t *testing.T, b *bench) {
		for _, c := range []struct{ local, remote, want string }{
			{"", "[2001:db8:7::7]:500", "start IKE with 2001:db8:7::7: no socket here may send from 2001:db8::1 to it: add the address to ikev2.listen"},
			{"192.0.2.2", "198.51.100.7:500", "start IKE with 198.51.100.7: no socket here may send from 192.0.2.2 to it: add the address to ikev2.listen"},
		} {
			var local netip.Addr
			if c.local != "" {
				local = netip.MustParseAddr(c.local)
			}
			_, err := b.e.Initiate(b.handler, nil, nil, local, netip.MustParseAddrPort(c.remote))
			if err == nil || err.Error() != c.want {
				t.Errorf("initiate to %s: %v, want %s", c.remote, err, c.want)
			}
		}
		b.stop()
		if _, err := b.e.Initiate(b.handler, nil, nil, netip.Addr{}, netip.MustParseAddrPort(peer4)); !errors.Is(err, endpoint.ErrStopped) {
			t.Errorf("initiate after the end: %v", err)
		}
	})
}

func TestConnThatIsGone(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		conn, err := b.e.Initiate(b.handler, nil, nil, netip.Addr{}, netip.MustParseAddrPort(peer4))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		sa := b.sas[0]
		if f, err := conn.Facts(t.Context()); err != nil || f.SPILocal != sa.spi {
			t.Errorf("facts: %+v, %v", f, err)
		}
		if !conn.Do(func(time.Time, *ikev2.SA) {}) {
			t.Error("Do refused a Conn that stands")
		}
		var again *endpoint.Conn
		b.handler.on = func(h told) {
			if h.conn.Do(nil) {
				t.Error("Do accepted a Conn in the notice of its end")
			}
			// A handler may start the next attempt there and then.
			again, _ = b.e.Initiate(&recorder{}, nil, nil, netip.Addr{}, netip.MustParseAddrPort(peer4))
		}
		sa.onReceive = func(time.Time, []byte) { sa.emit(ikev2.Closed{Reason: ikev2.ReasonPeerDelete}) }
		b.send(peer4, hub4, message(sa.spi, 99, initSA, aResponse))
		if _, err := conn.Facts(t.Context()); !errors.Is(err, endpoint.ErrGone) {
			t.Errorf("facts of an ended SA: %v", err)
		}
		conn.Answer(ikev2.InstallAnswer{}) // is ignored
		if again == nil || len(b.sas) != 2 {
			t.Error("the attempt made in the notice did not begin")
		}
	})
}

func TestFactsEndWhenTheSADiesOfTheQuestionOrTheShardEnds(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		conn, _ := b.e.Initiate(b.handler, nil, nil, netip.Addr{}, netip.MustParseAddrPort(peer4))
		synctest.Wait()
		b.sas[0].onFacts = func() { panic("BUG: a test") }
		if _, err := conn.Facts(t.Context()); !errors.Is(err, endpoint.ErrGone) {
			t.Errorf("facts of an SA that dies: %v", err)
		}
		conn, _ = b.e.Initiate(b.handler, nil, nil, netip.Addr{}, netip.MustParseAddrPort(peer4))
		synctest.Wait()
		hold := make(chan struct{})
		b.sas[1].onFacts = func() { <-hold }
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { _, err := conn.Facts(context.Background()); first <- err }()
		synctest.Wait()
		go func() { _, err := conn.Facts(context.Background()); second <- err }()
		synctest.Wait()
		go b.stop()
		synctest.Wait()
		close(hold)
		if err := <-first; err != nil {
			t.Errorf("facts asked for before the end: %v", err)
		}
		if err := <-second; err != nil && !errors.Is(err, endpoint.ErrGone) {
			t.Errorf("facts asked for before the end: %v", err)
		}
		b.stop()
	})
}

func TestEveryShardGetsItsOwnSAs(t *testing.T) {
	four := func(cfg *endpoint.Config, _ *endpoint.Fakes) { cfg.Shards = 4 }
	inBubble(t, four, func(t *testing.T, b *bench) {
		seen := map[int]int{}
		for spi := range uint64(64) {
			b.send(peer4, hub4, firstRequest(spi+1))
			sa := b.sas[len(b.sas)-1]
			b.send(peer4, hub4, message(spi+1, sa.spi, auth, fromInitiator))
			if len(sa.received) != 2 {
				t.Fatal("a message did not find its SA")
			}
			seen[endpoint.ShardOf(sa.spi, 4)]++
		}
		if len(b.sas) != 64 || len(seen) != 4 {
			t.Errorf("64 attempts made %d SAs, over shards %v", len(b.sas), seen)
		}
		b.send(peer4, hub4, message(1, 0xFFFFFFFFFFFFFF77, auth, fromInitiator))
		b.wantCounter("dropped_unknown_spi", 1)
	})
}

func TestTraceAndAdjustReachEveryShard(t *testing.T) {
	three := func(cfg *endpoint.Config, _ *endpoint.Fakes) { cfg.Shards = 3 }
	inBubble(t, three, func(t *testing.T, b *bench) {
		var records atomic.Int64 // the shards write it at once
		b.e.Trace(func(ikev2.TraceRecord) { records.Add(1) })
		b.e.Adjust(func(c *ikev2.Common) {
			c.Version = "new"
			if tr := c.Tracer.Load(); tr != nil {
				(*tr)(ikev2.TraceRecord{})
			}
			c.Counters.Repeated.Add(5)
		})
		synctest.Wait()
		if n := records.Load(); n != 3 {
			t.Errorf("%d of 3 shards trace", n)
		}
		b.wantCounter("repeated", 15)
		b.e.Trace(nil)
		b.e.Adjust(func(c *ikev2.Common) {
			if c.Tracer.Load() != nil || c.Version != "new" {
				t.Error("the tracer is still on, or the change is lost")
			}
		})
		synctest.Wait()
	})
}

func TestLossyLinkWithManyAttempts(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		b.setUp = func(sa *fakeSA) {
			sa.next = time.Now().Add(30 * time.Second)
			sa.onAdvance = func(time.Time) { sa.emit(ikev2.Closed{Reason: ikev2.ReasonTimeout}) }
		}
		for spi := range uint64(50) {
			b.send(fmt.Sprintf("198.51.100.7:%d", 1000+spi), hub4, firstRequest(spi+1))
		}
		if b.e.HalfOpen() != 50 {
			t.Fatalf("%d handshakes are under way, want 50", b.e.HalfOpen())
		}
		b.sleep(30*time.Second - 1)
		if b.e.HalfOpen() != 50 {
			t.Error("a handshake was forgotten early")
		}
		b.sleep(1)
		if b.e.HalfOpen() != 0 || len(b.handler.closed()) != 50 {
			t.Errorf("%d handshakes are under way after their time, the handler heard of %d ends", b.e.HalfOpen(), len(b.handler.closed()))
		}
	})
}
