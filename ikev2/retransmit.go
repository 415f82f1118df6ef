package ikev2

import "time"

// retransmission is when a request is sent again: RFC 7296 section 2.1 leaves the timing to the
// sender, section 2.4 wants an exponential back-off over several minutes at most.
type retransmission struct {
	next  time.Time
	wait  time.Duration
	max   time.Duration
	left  int // times it may still be sent
	tries int // times it was sent
}

// How long the last words of an SA are repeated: the peer may be gone already.
const (
	closeFirst = 500 * time.Millisecond
	closeTries = 3
)

// patience is the timing of a kind of request.
func (sa *SA) patience(now time.Time, k taskKind) retransmission {
	p := sa.p
	r := retransmission{
		wait: or(p.RetransmitFirst, 500*time.Millisecond),
		max:  or(p.RetransmitMax, 16*time.Second),
		left: or(p.RetransmitTries, 7),
	}
	switch k {
	case taskProbe: // a steady beat, as IOS counts dpd retries
		r.wait = or(p.LivenessRetry, 5*time.Second)
		r.max, r.left = r.wait, or(p.LivenessTries, 5)
	case taskClose:
		r.wait, r.left = closeFirst, closeTries
	}
	r.left--
	r.tries = 1
	r.next = now.Add(r.wait)
	return r
}

// advanceRetransmit sends the request in flight again, or gives it up.
func (sa *SA) advanceRetransmit(now time.Time) {
	ex := sa.ex
	if ex == nil || sa.asking.open() || !due(ex.next, now) {
		return
	}
	if ex.left <= 0 {
		sa.c.Counters.GaveUp.Add(1)
		sa.giveUp(now, ex)
		return
	}
	ex.left--
	ex.tries++
	ex.wait = min(2*ex.wait, ex.max)
	ex.next = now.Add(ex.wait)
	sa.c.Counters.Retransmitted.Add(1)
	sa.sendAll(sa.path, ex.datagrams)
	sa.spread(ex)
}

// giveUp draws the conclusion from a request that was never answered.
func (sa *SA) giveUp(now time.Time, ex *exchange) {
	switch ex.task.kind {
	case taskInit:
		sa.endInit()
	case taskAuth:
		sa.end(Closed{Reason: ReasonTimeout, Detail: "the peer answered IKE_SA_INIT but never IKE_AUTH: look for the reason in its log"})
	case taskDeleteIKE: // the peer has dropped it before us
		sa.ex = nil
		sa.forget(ex.gen)
	case taskClose:
		sa.endClose()
	default:
		sa.end(Closed{Reason: ReasonPeerDead, Detail: "the peer does not answer: check its power and the path to it"})
	}
}
