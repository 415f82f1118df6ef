package ikev2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"flexvpn/ikev2/pki"
	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
)

// IKE_SA_INIT, RFC 7296 section 1.2:
//
//	HDR, SAi1, KEi, Ni            -->
//	                              <--  HDR, SAr1, KEr, Nr, [CERTREQ]
//
// Nothing in it is authenticated, so that nothing in it ends an initiator's attempt.

// startInit begins the exchange with the group this end likes best.
func (sa *SA) startInit(now time.Time) {
	hs := sa.hs
	hs.deadline = time.Time{} // an initiator's patience is its retransmission
	hs.ni = newNonce()
	if len(sa.p.IKE) == 0 || len(sa.p.IKE[0].Group) == 0 || !sa.newKE(sa.p.IKE[0].Group[0]) {
		sa.end(Closed{Reason: ReasonNoProposal, Detail: "profile " + sa.p.Name + " has no IKE proposal with a usable group"})
		return
	}
	sa.sendInit(now)
}

func (sa *SA) newKE(group uint16) bool {
	ke, err := suite.NewKE(group)
	if err != nil {
		return false
	}
	sa.hs.ke = ke
	return true
}

// sendInit sends the request, the first time or with what the responder wants in it.
func (sa *SA) sendInit(now time.Time) {
	hs := sa.hs
	var ps []wire.Payload
	if hs.cookie != nil { // section 2.6: the first payload, everything else unchanged
		ps = append(ps, &wire.Notify{Type: wire.Cookie, Data: hs.cookie})
	}
	ps = append(ps,
		&wire.SA{Proposals: suite.Offer(sa.p.IKE, wire.ProtoIKE, nil, true)},
		&wire.KE{Group: hs.ke.Group(), Data: hs.ke.Public()},
		&wire.Nonce{Data: hs.ni})
	if !sa.p.NoNATs {
		ps = append(ps, sa.natNotifies(sa.firstSPI, 0, sa.path)...)
	}
	ps = append(ps, sa.abilities(true)...)
	h := wire.Header{SPIi: sa.firstSPI, Major: wire.MajorVersion, Exchange: wire.IKESAInit, Flags: wire.FlagInitiator}
	hs.request = wire.AppendMessage(make([]byte, 0, 512), h, ps...)
	sa.traceSent(h, ps, [][]byte{hs.request})
	sa.begin(now, &exchange{task: task{kind: taskInit}, datagrams: [][]byte{hs.request}})
}

// abilities are the notifies and vendor IDs that say what this end can do.
func (sa *SA) abilities(fragmentation bool) []wire.Payload {
	var ps []wire.Payload
	if fragmentation {
		ps = append(ps, &wire.Notify{Type: wire.FragmentationSupported})
	}
	ps = append(ps, &wire.Notify{Type: wire.SignatureHashAlgorithms, Data: pki.EncodeHashes(pki.SupportedHashes())})
	return append(ps, sa.vendorPayloads()...)
}

// learnAbilities is the other half.
func (sa *SA) learnAbilities(ps *wire.Payloads) {
	sa.peer.fragmentation = ps.Notify(wire.FragmentationSupported) != nil
	if n := ps.Notify(wire.SignatureHashAlgorithms); n != nil {
		sa.hs.hashes = pki.DecodeHashes(n.Data)
	}
	sa.recognise(ps.Vendors)
}

// receiveInit takes an IKE_SA_INIT message: the only one that is not protected.
func (sa *SA) receiveInit(now time.Time, p Path, h wire.Header, b []byte) {
	switch {
	case !sa.initiator && isFirst(h) && sa.cur == nil:
		sa.initRequest(now, p, h, b)
	case !sa.initiator && isFirst(h) && sa.cur.receiveID == 1 && sa.isPeerSPI(h.SPIi):
		sa.repeat(sa.cur, p, h, b)
	case sa.initiator && sa.state == stateInit && isInitResponse(h) && h.SPIi == sa.firstSPI && p.Remote == sa.path.Remote:
		sa.initResponse(now, p, h, b)
	default: // late, reflected or forged
		sa.c.Counters.BadMessageID.Add(1)
	}
}

