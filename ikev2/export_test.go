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

// SayOctets seals a plaintext of a test's own into a request of any exchange.
func (sa *SA) SayOctets(now time.Time, xt wire.ExchangeType, first wire.PayloadType, plain []byte) {
	g := sa.cur
	h := g.header(message{exchange: xt, id: g.sendID})
	sealed := g.suite.SealedLen(len(plain))
	encr, integ := g.sending()
	d := g.suite.Seal(wire.AppendEncryptedHeader(nil, h, first, sealed), encr, integ, plain)
	g.sendID++
	sa.begin(now, &exchange{task: task{kind: taskProbe}, gen: g, id: h.MessageID, datagrams: [][]byte{d}})
}

// SayFragment sends one fragment of the next INFORMATIONAL request, which a test numbers as it likes.
func (sa *SA) SayFragment(number, total uint16, plain []byte) {
	g := sa.cur
	h := g.header(message{exchange: wire.Informational, id: g.sendID})
	encr, integ := g.sending()
	d := wire.AppendFragmentHeader(nil, h, wire.PayloadNotify, number, total, g.suite.SealedLen(len(plain)))
	sa.sendAll(sa.path, [][]byte{g.suite.Seal(d, encr, integ, plain)})
}

// Collected is what an SA holds of messages whose fragments are not all there.
func (sa *SA) Collected() (octets int) {
	sa.generations(func(g *generation) bool {
		for _, r := range g.parts {
			if r != nil {
				octets += r.size
			}
		}
		return true
	})
	return octets
}

// SayCreate has an end send whatever a test wants in a CREATE_CHILD_SA request.
func (sa *SA) SayCreate(now time.Time, ps ...wire.Payload) {
	sa.request(now, task{kind: taskProbe}, sa.cur, wire.CreateChildSA, ps...)
}

// ForgetFragmentation makes an SA an end whose peer did not announce fragments.
func (sa *SA) ForgetFragmentation() { sa.peer.fragmentation = false }
