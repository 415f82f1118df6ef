package ikev2

import (
	"time"

	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
)

// IKE_AUTH as responder: ask who the claimed identity would be, check its proof, ask what it gets,
// install the Child SA, and only then answer, so that the peer's first packet finds its SA.

func (sa *SA) authRequest(now time.Time, d demand, ps *wire.Payloads) {
	if sa.state != stateAuth {
		sa.refuse(d, wire.InvalidSyntax)
		return
	}
	if sa.hs.eap != nil {
		sa.eapRequested(now, d, ps)
		return
	}
	sa.recognise(ps.Vendors)
	sa.remote = identityOf(ps.IDi)
	if ps.IDi == nil || ps.SA == nil || ps.TSi == nil || ps.TSr == nil {
		sa.fail(d, wire.InvalidSyntax, ReasonSyntax, "the peer's IKE_AUTH request lacks an identity, a proposal or selectors")
		return
	}
	method := wire.AuthMethodNone // section 2.16: without AUTH the peer wants EAP
	if ps.Auth != nil {
		method = ps.Auth.Method
	}
	sa.hs.asked = ps
	id := sa.ask(now, asking{step: stepAuthenticate, demand: d})
	sa.emit(Authenticate{ID: id, Path: sa.path, Remote: sa.remote, Wanted: identityOf(ps.IDr), Method: method})
}

// fail refuses IKE_AUTH before the peer is authenticated; the IKE SA ends with it (section 2.21.2).
func (sa *SA) fail(d demand, t wire.NotifyType, r CloseReason, detail string) {
	sa.refuse(d, t)
	sa.end(Closed{Reason: r, Notify: t, Detail: detail})
}

// authenticated checks the proof under the policy that the outside chose. A refusal costs the same
// work and gets the same answer as a wrong secret.
func (sa *SA) authenticated(now time.Time, a *asking, answer AuthenticateAnswer) {
	ps := sa.hs.asked
	if r := answer.Refusal; r != nil || answer.Policy == nil {
		detail, t := errNoIdentity.Error(), wire.AuthenticationFailed
		if r != nil {
			detail, t = r.Reason, or(r.Notify, t)
		}
		if ps.Auth != nil {
			_ = sa.verify(now, nil, ps)
		}
		sa.fail(a.demand, t, ReasonAuthentication, detail)
		return
	}
	sa.p = answer.Policy
	sa.local = sa.p.Local
	if natForbidden(sa.path, ps) { // RFC 4555 section 3.9
		sa.fail(a.demand, wire.UnexpectedNATDetected, ReasonRefused, "the peer wants no NAT on the way, and there is one")
		return
	}
	if ps.Auth == nil {
		if sa.p.Trust.Kind != AuthEAP {
			sa.fail(a.demand, wire.AuthenticationFailed, ReasonAuthentication, "the peer wants EAP, which profile "+sa.p.Name+" does not offer")
			return
		}
		sa.beginEAP(now, a.demand)
		return
	}
	if err := sa.verify(now, &sa.p.Trust, ps); err != nil {
		sa.fail(a.demand, wire.AuthenticationFailed, ReasonAuthentication, err.Error())
		return
	}
	sa.authorize(now, a.demand, ps)
}

// authorize asks what a proven peer gets.
func (sa *SA) authorize(now time.Time, d demand, ps *wire.Payloads) {
	sa.learnMobility(ps)
	q := Authorize{
		Path: sa.path, Remote: sa.remote, EAPIdentity: sa.eapIdentity,
		Transport: ps.Notify(wire.UseTransportMode) != nil, FlexVPN: sa.peer.flexVPN,
		InitialContact: ps.Notify(wire.InitialContact) != nil,
		TSi:            ps.TSi.Selectors, TSr: ps.TSr.Selectors,
	}
	if q.Transport {
		q.TSi, q.TSr, _ = sa.outside(q.TSi, q.TSr)
	}
	if ps.CP != nil && ps.CP.Type == wire.CFGRequest {
		q.HasConfig, q.Config = true, cloneAttributes(ps.CP.Attributes)
		sa.learnVersion(ps.CP.Attributes)
	}
	q.Version = sa.peer.version
	q.ID = sa.ask(now, asking{step: stepAuthorize, demand: d})
	sa.emit(q)
}

