package ikev2

import (
	"time"

	"flexvpn/ikev2/wire"
)

// eapBegins goes on where a responder has proven itself by certificate: it has to ask for EAP now.
// One that would take this end in without asking gets nothing from it.
func (sa *SA) eapBegins(now time.Time, ps *wire.Payloads) {
	sa.hs.eap.begun = true
	sa.startKeepalives(now)
	if ps.EAP == nil {
		sa.distrust(now, "the peer did not ask for EAP, by which profile "+sa.p.Name+" authenticates: set authentication remote: eap there")
		return
	}
	sa.eapAsked(now, ps)
}

// eapResponded takes the answer to a request of this end inside EAP.
func (sa *SA) eapResponded(now time.Time, ps *wire.Payloads) {
	e := sa.hs.eap
	refusal := errorNotify(ps)
	switch {
	case e.done:
		sa.eapConcluded(now, ps, refusal)
	case refusal != 0 && ps.EAP == nil:
		sa.end(Closed{Reason: reasonOf(refusal), Notify: refusal, Detail: "the peer ended EAP with " + refusal.String() + ": look for the reason in its log"})
	case ps.Auth != nil:
		sa.distrust(now, "the peer sent AUTH before EAP had ended")
	default:
		sa.eapAsked(now, ps)
	}
}

func (sa *SA) eapAsked(now time.Time, ps *wire.Payloads) {
	if err := sa.hs.eap.take(ps.EAP, eapRequest, eapSuccess, eapFailure); err != nil {
		sa.distrust(now, err.Error())
		return
	}
	sa.askEAP(now, demand{}, ps.EAP.Packet)
}

// eapAnsweredInitiator sends what the method, or the person, says.
func (sa *SA) eapAnsweredInitiator(now time.Time, answer EAPAnswer) {
	e := sa.hs.eap
	switch r := answer.Refusal; {
	case r != nil && e.last[0] == eapFailure: // the responder's SA is gone already
		sa.end(Closed{Reason: ReasonAuthentication, Notify: wire.AuthenticationFailed, Detail: r.Reason})
	case r != nil:
		sa.distrust(now, r.Reason)
	case answer.Done && e.last[0] == eapSuccess:
		sa.succeeded(answer)
		sa.request(now, task{kind: taskAuth}, sa.cur, wire.IKEAuth, sa.proveEAP())
	case !answer.Done && e.last[0] == eapRequest && fits(answer.Packet, eapResponse):
		sa.request(now, task{kind: taskAuth}, sa.cur, wire.IKEAuth, &wire.EAP{Packet: answer.Packet})
	default:
		sa.distrust(now, "BUG: the EAP peer gave no packet that fits")
	}
}

// eapConcluded takes the answer to AUTH: the responder's own, and what was asked for at first.
func (sa *SA) eapConcluded(now time.Time, ps *wire.Payloads, refusal wire.NotifyType) {
	if ps.Auth == nil && refusal != 0 {
		sa.end(Closed{Reason: reasonOf(refusal), Notify: refusal, Detail: "the peer refused IKE_AUTH after EAP with " + refusal.String() + ": look for the reason in its log"})
		return
	}
	if err := sa.verifyEAP(ps.Auth); err != nil {
		sa.distrust(now, "the peer's proof after EAP is wrong: "+err.Error())
		return
	}
	sa.proven(now, ps, refusal)
}