func (sa *SA) isPeerSPI(spi uint64) bool { return sa.cur.remote == spi }

func isInitResponse(h wire.Header) bool {
	return h.Flags&(wire.FlagInitiator|wire.FlagResponse) == wire.FlagResponse && h.MessageID == 0
}

// initResponse takes what may be the responder's answer, or what anybody made up.
func (sa *SA) initResponse(now time.Time, p Path, h wire.Header, b []byte) {
	ps, err := wire.ParsePayloads(h.Next, b, wire.HeaderLen)
	if err != nil {
		sa.c.Counters.BadSyntax.Add(1)
		return
	}
	sa.traceReceived(p, h, ps, b)
	if ps.SA == nil || ps.KE == nil || ps.Nonce == nil || h.SPIr == 0 {
		sa.initNotifies(now, ps)
		return
	}
	s, err := suite.AcceptIKE(sa.p.IKE, ps.SA.Proposals)
	if err != nil || ps.KE.Group != s.Group || ps.KE.Group != sa.hs.ke.Group() {
		sa.c.Counters.BadSyntax.Add(1)
		sa.hs.refusal = wire.NoProposalChosen
		return
	}
	shared, err := sa.hs.ke.Shared(ps.KE.Data)
	if err != nil {
		sa.c.Counters.BadSyntax.Add(1)
		return
	}
	hs := sa.hs
	hs.nr, hs.response = bytes.Clone(ps.Nonce), bytes.Clone(b)
	hs.certWanted = len(ps.CertReqs) > 0
	sa.learnAbilities(ps)
	sa.detectNAT(p, h.SPIi, h.SPIr, ps)
	sa.cur = &generation{local: sa.firstSPI, remote: h.SPIr, initiator: true, suite: s, sendID: 1, made: now}
	sa.lifeOf(sa.cur)
	sa.derive(sa.cur, shared)
	sa.ex = nil
	sa.enter(stateAuth)
	sa.float()
	sa.sendAuth(now)
}

// initNotifies takes a response without a choice: a demand to come again, or an error that may be
// forged. "An implementation MUST NOT tear anything down" for those (RFC 7296 section 2.21.1 lets
// an initiator go on trying), so they are a hint for the day the timer runs out.
func (sa *SA) initNotifies(now time.Time, ps *wire.Payloads) {
	hs := sa.hs
	if n := ps.Notify(wire.Cookie); n != nil && len(n.Data) > 0 && len(n.Data) <= 64 {
		if hs.again++; hs.again <= maxAgain && !bytes.Equal(hs.cookie, n.Data) {
			hs.cookie = bytes.Clone(n.Data)
			sa.sendInit(now)
		}
		return
	}
	if n := ps.Notify(wire.InvalidKEPayload); n != nil && len(n.Data) == 2 {
		sa.initOtherGroup(now, binary.BigEndian.Uint16(n.Data))
		return
	}
	for _, n := range ps.Notifies {
		if n.Type.IsError() {
			sa.c.Counters.UnprotectedErrors.Add(1)
			hs.refusal = n.Type
		}
	}
}

// initOtherGroup comes again with the group the responder wants, if this end offered it: a forger
// cannot talk it into another (section 1.3).
func (sa *SA) initOtherGroup(now time.Time, group uint16) {
	hs := sa.hs
	if group == hs.ke.Group() {
		return // a copy of the demand that was already met
	}
	offered := slices.ContainsFunc(sa.p.IKE, func(p suite.Proposal) bool { return slices.Contains(p.Group, group) })
	if hs.again++; !offered || hs.again > maxAgain || !sa.newKE(group) {
		sa.c.Counters.UnprotectedErrors.Add(1)
		hs.refusal = wire.NoProposalChosen
		return
	}
	sa.c.Counters.InvalidKERetries.Add(1)
	sa.sendInit(now)
}

// endInit ends an attempt that got no answer to go on with.
func (sa *SA) endInit() {
	c := Closed{Reason: ReasonTimeout, Notify: sa.hs.refusal}
	switch c.Notify {
	case 0:
		c.Detail = "no answer to IKE_SA_INIT: check the address, the path and UDP 500 and 4500 at the peer"
	case wire.NoProposalChosen, wire.InvalidKEPayload:
		c.Reason = ReasonNoProposal
		c.Detail = "the peer accepts none of the IKE proposals of profile " + sa.p.Name + ": compare both ends"
	default:
		c.Reason = ReasonRefused
		c.Detail = "the peer answered IKE_SA_INIT with " + c.Notify.String() + " only (not authenticated)"
	}
	sa.end(c)
}