// authorized negotiates the first Child SA within what the peer may have.
func (sa *SA) authorized(now time.Time, a *asking, answer AuthorizeAnswer) {
	if r := answer.Refusal; r != nil {
		t := or(r.Notify, wire.AuthenticationFailed)
		if isChildError(t) {
			sa.childRefused(now, a.demand, t, reasonOf(t), r.Reason)
		} else {
			sa.fail(a.demand, t, ReasonAuthorization, r.Reason)
		}
		return
	}
	ps := sa.hs.asked
	esp, choice, ok := suite.ChooseESP(sa.p.ESP, ps.SA.Proposals, false)
	if !ok {
		sa.childRefused(now, a.demand, wire.NoProposalChosen, ReasonNoProposal, "none of the peer's ESP proposals is in profile "+sa.p.Name+": compare both ends")
		return
	}
	n, view := sa.narrowed(ps, answer.TSi, answer.TSr, answer.Transport)
	if len(n.tsi) == 0 || len(n.tsr) == 0 {
		sa.childRefused(now, a.demand, wire.TSUnacceptable, ReasonSelectors, "the peer's traffic selectors have nothing in common with what it may have")
		return
	}
	n.suite, n.spiIn, n.spiOut = esp, sa.newChildSPI(), spiOf(choice.SPI)
	child := sa.derived(now, sa.cur, n, sharedNone, sa.hs.ni, sa.hs.nr)
	choice.SPI = spiOctets(n.spiIn)
	sa.hs.granted = answer
	sa.install(now, asking{
		step: stepFirstResponder, demand: a.demand, child: child,
		response: childAnswer(n, view, choice, nil),
	})
}

// isChildError reports a notify that refuses the Child SA and leaves the IKE SA standing (section
// 1.2: "creating the Child SA ... fails for any reason ... the IKE SA is still created").
func isChildError(t wire.NotifyType) bool {
	switch t {
	case wire.NoProposalChosen, wire.TSUnacceptable, wire.SinglePairRequired,
		wire.InternalAddressFailure, wire.FailedCPRequired, wire.TemporaryFailure, wire.NoAdditionalSAs:
		return true
	}
	return false
}

// childRefused proves this end, refuses the first Child SA, and deletes the IKE SA, which has no
// use without it.
func (sa *SA) childRefused(now time.Time, d demand, t wire.NotifyType, r CloseReason, detail string) {
	ps, err := sa.proof()
	if err != nil {
		sa.fail(d, wire.AuthenticationFailed, ReasonAuthentication, "this end cannot prove its identity: "+err.Error())
		return
	}
	sa.respond(d, append(ps, &wire.Notify{Type: t})...)
	sa.beginClose(now, Closed{Reason: r, Notify: t, Detail: detail})
}

// proof is what stands first in the response that ends IKE_AUTH: identity, certificates and AUTH, or
// after EAP, in which they went ahead, AUTH alone (section 2.16).
func (sa *SA) proof() ([]wire.Payload, error) {
	if sa.hs.eap != nil {
		return []wire.Payload{sa.proveEAP()}, nil
	}
	certs, auth, err := sa.prove()
	if err != nil {
		return nil, err
	}
	ps := append([]wire.Payload{idPayload(sa.local, true)}, certs...)
	return append(ps, auth), nil
}

func (sa *SA) firstResponderInstalled(now time.Time, a *asking, err error) {
	if err != nil {
		sa.childRefused(now, a.demand, wire.TemporaryFailure, ReasonInstall, "put the Child SA into the data plane: "+err.Error())
		return
	}
	ps, err := sa.proof()
	if err != nil {
		sa.fail(a.demand, wire.AuthenticationFailed, ReasonAuthentication, "this end cannot prove its identity: "+err.Error())
		return
	}
	ps = append(ps, sa.configReply()...)
	if sa.peer.mobike {
		ps = append(ps, sa.offerMobility()...)
	}
	sa.respond(a.demand, append(ps, a.response...)...)
	sa.establish(now, a.child, nil)
}

// configReply is the CFG_REPLY, if the peer asked for one (section 3.15).
func (sa *SA) configReply() []wire.Payload {
	cp := sa.hs.asked.CP
	if cp == nil || cp.Type != wire.CFGRequest {
		return nil
	}
	attrs := sa.hs.granted.Config
	if findAttribute(cp.Attributes, wire.ApplicationVersion) != nil {
		attrs = sa.withVersion(attrs)
	}
	return []wire.Payload{&wire.CP{Type: wire.CFGReply, Attributes: attrs}}
}
