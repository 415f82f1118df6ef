package ikev2

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"flexvpn/ikev2/wire"
)

// UPDATE_SA_ADDRESSES, RFC 4555 section 3.5:
//
//	HDR, SK { N(UPDATE_SA_ADDRESSES), [N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP)],
//	          [N(NO_NATS_ALLOWED)], [N(COOKIE2)] }       -->
//	           <--  HDR, SK { [N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP)], [N(COOKIE2)] }

// Migrate moves the session to another pair of addresses; an invalid one stays as it is. Only the
// initiator of the session may, and only with a peer that knows MOBIKE: else it is false and nothing
// happens. Moved follows, at once where the peer's address stays the same, else after it answered
// there. What the peer does not take ends in Closed when there is no other way to it.
func (sa *SA) Migrate(now time.Time, local, remote netip.Addr) bool {
	if !sa.mobile() || !sa.initiator {
		return false
	}
	if m := sa.mob; m != nil {
		m.refused = nil
	}
	sa.migrate(now, sa.pathBetween(local, remote))
	sa.next(now)
	return true
}

// pathBetween is the path of the SA with other addresses. The ports stay; a further address of the
// peer is reached at its well-known port.
func (sa *SA) pathBetween(local, remote netip.Addr) Path {
	p := sa.path
	if local.IsValid() {
		p.Local = netip.AddrPortFrom(local.Unmap(), p.Local.Port())
	}
	if remote = remote.Unmap(); remote.IsValid() && remote != p.Remote.Addr() {
		port := p.Remote.Port()
		if p.Encap {
			port = or(sa.c.NATPort, natPort)
		}
		p.Remote = netip.AddrPortFrom(remote, port)
	}
	return p
}

// migrate moves an initiator: the update is sent before everything that waits.
func (sa *SA) migrate(now time.Time, p Path) {
	sa.moving(func() { sa.shift(now, p) })
	sa.urgent(task{kind: taskUpdate})
}

func (sa *SA) startUpdate(now time.Time, t task) {
	ps := append([]wire.Payload{&wire.Notify{Type: wire.UpdateSAAddresses}}, sa.pathPayloads(sa.cur, sa.path)...)
	sa.inform(now, t, sa.unproven(), ps)
}

// startVerify is a return routability check and nothing else (section 3.7).
func (sa *SA) startVerify(now time.Time, t task) {
	if sa.unproven() {
		sa.inform(now, t, true, nil)
	}
}

// inform sends an INFORMATIONAL request, with a COOKIE2 where the answer is to prove that the peer receives at
// the address it was sent to.
func (sa *SA) inform(now time.Time, t task, prove bool, ps []wire.Payload) {
	var cookie []byte
	if prove {
		n := newCookie2()
		cookie, ps = n.Data, append(ps, n)
	}
	sa.request(now, t, sa.cur, wire.Informational, ps...)
	sa.ex.cookie = cookie
}

// pathPayloads let the peer of a request see whether there is a NAT on the way, or make it refuse one
// (section 3.9: "all messages that can update the addresses ... MUST also include a NO_NATS_ALLOWED
// notification" where NAT traversal is not wanted).
func (sa *SA) pathPayloads(g *generation, p Path) []wire.Payload {
	switch {
	case sa.p.NoNATs:
		return []wire.Payload{&wire.Notify{Type: wire.NoNATsAllowed, Data: noNATs(p)}}
	case !sa.nat.able:
		return nil
	}
	return sa.natPayloads(g, p)
}

// noNATs are the addresses and ports of a datagram as its sender knows them (section 4.2.6).
func noNATs(p Path) []byte {
	b := append(p.Local.Addr().Unmap().AsSlice(), p.Remote.Addr().Unmap().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, p.Local.Port())
	return binary.BigEndian.AppendUint16(b, p.Remote.Port())
}

// natForbidden reports that the peer wants no NAT and there is one: its request did not arrive as it
// was sent. Nothing else is done with the notify (section 3.9).
func natForbidden(p Path, ps *wire.Payloads) bool {
	n := ps.Notify(wire.NoNATsAllowed)
	return n != nil && !bytes.Equal(n.Data, noNATs(Path{Local: p.Remote, Remote: p.Local}))
}

