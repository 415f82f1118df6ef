package radius

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"layeh.com/radius"

	"flexvpn/authz"
	"flexvpn/config"
	"flexvpn/radiusdict"
)

// Bounds of dynamic authorization.
const (
	// replayWindow is how far Event-Timestamp may be from now (RFC 5176 section 6.3).
	replayWindow = 300 * time.Second
	// repeatFor is how long a repeated request is a retransmission, which gets the same answer; later it
	// is a replay (RFC 5176 section 2.3 keeps identifier and authenticator in retransmissions).
	repeatFor = 30 * time.Second
	maxOrders = 1 << 16 // requests remembered
)

// What became of dynamic authorization requests: a closed set.
const (
	orderDone    = "ack"
	orderRefused = "nak"
	orderForeign = "foreign"
	orderForged  = "authenticator"
	orderReplay  = "replay"
	orderRepeat  = "repeat"
	orderBad     = "malformed"
)

var orderResults = []string{orderDone, orderRefused, orderForeign, orderForged, orderReplay, orderRepeat, orderBad}

// Dynamic takes Disconnect-Requests and CoA-Requests (RFC 5176).
type Dynamic struct {
	client  *Client // for the trace and who this node is
	clients []config.AAAClient
	steered authz.Steered
	log     *slog.Logger
	conns   []*net.UDPConn
	now     func() time.Time
	wait    sync.WaitGroup

	mu     sync.Mutex
	counts map[string]uint64
	orders map[[16]byte]*order // by authenticator
	ring   [][16]byte          // in the order in which they came
	at     int                 // the oldest in ring, once it is full
}

// An order is a request that was accepted, with its answer. Guarded by Dynamic.mu.
type order struct {
	from   netip.AddrPort
	id     byte
	came   time.Time
	answer []byte // nil while it is carried out
}

// Listen begins to take orders for steered; Close ends it.
func (c *Client) Listen(ctx context.Context, cfg config.AAADynamic, steered authz.Steered) (*Dynamic, error) {
	d := &Dynamic{
		client: c, clients: cfg.Clients, steered: steered, log: c.log, now: time.Now,
		counts: map[string]uint64{}, orders: map[[16]byte]*order{},
	}
	for _, addr := range cfg.Listen {
		for _, n := range cfg.Ports {
			network := "udp4"
			if addr.Is6() {
				network = "udp6"
			}
			pc, err := new(net.ListenConfig).ListenPacket(ctx, network, netip.AddrPortFrom(addr, n).String())
			if err != nil {
				d.Close()
				return nil, fmt.Errorf("dynamic authorization: %w: choose another listen or ports", err)
			}
			d.conns = append(d.conns, pc.(*net.UDPConn))
		}
	}
	for _, conn := range d.conns {
		d.wait.Go(func() { d.read(conn) })
	}
	return d, nil
}

// Close ends the readers.
func (d *Dynamic) Close() {
	for _, conn := range d.conns {
		_ = conn.Close()
	}
	d.wait.Wait()
}

// Counts tells what became of the requests.
func (d *Dynamic) Counts() map[string]uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string]uint64{}
	for _, r := range orderResults {
		out[r] = d.counts[r]
	}
	return out
}

func (d *Dynamic) read(conn *net.UDPConn) {
	b := make([]byte, radius.MaxPacketLength+1)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		d.take(append([]byte(nil), b[:n]...), netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), func(answer []byte) {
			_, _ = conn.WriteToUDPAddrPort(answer, from)
		})
	}
}

// from is the client that may send from an address: of several prefixes the longest.
func (d *Dynamic) from(addr netip.Addr) *config.AAAClient {
	var best *config.AAAClient
	for i := range d.clients {
		c := &d.clients[i]
		if c.Address.Contains(addr) && (best == nil || c.Address.Bits() > best.Address.Bits()) {
			best = c
		}
	}
	return best
}

// take judges one request and carries it out; answer sends. Silence answers what is not authentic.
func (d *Dynamic) take(b []byte, from netip.AddrPort, answer func([]byte)) {
	sender := d.from(from.Addr())
	if sender == nil {
		d.ignore(orderForeign, from, errors.New("no client of dynamic-authorization has this address"))
		return
	}
	p, err := openRequest(b, sender.Secret, !sender.Unsigned)
	switch {
	case errors.Is(err, errForged), errors.Is(err, errUnsigned):
		d.ignore(orderForged, from, err)
		return
	case err != nil:
		d.ignore(orderBad, from, err)
		return
	}
	d.traced(false, from, b)
	o, again := d.remember(p, from)
	switch {
	case again && o == nil:
		d.ignore(orderReplay, from, errors.New("a request that was answered before"))
		return
	case again:
		d.count(orderRepeat)
		if stored := d.answerOf(o); stored != nil {
			answer(stored)
		}
		return
	}
	if stamp, ok := p.Lookup(attrEventTimestamp); ok && !d.fresh(stamp) {
		d.ignore(orderReplay, from, errors.New("Event-Timestamp is more than five minutes off: compare the clocks"))
		return
	}
	d.carryOut(p, func(code radius.Code, cause authz.ErrorCause) {
		var a attrs
		if cause != 0 {
			a.number(attrErrorCause, uint32(cause))
		}
		for _, state := range p.Attributes { // of the proxies on the way back (RFC 5176 section 3.1)
			if state.Type == attrProxyState {
				a.Attributes = append(a.Attributes, state)
			}
		}
		reply, err := sealAnswer(code, b, a.Attributes, sender.Secret)
		if err != nil {
			return
		}
		d.settle(o, reply, cause)
		d.log.Info("dynamic authorization", "from", from.String(), "request", p.Code.String(), "answer", code.String(), "error_cause", uint32(cause))
		d.traced(true, from, reply)
		answer(reply)
	})
}

