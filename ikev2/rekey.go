package ikev2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
)

// Rekeying of the IKE SA, RFC 7296 sections 1.3.2 and 2.18. The Child SAs belong to the session and
// are inherited by the generation that carries it.

var (
	errIncomplete = errors.New("payloads are missing")
	errWrongGroup = errors.New("the key exchange is of another group than the one chosen")
	errNotGranted = errors.New("selectors or mode differ from those of the session")
)

// ikeProposals are what this end offers and accepts in a rekey.
func (sa *SA) ikeProposals() []suite.Proposal {
	if len(sa.p.IKE) > 0 {
		return sa.p.IKE
	}
	return sa.c.Proposals
}

func ikeSPIOctets(spi uint64) []byte { return binary.BigEndian.AppendUint64(nil, spi) }

func (sa *SA) startRekeyIKE(now time.Time, t task) {
	if sa.state != stateReady {
		return
	}
	o := &offer{nonce: newNonce(), ike: sa.c.NewSPI()}
	if !o.makeKE(sa.ikeProposals(), sa.cur.suite.Group) || o.ke == nil {
		return
	}
	sa.request(now, t, sa.cur, wire.CreateChildSA,
		&wire.SA{Proposals: suite.Offer(sa.ikeProposals(), wire.ProtoIKE, ikeSPIOctets(o.ike), true)},
		&wire.Nonce{Data: o.nonce},
		&wire.KE{Group: o.ke.Group(), Data: o.ke.Public()})
	sa.ex.offer = o
}

// rekeyIKERequest answers the peer, by the rules of section 2.25.2.
func (sa *SA) rekeyIKERequest(now time.Time, d demand, ps *wire.Payloads) {
	ours := sa.ex.is(taskRekeyIKE)
	switch {
	case d.gen != sa.cur, sa.state != stateReady, sa.ex.touchesChild(), ours && sa.ex.offer.rival != nil,
		len(sa.old) >= maxGenerations:
		sa.refuse(d, wire.TemporaryFailure)
		return
	}
	s, choice, ok := suite.ChooseIKE(sa.ikeProposals(), ps.SA.Proposals)
	if !ok || len(choice.SPI) != 8 || binary.BigEndian.Uint64(choice.SPI) == 0 {
		sa.refuse(d, wire.NoProposalChosen)
		return
	}
	kr, shared, ok := sa.agreeKE(d, s.Group, ps.KE)
	if !ok {
		return
	}
	nr := newNonce()
	g := &generation{local: sa.c.NewSPI(), remote: binary.BigEndian.Uint64(choice.SPI), suite: s, made: now}
	g.keys = s.DeriveRekey(d.gen.suite, d.gen.keys.D, shared, ps.Nonce, nr, g.remote, g.local)
	g.dropSKp()
	shared.Wipe()
	choice.SPI = ikeSPIOctets(g.local)
	sa.respond(d, &wire.SA{Proposals: []wire.Proposal{choice}}, &wire.Nonce{Data: nr}, kr)
	sa.emit(SPIAdded{SPI: g.local})
	if ours {
		sa.c.Counters.RekeyCollisions.Add(1)
		sa.list(now, g, standingUndecided)
		sa.ex.offer.rival = &rival{low: lower(bytes.Clone(ps.Nonce), nr), ike: g}
		return
	}
	sa.promote(now, g, standingReplaced)
}

// rekeyIKEResponse takes the answer to this end's rekeying of the IKE SA.
func (sa *SA) rekeyIKEResponse(now time.Time, ex *exchange, ps *wire.Payloads) {
	sa.ex = nil
	o := ex.offer
	if t := errorNotify(ps); t != 0 {
		sa.rekeyIKERefused(now, ex, t, ps)
		return
	}
	g, err := sa.nextGeneration(now, ex, ps)
	if err != nil {
		// The peer has gone on to an IKE SA that this end cannot follow.
		sa.c.Counters.BadSyntax.Add(1)
		sa.beginClose(now, Closed{Reason: ReasonSyntax, Detail: "the peer's answer to a rekey of the IKE SA is wrong: " + err.Error()})
		return
	}
	sa.emit(SPIAdded{SPI: g.local})
	o.low = lower(o.nonce, bytes.Clone(ps.Nonce))
	if o.rival != nil && o.rival.ike != nil && o.loses() {
		sa.list(now, g, standingLeaving)
		sa.want(task{kind: taskDeleteIKE, ike: g.local})
		sa.promote(now, o.rival.ike, standingReplaced)
		return
	}
	if o.rival != nil && o.rival.ike != nil {
		sa.demote(now, o.rival.ike, standingReplaced) // its maker deletes it
	}
	old := sa.cur
	sa.promote(now, g, standingLeaving)
	sa.want(task{kind: taskDeleteIKE, ike: old.local})
}

// nextGeneration makes the IKE SA that the peer agreed to.
func (sa *SA) nextGeneration(now time.Time, ex *exchange, ps *wire.Payloads) (*generation, error) {
	if ps.SA == nil || ps.Nonce == nil || ps.KE == nil {
		return nil, errIncomplete
	}
	o := ex.offer
	s, err := suite.AcceptIKE(sa.ikeProposals(), ps.SA.Proposals)
	if err != nil {
		return nil, err
	}
	spi := ps.SA.Proposals[0].SPI
	if len(spi) != 8 || binary.BigEndian.Uint64(spi) == 0 {
		return nil, errors.New("its SPI is no IKE SPI")
	}
	shared, err := o.shared(s.Group, ps.KE)
	if err != nil {
		return nil, err
	}
	g := &generation{local: o.ike, remote: binary.BigEndian.Uint64(spi), initiator: true, suite: s, made: now}
	g.keys = s.DeriveRekey(ex.gen.suite, ex.gen.keys.D, shared, o.nonce, ps.Nonce, g.local, g.remote)
	g.dropSKp()
	shared.Wipe()
	return g, nil
}

// rekeyIKERefused goes with the peer's own rekeying, if there was one, or tries again later.
func (sa *SA) rekeyIKERefused(now time.Time, ex *exchange, t wire.NotifyType, ps *wire.Payloads) {
	o, g := ex.offer, sa.cur
	switch {
	case o.rival != nil && o.rival.ike != nil:
		sa.promote(now, o.rival.ike, standingReplaced)
	case t == wire.InvalidKEPayload && sa.rekeyIKEWithGroup(ex, ps):
	case t == wire.TemporaryFailure:
		g.rekeyAt = now.Add(rekeyRetry + jitter(rekeyRetry, o.ike))
	default:
		g.rekeyAt = now.Add(rekeyRefused)
	}
}

// rekeyIKEWithGroup repeats the offer with the group the peer wants, once.
func (sa *SA) rekeyIKEWithGroup(ex *exchange, ps *wire.Payloads) bool {
	n := ps.Notify(wire.InvalidKEPayload)
	if len(n.Data) != 2 {
		return false
	}
	group := binary.BigEndian.Uint16(n.Data)
	if group == ex.offer.ke.Group() || !offersGroup(sa.ikeProposals(), group) {
		return false
	}
	sa.cur.suite.Group = group // the one to begin with
	sa.c.Counters.InvalidKERetries.Add(1)
	sa.want(ex.task)
	return true
}

// startDeleteIKE deletes a generation that no longer carries the session.
func (sa *SA) startDeleteIKE(now time.Time, t task) {
	for _, g := range sa.old {
		if g.local == t.ike {
			sa.request(now, t, g, wire.Informational, &wire.Delete{Protocol: wire.ProtoIKE})
			return
		}
	}
}
