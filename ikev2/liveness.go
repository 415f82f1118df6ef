package ikev2

import (
	"time"

	"flexvpn/ikev2/wire"
)

// livenessState is dead peer detection, RFC 7296 section 2.4: "an implementation can send a check
// for liveness when it has not heard from the peer".
type livenessState struct {
	heard    time.Time // last proof of life: an authentic new message, or a packet of the data plane
	check    time.Time // when to look again; zero: never
	question QuestionID
	limit    time.Time // for the answer; zero: no question is open
}

// heard takes note of an authentic message that is no repeat.
func (sa *SA) heard(now time.Time) {
	sa.live.heard = now
	if !sa.live.check.IsZero() && sa.live.limit.IsZero() {
		sa.live.check = now.Add(sa.p.LivenessInterval)
	}
}

// startLiveness begins when the SA stands.
func (sa *SA) startLiveness(now time.Time) {
	sa.live.heard = now
	if sa.p.Liveness != LivenessOff && sa.p.LivenessInterval > 0 {
		sa.live.check = now.Add(sa.p.LivenessInterval)
	}
}

// advanceLiveness asks the data plane for signs of life before it bothers the peer: packets that
// arrived on a Child SA are proof enough (section 2.4).
func (sa *SA) advanceLiveness(now time.Time) {
	l := &sa.live
	switch {
	case sa.state != stateReady:
	case due(l.limit, now): // no answer: believe the worst, probe
		sa.trafficAnswered(now, TrafficAnswer{ID: l.question, LastOut: now})
	case l.limit.IsZero() && due(l.check, now):
		sa.nextID++
		l.question, l.limit = sa.nextID, now.Add(or(sa.c.AnswerLimit, defaultAnswerLimit))
		l.check = time.Time{}
		sa.emit(Traffic{ID: l.question})
	}
}

func (sa *SA) trafficAnswered(now time.Time, a TrafficAnswer) {
	l := &sa.live
	if l.limit.IsZero() || a.ID != l.question || sa.state != stateReady {
		return
	}
	l.limit = time.Time{}
	if a.LastIn.After(l.heard) {
		l.heard = a.LastIn
	}
	l.check = l.heard.Add(sa.p.LivenessInterval)
	if l.check.After(now) {
		return // heard in the meantime
	}
	l.check = now.Add(sa.p.LivenessInterval)
	// On demand: silence of a peer that nothing was sent to means nothing.
	if sa.p.Liveness == LivenessPeriodic || a.LastOut.After(l.heard) {
		sa.Probe(now)
	}
}

// Probe asks the peer for a sign of life: an empty INFORMATIONAL request. A request in flight
// does as well.
func (sa *SA) Probe(now time.Time) {
	if sa.state == stateReady && sa.ex == nil {
		sa.want(task{kind: taskProbe})
		sa.next(now)
	}
}

// startProbe sends the probe. Of an initiator that knows MOBIKE it also asks whether a NAT on the way
// has come, gone or changed its mapping (RFC 4555 section 3.8).
func (sa *SA) startProbe(now time.Time, t task) {
	var ps []wire.Payload
	if sa.initiator && sa.mobile() && sa.nat.able {
		ps = sa.natPayloads(sa.cur, sa.path)
	}
	sa.request(now, t, sa.cur, wire.Informational, ps...)
}

func (sa *SA) nextLiveness() time.Time {
	if sa.state != stateReady {
		return time.Time{}
	}
	return earliest(sa.live.check, sa.live.limit)
}
