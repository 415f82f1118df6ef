package client

import (
	"strings"
	"testing"
	"time"

	"flexvpn/config"
)

const (
	hubA = "192.0.2.1"
	hubB = "192.0.2.2"
	hubC = "192.0.2.3"
)

// "FlexVPN clients attempt up to four IKEv2 connections when a failure occurs", 2, 4, 8 and 16
// seconds apart; each goes to the next peer, and after the last the first has its turn again.
func TestBackoffGoesRoundThePeers(t *testing.T) {
	w := newSim(t)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA, hubB)}).start()
	w.pass(90 * time.Second)
	// An attempt takes 7.5 s until it is given up.
	want := "0s 192.0.2.1, 10s 192.0.2.2, 21s 192.0.2.1, 37s 192.0.2.2, 1m0s 192.0.2.1, 1m10s 192.0.2.2, 1m21s 192.0.2.1"
	if got := strings.Join(s.dialled, ", "); got != want {
		t.Errorf("the attempts were %s, want %s", got, want)
	}
	w.hub(hubA)
	w.pass(time.Minute)
	s.want(active, hubA, "the first hub came back")
}

// The wait is silent until its last nanosecond.
func TestBackoffIsExact(t *testing.T) {
	w := newSim(t)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA)}).start()
	w.pass(simTimeout + 2*time.Second - time.Nanosecond)
	if len(s.dialled) != 1 || s.m.state != backingOff {
		t.Fatalf("just before its time: %v, %s", s.dialled, s.m.state)
	}
	w.pass(time.Nanosecond)
	if len(s.dialled) != 2 {
		t.Errorf("at its time: %v", s.dialled)
	}
}

// A loss says nothing about the other hubs: the next one is tried at once.
func TestLossGoesToTheNextPeerAtOnce(t *testing.T) {
	w := newSim(t)
	w.hub(hubA)
	w.hub(hubB)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA, hubB)}).start()
	w.pass(time.Minute)
	s.want(active, hubA, "the most preferred peer is tried first")
	w.fail(hubA)
	w.pass(simDead + simHandshake)
	s.want(active, hubB, "as soon as the loss is noticed")
	w.hub(hubA).up = true
	w.pass(time.Hour)
	s.want(active, hubB, "without reactivate it stays on the peer that it reached")
}

// A hub that dies soon after it took the session in is lost like any other.
func TestLossSoonAfterSetup(t *testing.T) {
	w := newSim(t)
	w.hub(hubA)
	w.hub(hubB)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA, hubB)}).start()
	w.pass(time.Second)
	w.fail(hubA)
	w.pass(simDead + simHandshake)
	s.want(active, hubB, "as soon as the silence is noticed")
}

// A hub that throws a session out leaves the turn to the next one, after a wait.
func TestThrownOutGoesToTheNextPeer(t *testing.T) {
	w := newSim(t)
	w.hub(hubA).rejects = true
	w.hub(hubB)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA, hubB)}).start()
	w.pass(simHandshake + time.Second + backoff[0] - 1)
	s.want(backingOff, "", "the first hub threw it out")
	w.pass(1 + simHandshake)
	s.want(active, hubB, "the next one")
}

// A hub that takes sessions in and throws them out again is asked ever more slowly.
func TestThrownOutBacksOff(t *testing.T) {
	w := newSim(t)
	w.hub(hubA).rejects = true
	s := w.spoke("c", config.Client{Peers: peersAt(hubA)}).start()
	w.pass(10 * time.Minute)
	if n := len(s.dialled); n > 60 || n < 5 {
		t.Errorf("%d attempts in ten minutes: %v", n, s.dialled)
	}
}

// A peer is available while its track is in the state it waits for.
func TestPeersFollowTheirTracks(t *testing.T) {
	w := newSim(t)
	w.hub(hubA)
	w.hub(hubB)
	peers := peersAt(hubA, hubB)
	peers[0].Track, peers[1].Track = config.TrackState{Number: 1, Up: true}, config.TrackState{Number: 2, Up: false}
	s := w.spoke("c", config.Client{Peers: peers})
	w.tracks[2] = true
	s.start()
	w.pass(time.Minute)
	s.want(waiting, "", "no peer is available")
	if !strings.Contains(s.m.why, "track 1 up") || !strings.Contains(s.m.why, "track 2 down") || len(s.dialled) != 0 {
		t.Errorf("it waits for %q and dialled %v", s.m.why, s.dialled)
	}
	w.track(2, false)
	w.pass(time.Second)
	s.want(active, hubB, "a peer with state down is available while its track is down")
	w.track(1, true)
	w.pass(time.Hour)
	s.want(active, hubB, "without reactivate a better peer changes nothing")
	w.track(2, true)
	w.pass(simHandshake)
	s.want(active, hubA, "its peer's track changed: the next one is up after one handshake")
	if s.m.failures != 0 {
		t.Error("leaving by a track is no failure")
	}
	w.track(1, false)
	w.pass(time.Minute)
	s.want(waiting, "", "all peers are gone")
}

// A peer that becomes available during a back-off has its turn soon, but not at once.
func TestTrackDuringBackoff(t *testing.T) {
	w := newSim(t)
	w.hub(hubB)
	peers := peersAt(hubA, hubB)
	peers[1].Track = config.TrackState{Number: 1, Up: true}
	s := w.spoke("c", config.Client{Peers: peers}).start()
	for s.m.failures < 4 {
		w.pass(100 * time.Millisecond)
	}
	w.track(1, true)
	w.pass(backoff[0] - 1)
	s.want(backingOff, "", "just before its turn")
	w.pass(1 + simHandshake)
	s.want(active, hubB, "fourteen seconds sooner than without the news")
}

