package ikev2

import (
	"time"

	"flexvpn/ikev2/wire"
)

// closeLimit is how long an SA that wants to go waits for an exchange in flight.
const closeLimit = 5 * time.Second

// closeState is why an SA is being deleted by this end, and until when it tries to say so.
type closeState struct {
	why      *Closed
	deadline time.Time
}

// Close deletes the SA: the peer is told, and Closed follows its answer, or its silence after a
// few seconds. During the handshake Closed follows at once.
func (sa *SA) Close(now time.Time, detail string) {
	sa.closeFor(now, Closed{Reason: ReasonLocal, Detail: detail})
}

// Replace is Close for a session that gives its place to a newer one of the same identity. A peer
// that understands it is told so, and knows that coming again at once would only throw the other out.
func (sa *SA) Replace(now time.Time, detail string) {
	sa.closeFor(now, Closed{Reason: ReasonLocal, Detail: detail, Notify: wire.SessionReplaced})
}

func (sa *SA) closeFor(now time.Time, why Closed) {
	switch sa.state {
	case stateInit:
		sa.end(why)
	case stateAuth:
		// The peer may have finished already: one Delete, unacknowledged, spares it a dead session.
		if sa.initiator {
			sa.sendAll(sa.path, sa.protect(sa.cur, message{exchange: wire.Informational, id: sa.cur.sendID},
				[]wire.Payload{&wire.Delete{Protocol: wire.ProtoIKE}}))
		}
		sa.end(why)
	case stateReady:
		sa.beginClose(now, why)
		sa.next(now)
	}
}

// beginClose deletes an SA whose keys the peer has, for a reason of this end.
func (sa *SA) beginClose(now time.Time, why Closed) {
	if sa.state == stateDeleting {
		return
	}
	sa.enter(stateDeleting)
	sa.hs.wipe()
	sa.hs = nil
	sa.close = closeState{why: &why, deadline: now.Add(closeLimit)}
	sa.tasks = []task{{kind: taskClose}}
}

func (sa *SA) startClose(now time.Time, t task) {
	ps := []wire.Payload{&wire.Delete{Protocol: wire.ProtoIKE}}
	// An initiator that cannot believe the responder says so: RFC 7296 section 2.21.2.
	if w := sa.close.why; sa.initiator && w.Reason == ReasonAuthentication {
		ps = append([]wire.Payload{&wire.Notify{Type: wire.AuthenticationFailed}}, ps...)
	}
	if sa.close.why.Notify == wire.SessionReplaced && sa.peerIsOurs() {
		ps = append(ps, &wire.Notify{Type: wire.SessionReplaced})
	}
	sa.request(now, t, sa.cur, wire.Informational, ps...)
}

func (sa *SA) advanceClose(now time.Time) {
	if due(sa.close.deadline, now) {
		sa.endClose()
	}
}

// endClose ends an SA that this end wanted to go.
func (sa *SA) endClose() {
	if sa.close.why != nil {
		sa.end(*sa.close.why)
	}
}

// end is how every SA ends: Closed is its last output, and its keys are gone.
func (sa *SA) end(c Closed) {
	if sa.state == stateClosed {
		return
	}
	c.Remote, c.Path, c.Established = sa.remote, sa.path, sa.established
	sa.enter(stateClosed)
	sa.generations(func(g *generation) bool { g.wipe(); return true })
	sa.hs.wipe()
	sa.hs, sa.cur, sa.old, sa.children, sa.ex, sa.tasks, sa.asking = nil, nil, nil, nil, nil, nil, nil
	sa.emit(c)
}
