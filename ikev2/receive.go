package ikev2

import (
	"errors"
	"time"

	"flexvpn/ikev2/wire"
)

// receive goes the way of every datagram: header, SPIs, window, integrity. Only then the window
// moves, the peer counts as alive and its path as true.
func (sa *SA) receive(now time.Time, p Path, b []byte) {
	h, err := wire.ParseHeader(b)
	if err != nil || h.Major != wire.MajorVersion {
		sa.c.Counters.BadSyntax.Add(1)
		return
	}
	if h.Exchange == wire.IKESAInit {
		sa.receiveInit(now, p, h, b)
		return
	}
	g := sa.generation(h.SPIi, h.SPIr, h.Flags&wire.FlagInitiator != 0)
	if g == nil || !sa.expects(h) {
		sa.c.Counters.BadSyntax.Add(1)
		return
	}
	if sa.inWindow(g, p, h, b) {
		sa.receiveProtected(now, g, p, h, b)
	}
}

// expects reports whether an exchange has a place in this state at all.
func (sa *SA) expects(h wire.Header) bool {
	switch h.Exchange {
	case wire.IKEAuth:
		// Also a repeated request, when the SA stands.
		return sa.initiator == (h.Flags&wire.FlagResponse != 0)
	case wire.CreateChildSA, wire.Informational:
		return sa.state == stateReady || sa.state == stateDeleting || h.Exchange == wire.Informational && sa.inEAP()
	}
	return false
}

// inEAP reports whether a responder has proven itself in an IKE_AUTH that still goes on: its peer may
// have to say that it does not believe it (RFC 7296 section 2.21.2).
func (sa *SA) inEAP() bool {
	return sa.state == stateAuth && !sa.initiator && sa.hs.eap != nil
}

// inWindow reports whether a message is the one expected next (RFC 7296 section 2.3). The answer
// to a repeated request leaves from here.
func (sa *SA) inWindow(g *generation, p Path, h wire.Header, b []byte) bool {
	if h.Flags&wire.FlagResponse != 0 {
		if ex := sa.ex; ex != nil && ex.gen == g && ex.id == h.MessageID && ex.exchange() == h.Exchange {
			return true
		}
		sa.c.Counters.BadMessageID.Add(1)
		return false
	}
	if h.MessageID == g.receiveID {
		return true
	}
	if h.MessageID+1 == g.receiveID {
		sa.repeat(g, p, h, b)
	} else {
		sa.c.Counters.BadMessageID.Add(1)
	}
	return false
}

// exchange is the exchange type of a request.
func (ex *exchange) exchange() wire.ExchangeType {
	switch ex.task.kind {
	case taskInit:
		return wire.IKESAInit
	case taskAuth:
		return wire.IKEAuth
	case taskRekeyChild, taskNewChild, taskRekeyIKE:
		return wire.CreateChildSA
	}
	return wire.Informational
}

// receiveProtected opens a message that is in the window.
func (sa *SA) receiveProtected(now time.Time, g *generation, p Path, h wire.Header, b []byte) {
	outer, err := sa.outer(h, b)
	if err != nil {
		sa.c.Counters.BadSyntax.Add(1)
		return
	}
	if !sa.haveKeys(now) {
		return
	}
	first, plain, err := sa.open(g, &outer, b)
	if !believed(err) {
		sa.c.Counters.BadIntegrity.Add(1)
		return
	}
	sum := uint64(0)
	if h.Flags&wire.FlagResponse == 0 {
		sum = digest(b)
	}
	if outer.Kind == wire.PayloadFragment && err == nil {
		whole, r := sa.collect(now, g, h, &outer.Fragment, sum, plain)
		if r == nil {
			return
		}
		first, plain, sum = r.first, whole, r.digest
	}
	sa.accept(now, g, p, h, sum, b, opened{first: first, plain: plain, err: err})
}

var errUnprotected = errors.New("the message is not protected as it was negotiated")

