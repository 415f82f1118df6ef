package ikev2

import (
	"errors"
	"time"

	"flexvpn/ikev2/pki"
	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
)

// IKE_AUTH as initiator, RFC 7296 section 1.2:
//
//	HDR, SK {IDi, [CERT,] [CERTREQ,] [IDr,] AUTH, [CP,] SAi2, TSi, TSr}  -->
//	                     <--  HDR, SK {IDr, [CERT,] AUTH, [CP,] SAr2, TSi, TSr}

func (sa *SA) sendAuth(now time.Time) {
	proof, err := sa.firstProof()
	if err != nil {
		sa.end(Closed{Reason: ReasonAuthentication, Detail: "this end cannot prove its identity: " + err.Error()})
		return
	}
	p, hs := sa.p, sa.hs
	hs.spi = sa.newChildSPI()
	ps := []wire.Payload{idPayload(sa.local, false)}
	ps = append(ps, proof.certs...)
	if p.Trust.Kind == AuthCertificate {
		req := pki.CertReq(p.Trust.RootSubjectKeys)
		ps = append(ps, &req)
	}
	if p.Expect != (Identity{}) {
		ps = append(ps, idPayload(p.Expect, true))
	}
	if proof.auth != nil {
		ps = append(ps, proof.auth)
	}
	if p.Config != nil {
		ps = append(ps, &wire.CP{Type: wire.CFGRequest, Attributes: sa.withVersion(p.Config)})
	}
	ps = append(ps,
		&wire.SA{Proposals: suite.Offer(p.ESP, wire.ProtoESP, spiOctets(hs.spi), false)},
		&wire.TS{Selectors: p.TSLocal}, &wire.TS{Responder: true, Selectors: p.TSRemote})
	if p.InitialContact {
		ps = append(ps, &wire.Notify{Type: wire.InitialContact})
	}
	ps = append(ps, transportNotify(p.Transport)...)
	ps = append(ps, &wire.Notify{Type: wire.ESPTFCPaddingNotSupported})
	ps = append(ps, sa.offerMobility()...)
	if p.NoNATs { // RFC 4555 section 3.9
		ps = append(ps, sa.pathPayloads(sa.cur, sa.path)...)
	}
	sa.request(now, task{kind: taskAuth}, sa.cur, wire.IKEAuth, ps...)
}

// An initiatorProof is what the first IKE_AUTH request proves; one that wants EAP proves nothing yet.
type initiatorProof struct {
	certs []wire.Payload
	auth  *wire.Auth
}

func (sa *SA) firstProof() (initiatorProof, error) {
	if sa.p.Credential.Kind != AuthEAP {
		certs, auth, err := sa.prove()
		return initiatorProof{certs, auth}, err
	}
	if sa.p.Trust.Kind != AuthCertificate { // section 2.16: or a password goes to who knows whom
		return initiatorProof{}, errors.New("profile " + sa.p.Name + " uses EAP towards a peer that does not prove itself by certificate")
	}
	sa.localAuth = AuthEAP
	sa.hs.eap = &eapState{}
	return initiatorProof{}, nil
}

func idPayload(id Identity, responder bool) *wire.ID {
	return &wire.ID{Responder: responder, Type: id.Type, Data: []byte(id.Data)}
}

func transportNotify(transport bool) []wire.Payload {
	if !transport {
		return nil
	}
	return []wire.Payload{&wire.Notify{Type: wire.UseTransportMode}}
}

// authResponse believes nothing before AUTH is checked.
func (sa *SA) authResponse(now time.Time, ps *wire.Payloads) {
	sa.ex = nil
	if e := sa.hs.eap; e != nil && e.begun {
		sa.eapResponded(now, ps)
		return
	}
	refusal := errorNotify(ps)
	if ps.Auth == nil || ps.IDr == nil {
		if refusal != 0 {
			// Not authenticated, but only who holds the keys of IKE_SA_INIT could say it
			// (section 2.21.2): another try is the owner's business.
			sa.end(Closed{Reason: reasonOf(refusal), Notify: refusal, Detail: "the peer refused IKE_AUTH with " + refusal.String() + ": look for the reason in its log"})
			return
		}
		sa.distrust(now, "the peer's IKE_AUTH response has no AUTH or no identity")
		return
	}
	sa.remote = identityOf(ps.IDr)
	if e := sa.p.Expect; e != (Identity{}) && e != sa.remote {
		sa.distrust(now, "the peer's identity is "+sa.remote.String()+", expected is "+e.String())
		return
	}
	if err := sa.verify(now, &sa.p.Trust, ps); err != nil {
		sa.distrust(now, "the peer's proof of its identity is wrong: "+err.Error())
		return
	}
	if sa.hs.eap != nil && refusal == 0 {
		sa.recognise(ps.Vendors)
		sa.eapBegins(now, ps)
		return
	}
	sa.proven(now, ps, refusal)
}

