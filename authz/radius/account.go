package radius

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"time"

	"layeh.com/radius"

	"flexvpn/authz"
	"flexvpn/secret"
	"flexvpn/store"
)

// Bounds of the queue of records. Above half of it Interim-Updates are left out first: the next one,
// or the Stop, says more.
const (
	maxQueued   = 100_000
	maxSending  = 64   // in flight at once, one for each user
	maxScanned  = 4096 // records looked at for one that may be sent
	retryAfter  = 3 * time.Second
	storeAfter  = time.Second      // what is not delivered by then goes to disk
	acctLimit   = 30 * time.Second // for one record over all servers
	acctBucket  = "accounting"
	serviceUsed = 2 // Service-Type Framed
	viaRADIUS   = 1 // Acct-Authentic (RFC 2866 section 5.6)
	viaLocal    = 2
)

// An Accountant delivers accounting records: those of one user in their order, so that a server hears of
// the end of a session before it hears of the next, each until a server has taken it. What the servers do not take stays on disk, over a restart too, so that a
// record may arrive twice, but not get lost; a crash loses at most the records of its last second.
type Accountant struct {
	client *Client
	store  store.Store
	log    *slog.Logger

	mu      sync.Mutex
	queue   []*queued // in order; those that are delivered are taken out from the front
	next    uint64    // number of the next record
	open    int       // not delivered
	sending int
	window  int         // how many may be in flight: one while nobody answers
	retry   *time.Timer // set while nobody answers
	saver   *time.Timer
	stored  map[uint64]bool // delivered, but still on disk
	dropped uint64
	closed  bool
	idle    sync.Cond
}

// A queued is one record on its way. Guarded by Accountant.mu.
type queued struct {
	number        uint64
	record        wireRecord
	sending, done bool
	onDisk        bool
}

// wireRecord is a record as it is kept: attributes are encoded, but for Acct-Delay-Time.
type wireRecord struct {
	Group   string    `json:"group"`
	Session string    `json:"session,omitempty"` // none: it stands between what was before and what comes
	User    string    `json:"user,omitempty"`    // whose records keep their order; none: the session's do
	At      time.Time `json:"at"`
	Attrs   []byte    `json:"attrs"`
}

// line names what the record has to keep its order with.
func (r *wireRecord) line() string {
	if r.User != "" {
		return "user " + r.User
	}
	return r.Session
}

// Accountant makes an accountant over c that keeps what it cannot deliver in s, and takes up what a
// former run left there.
func (c *Client) Accountant(s store.Store) (*Accountant, error) {
	a := &Accountant{client: c, store: s, log: c.log, window: maxSending, stored: map[uint64]bool{}}
	a.idle.L = &a.mu
	err := s.ForEach(acctBucket, func(key, value []byte) error {
		q := &queued{onDisk: true}
		if len(key) != 8 || json.Unmarshal(value, &q.record) != nil {
			a.log.Warn("an accounting record on disk cannot be read", "key", fmt.Sprintf("%x", key))
			return nil
		}
		q.number = binary.BigEndian.Uint64(key)
		a.next = max(a.next, q.number+1)
		a.queue = append(a.queue, q)
		a.open++
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read accounting records: %w", err)
	}
	if a.open > 0 {
		a.log.Info("accounting records of a former run wait for a server", "records", a.open)
	}
	a.mu.Lock()
	after := a.pump()
	a.mu.Unlock()
	run(after)
	return a, nil
}

// Account takes a record; it does not block.
func (a *Accountant) Account(r authz.Record) {
	q := &queued{record: wireRecord{Group: r.Group, Session: r.Session.ID, User: r.User, At: r.At, Attrs: a.client.encodeRecord(r)}}
	a.mu.Lock()
	if a.closed || a.open >= maxQueued || a.open >= maxQueued/2 && r.Kind == authz.RecordInterim {
		if a.dropped++; a.dropped == 1 {
			a.log.Error("accounting records are dropped: too many wait for a server", "waiting", a.open)
		}
		a.mu.Unlock()
		return
	}
	q.number = a.next
	a.next++
	a.queue = append(a.queue, q)
	a.open++
	after := a.pump()
	a.save()
	a.mu.Unlock()
	run(after)
}

// pump sends what may be sent; mu is held.
func (a *Accountant) pump() (after []func()) {
	for len(a.queue) > 0 && a.queue[0].done {
		a.queue[0] = nil
		a.queue = a.queue[1:]
	}
	busy := map[string]bool{}
	for i, q := range a.queue {
		barrier := q.record.Session == ""
		if i == maxScanned || a.sending >= a.window || barrier && len(busy) > 0 {
			break
		}
		if q.done {
			continue
		}
		if !q.sending && !busy[q.record.line()] {
			q.sending = true
			a.sending++
			after = append(after, func() { a.deliver(q) })
		}
		busy[q.record.line()] = true
		if barrier {
			break // Accounting-On and -Off stand between what was before and what comes
		}
	}
	return after
}

func (a *Accountant) deliver(q *queued) {
	g := a.client.groups[q.record.Group]
	attributes, err := radius.ParseAttributes(q.record.Attrs)
	if g == nil || err != nil { // the configuration has changed since
		a.log.Warn("accounting record without a server group", "group", q.record.Group, "err", err)
		a.lose()
		a.delivered(q)
		return
	}
	attributes.Add(attrAcctDelayTime, radius.NewInteger(uint32(max(0, time.Since(q.record.At).Seconds()))))
	a.client.send(radius.CodeAccountingRequest, attributes, secret.Bytes{}, g.acct, acctLimit, func(_ *answer, err error) {
		switch {
		case err == nil:
			a.delivered(q)
		case errors.Is(err, authz.ErrUnreachable):
			a.failed(q)
		default: // it would hold up all others for ever
			a.log.Error("accounting record given up: it cannot be sent", "session", q.record.Session, "err", err)
			a.lose()
			a.delivered(q)
		}
	})
}

// lose counts a record that no server will get.
func (a *Accountant) lose() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dropped++
}