// A track that flaps during a back-off brings the attempt forward, but causes no storm.
func TestFlappingTrackCausesNoStorm(t *testing.T) {
	w := newSim(t)
	peers := peersAt(hubA, hubB)
	peers[0].Track = config.TrackState{Number: 1, Up: true}
	s := w.spoke("c", config.Client{Peers: peers}).start()
	for range 1000 {
		w.track(1, true)
		w.pass(50 * time.Millisecond)
		w.track(1, false)
		w.pass(50 * time.Millisecond)
	}
	if n := len(s.dialled); n > 60 {
		t.Errorf("%d attempts in 100 s", n)
	}
	if len(w.queue) > 10 {
		t.Errorf("%d events are pending", len(w.queue))
	}
}

// The example of the seed: flex2 skips the hub that flex1 has.
func TestBackupGroupSkipsTheOthersHub(t *testing.T) {
	w := newSim(t)
	first := w.spoke("flex1", config.Client{Peers: peersAt("172.16.1.1"), BackupGroup: 10}).start()
	w.hub("172.16.1.1")
	w.hub("172.16.2.1")
	w.hub("172.16.3.1")
	w.pass(10 * time.Second)
	second := w.spoke("flex2", config.Client{Peers: peersAt("172.16.2.1", "172.16.1.1", "172.16.3.1"), BackupGroup: 10}).start()
	w.pass(time.Minute)
	first.want(active, "172.16.1.1", "its only hub")
	second.want(active, "172.16.2.1", "its best hub")
	w.fail("172.16.2.1")
	w.pass(simDead + simHandshake)
	second.want(active, "172.16.3.1", "172.16.1.1 is in use by flex1")
	w.fail("172.16.3.1")
	w.pass(time.Minute)
	if on := second.on(); on != "" {
		t.Fatalf("flex2 sits on %s beside flex1", on)
	}
	first.step(func(now time.Time) { first.m.disconnect(now, "test") })
	w.pass(30 * time.Second)
	second.want(active, "172.16.1.1", "flex1 has left it")
}

// A profile whose every hub is another's waits, and is woken when one becomes free.
func TestBackupGroupWaits(t *testing.T) {
	w := newSim(t)
	w.hub(hubA)
	first := w.spoke("flex1", config.Client{Peers: peersAt(hubA), BackupGroup: 1}).start()
	second := w.spoke("flex2", config.Client{Peers: peersAt(hubA), BackupGroup: 1}).start()
	w.pass(time.Minute)
	second.want(waiting, "", "the only hub is in use")
	if !strings.Contains(second.m.why, "backup group 1") || len(second.dialled) != 0 {
		t.Errorf("it waits for %q and dialled %v", second.m.why, second.dialled)
	}
	first.step(func(now time.Time) { first.m.disconnect(now, "test") })
	w.pass(simHandshake)
	second.want(active, hubA, "it is free")
}

// Two spokes with one identity: the hub says so, and it is not asked again for a while.
func TestIdentityClashIsReportedAndDoesNotFlap(t *testing.T) {
	for _, says := range []bool{true, false} {
		w := newSim(t)
		hub := w.hub(hubA)
		hub.rejects, hub.replaces = true, says
		s := w.spoke("c", config.Client{Peers: peersAt(hubA)}).start()
		w.pass(time.Hour)
		if n := len(s.dialled); n > 30 {
			t.Errorf("says %t: %d sessions in an hour", says, n)
		}
		if p := s.m.peers[0]; !strings.Contains(p.lastErr, "identity") {
			t.Errorf("says %t: the reason shown is %q", says, p.lastErr)
		}
		if says && len(s.dialled) > 10 {
			t.Errorf("%d sessions in an hour though the hub said so", len(s.dialled))
		}
		// Another hub is used meanwhile.
		w.hub(hubB)
		s = w.spoke("d", config.Client{Peers: peersAt(hubA, hubB)}).start()
		w.pass(30 * time.Second)
		s.want(active, hubB, "the other hub knows nothing of it")
	}
}

// Clear is a new beginning: from the first peer, grudges forgotten.
func TestClear(t *testing.T) {
	w := newSim(t)
	w.hub(hubB)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA, hubB)}).start()
	w.pass(time.Minute)
	s.want(active, hubB, "the first does not answer")
	w.hub(hubA)
	s.step(func(now time.Time) { s.m.clear(now, "test") })
	w.pass(time.Second)
	s.want(active, hubA, "clear begins from the first peer")
	s.step(func(now time.Time) { s.m.disconnect(now, "test") })
	w.pass(time.Hour)
	s.want(idle, "", "disconnect holds")
	s.step(func(now time.Time) { s.m.clear(now, "test") })
	w.pass(time.Second)
	s.want(active, hubA, "clear of a disconnected profile connects it")
}

// Inputs about legs that are gone are ignored.
func TestLateNews(t *testing.T) {
	w := newSim(t)
	w.hub(hubA)
	s := w.spoke("c", config.Client{Peers: peersAt(hubA)}).start()
	w.pass(time.Minute)
	for id := range uint64(10) {
		if s.m.main.id == id {
			continue
		}
		s.step(func(now time.Time) { s.m.up(now, id, []string{"192.0.2.66"}, false) })
		s.step(func(now time.Time) { s.m.ended(now, id, ending{detail: "late"}) })
		s.step(func(now time.Time) { s.m.resolved(now, id+100, s.m.peers[0], nil, nil) })
	}
	s.want(active, hubA, "nothing happened")
	if len(s.m.peers) != 1 {
		t.Error("a leg that is gone pushed gateways")
	}
}