// outer is what stands around a protected message. Fragments of a peer that did not negotiate them
// have no business here (RFC 7383 section 2.3).
func (sa *SA) outer(h wire.Header, b []byte) (wire.Outer, error) {
	o, err := wire.ParseOuter(h.Next, b, wire.HeaderLen)
	if err == nil && o.Kind != wire.PayloadEncrypted && (o.Kind != wire.PayloadFragment || !sa.peer.fragmentation) {
		err = errUnprotected
	}
	return o, err
}

// opened is an authentic message before its payloads are read.
type opened struct {
	first wire.PayloadType
	plain []byte
	err   error
}

// accept moves the window for an authentic message and hands it to its exchange.
func (sa *SA) accept(now time.Time, g *generation, p Path, h wire.Header, sum uint64, b []byte, o opened) {
	*g.partsOf(h) = nil
	sa.heard(now)
	sa.follow(p)
	ps, err := wire.ParseInner(o.first, o.plain)
	if o.err != nil {
		err = o.err
	}
	if err == nil {
		sa.c.Counters.UnknownPayloads.Add(uint64(ps.Skipped))
		sa.traceReceived(p, h, ps, b)
	}
	if h.Flags&wire.FlagResponse != 0 {
		sa.response(now, p, ps, err)
		return
	}
	g.receiveID++
	g.reply = reply{} // acknowledged by the next request (section 2.1)
	sa.demanded(now, demand{gen: g, exchange: h.Exchange, id: h.MessageID, digest: sum, path: p}, ps, err)
}

// demanded answers a request.
func (sa *SA) demanded(now time.Time, d demand, ps *wire.Payloads, err error) {
	if err != nil {
		sa.malformed(d, err)
		return
	}
	switch d.exchange {
	case wire.IKEAuth:
		sa.authRequest(now, d, ps)
	case wire.CreateChildSA:
		sa.createChild(now, d, ps)
	default:
		sa.informational(now, d, ps)
	}
}

// malformed answers a request that the peer itself got wrong. An unknown critical payload costs the
// exchange only (section 2.5), of which IKE_AUTH is one that the SA cannot do without (section
// 2.21.2); wrong syntax of an authentic message ends the SA (section 2.21.3).
func (sa *SA) malformed(d demand, err error) {
	n := &wire.Notify{Type: wire.InvalidSyntax}
	if critical, ok := errors.AsType[*wire.CriticalError](err); ok {
		n = unsupported(critical)
	}
	sa.respond(d, n)
	if n.Type == wire.UnsupportedCriticalPayload && sa.state != stateAuth {
		return
	}
	sa.c.Counters.BadSyntax.Add(1)
	sa.end(Closed{Reason: ReasonSyntax, Notify: n.Type, Detail: "the peer sent an authentic message that is malformed: " + err.Error()})
}

// unsupported names the payload that section 2.5 has a message refused for.
func unsupported(e *wire.CriticalError) *wire.Notify {
	return &wire.Notify{Type: wire.UnsupportedCriticalPayload, Data: []byte{byte(e.Type)}}
}

// response takes the answer to this end's request.
func (sa *SA) response(now time.Time, p Path, ps *wire.Payloads, err error) {
	ex := sa.ex
	if err != nil {
		// Responses are not answered (section 2.21): a Delete tells the peer that this end is gone.
		sa.c.Counters.BadSyntax.Add(1)
		sa.ex = nil
		if sa.state == stateDeleting {
			sa.endClose()
			return
		}
		sa.beginClose(now, Closed{Reason: ReasonSyntax, Detail: "the peer answered with an authentic message that is malformed: " + err.Error()})
		return
	}
	switch ex.task.kind {
	case taskAuth:
		sa.authResponse(now, ps)
	case taskRekeyChild, taskNewChild:
		sa.childResponse(now, ex, ps)
	case taskRekeyIKE:
		sa.rekeyIKEResponse(now, ex, ps)
	default:
		sa.ex = nil
		if sa.cookie2Holds(now, ex, ps) {
			sa.informed(now, ex, p, ps)
		}
	}
	sa.answeredOn(now, ex, p)
}
