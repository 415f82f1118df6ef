package ikev2

import (
	"encoding/binary"
	"time"

	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
	"flexvpn/secret"
)

// A childSA is what the engine keeps of a Child SA. Its keys are the data plane's.
type childSA struct {
	spiIn, spiOut uint32
	standing      childStanding
	transport     bool
	suite         suite.ESP
	local, remote []wire.Selector
	made          time.Time
	rekeyAt       time.Time
	expires       time.Time
	// waits is set while outbound traffic still runs on the Child SA that this one replaces.
	waits    bool
	replaces uint32 // its inbound SPI; 0: none
}

// childStanding is the part a Child SA plays.
type childStanding uint8

const (
	childUp       childStanding = iota
	childReplaced               // rekeyed by the peer, which will delete it
	childLeaving                // this end deletes it, or is about to
)

// child finds a Child SA by its inbound SPI, childOut by its outbound one.
func (sa *SA) child(spiIn uint32) *childSA {
	for i := range sa.children {
		if sa.children[i].spiIn == spiIn {
			return &sa.children[i]
		}
	}
	return nil
}

func (sa *SA) childOut(spiOut uint32) *childSA {
	for i := range sa.children {
		if sa.children[i].spiOut == spiOut {
			return &sa.children[i]
		}
	}
	return nil
}

// addChild takes a Child SA in that the data plane has.
func (sa *SA) addChild(now time.Time, c Child) *childSA {
	sa.childless = time.Time{}
	sa.children = append(sa.children, childSA{
		spiIn: c.SPIIn, spiOut: c.SPIOut, suite: c.Suite, transport: c.Transport,
		local: c.TSLocal, remote: c.TSRemote, made: c.Made, expires: c.Expires, replaces: c.Replaces,
		rekeyAt: c.Made.Add(rekeyAfter(c.Expires.Sub(c.Made), uint64(c.SPIIn))),
	})
	return &sa.children[len(sa.children)-1]
}

// removeChild says that a Child SA is gone. One that was waiting for it carries traffic now.
func (sa *SA) removeChild(now time.Time, spiIn uint32, reason string) {
	for i := range sa.children {
		if sa.children[i].spiIn != spiIn {
			continue
		}
		gone := sa.children[i]
		sa.children = append(sa.children[:i], sa.children[i+1:]...)
		for j := range sa.children {
			if c := &sa.children[j]; c.replaces == spiIn && c.standing == childUp {
				sa.use(c)
			}
		}
		sa.keepOld(gone.replaces)
		sa.emit(ChildGone{SPIIn: gone.spiIn, SPIOut: gone.spiOut, Reason: reason})
		break
	}
	if len(sa.children) == 0 && sa.childless.IsZero() {
		sa.childless = now.Add(childlessLimit)
	}
}

// keepOld lets a Child SA that the peer had replaced go on when the one in its place is deleted instead
// of it: the peer could not use what it had negotiated, and may rekey again.
func (sa *SA) keepOld(spiIn uint32) {
	old := sa.child(spiIn)
	if old == nil || old.standing != childReplaced {
		return
	}
	for i := range sa.children {
		if sa.children[i].replaces == spiIn {
			return
		}
	}
	old.standing = childUp
}

// use sends outbound traffic through a Child SA that was installed before.
func (sa *SA) use(ch *childSA) {
	if ch.waits {
		ch.waits = false
		sa.emit(UseChild{SPIIn: ch.spiIn, SPIOut: ch.spiOut})
	}
}

// PeerUses says that the first packet arrived on a Child SA: the peer has it and sends on it, so
// that this end may too, long before the old one is deleted.
func (sa *SA) PeerUses(now time.Time, spiIn uint32) {
	if ch := sa.child(spiIn); sa.state == stateReady && ch != nil && ch.standing == childUp {
		sa.use(ch)
	}
}

// leave has this end delete a Child SA.
func (sa *SA) leave(ch *childSA) {
	ch.standing = childLeaving
	sa.want(task{kind: taskDeleteChild, child: ch.spiIn})
}

func (sa *SA) startDeleteChild(now time.Time, t task) {
	if sa.child(t.child) != nil {
		sa.request(now, t, sa.cur, wire.Informational, &wire.Delete{Protocol: wire.ProtoESP, SPIs: []uint32{t.child}})
	}
}

// negotiated is what two ends agreed on for a Child SA.
type negotiated struct {
	suite         suite.ESP
	spiIn, spiOut uint32
	initiator     bool // this end began the exchange
	transport     bool
	tsi, tsr      []wire.Selector // in the exchange's order, as this end sees the addresses
	replaces      uint32
}

// sharedNone stands for a Child SA without a key exchange of its own.
var sharedNone secret.Bytes

// derived makes the Child SA with its keys (section 2.17).
func (sa *SA) derived(now time.Time, g *generation, n negotiated, shared secret.Bytes, ni, nr []byte) Child {
	c := Child{
		SPIIn: n.spiIn, SPIOut: n.spiOut, Suite: n.suite, Transport: n.transport,
		ReplayWindow: sa.p.ReplayWindow, Replaces: n.replaces, Initiator: n.initiator,
		Made: now, Expires: now.Add(or(sa.p.ChildLife, defaultChildLife)),
	}
	encrI, integI, encrR, integR := suite.ChildKeys(g.suite, g.keys.D, n.suite, shared, ni, nr)
	if n.initiator {
		c.KeyOut, c.IntegOut, c.KeyIn, c.IntegIn = encrI, integI, encrR, integR
		c.TSLocal, c.TSRemote = cloneSelectors(n.tsi), cloneSelectors(n.tsr)
	} else {
		c.KeyIn, c.IntegIn, c.KeyOut, c.IntegOut = encrI, integI, encrR, integR
		c.TSLocal, c.TSRemote = cloneSelectors(n.tsr), cloneSelectors(n.tsi)
	}
	return c
}

func cloneSelectors(s []wire.Selector) []wire.Selector {
	return append(make([]wire.Selector, 0, len(s)), s...)
}

// narrowed is a responder's choice of mode and selectors (sections 2.9 and 2.23.1).
func (sa *SA) narrowed(ps *wire.Payloads, tsi, tsr []wire.Selector, transport bool) (negotiated, natView) {
	n := negotiated{transport: transport && ps.Notify(wire.UseTransportMode) != nil}
	i, r := ps.TSi.Selectors, ps.TSr.Selectors
	var view natView
	if n.transport {
		i, r, view = sa.outside(i, r)
	}
	n.tsi, n.tsr = narrow(i, tsi), narrow(r, tsr)
	return n, view
}

// childAnswer is the part of a response that describes a Child SA; nonce and KE stand before it.
func childAnswer(n negotiated, v natView, choice wire.Proposal, before []wire.Payload) response {
	tsi, tsr := n.tsi, n.tsr
	if n.transport {
		tsi, tsr = v.back(tsi, tsr)
	}
	ps := append(response{&wire.SA{Proposals: []wire.Proposal{choice}}}, before...)
	ps = append(ps, &wire.TS{Selectors: tsi}, &wire.TS{Responder: true, Selectors: tsr})
	ps = append(ps, transportNotify(n.transport)...)
	return append(ps, &wire.Notify{Type: wire.ESPTFCPaddingNotSupported})
}

func spiOctets(spi uint32) []byte { return binary.BigEndian.AppendUint32(nil, spi) }

// spiOf is an SPI of ESP, whose length the suite has checked.
func spiOf(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