func (a *Accountant) delivered(q *queued) {
	a.mu.Lock()
	q.done, q.sending = true, false
	a.sending--
	a.open--
	a.window = maxSending
	if a.retry != nil {
		a.retry.Stop()
		a.retry = nil
	}
	if q.onDisk {
		a.stored[q.number] = true
	}
	after := a.pump()
	a.save()
	a.idle.Broadcast()
	a.mu.Unlock()
	run(after)
}

// failed keeps the record for later: nobody took it.
func (a *Accountant) failed(q *queued) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q.sending = false
	a.sending--
	a.idle.Broadcast()
	if a.closed {
		return
	}
	if a.window == maxSending {
		a.log.Warn("accounting waits for a server", "group", q.record.Group, "records", a.open)
	}
	a.window = 0
	if a.retry == nil {
		a.retry = time.AfterFunc(retryAfter, a.again)
	}
}

// again tries with one record whether a server is back.
func (a *Accountant) again() {
	a.mu.Lock()
	a.retry = nil
	a.window = 1
	after := a.pump()
	a.mu.Unlock()
	run(after)
}

// save has the records written that are not delivered soon; mu is held.
func (a *Accountant) save() {
	if a.saver == nil && !a.closed {
		a.saver = time.AfterFunc(storeAfter, func() {
			a.mu.Lock()
			a.saver = nil
			a.mu.Unlock()
			if err := a.write(storeAfter / 2); err != nil {
				a.log.Error("accounting records cannot be stored", "err", err)
			}
		})
	}
}

