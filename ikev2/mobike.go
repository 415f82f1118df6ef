package ikev2

import (
	"crypto/hmac"
	"crypto/rand"
	"net/netip"
	"slices"
	"time"

	"flexvpn/ikev2/wire"
)

// MOBIKE, RFC 4555: the addresses of an IKE SA and of its Child SAs change while both stand. The
// initiator of the session decides which path is used and says so with UPDATE_SA_ADDRESSES
// (mobike_update.go); both ends tell each other their further addresses (mobike_addresses.go); the
// initiator finds another path when the one in use is dead (mobike_path.go).
//
// What an authentic message says moves an SA, never where a datagram seems to come from: with MOBIKE
// the peer's mapping is not followed (section 3.8), and a repeated or forged datagram changes nothing.

// mobility is what MOBIKE keeps of an SA besides its path. Nil where there is nothing to keep: an
// idle SA of a peer with one address costs nothing.
type mobility struct {
	own   []netip.Addr // this end's addresses, if its owner set them for this SA alone
	owned bool         // it did
	peer  []netip.Addr // the peer's additional addresses
	// held is where the data plane is kept until the peer has proven its new address; zero: it runs
	// where the IKE SA does.
	held Path
	// refused are the paths that the peer would not take since the last that it took.
	refused []Path
	// seen is what the peer saw of this end's address and port: its last NAT_DETECTION_DESTINATION_IP,
	// kept by an initiator behind a NAT.
	seen []byte
}

// mobility is the SA's, made when first needed.
func (sa *SA) mobility() *mobility {
	if sa.mob == nil {
		sa.mob = &mobility{}
	}
	return sa.mob
}

// mobile reports whether the SA may be moved.
func (sa *SA) mobile() bool { return sa.peer.mobike && sa.state == stateReady }

// offerMobility are the payloads of IKE_AUTH (section 3.1): the ability and this end's additional
// addresses.
func (sa *SA) offerMobility() []wire.Payload {
	if !sa.p.MOBIKE {
		return nil
	}
	ps := []wire.Payload{&wire.Notify{Type: wire.MOBIKESupported}}
	return append(ps, addressPayloads(sa.additional())...)
}

// learnMobility is the other half.
func (sa *SA) learnMobility(ps *wire.Payloads) {
	sa.peer.mobike = sa.p.MOBIKE && ps.Notify(wire.MOBIKESupported) != nil
	if list, told := toldAddresses(ps); sa.peer.mobike && told && len(list) > 0 {
		sa.mobility().peer = list
	}
}

// dataPath is where the packets of the Child SAs run. Its Encap says whether ESP is in UDP, which it
// need not be although IKE uses the NAT-traversal port (section 3.3).
func (sa *SA) dataPath() Path {
	if m := sa.mob; m != nil && m.held.Remote.IsValid() {
		return m.held
	}
	p := sa.path
	p.Encap = p.Encap && (sa.nat.local || sa.nat.remote || sa.c.ForceEncap)
	return p
}

// moving tells the data plane, once, where its packets run after f.
func (sa *SA) moving(f func()) {
	was := sa.dataPath()
	f()
	if now := sa.dataPath(); now != was && sa.established {
		sa.emit(Moved{Path: now})
	}
}

// shift makes p the path of the IKE SA. The data plane follows, unless the peer has yet to prove that
// it receives at a new address of its own (section 3.7). What waits for an answer is repeated on the
// new path at once (section 3.5).
func (sa *SA) shift(now time.Time, p Path) {
	data, was := sa.dataPath(), sa.path
	m := sa.mobility()
	sa.path = p
	m.held = Path{}
	if p.Remote.Addr() != data.Remote.Addr() && !sa.p.UncheckedMoves {
		m.held = data
	}
	sa.regrant(was, p)
	if ex := sa.ex; ex != nil && !sa.asking.open() {
		ex.stale, ex.spread = true, false
		ex.retransmission = sa.patience(now, ex.task.kind)
		sa.sendAll(p, ex.datagrams)
	}
}

// settle lets the data plane follow to the path of the IKE SA.
func (sa *SA) settle() {
	sa.moving(func() { sa.mobility().held = Path{} })
	sa.c.Counters.MovesDone.Add(1)
}

// unproven reports whether the peer has yet to prove its address.
func (sa *SA) unproven() bool { return sa.mob != nil && sa.mob.held.Remote.IsValid() }

// regrant lets the selectors of transport mode, which name the two ends, follow their addresses, so
// that a Child SA that is rekeyed after a move is negotiated for where the ends are.
func (sa *SA) regrant(was, p Path) {
	if !sa.granted.transport {
		return
	}
	sa.granted.local = readdress(sa.granted.local, was.Local.Addr(), p.Local.Addr())
	sa.granted.remote = readdress(sa.granted.remote, was.Remote.Addr(), p.Remote.Addr())
}

func readdress(list []wire.Selector, from, to netip.Addr) []wire.Selector {
	out := slices.Clone(list)
	for i := range out {
		if s := &out[i]; s.Start == from.Unmap() && s.End == s.Start {
			s.Start, s.End = to.Unmap(), to.Unmap()
		}
	}
	return out
}

// urgent puts a task in front of all others.
func (sa *SA) urgent(t task) {
	sa.tasks = slices.DeleteFunc(sa.tasks, func(q task) bool { return q.kind == t.kind })
	sa.tasks = slices.Insert(sa.tasks, 0, t)
}

// cookie2Len is within the 8 to 64 octets of section 4.2.5.
const cookie2Len = 16

// newCookie2 is what the peer must repeat to prove that it saw the request (section 3.7).
func newCookie2() *wire.Notify {
	b := make([]byte, cookie2Len)
	_, _ = rand.Read(b) // cannot fail: crypto/rand stops the program rather
	return &wire.Notify{Type: wire.Cookie2, Data: b}
}

// echoCookie2 copies the peer's COOKIE2 as it is (section 3.7: "MUST").
func (sa *SA) echoCookie2(ps *wire.Payloads) []wire.Payload {
	n := ps.Notify(wire.Cookie2)
	if n == nil || !sa.peer.mobike || len(n.Data) < 8 || len(n.Data) > 64 {
		return nil
	}
	return []wire.Payload{&wire.Notify{Type: wire.Cookie2, Data: slices.Clone(n.Data)}}
}

// cookie2Holds checks the answer to a request with a COOKIE2; "if the values do not match, the IKE_SA
// MUST be closed" (section 3.7).
func (sa *SA) cookie2Holds(now time.Time, ex *exchange, ps *wire.Payloads) bool {
	if ex.cookie == nil {
		return true
	}
	if n := ps.Notify(wire.Cookie2); n != nil && hmac.Equal(n.Data, ex.cookie) {
		return true
	}
	sa.c.Counters.MovesForged.Add(1)
	sa.beginClose(now, Closed{Reason: ReasonSyntax, Detail: "the peer did not repeat the COOKIE2 that was sent to its new address: it may not receive there"})
	return false
}
