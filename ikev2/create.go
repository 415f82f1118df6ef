package ikev2

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
	"flexvpn/secret"
)

// CREATE_CHILD_SA, RFC 7296 section 1.3: it makes a Child SA, rekeys one, or rekeys the IKE SA.

// An offer is this end's half of a CREATE_CHILD_SA exchange, or what became of one.
type offer struct {
	nonce     []byte // of this end
	ke        *suite.PrivateKE
	child     uint32 // inbound SPI of the Child SA to come
	ike       uint64 // local SPI of the IKE SA to come
	low       []byte // the lower nonce of the exchange (section 2.8.1)
	rival     *rival // the peer's exchange with the same purpose
	replacing uint32 // inbound SPI of the Child SA that is rekeyed; 0: none
}

// A rival is the peer's rekeying of what this end is rekeying too.
type rival struct {
	low   []byte // the lower of its two nonces
	child uint32 // what it made
	ike   *generation
}

// lower is the lower of two nonces, "compared octet by octet" (section 2.8.1); a prefix is lower.
func lower(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return a
	}
	return b
}

// loses reports whether this end's exchange has the lowest of the four nonces: what it made goes.
func (o *offer) loses() bool { return o.rival != nil && bytes.Compare(o.low, o.rival.low) < 0 }

// createChild answers a CREATE_CHILD_SA request.
func (sa *SA) createChild(now time.Time, d demand, ps *wire.Payloads) {
	if ps.SA == nil || ps.Nonce == nil || len(ps.SA.Proposals) == 0 {
		sa.refuse(d, wire.InvalidSyntax)
		return
	}
	if ps.SA.Proposals[0].Protocol == wire.ProtoIKE {
		sa.rekeyIKERequest(now, d, ps)
		return
	}
	// Section 2.25.2: not while the IKE SA is rekeyed or closed.
	if d.gen != sa.cur || sa.state != stateReady || sa.ex.is(taskRekeyIKE) {
		sa.refuse(d, wire.TemporaryFailure)
		return
	}
	if ps.TSi == nil || ps.TSr == nil {
		sa.refuse(d, wire.InvalidSyntax)
		return
	}
	if n := ps.Notify(wire.RekeySA); n != nil {
		sa.rekeyChildRequest(now, d, ps, n)
		return
	}
	// One Child SA carries a session. Another is welcome only when there is none (section 1.3.1).
	if len(sa.children) > 0 || sa.ex.touchesChild() {
		sa.refuse(d, wire.NoAdditionalSAs)
		return
	}
	sa.agreeChild(now, d, ps, 0)
}

// rekeyChildRequest answers the rekeying of a Child SA, by the rules of section 2.25.1.
func (sa *SA) rekeyChildRequest(now time.Time, d demand, ps *wire.Payloads, n *wire.Notify) {
	var old *childSA
	if len(n.SPI) == 4 {
		old = sa.childOut(spiOf(n.SPI))
	}
	switch {
	case n.Protocol != wire.ProtoESP || old == nil:
		sa.respond(d, &wire.Notify{Protocol: n.Protocol, Type: wire.ChildSANotFound, SPI: bytes.Clone(n.SPI)})
	case old.standing != childUp: // being closed by us, or by the peer itself
		sa.refuse(d, wire.TemporaryFailure)
	case len(sa.children) >= maxChildren: // none of those replaced was deleted (section 1.3)
		sa.refuse(d, wire.NoAdditionalSAs)
	default:
		sa.agreeChild(now, d, ps, old.spiIn)
	}
}

// What an authenticated peer may have this end hold, however often it rekeys without deleting what
// it replaced: two ends that cross each other's rekeying have three Child SAs and three generations
// for a moment.
const (
	maxChildren    = 6
	maxGenerations = 6
)

