package ikev2

import (
	"time"

	"flexvpn/ikev2/wire"
)

// taskKind is what a request of this end is for.
type taskKind uint8

const (
	taskInit taskKind = iota + 1
	taskAuth
	taskRekeyChild
	taskNewChild
	taskRekeyIKE
	taskDeleteChild
	taskDeleteIKE // a generation that no longer carries the session
	taskConfig
	taskProbe
	taskUpdate    // MOBIKE: UPDATE_SA_ADDRESSES
	taskVerify    // MOBIKE: return routability check
	taskAddresses // MOBIKE: additional addresses
	taskClose
)

// A task is a request this end wants to make. The window is one (RFC 7296 section 2.3): tasks
// wait until the exchange before is over.
type task struct {
	kind  taskKind
	child uint32           // inbound SPI: taskRekeyChild, taskDeleteChild
	ike   uint64           // local SPI: taskDeleteIKE
	attrs []wire.Attribute // taskConfig
}

// An exchange is this end's request in flight.
type exchange struct {
	task      task
	gen       *generation // nil in IKE_SA_INIT
	id        uint32
	datagrams [][]byte
	retransmission
	offer  *offer // CREATE_CHILD_SA
	cookie []byte // the COOKIE2 in it
	stale  bool   // the path has changed since it was first sent
	spread bool   // it was sent on several paths
}

// creating reports whether the exchange makes, rekeys or deletes a Child SA.
func (ex *exchange) touchesChild() bool {
	if ex == nil {
		return false
	}
	switch ex.task.kind {
	case taskRekeyChild, taskNewChild, taskDeleteChild:
		return true
	}
	return false
}

func (ex *exchange) is(k taskKind) bool { return ex != nil && ex.task.kind == k }

// want queues a task unless the same is queued or under way. A newer CFG_SET replaces one that
// still waits: it is the whole truth of the sender. So the queue is bounded by the number of
// Child SAs and generations.
func (sa *SA) want(t task) {
	for i, q := range sa.tasks {
		if q.kind == t.kind && q.child == t.child && q.ike == t.ike {
			sa.tasks[i] = t
			return
		}
	}
	if ex := sa.ex; ex.is(t.kind) && !t.renews() && ex.task.child == t.child && ex.task.ike == t.ike {
		return
	}
	sa.tasks = append(sa.tasks, t)
}

// renews reports a task that says something newer than the same one under way.
func (t task) renews() bool { return t.kind == taskConfig || t.kind == taskAddresses }

// next starts the tasks that can be started.
func (sa *SA) next(now time.Time) {
	for sa.ex == nil && !sa.asking.open() && len(sa.tasks) > 0 {
		if sa.state != stateReady && sa.state != stateDeleting {
			return
		}
		t := sa.tasks[0]
		if sa.tasks = sa.tasks[1:]; len(sa.tasks) == 0 {
			sa.tasks = nil
		}
		sa.start(now, t)
	}
}

// start makes a task's request; a task that has lost its object does nothing.
func (sa *SA) start(now time.Time, t task) {
	switch t.kind {
	case taskRekeyChild:
		sa.startRekeyChild(now, t)
	case taskNewChild:
		sa.startNewChild(now, t)
	case taskRekeyIKE:
		sa.startRekeyIKE(now, t)
	case taskDeleteChild:
		sa.startDeleteChild(now, t)
	case taskDeleteIKE:
		sa.startDeleteIKE(now, t)
	case taskConfig:
		sa.request(now, t, sa.cur, wire.Informational, &wire.CP{Type: wire.CFGSet, Attributes: t.attrs})
	case taskProbe:
		sa.startProbe(now, t)
	case taskUpdate:
		sa.startUpdate(now, t)
	case taskVerify:
		sa.startVerify(now, t)
	case taskAddresses:
		sa.startAddresses(now, t)
	case taskClose:
		sa.startClose(now, t)
	}
}

// request sends a request on a generation and makes it the exchange in flight.
func (sa *SA) request(now time.Time, t task, g *generation, xt wire.ExchangeType, ps ...wire.Payload) {
	id := g.sendID
	datagrams := sa.protect(g, message{exchange: xt, id: id}, ps)
	g.sendID++
	sa.begin(now, &exchange{task: t, gen: g, id: id, datagrams: datagrams})
}

// begin sends an exchange's request for the first time.
func (sa *SA) begin(now time.Time, ex *exchange) {
	sa.ex = ex
	ex.retransmission = sa.patience(now, ex.task.kind)
	sa.sendAll(sa.path, ex.datagrams)
}

// sendAll sends what stays here for the next time.
func (sa *SA) sendAll(p Path, datagrams [][]byte) {
	for _, d := range datagrams {
		sa.emit(Send{Path: p, Datagram: d})
	}
}

// A reply is the answer to the peer's last request, kept until its next request arrives
// (section 2.1: a retransmitted request gets the same octets).
type reply struct {
	request   uint64 // digest of the request's (first) datagram
	datagrams [][]byte
}

// A demand is a request of the peer that this end has not answered yet.
type demand struct {
	gen      *generation
	exchange wire.ExchangeType
	id       uint32
	digest   uint64
	path     Path
}

// respond answers a request and keeps the answer.
func (sa *SA) respond(d demand, ps ...wire.Payload) {
	datagrams := sa.protect(d.gen, message{exchange: d.exchange, id: d.id, response: true}, ps)
	d.gen.reply = reply{request: d.digest, datagrams: datagrams}
	sa.sendAll(d.path, datagrams)
}

// refuse answers a request with a lone notify.
func (sa *SA) refuse(d demand, t wire.NotifyType) { sa.respond(d, &wire.Notify{Type: t}) }

// repeat answers a repeated request with the octets of the first answer, on the path it came on
// (section 2.11). An exact copy of the request, or of its first fragment (RFC 7383 section 2.6.1),
// is known by sight; other octets must prove that they are the peer's, who may have cut its request
// into smaller fragments this time (section 2.5.1).
func (sa *SA) repeat(g *generation, p Path, h wire.Header, b []byte) {
	if g.reply.datagrams == nil || g.reply.request != digest(b) && !sa.cutAnew(g, h, b) {
		sa.c.Counters.BadMessageID.Add(1)
		return
	}
	sa.c.Counters.Repeated.Add(1)
	sa.sendAll(p, g.reply.datagrams)
}

// cutAnew reports whether an unknown datagram is the first fragment of a request of the peer.
func (sa *SA) cutAnew(g *generation, h wire.Header, b []byte) bool {
	if h.Exchange == wire.IKESAInit || g.keys.D.IsEmpty() {
		return false
	}
	outer, err := sa.outer(h, b)
	if err != nil || outer.Kind != wire.PayloadFragment || outer.Fragment.Number != 1 {
		return false
	}
	_, _, err = sa.open(g, &outer, b)
	return err == nil
}

// digest is FNV-1a: it recognises copies, it does not prove anything.
func digest(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}