// fresh reports whether a time stamp is near enough to now.
func (d *Dynamic) fresh(stamp radius.Attribute) bool {
	if len(stamp) != 4 {
		return false
	}
	off := d.now().Sub(time.Unix(int64(binary.BigEndian.Uint32(stamp)), 0))
	return off.Abs() <= replayWindow
}

// remember notes a request. again is true for one that came before: o is then nil when it is a
// replay, and else the order whose answer is sent again.
func (d *Dynamic) remember(p *radius.Packet, from netip.AddrPort) (o *order, again bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := p.Authenticator
	if had := d.orders[key]; had != nil {
		if had.from == from && had.id == p.Identifier && d.now().Sub(had.came) <= repeatFor {
			return had, true
		}
		return nil, true
	}
	o = &order{from: from, id: p.Identifier, came: d.now()}
	d.orders[key] = o
	if len(d.ring) < maxOrders {
		d.ring = append(d.ring, key)
		return o, false
	}
	delete(d.orders, d.ring[d.at])
	d.ring[d.at] = key
	d.at = (d.at + 1) % maxOrders
	return o, false
}

func (d *Dynamic) answerOf(o *order) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return o.answer
}

func (d *Dynamic) settle(o *order, reply []byte, cause authz.ErrorCause) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o.answer = reply
	if cause == 0 {
		d.counts[orderDone]++
	} else {
		d.counts[orderRefused]++
	}
}

func (d *Dynamic) count(result string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts[result]++
}

// ignore counts a request that gets no answer, and logs the first of its kind.
func (d *Dynamic) ignore(result string, from netip.AddrPort, err error) {
	d.mu.Lock()
	d.counts[result]++
	first := d.counts[result] == 1
	d.mu.Unlock()
	if first {
		d.log.Warn("dynamic authorization request ignored; further ones are only counted", "from", from.String(), "reason", result, "err", err)
	}
}

func (d *Dynamic) traced(sent bool, at netip.AddrPort, b []byte) {
	d.client.tell(sent, "dynamic-authorization", at, b)
}

// carryOut does what a request asks for; done is called once.
func (d *Dynamic) carryOut(p *radius.Packet, done func(radius.Code, authz.ErrorCause)) {
	ack, nak := radius.CodeDisconnectACK, radius.CodeDisconnectNAK
	if p.Code == radius.CodeCoARequest {
		ack, nak = radius.CodeCoAACK, radius.CodeCoANAK
	}
	finish := func(cause authz.ErrorCause) {
		if cause != 0 {
			done(nak, cause)
			return
		}
		done(ack, 0)
	}
	if cause := d.forUs(p); cause != 0 {
		finish(cause)
		return
	}
	keys, change, cause := parseOrder(p)
	switch {
	case cause != 0:
		finish(cause)
	case p.Code == radius.CodeDisconnectRequest:
		d.steered.Disconnect(keys, finish)
	case p.Code == radius.CodeCoARequest:
		d.steered.Change(keys, change, finish)
	default:
		finish(authz.ErrorInvalidRequest)
	}
}

// forUs checks the attributes that name the NAS (RFC 5176 section 3, Error-Cause 403).
func (d *Dynamic) forUs(p *radius.Packet) authz.ErrorCause {
	if id, ok := p.Lookup(attrNASIdentifier); ok && string(id) != d.client.nas.identifier {
		return authz.ErrorNASMismatch
	}
	for _, t := range []radius.Type{attrNASIPAddress, attrNASIPv6Address} {
		v, ok := p.Lookup(t)
		if a, valid := netip.AddrFromSlice(v); ok && d.client.nas.address.IsValid() && valid && a.Is4() == d.client.nas.address.Is4() && a != d.client.nas.address {
			return authz.ErrorNASMismatch
		}
	}
	return 0
}

// parseOrder takes a request apart: what names the session, and what is to change.
func parseOrder(p *radius.Packet) (keys authz.SessionKeys, change *radiusdict.Reply, cause authz.ErrorCause) {
	change = &radiusdict.Reply{}
	for _, a := range p.Attributes {
		v := []byte(a.Attribute)
		switch a.Type {
		case attrUserName:
			keys.User = string(v)
		case attrAcctSessionID:
			keys.ID = string(v)
		case attrCallingStationID:
			keys.Station = string(v)
		case attrFramedIPAddress, attrFramedIPv6Address:
			addr, ok := netip.AddrFromSlice(v)
			if !ok || addr.Is4() != (a.Type == attrFramedIPAddress) {
				return keys, nil, authz.ErrorInvalidValue
			}
			if addr.Is4() {
				keys.Address = addr
			} else {
				keys.Address6 = addr
			}
		case attrServiceType: // Authorize-Only asks for an Access-Request in return
			return keys, nil, authz.ErrorUnsupportedService
		case attrVendorSpecific, attrMessageAuth, attrEventTimestamp, attrNASIPAddress, attrNASIPv6Address, attrNASIdentifier, attrNASPort, attrNASPortID, attrNASPortType, attrState, attrProxyState:
		default:
			if radiusdict.NameOf(byte(a.Type)) == "" {
				return keys, nil, authz.ErrorUnsupportedAttribute
			}
			if change.Add(byte(a.Type), v) != nil {
				return keys, nil, authz.ErrorInvalidValue
			}
		}
	}
	if vendorAttributes(p.Attributes, change.AddVendor) != nil {
		return keys, nil, authz.ErrorInvalidValue
	}
	keys.AuditID = change.AuditSessionID
	if keys == (authz.SessionKeys{}) {
		return keys, nil, authz.ErrorMissingAttribute
	}
	return keys, change, 0
}