// agreeChild makes a Child SA on the peer's request; replaces is the one it rekeys, or 0.
func (sa *SA) agreeChild(now time.Time, d demand, ps *wire.Payloads, replaces uint32) {
	esp, choice, ok := suite.ChooseESP(sa.p.ESP, ps.SA.Proposals, true)
	if !ok {
		sa.refuse(d, wire.NoProposalChosen)
		return
	}
	kr, shared, ok := sa.agreeKE(d, esp.Group, ps.KE)
	if !ok {
		return
	}
	n, view := sa.narrowed(ps, sa.granted.remote, sa.granted.local, sa.granted.transport)
	if len(n.tsi) == 0 || len(n.tsr) == 0 || n.transport != sa.granted.transport {
		sa.refuse(d, wire.TSUnacceptable)
		return
	}
	n.suite, n.spiIn, n.spiOut, n.replaces = esp, sa.newChildSPI(), spiOf(choice.SPI), replaces
	choice.SPI = spiOctets(n.spiIn)
	o := &offer{nonce: newNonce(), replacing: replaces}
	o.low = lower(bytes.Clone(ps.Nonce), o.nonce)
	child := sa.derived(now, d.gen, n, shared, ps.Nonce, o.nonce)
	shared.Wipe()
	before := []wire.Payload{&wire.Nonce{Data: o.nonce}}
	if kr != nil {
		before = append(before, kr)
	}
	sa.install(now, asking{
		step: stepRekeyed, demand: d, child: child, offer: o,
		response: childAnswer(n, view, choice, before),
	})
}

// agreeKE does a responder's half of a key exchange, or refuses the request. Without a group there
// is none: kr is nil then.
func (sa *SA) agreeKE(d demand, group uint16, ki *wire.KE) (kr *wire.KE, shared secret.Bytes, ok bool) {
	if group == 0 {
		return nil, shared, true
	}
	if ki == nil || ki.Group != group {
		sa.respond(d, &wire.Notify{Type: wire.InvalidKEPayload, Data: binary.BigEndian.AppendUint16(nil, group)})
		return nil, shared, false
	}
	ke, err := suite.NewKE(group)
	if err == nil {
		shared, err = ke.Shared(ki.Data)
	}
	if err != nil {
		sa.refuse(d, wire.InvalidSyntax)
		return nil, shared, false
	}
	return &wire.KE{Group: group, Data: ke.Public()}, shared, true
}

// rekeyedInstalled answers the peer: it will use the new Child SA and delete the old one; this end
// sends on the old one until the peer is seen on the new.
func (sa *SA) rekeyedInstalled(now time.Time, a *asking, err error) {
	if err != nil {
		sa.refuse(a.demand, wire.TemporaryFailure)
		return
	}
	sa.respond(a.demand, a.response...)
	sa.c.Counters.RekeysChild.Add(1)
	old := sa.child(a.offer.replacing)
	ch := sa.addChild(now, a.child)
	ch.waits = true
	if old == nil { // nothing to wait for
		sa.use(ch)
		return
	}
	old = sa.child(a.offer.replacing) // addChild may have moved it
	if ex := sa.ex; ex.is(taskRekeyChild) && ex.offer.replacing == old.spiIn {
		sa.c.Counters.RekeyCollisions.Add(1)
		ex.offer.rival = &rival{low: a.offer.low, child: ch.spiIn}
		return // both go on; the nonces decide when the answer to ours is here
	}
	old.standing = childReplaced
}

// startRekeyChild begins the rekeying of a Child SA (section 1.3.3).
func (sa *SA) startRekeyChild(now time.Time, t task) {
	old := sa.child(t.child)
	if old == nil || old.standing != childUp || sa.state != stateReady {
		return
	}
	sa.offerChild(now, t, old.suite.Group, &wire.Notify{Protocol: wire.ProtoESP, Type: wire.RekeySA, SPI: spiOctets(old.spiIn)})
}

// startNewChild makes a Child SA from scratch after the peer lost the last one (section 2.25.1).
func (sa *SA) startNewChild(now time.Time, t task) {
	if len(sa.children) == 0 && sa.state == stateReady {
		sa.offerChild(now, t, 0, nil)
	}
}

