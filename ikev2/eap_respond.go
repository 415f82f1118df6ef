package ikev2

import (
	"time"

	"flexvpn/ikev2/wire"
)

// beginEAP answers an IKE_AUTH request without AUTH. What the peer asked for is kept for the answer
// that ends the exchange.
func (sa *SA) beginEAP(now time.Time, d demand) {
	if sa.p.Credential.Kind != AuthCertificate { // "the responder ... public-key signature based" (section 2.16)
		sa.fail(d, wire.AuthenticationFailed, ReasonAuthentication, "profile "+sa.p.Name+" offers EAP without a certificate of this end")
		return
	}
	certs, auth, err := sa.prove()
	if err != nil {
		sa.fail(d, wire.AuthenticationFailed, ReasonAuthentication, "this end cannot prove its identity: "+err.Error())
		return
	}
	first := append([]wire.Payload{idPayload(sa.local, true)}, certs...)
	sa.hs.eap = &eapState{first: append(first, auth)}
	sa.hs.deadline = now.Add(or(sa.p.EAPLife, defaultEAPLife))
	sa.askEAP(now, d, nil)
}

// eapAnsweredResponder sends what the authenticator says.
func (sa *SA) eapAnsweredResponder(d demand, answer EAPAnswer) {
	e := sa.hs.eap
	first := e.first
	e.first = nil
	switch r := answer.Refusal; {
	case r != nil:
		sa.refuseEAP(d, first, answer)
	case answer.Done && e.rounds > 0 && fits(answer.Packet, eapSuccess):
		sa.succeeded(answer)
		sa.respond(d, &wire.EAP{Packet: answer.Packet})
	case !answer.Done && fits(answer.Packet, eapRequest):
		sa.respond(d, append(first, &wire.EAP{Packet: answer.Packet})...)
	default:
		answer.Packet, answer.Refusal = nil, &Refusal{Reason: "BUG: the EAP authenticator gave no packet that fits"}
		sa.refuseEAP(d, first, answer)
	}
}

// refuseEAP ends the conversation by an EAP failure, and the IKE SA with it. The notify says the
// same to peers that look for one (section 2.21.2).
func (sa *SA) refuseEAP(d demand, first []wire.Payload, answer EAPAnswer) {
	packet := answer.Packet
	if !fits(packet, eapFailure) {
		packet = sa.hs.eap.failure()
	}
	t := or(answer.Refusal.Notify, wire.AuthenticationFailed)
	sa.eapIdentity = answer.Identity
	if t == wire.TemporaryFailure { // no verdict: an EAP failure would tell a person that the password is wrong
		sa.refuse(d, t)
	} else {
		sa.respond(d, append(first, &wire.EAP{Packet: packet}, &wire.Notify{Type: t})...)
	}
	sa.end(Closed{Reason: ReasonAuthentication, Notify: t, Detail: answer.Refusal.Reason})
}

// eapRequested takes the second and any later IKE_AUTH request of a peer that authenticates by EAP.
func (sa *SA) eapRequested(now time.Time, d demand, ps *wire.Payloads) {
	e := sa.hs.eap
	switch {
	case e.done:
		sa.eapProven(now, d, ps)
		return
	case ps.Auth != nil:
		sa.fail(d, wire.AuthenticationFailed, ReasonAuthentication, "the peer sent AUTH before EAP had ended")
		return
	}
	if err := e.take(ps.EAP, eapResponse); err != nil {
		sa.fail(d, wire.AuthenticationFailed, ReasonAuthentication, err.Error())
		return
	}
	sa.askEAP(now, d, ps.EAP.Packet)
}

// eapProven checks that who succeeded in EAP is who spoke all the time, and goes on with what the
// first request asked for.
func (sa *SA) eapProven(now time.Time, d demand, ps *wire.Payloads) {
	if err := sa.verifyEAP(ps.Auth); err != nil {
		sa.fail(d, wire.AuthenticationFailed, ReasonAuthentication, err.Error())
		return
	}
	sa.peerAuth = AuthEAP
	sa.authorize(now, d, sa.hs.asked)
}