// proven takes the response of a responder that is believed.
func (sa *SA) proven(now time.Time, ps *wire.Payloads, refusal wire.NotifyType) {
	sa.recognise(ps.Vendors)
	sa.learnMobility(ps)
	if refusal != 0 { // the IKE SA stands, the Child SA does not (section 1.2): no use to us
		sa.beginClose(now, Closed{Reason: reasonOf(refusal), Notify: refusal, Detail: "the peer refused the Child SA with " + refusal.String() + ": compare proposals, selectors and addresses of both ends"})
		return
	}
	sa.firstChild(now, ps)
}

// distrust ends an initiator's SA whose responder did not prove itself. The responder believes that
// the SA stands and is told (section 2.21.2).
func (sa *SA) distrust(now time.Time, detail string) {
	sa.beginClose(now, Closed{Reason: ReasonAuthentication, Detail: detail})
}

// errorNotify is the first error of a message, or 0.
func errorNotify(ps *wire.Payloads) wire.NotifyType {
	for _, n := range ps.Notifies {
		if n.Type.IsError() {
			return n.Type
		}
	}
	return 0
}

// reasonOf sorts a peer's refusal.
func reasonOf(t wire.NotifyType) CloseReason {
	switch t {
	case wire.AuthenticationFailed:
		return ReasonAuthentication
	case wire.AuthorizationFailed:
		return ReasonAuthorization
	case wire.NoProposalChosen:
		return ReasonNoProposal
	case wire.TSUnacceptable, wire.SinglePairRequired:
		return ReasonSelectors
	case wire.InternalAddressFailure, wire.FailedCPRequired:
		return ReasonAddress
	case wire.InvalidSyntax:
		return ReasonSyntax
	}
	return ReasonRefused
}

// firstChild takes the Child SA that the responder chose.
func (sa *SA) firstChild(now time.Time, ps *wire.Payloads) {
	if ps.SA == nil || ps.TSi == nil || ps.TSr == nil {
		sa.beginClose(now, Closed{Reason: ReasonSyntax, Detail: "the peer's IKE_AUTH response has no Child SA"})
		return
	}
	esp, err := suite.AcceptESP(sa.p.ESP, ps.SA.Proposals, false)
	if err != nil {
		sa.beginClose(now, Closed{Reason: ReasonNoProposal, Detail: "the peer chose badly for the Child SA: " + err.Error()})
		return
	}
	n := negotiated{
		suite: esp, spiIn: sa.hs.spi, spiOut: spiOf(ps.SA.Proposals[0].SPI), initiator: true,
		transport: sa.p.Transport && ps.Notify(wire.UseTransportMode) != nil,
		tsi:       ps.TSi.Selectors, tsr: ps.TSr.Selectors,
	}
	if sa.p.RequireTransport && !n.transport {
		sa.beginClose(now, Closed{Reason: ReasonSelectors, Detail: "the peer declined transport mode, which GRE needs: check its tunnel mode"})
		return
	}
	if !within(n.tsi, sa.p.TSLocal) || !within(n.tsr, sa.p.TSRemote) {
		sa.beginClose(now, Closed{Reason: ReasonSelectors, Notify: wire.TSUnacceptable, Detail: "the peer's traffic selectors are wider than what was proposed"})
		return
	}
	child := sa.derived(now, sa.cur, n, sharedNone, sa.hs.ni, sa.hs.nr)
	if ps.CP != nil && ps.CP.Type == wire.CFGReply {
		sa.hs.granted.Config = cloneAttributes(ps.CP.Attributes)
		sa.learnVersion(ps.CP.Attributes)
	}
	sa.install(now, asking{step: stepFirstInitiator, child: child})
}

func (sa *SA) firstInitiatorInstalled(now time.Time, a *asking, err error) {
	if err != nil {
		sa.beginClose(now, Closed{Reason: ReasonInstall, Detail: "put the Child SA into the data plane: " + err.Error()})
		return
	}
	sa.establish(now, a.child, sa.hs.granted.Config)
}

// establish is the end of every handshake that succeeds.
func (sa *SA) establish(now time.Time, child Child, config []wire.Attribute) {
	sa.enter(stateReady)
	sa.established = true
	sa.granted = grant{local: child.TSLocal, remote: child.TSRemote, transport: child.Transport}
	sa.addChild(now, child)
	sa.hs.wipe()
	sa.hs = nil
	sa.cur.dropSKp()
	sa.lifeOf(sa.cur)
	sa.startLiveness(now)
	sa.startKeepalives(now)
	sa.emit(Established{
		Local: sa.local, Remote: sa.remote, Path: sa.dataPath(), Suite: sa.cur.suite, Child: child, Config: config,
		PeerFlexVPN: sa.peer.flexVPN, MOBIKE: sa.peer.mobike, Additional: sa.peerList(), PeerVersion: sa.peer.version, Took: now.Sub(sa.made),
	})
	sa.emit(UseChild{SPIIn: child.SPIIn, SPIOut: child.SPIOut})
}
