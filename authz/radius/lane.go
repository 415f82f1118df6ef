package radius

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"layeh.com/radius"
)

// A lane is one source port or connection with its 256 identifiers (RFC 2865 section 2.4: more
// requests in flight need more source ports). Guarded by Client.mu.
type lane struct {
	port  *port
	link  link // set before the first exchange
	ids   [256]*exchange
	last  byte // identifier given last: a late answer should not meet the next request with its number
	inUse int
	gone  bool
}

// carry gives e an identifier and sends it; mu is held.
func (l *lane) carry(e *exchange) []func() {
	id := l.last + 1
	for l.ids[id] != nil {
		id++
	}
	l.last = id
	raw, err := seal(e.code, id, e.attrs, e.password, l.port.server.Secret)
	if err != nil {
		return e.finish(nil, err)
	}
	l.ids[id] = e
	l.inUse++
	e.lane, e.id, e.raw = l, id, raw
	return e.transmit()
}

// release takes e's identifier back; mu is held.
func (l *lane) release(e *exchange) {
	if l.ids[e.id] == e {
		l.ids[e.id] = nil
		l.inUse--
	}
	if e.timer != nil {
		e.timer.Stop()
	}
	e.lane = nil
}

// received is the link's: a packet came.
func (l *lane) received(b []byte, from netip.AddrPort) {
	c := l.port.client
	c.mu.Lock()
	after := l.receive(b, from)
	c.mu.Unlock()
	run(after)
}

// receive believes an answer only when it comes from the server, belongs to a request that is open,
// and is authentic. Whatever is not leaves the request waiting: a forgery must not end it.
func (l *lane) receive(b []byte, from netip.AddrPort) []func() {
	p := l.port
	if from != p.address {
		return p.drop(badSource, from, nil)
	}
	if len(b) < headerLen {
		return p.drop(badMalformed, from, errMalformed)
	}
	e := l.ids[b[1]]
	if e == nil {
		return p.drop(badIdentifier, from, nil)
	}
	packet, err := openAnswer(b, e.raw, p.server.Secret, !p.server.Unsigned)
	switch {
	case errors.Is(err, errUnsigned) && e.code != radius.CodeAccessRequest:
		// An answer to accounting or a status request has nothing to gain for a forger, and servers do
		// not sign it.
		packet, err = openAnswer(b, e.raw, p.server.Secret, false)
	case errors.Is(err, errUnsigned):
		return p.drop(badUnsigned, from, err)
	}
	switch {
	case errors.Is(err, errForged):
		return p.drop(badAuthenticator, from, err)
	case err != nil:
		return p.drop(badMalformed, from, err)
	case !answers(e.code, packet.Code):
		return p.drop(badCode, from, nil)
	}
	now := time.Now()
	p.count(packet.Code)
	p.observe(now.Sub(e.sent))
	p.client.traced(false, p, b)
	l.release(e)
	after := append(p.alive(now), e.finish(&answer{packet, e.raw, p.server.Name, p}, nil)...)
	return append(after, p.unblock()...)
}

// unblock lets an exchange that waits have the identifier that became free; mu is held.
func (p *port) unblock() []func() {
	if len(p.waiting) == 0 {
		return nil
	}
	e := p.waiting[0]
	p.waiting = p.waiting[1:]
	if e.over {
		return nil
	}
	return p.take(e)
}

// answers reports whether an answer of that code belongs to a request.
func answers(request, code radius.Code) bool {
	switch request {
	case radius.CodeAccessRequest:
		return code == radius.CodeAccessAccept || code == radius.CodeAccessReject || code == radius.CodeAccessChallenge
	case radius.CodeAccountingRequest:
		return code == radius.CodeAccountingResponse
	case radius.CodeStatusServer: // RFC 5997 section 3
		return code == radius.CodeAccessAccept || code == radius.CodeAccountingResponse
	}
	return false
}

func (p *port) count(code radius.Code) {
	switch code {
	case radius.CodeAccessAccept:
		p.stats.Accepts++
	case radius.CodeAccessReject:
		p.stats.Rejects++
	case radius.CodeAccessChallenge:
		p.stats.Challenges++
	case radius.CodeAccountingResponse:
		p.stats.Responses++
	}
}

// drop counts an answer that is not believed and logs the first of its kind: it may be an attack, or
// a secret that differs.
func (p *port) drop(reason string, from netip.AddrPort, err error) []func() {
	if p.stats.Bad[reason]++; p.stats.Bad[reason] == 1 {
		hint := ""
		switch reason {
		case badAuthenticator:
			hint = "compare the secret on both sides"
		case badUnsigned:
			hint = "update the server so that it sends Message-Authenticator; see message-authenticator of the server"
		}
		p.client.log.Warn("radius answer dropped; further ones are only counted", "server", p.server.Name, "port", p.kind, "from", from.String(), "reason", reason, "err", err, "hint", hint)
	}
	return nil
}

// lost is the link's: the connection has ended.
func (l *lane) lost(err error) {
	c := l.port.client
	c.mu.Lock()
	after := l.drain(err)
	c.mu.Unlock()
	run(after)
}

// drain moves what the connection carried to another one: to the same server when it had answered on
// this one, so that an idle time-out costs nothing, else to the next.
func (l *lane) drain(err error) (after []func()) {
	p := l.port
	if l.gone || p.client.closed {
		return nil
	}
	l.gone = true
	p.lanes = slices.DeleteFunc(p.lanes, func(o *lane) bool { return o == l })
	p.client.log.Debug("radius connection ended", "server", p.server.Name, "err", err)
	for _, e := range l.ids {
		if e == nil {
			continue
		}
		l.release(e)
		if e.code != radius.CodeStatusServer && p.lastAnswer.After(e.first.Add(-time.Minute)) && e.tries == 1 {
			after = append(after, p.take(e)...)
			continue
		}
		after = append(after, e.next()...)
	}
	return after
}
