package ops

import (
	"encoding/hex"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"flexvpn/ops/view"
)

// Debug hands what the engine traces to those who asked. With nobody asking, Wanted costs one atomic
// load; its zero value is ready.
type Debug struct {
	// Changed is called, under a lock, when the first reader of IKE messages comes (true) and when the
	// last goes (false), so that tracing can be off otherwise. Set it before the first Trace; may be nil.
	Changed func(wanted bool)

	wanted  atomic.Bool  // by a reader of any topic
	ike     bool         // a reader of IKE messages is there; guarded by mu
	mu      sync.RWMutex // held for reading while f of a reader runs
	readers map[*reader]struct{}
}

type reader struct {
	filter view.TraceFilter
	peer   string // filter.Peer in lower case
	f      func(view.TraceLine)
}

// Wanted reports whether anybody reads.
func (d *Debug) Wanted() bool { return d.wanted.Load() }

// Trace is the Node's method of that name. f must not block and must not call Trace or stop.
func (d *Debug) Trace(filter view.TraceFilter, f func(view.TraceLine)) (stop func()) {
	r := &reader{filter: filter, peer: strings.ToLower(filter.Peer), f: f}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.readers == nil {
		d.readers = map[*reader]struct{}{}
	}
	d.readers[r] = struct{}{}
	d.update()
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.readers, r)
		d.update()
	}
}

// update tells Changed; mu is held.
func (d *Debug) update() {
	d.wanted.Store(len(d.readers) > 0)
	ike := false
	for r := range d.readers {
		ike = ike || r.filter.Topic == view.TopicIKE
	}
	if ike != d.ike && d.Changed != nil {
		d.Changed(ike)
	}
	d.ike = ike
}

// Emit gives line to every reader whose filter lets it pass, with as much of it as was asked for.
// raw is the datagram as it was on the wire; Emit does not keep it. line.Text and line.Hex may be
// shared by the readers: nobody changes them afterwards.
func (d *Debug) Emit(line view.TraceLine, raw []byte) {
	if !d.Wanted() {
		return
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	var digits string
	for r := range d.readers {
		if !r.wants(line) {
			continue
		}
		l := line
		if !r.filter.Packet {
			l.Text = nil
		}
		if l.Hex = ""; r.filter.Hex {
			if digits == "" {
				digits = hex.EncodeToString(raw)
			}
			l.Hex = digits
		}
		r.f(l)
	}
}

// Say is Emit for a line of words about a host or peer; line is called only when somebody reads.
func (d *Debug) Say(topic view.Topic, about string, line func() string) {
	if d.Wanted() {
		d.Emit(view.TraceLine{Topic: topic, Time: time.Now(), Remote: about, Message: line()}, nil)
	}
}

func (r *reader) wants(l view.TraceLine) bool {
	return r.filter.Topic == l.Topic && (r.peer == "" || matchesPeer(r.peer, l.Identity, l.Remote))
}

// MatchesPeer is the rule of the peer filters: part of the identity or of the remote address,
// without regard to case.
func MatchesPeer(peer, identity, remote string) bool {
	return peer == "" || matchesPeer(strings.ToLower(peer), identity, remote)
}

func matchesPeer(lower, identity, remote string) bool {
	return strings.Contains(strings.ToLower(identity), lower) || strings.Contains(strings.ToLower(remote), lower)
}