// offerChild sends a CREATE_CHILD_SA request for a Child SA. group is the one that worked the last
// time.
func (sa *SA) offerChild(now time.Time, t task, group uint16, rekey *wire.Notify) {
	o := &offer{nonce: newNonce(), child: sa.newChildSPI(), replacing: t.child}
	if !o.makeKE(sa.p.ESP, group) {
		return
	}
	sa.sendOffer(now, t, o, rekey)
}

func (sa *SA) sendOffer(now time.Time, t task, o *offer, rekey *wire.Notify) {
	var ps []wire.Payload
	if rekey != nil {
		ps = append(ps, rekey)
	}
	ps = append(ps,
		&wire.SA{Proposals: suite.Offer(sa.p.ESP, wire.ProtoESP, spiOctets(o.child), true)},
		&wire.Nonce{Data: o.nonce})
	if o.ke != nil {
		ps = append(ps, &wire.KE{Group: o.ke.Group(), Data: o.ke.Public()})
	}
	ps = append(ps, &wire.TS{Selectors: sa.granted.local}, &wire.TS{Responder: true, Selectors: sa.granted.remote})
	ps = append(ps, transportNotify(sa.granted.transport)...)
	ps = append(ps, &wire.Notify{Type: wire.ESPTFCPaddingNotSupported})
	sa.request(now, t, sa.cur, wire.CreateChildSA, ps...)
	sa.ex.offer = o
}

// makeKE prepares a key exchange with a group of the proposals: the one wanted, if it is among
// them, else the first. Proposals without groups need none.
func (o *offer) makeKE(proposals []suite.Proposal, want uint16) bool {
	o.ke = nil
	group := uint16(0)
	for _, p := range proposals {
		if slices.Contains(p.Group, want) {
			group = want
			break
		}
		if group == 0 && len(p.Group) > 0 {
			group = p.Group[0]
		}
	}
	if group == 0 {
		return true
	}
	ke, err := suite.NewKE(group)
	o.ke = ke
	return err == nil
}

// childResponse takes the answer to a CREATE_CHILD_SA request for a Child SA.
func (sa *SA) childResponse(now time.Time, ex *exchange, ps *wire.Payloads) {
	o := ex.offer
	if t := errorNotify(ps); t != 0 {
		sa.ex = nil
		sa.childRefusal(now, ex, t, ps)
		return
	}
	n, shared, err := sa.chosen(o, ps)
	if err != nil {
		// The peer has a Child SA that this end cannot use: it is deleted by its SPI.
		sa.c.Counters.BadSyntax.Add(1)
		sa.ex = nil
		sa.childFailed(now, o)
		return
	}
	o.low = lower(o.nonce, bytes.Clone(ps.Nonce))
	child := sa.derived(now, ex.gen, n, shared, o.nonce, ps.Nonce)
	shared.Wipe()
	o.ke = nil
	sa.install(now, asking{step: stepRekeying, offer: o, child: child})
}

// chosen checks what the peer chose for a Child SA.
func (sa *SA) chosen(o *offer, ps *wire.Payloads) (n negotiated, shared secret.Bytes, err error) {
	if ps.SA == nil || ps.Nonce == nil || ps.TSi == nil || ps.TSr == nil {
		return n, shared, errIncomplete
	}
	esp, err := suite.AcceptESP(sa.p.ESP, ps.SA.Proposals, true)
	if err != nil {
		return n, shared, err
	}
	if shared, err = o.shared(esp.Group, ps.KE); err != nil {
		return n, shared, err
	}
	n = negotiated{
		suite: esp, spiIn: o.child, spiOut: spiOf(ps.SA.Proposals[0].SPI), initiator: true, replaces: o.replacing,
		transport: ps.Notify(wire.UseTransportMode) != nil,
		tsi:       ps.TSi.Selectors, tsr: ps.TSr.Selectors,
	}
	if n.transport != sa.granted.transport || !within(n.tsi, sa.granted.local) || !within(n.tsr, sa.granted.remote) {
		return n, shared, errNotGranted
	}
	return n, shared, nil
}