// mobilityRequest takes what MOBIKE has in an INFORMATIONAL request of the peer. refused is set when
// the answer must say no more than that.
func (sa *SA) mobilityRequest(now time.Time, d demand, ps *wire.Payloads) (answer []wire.Payload, refused bool) {
	if !sa.mobile() {
		return nil, false
	}
	answer = sa.echoCookie2(ps)
	update := ps.Notify(wire.UpdateSAAddresses) != nil && !sa.initiator
	list, told := toldAddresses(ps)
	if t := sa.unwelcome(d.path, ps); (update || told) && t != 0 {
		sa.c.Counters.MovesRefused.Add(1)
		return append(answer, &wire.Notify{Type: t}), true
	}
	if update {
		sa.update(now, d, ps)
	}
	if told {
		sa.peerAddresses(now, d.path, list)
	}
	if ps.Notify(wire.NATDetectionDestinationIP) != nil && sa.nat.able {
		answer = append(answer, sa.natPayloads(d.gen, d.path)...)
	}
	return answer, false
}

// unwelcome is why a peer may not use a path, or 0.
func (sa *SA) unwelcome(p Path, ps *wire.Payloads) wire.NotifyType {
	switch {
	case natForbidden(p, ps):
		return wire.UnexpectedNATDetected
	case !sa.mayMoveTo(p.Remote.Addr()):
		return wire.UnacceptableAddresses
	}
	return 0
}

// mayMoveTo reports whether this end's policy takes a peer at an address.
func (sa *SA) mayMoveTo(a netip.Addr) bool {
	return len(sa.p.MoveTo) == 0 || slices.ContainsFunc(sa.p.MoveTo, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
}

// update takes the addresses of the peer's request for its own: "using the address from the IP header
// ... allows IKEv2 to work with NATs" (section 3.5). A new address is checked before traffic follows.
func (sa *SA) update(now time.Time, d demand, ps *wire.Payloads) {
	was := sa.path
	sa.moving(func() {
		sa.shift(now, d.path)
		sa.redetect(now, d.gen, d.path, ps)
	})
	switch {
	case sa.unproven():
		sa.urgent(task{kind: taskVerify})
	case was.Remote.Addr() == d.path.Remote.Addr() && was.Remote != d.path.Remote:
		sa.c.Counters.NATMappingsChanged.Add(1)
	case was != d.path:
		sa.c.Counters.MovesDone.Add(1)
	}
}

// redetect looks for NATs again, and begins or ends what they call for.
func (sa *SA) redetect(now time.Time, g *generation, p Path, ps *wire.Payloads) {
	if !sa.nat.able || ps.Notify(wire.NATDetectionSourceIP) == nil {
		return
	}
	i, r := g.spis()
	sa.detectNAT(p, i, r, ps)
	sa.nat.keepalive = time.Time{}
	sa.startKeepalives(now)
}

// updated takes the answer to UPDATE_SA_ADDRESSES.
func (sa *SA) updated(now time.Time, ex *exchange, p Path, ps *wire.Payloads) {
	if ex.stale { // another one is on its way: "no MOBIKE processing is done for the reply message"
		return
	}
	if t := errorNotify(ps); t != 0 {
		sa.updateRefused(now, t)
		return
	}
	if ex.spread { // which of the paths the peer took is not known (section 3.6: ask again)
		sa.migrate(now, sa.workingPath(p))
		return
	}
	sa.mobility().refused = nil
	sa.moving(func() { sa.redetect(now, ex.gen, p, ps) })
	sa.settle() // by its COOKIE2, where one was sent
}

// updateRefused goes another way: the peer keeps the path it had.
func (sa *SA) updateRefused(now time.Time, t wire.NotifyType) {
	m := sa.mobility()
	sa.c.Counters.MovesRefused.Add(1)
	m.refused = append(m.refused, sa.path)
	for _, p := range sa.candidates() {
		if !slices.Contains(m.refused, p) {
			sa.migrate(now, p)
			return
		}
	}
	sa.beginClose(now, Closed{
		Reason: ReasonRefused, Notify: t,
		Detail: "the peer answered the move to " + sa.path.Local.Addr().String() + " with " + t.String() + ", and there is no other path to it",
	})
}

// verified takes the answer to a return routability check: one that was sent to several addresses
// tells nothing (section 3.7).
func (sa *SA) verified(ex *exchange) {
	switch {
	case !sa.unproven():
	case ex.stale || ex.spread:
		sa.urgent(task{kind: taskVerify})
	default:
		sa.settle()
	}
}

// remapped looks at the answer to a probe of an initiator: a NAT that came, went or changed its
// mapping is told to the responder (section 3.8).
func (sa *SA) remapped(now time.Time, ex *exchange, p Path, ps *wire.Payloads) {
	n := ps.Notify(wire.NATDetectionDestinationIP)
	if !sa.initiator || !sa.mobile() || n == nil || ex.stale || ex.spread {
		return
	}
	i, r := ex.gen.spis()
	behind := !bytes.Equal(n.Data, natHash(i, r, p.Local))
	if behind != sa.nat.local || behind && !bytes.Equal(n.Data, sa.mobility().seen) {
		sa.migrate(now, sa.path)
	}
}
