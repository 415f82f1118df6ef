package ikev2

import (
	"time"

	"flexvpn/ikev2/wire"
)

// INFORMATIONAL, RFC 7296 section 1.4: deletes, errors, configuration, or nothing at all, which is
// a question whether this end is alive (section 2.4).

func (sa *SA) informational(now time.Time, d demand, ps *wire.Payloads) {
	if ps.Notify(wire.AuthenticationFailed) != nil {
		// The initiator did not believe this end (section 2.21.2).
		sa.respond(d)
		sa.end(Closed{
			Reason: ReasonAuthentication, Notify: wire.AuthenticationFailed,
			Detail: "the peer does not accept this end's proof of its identity: look for the reason in its log",
		})
		return
	}
	answer, refused := sa.mobilityRequest(now, d, ps)
	if refused {
		sa.respond(d, answer...)
		return
	}
	for i := range ps.Deletes {
		switch del := &ps.Deletes[i]; del.Protocol {
		case wire.ProtoIKE:
			sa.peerDeletes(now, d, ps.Notify(wire.SessionReplaced) != nil)
			return
		case wire.ProtoESP:
			if spis := sa.peerDeletesChildren(now, del.SPIs); len(spis) > 0 {
				answer = append(answer, &wire.Delete{Protocol: wire.ProtoESP, SPIs: spis})
			}
		}
	}
	if cp := ps.CP; cp != nil && cp.Type == wire.CFGSet && sa.state == stateReady {
		id := sa.ask(now, asking{step: stepConfigured, demand: d, response: append(answer, acknowledged(cp.Attributes))})
		sa.emit(ConfigSet{ID: id, Attributes: cloneAttributes(cp.Attributes)})
		return
	}
	sa.respond(d, answer...)
}

// acknowledged accepts every attribute: an acknowledgement has them with zero length (section 3.15).
func acknowledged(attrs []wire.Attribute) *wire.CP {
	ack := &wire.CP{Type: wire.CFGAck}
	for _, a := range attrs {
		ack.Attributes = append(ack.Attributes, wire.Attribute{Type: a.Type})
	}
	return ack
}

// peerDeletesChildren removes what the peer deletes; the SPIs returned are the other halves of the
// pairs (section 1.4.1). One that this end is deleting too is not answered for (section 2.25.1).
func (sa *SA) peerDeletesChildren(now time.Time, spis []uint32) (paired []uint32) {
	for _, spi := range spis {
		ch := sa.childOut(spi)
		if ch == nil || sa.ex.is(taskDeleteChild) && sa.ex.task.child == ch.spiIn {
			continue
		}
		paired = append(paired, ch.spiIn)
		reason := "deleted by the peer"
		if ch.standing != childUp {
			reason = "rekeyed"
		}
		sa.removeChild(now, ch.spiIn, reason)
	}
	return paired
}

// deleted is the end of a session that the peer deletes; replaced: it says that another took its place.
func deleted(replaced bool) Closed {
	if replaced {
		return Closed{
			Reason: ReasonReplaced, Notify: wire.SessionReplaced,
			Detail: "the peer gave the session's place to a newer one of the same identity",
		}
	}
	return Closed{Reason: ReasonPeerDelete, Detail: "the peer deleted the session"}
}

// peerDeletes takes the Delete of an IKE SA: the session ends with the generation that carries it.
func (sa *SA) peerDeletes(now time.Time, d demand, replaced bool) {
	sa.respond(d)
	ex := sa.ex
	var successor *generation
	if ex.is(taskRekeyIKE) && ex.offer.rival != nil {
		successor = ex.offer.rival.ike
	}
	switch {
	case d.gen == sa.cur && successor != nil:
		// The peer deletes what both are rekeying: its own rekeying is done, ours is forgotten
		// (sections 2.8.2 and 2.25.2).
		sa.ex = nil
		sa.promote(now, successor, standingReplaced)
	case d.gen == sa.cur && sa.state == stateDeleting:
		sa.endClose()
		return
	case d.gen == sa.cur:
		sa.end(deleted(replaced))
		return
	case d.gen == successor:
		ex.offer.rival.ike = nil // it lost; its nonces still decide
	}
	if ex != nil && ex.gen == d.gen {
		sa.moveOn(ex)
	}
	sa.forget(d.gen)
}

// moveOn repeats on the current generation what was in flight on one that is gone.
func (sa *SA) moveOn(ex *exchange) {
	sa.ex = nil
	switch ex.task.kind {
	case taskRekeyIKE, taskDeleteIKE: // done by what happened
	default:
		sa.want(ex.task)
	}
}

// informed takes the answer to this end's INFORMATIONAL request.
func (sa *SA) informed(now time.Time, ex *exchange, p Path, ps *wire.Payloads) {
	switch ex.task.kind {
	case taskDeleteChild:
		if ch := sa.child(ex.task.child); ch != nil {
			sa.removeChild(now, ch.spiIn, sa.whyGone(ch))
		}
	case taskDeleteIKE:
		sa.forget(ex.gen)
	case taskProbe:
		sa.remapped(now, ex, p, ps)
	case taskUpdate:
		sa.updated(now, ex, p, ps)
	case taskVerify:
		sa.verified(ex)
	case taskClose:
		sa.endClose()
	case taskConfig:
		sa.emit(ConfigAcknowledged{})
	}
}

// whyGone is why this end deleted a Child SA.
func (sa *SA) whyGone(ch *childSA) string {
	for i := range sa.children {
		if sa.children[i].replaces == ch.spiIn {
			return "rekeyed"
		}
	}
	if ch.waits {
		return "redundant: both ends rekeyed at once"
	}
	return "its lifetime is over"
}