// shared is the initiator's half of a key exchange that the responder has answered.
func (o *offer) shared(group uint16, kr *wire.KE) (secret.Bytes, error) {
	if group == 0 {
		return secret.Bytes{}, nil
	}
	if kr == nil || o.ke == nil || kr.Group != group || o.ke.Group() != group {
		return secret.Bytes{}, errWrongGroup
	}
	return o.ke.Shared(kr.Data)
}

// childRefusal draws the conclusion from a refused CREATE_CHILD_SA (section 2.25.1).
func (sa *SA) childRefusal(now time.Time, ex *exchange, t wire.NotifyType, ps *wire.Payloads) {
	o := ex.offer
	if o.rival != nil { // the peer's own rekeying did it
		sa.settleChild(o.replacing, o.rival.child)
		return
	}
	old := sa.child(o.replacing)
	switch {
	case t == wire.ChildSANotFound && old != nil:
		sa.removeChild(now, old.spiIn, "the peer does not have it any more")
		if len(sa.children) == 0 {
			sa.want(task{kind: taskNewChild})
		}
	case t == wire.InvalidKEPayload && sa.againWithGroup(now, ex, ps):
	case old != nil && t == wire.TemporaryFailure:
		old.rekeyAt = now.Add(rekeyRetry + jitter(rekeyRetry, uint64(o.child)))
	case old != nil:
		old.rekeyAt = now.Add(rekeyRefused)
	}
}

// againWithGroup repeats the offer with the group the peer wants, once.
func (sa *SA) againWithGroup(now time.Time, ex *exchange, ps *wire.Payloads) bool {
	n := ps.Notify(wire.InvalidKEPayload)
	if len(n.Data) != 2 || ex.task.kind != taskRekeyChild {
		return false
	}
	group := binary.BigEndian.Uint16(n.Data)
	old := sa.child(ex.offer.replacing)
	if old == nil || old.suite.Group == group || !offersGroup(sa.p.ESP, group) {
		return false
	}
	old.suite.Group = group
	sa.c.Counters.InvalidKERetries.Add(1)
	sa.want(ex.task)
	return true
}

func offersGroup(ps []suite.Proposal, group uint16) bool {
	return slices.ContainsFunc(ps, func(p suite.Proposal) bool { return slices.Contains(p.Group, group) })
}

// childFailed deletes a Child SA that only the peer has.
func (sa *SA) childFailed(now time.Time, o *offer) {
	if old := sa.child(o.replacing); old != nil {
		old.rekeyAt = now.Add(rekeyRefused)
	}
	sa.request(now, task{kind: taskDeleteChild, child: o.child}, sa.cur, wire.Informational,
		&wire.Delete{Protocol: wire.ProtoESP, SPIs: []uint32{o.child}})
}

// rekeyingInstalled ends this end's rekeying: the new Child SA carries traffic, the old one is
// deleted, unless the peer's rekeying of the same Child SA wins.
func (sa *SA) rekeyingInstalled(now time.Time, a *asking, err error) {
	o := a.offer
	sa.ex = nil
	if err != nil {
		sa.childFailed(now, o)
		return
	}
	sa.c.Counters.RekeysChild.Add(1)
	ch := sa.addChild(now, a.child)
	ch.waits = true
	if o.loses() {
		sa.leave(ch)
		sa.settleChild(o.replacing, o.rival.child)
		return
	}
	sa.use(ch)
	if o.rival != nil {
		if r := sa.child(o.rival.child); r != nil {
			r.standing = childReplaced // its maker deletes it
		}
	}
	if old := sa.child(o.replacing); old != nil {
		sa.leave(old)
	}
}

// settleChild leaves the old Child SA to the peer, whose new one stays.
func (sa *SA) settleChild(old, winner uint32) {
	if ch := sa.child(old); ch != nil {
		ch.standing = childReplaced
	} else if ch := sa.child(winner); ch != nil {
		sa.use(ch) // the old one is gone already
	}
}