// write brings to disk what has waited longer than age, and takes away what was delivered.
func (a *Accountant) write(age time.Duration) error {
	a.mu.Lock()
	var put []*queued
	young := false
	for _, q := range a.queue {
		switch {
		case q.done || q.onDisk:
		case time.Since(q.record.At) < age:
			young = true
		default:
			q.onDisk = true
			put = append(put, q)
		}
	}
	gone := a.stored
	a.stored = map[uint64]bool{}
	if young {
		a.save()
	}
	a.mu.Unlock()
	if len(put)+len(gone) == 0 {
		return nil
	}
	err := a.store.Update(func(tx store.Tx) error {
		for n := range gone {
			if err := tx.Delete(acctBucket, recordKey(n)); err != nil {
				return err
			}
		}
		for _, q := range put {
			value, err := json.Marshal(q.record)
			if err != nil {
				return err
			}
			if err := tx.Put(acctBucket, recordKey(q.number), value); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range put {
		q.onDisk = false
		delete(a.stored, q.number)
	}
	for n := range gone {
		a.stored[n] = true
	}
	a.save()
	return err
}

func recordKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// Waiting is how many records no server has taken yet, and how many were dropped.
func (a *Accountant) Waiting() (waiting int, dropped uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open, a.dropped
}

// Close gives the servers until ctx ends to take what is left, and stores the rest. The client is
// closed afterwards.
func (a *Accountant) Close(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.idle.Broadcast()
	})
	defer stop()
	a.mu.Lock()
	for a.open > 0 && a.window > 0 && ctx.Err() == nil {
		a.idle.Wait()
	}
	a.closed = true
	for _, t := range []*time.Timer{a.retry, a.saver} {
		if t != nil {
			t.Stop()
		}
	}
	a.mu.Unlock()
	return a.write(0)
}

// encodeRecord is a record's attributes but for Acct-Delay-Time (RFC 2866, RFC 2869).
func (c *Client) encodeRecord(r authz.Record) []byte {
	var a attrs
	a.text(attrUserName, r.User)
	a.number(attrAcctStatusType, uint32(r.Kind))
	a.number(attrEventTimestamp, uint32(r.At.Unix()))
	if r.Kind == authz.RecordOn || r.Kind == authz.RecordOff {
		a.Attributes = append(a.Attributes, c.nasAttributes(nil)...)
		a.text(attrAcctSessionID, fmt.Sprintf("%08X", uint32(r.At.Unix())))
		return a.encode()
	}
	c.session(&a, r.Session)
	a.number(attrServiceType, serviceUsed)
	a.number(attrAcctAuthentic, authenticBy(r.Local))
	c.given(&a, r.Attributes)
	if r.Kind != authz.RecordStart {
		a.number(attrAcctSessionTime, uint32(min(r.Duration.Seconds(), math.MaxUint32)))
		a.count(attrAcctInputOctets, attrAcctInputGiga, r.InputOctets)
		a.count(attrAcctOutputOctets, attrAcctOutputGiga, r.OutputOctets)
		a.number(attrAcctInputPackets, uint32(r.InputPackets))
		a.number(attrAcctOutputPackets, uint32(r.OutputPackets))
	}
	if r.Kind == authz.RecordStop {
		a.number(attrAcctTerminate, uint32(r.Cause))
	}
	c.classes(&a, r)
	return a.encode()
}

func authenticBy(local bool) uint32 {
	if local {
		return viaLocal
	}
	return viaRADIUS
}

// count adds a counter of 64 bits in two attributes (RFC 2869 section 5.1).
func (a *attrs) count(low, high radius.Type, n uint64) {
	a.number(low, uint32(n))
	a.number(high, uint32(n>>32))
}

func (c *Client) given(a *attrs, got authz.Attributes) {
	for _, addr := range []authz.Value[netip.Addr]{got.Address, got.Address6} {
		if addr.IsSet() {
			a.address(attrFramedIPAddress, attrFramedIPv6Address, addr.V)
		}
	}
	if p := got.Delegated; p.IsSet() {
		a.Add(attrDelegatedPrefix, append([]byte{0, byte(p.V.Bits())}, p.V.Addr().AsSlice()...))
	}
}

// recordRoom is what a record may have without what is added when it is sent: Message-Authenticator and
// Acct-Delay-Time.
const recordRoom = radius.MaxPacketLength - headerLen - messageAuth - 6

// classes adds the server's Class attributes as far as one packet holds them: an Access-Accept may bring
// more than fits beside everything else.
func (c *Client) classes(a *attrs, r authz.Record) {
	used := 0
	for _, attr := range a.Attributes {
		used += 2 + len(attr.Attribute)
	}
	for i, class := range r.Attributes.Class.V {
		if used += 2 + len(class); used > recordRoom {
			c.log.Warn("class attributes left out of an accounting record: it has no room for them", "session", r.Session.ID, "left_out", len(r.Attributes.Class.V)-i)
			return
		}
		a.Add(attrClass, radius.Attribute(class))
	}
}

// encode is the attributes as octets; without Class they fit one packet.
func (a *attrs) encode() []byte {
	b, err := (&radius.Packet{Code: radius.CodeAccountingRequest, Attributes: a.Attributes}).MarshalBinary()
	if err != nil {
		return nil
	}
	return b[headerLen:]
}