// initRequest answers an initiator. Whatever cannot be answered with a choice leaves nothing behind,
// and of nonsense nothing is even said: the owner drops an SA without outputs.
func (sa *SA) initRequest(now time.Time, p Path, h wire.Header, b []byte) {
	ps, err := wire.ParsePayloads(h.Next, b, wire.HeaderLen)
	if critical, ok := errors.AsType[*wire.CriticalError](err); ok {
		n := unsupported(critical)
		sa.turnAway(h, n, Closed{Reason: ReasonSyntax, Notify: n.Type, Detail: "IKE_SA_INIT request: " + err.Error()})
		return
	}
	if err != nil || ps.SA == nil || ps.KE == nil || ps.Nonce == nil {
		sa.c.Counters.BadSyntax.Add(1) // nothing is said: anybody can send nonsense
		return
	}
	sa.traceReceived(p, h, ps, b)
	s, choice, ok := suite.ChooseIKE(sa.c.Proposals, ps.SA.Proposals)
	if !ok {
		sa.turnAway(h, &wire.Notify{Type: wire.NoProposalChosen}, Closed{
			Reason: ReasonNoProposal, Notify: wire.NoProposalChosen,
			Detail: "none of the peer's IKE proposals is configured here: compare both ends",
		})
		return
	}
	if ps.KE.Group != s.Group {
		group := binary.BigEndian.AppendUint16(nil, s.Group)
		sa.turnAway(h, &wire.Notify{Type: wire.InvalidKEPayload, Data: group}, Closed{
			Reason: ReasonRetry, Notify: wire.InvalidKEPayload, Detail: "the peer was asked for another group",
		})
		return
	}
	if !sa.newKE(s.Group) {
		sa.end(Closed{Reason: ReasonNoProposal, Detail: "the chosen group cannot be used"})
		return
	}
	sa.initReply(now, p, h, b, ps, s, choice)
}

func (sa *SA) turnAway(h wire.Header, n *wire.Notify, c Closed) {
	sa.emit(Send{Path: sa.path, Datagram: unprotected(h, 0, n)})
	sa.end(c)
}

func (sa *SA) initReply(now time.Time, p Path, h wire.Header, b []byte, ps *wire.Payloads, s suite.IKE, choice wire.Proposal) {
	hs := sa.hs
	hs.ni, hs.nr = bytes.Clone(ps.Nonce), newNonce()
	hs.request, hs.peerKE = bytes.Clone(b), bytes.Clone(ps.KE.Data)
	sa.learnAbilities(ps)
	sa.detectNAT(p, h.SPIi, h.SPIr, ps)
	choice.SPI = nil // section 3.3.1: empty in IKE_SA_INIT
	out := []wire.Payload{
		&wire.SA{Proposals: []wire.Proposal{choice}},
		&wire.KE{Group: s.Group, Data: hs.ke.Public()},
		&wire.Nonce{Data: hs.nr},
	}
	out = append(out, sa.natNotifies(h.SPIi, sa.firstSPI, p)...)
	if len(sa.c.Anchors) > 0 {
		req := pki.CertReq(sa.c.Anchors)
		out = append(out, &req)
	}
	out = append(out, sa.abilities(sa.peer.fragmentation)...)
	hs.response = unprotected(h, sa.firstSPI, out...)
	sa.cur = &generation{
		local: sa.firstSPI, remote: h.SPIi, suite: s, receiveID: 1, made: now,
		reply: reply{request: digest(b), datagrams: [][]byte{hs.response}},
	}
	sa.enter(stateAuth)
	sa.traceSent(wire.Header{SPIi: h.SPIi, SPIr: sa.firstSPI, Exchange: h.Exchange, Flags: wire.FlagResponse}, out, sa.cur.reply.datagrams)
	sa.sendAll(p, sa.cur.reply.datagrams)
}
