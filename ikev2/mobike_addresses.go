package ikev2

import (
	"net/netip"
	"slices"
	"time"

	"flexvpn/ikev2/wire"
)

// Additional addresses, RFC 4555 sections 3.4 and 3.6.

// maxAddresses bounds what is kept of a peer's list: an honest one has a handful.
const maxAddresses = 8

// SetAddresses says at which addresses this end can be reached, the best first, instead of
// Common.Addresses. The peer is told; a path that begins at an address that is gone is left.
func (sa *SA) SetAddresses(now time.Time, own []netip.Addr) {
	if sa.state == stateClosed {
		return
	}
	before := sa.additional()
	m := sa.mobility()
	m.own, m.owned = slices.Clone(own), true
	if here := slices.Contains(own, sa.path.Local.Addr()); !here || !slices.Equal(before, sa.additional()) {
		sa.AddressesChanged(now)
	}
}

// AddressesChanged says that Common.Addresses changed.
func (sa *SA) AddressesChanged(now time.Time) {
	if !sa.mobile() {
		return
	}
	if own := sa.ownAddresses(); len(own) > 0 && !slices.Contains(own, sa.path.Local.Addr()) {
		sa.leaveAddress(now)
	}
	sa.want(task{kind: taskAddresses})
	sa.next(now)
}

// leaveAddress goes to another address of this end. An initiator chooses any path. A responder, who
// normally waits for the initiator to choose, must speak from somewhere: this is the one time that it
// picks a path (section 3.6), and its traffic goes the same way (section 3.5's exception).
func (sa *SA) leaveAddress(now time.Time) {
	for _, p := range sa.candidates() {
		switch {
		case p == sa.path:
		case sa.initiator:
			sa.migrate(now, p)
			return
		default:
			sa.moving(func() { sa.shift(now, p) })
			if sa.unproven() {
				sa.urgent(task{kind: taskVerify})
			}
			return
		}
	}
}

// ownAddresses are this end's.
func (sa *SA) ownAddresses() []netip.Addr {
	if m := sa.mob; m != nil && m.owned {
		return m.own
	}
	return sa.c.Addresses
}

// additional are this end's addresses other than the one in use.
func (sa *SA) additional() []netip.Addr {
	var out []netip.Addr
	for _, a := range sa.ownAddresses() {
		if a = a.Unmap(); a != sa.path.Local.Addr() && usable(a) && len(out) < maxAddresses {
			out = append(out, a)
		}
	}
	return out
}

// peerList is a copy of the peer's additional addresses.
func (sa *SA) peerList() []netip.Addr {
	if sa.mob == nil {
		return nil
	}
	return slices.Clone(sa.mob.peer)
}

// usable reports whether an address can stand for a host on the way of packets.
func usable(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() &&
		!a.IsLinkLocalUnicast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// addressPayloads tell addresses to the peer.
func addressPayloads(list []netip.Addr) []wire.Payload {
	ps := make([]wire.Payload, 0, len(list))
	for _, a := range list {
		t := wire.AdditionalIP6Address
		if a.Is4() {
			t = wire.AdditionalIP4Address
		}
		ps = append(ps, &wire.Notify{Type: t, Data: a.AsSlice()})
	}
	return ps
}

// startAddresses sends the whole list: it replaces the one before (section 3.6).
func (sa *SA) startAddresses(now time.Time, t task) {
	ps := addressPayloads(sa.additional())
	if len(ps) == 0 {
		ps = []wire.Payload{&wire.Notify{Type: wire.NoAdditionalAddresses}}
	}
	if sa.p.NoNATs {
		ps = append(ps, sa.pathPayloads(sa.cur, sa.path)...)
	}
	sa.request(now, t, sa.cur, wire.Informational, ps...)
}

// toldAddresses is a list of the peer; told is false when the message has none. Addresses that
// cannot be one of a host are left out, and all of an absurdly long list but the first.
func toldAddresses(ps *wire.Payloads) (list []netip.Addr, told bool) {
	for i := range ps.Notifies {
		n := &ps.Notifies[i]
		switch n.Type {
		case wire.NoAdditionalAddresses, wire.AdditionalIP4Address, wire.AdditionalIP6Address:
			told = true
		default:
			continue
		}
		a, ok := netip.AddrFromSlice(n.Data)
		if ok && a.Is4() == (n.Type == wire.AdditionalIP4Address) && n.Type != wire.NoAdditionalAddresses &&
			usable(a) && !a.Is4In6() && !slices.Contains(list, a) && len(list) < maxAddresses {
			list = append(list, a)
		}
	}
	return list, told
}

// peerAddresses takes the peer's new list. Where it was sent from belongs to it (section 3.4); a
// responder that is no longer where it was has the initiator come after it (section 3.6).
func (sa *SA) peerAddresses(now time.Time, p Path, list []netip.Addr) {
	if !slices.Equal(sa.peerList(), list) {
		sa.mobility().peer = list
		sa.emit(PeerAddresses{List: sa.peerList()})
	}
	current := sa.path.Remote.Addr()
	if sa.initiator && current != p.Remote.Addr() && !slices.Contains(list, current) {
		sa.migrate(now, p)
	}
}
