package ikev2

import (
	"time"

	"flexvpn/ikev2/wire"
)

// Say has an initiator send whatever a test wants to the peer in IKE_AUTH, in the place of what its
// open question would have led to.
func (sa *SA) Say(now time.Time, ps ...wire.Payload) {
	sa.asking = nil
	sa.request(now, task{kind: taskAuth}, sa.cur, wire.IKEAuth, ps...)
}

// Reply is Say for a responder.
func (sa *SA) Reply(now time.Time, ps ...wire.Payload) {
	d := sa.asking.demand
	sa.asking = nil
	sa.respond(d, ps...)
}

// ReplyProven has a responder answer with its proof alone.
func (sa *SA) ReplyProven(now time.Time) { sa.Reply(now, sa.hs.eap.first...) }

// ForgetRounds lets an end go on in EAP for ever.
func (sa *SA) ForgetRounds() { sa.hs.eap.rounds = 0 }

// ForgetMOBIKE makes an SA an end that ignores what MOBIKE asks of it.
func (sa *SA) ForgetMOBIKE() { sa.peer.mobike = false }

// SayInformational has an end send whatever a test wants in an INFORMATIONAL request.
func (sa *SA) SayInformational(now time.Time, ps ...wire.Payload) {
	sa.request(now, task{kind: taskProbe}, sa.cur, wire.Informational, ps...)
}
