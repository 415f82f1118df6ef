package ikev2

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"net/netip"
	"time"

	"flexvpn/ikev2/wire"
)

// natState is what NAT detection found (RFC 7296 section 2.23), and the keepalives it calls for.
type natState struct {
	local, remote bool      // this end, the peer is behind a NAT
	able          bool      // the peer knows NAT traversal
	keepalive     time.Time // of the next one; zero: none
}

const (
	natPort             = 4500
	defaultNATKeepalive = 20 * time.Second
)

// natHash is the data of the NAT detection notifies: SHA-1(SPIs | address | port).
func natHash(spiI, spiR uint64, at netip.AddrPort) []byte {
	b := make([]byte, 0, 34)
	b = binary.BigEndian.AppendUint64(b, spiI)
	b = binary.BigEndian.AppendUint64(b, spiR)
	b = append(b, at.Addr().Unmap().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, at.Port())
	sum := sha1.Sum(b)
	return sum[:]
}

// natPayloads are both notifies of a message of this end. A data plane that needs UDP
// encapsulation has a wrong source hash sent, so that the peer sees a NAT where there is none.
func (sa *SA) natPayloads(g *generation, p Path) []wire.Payload {
	spiI, spiR := g.spis()
	return sa.natNotifies(spiI, spiR, p)
}

func (sa *SA) natNotifies(spiI, spiR uint64, p Path) []wire.Payload {
	source := natHash(spiI, spiR, p.Local)
	if sa.c.ForceEncap {
		_, _ = rand.Read(source)
	}
	return []wire.Payload{
		&wire.Notify{Type: wire.NATDetectionSourceIP, Data: source},
		&wire.Notify{Type: wire.NATDetectionDestinationIP, Data: natHash(spiI, spiR, p.Remote)},
	}
}

// detectNAT compares the peer's hashes with where its message came from and arrived. A peer that
// sends none does not know NAT traversal.
func (sa *SA) detectNAT(p Path, spiI, spiR uint64, ps *wire.Payloads) {
	sources, matched, destination := 0, false, (*wire.Notify)(nil)
	for i := range ps.Notifies {
		switch n := &ps.Notifies[i]; n.Type {
		case wire.NATDetectionSourceIP: // several from a peer with several addresses
			sources++
			matched = matched || bytes.Equal(n.Data, natHash(spiI, spiR, p.Remote))
		case wire.NATDetectionDestinationIP:
			destination = n
		}
	}
	sa.nat.able = sources > 0 && destination != nil
	sa.nat.remote = sources > 0 && !matched
	sa.nat.local = destination != nil && !bytes.Equal(destination.Data, natHash(spiI, spiR, p.Local))
	if sa.nat.local && sa.initiator {
		sa.mobility().seen = bytes.Clone(destination.Data)
	}
}

// float moves an initiator to NAT traversal, if there is a NAT or the data plane wants one
// (section 2.23: "MUST use port 4500 ... if a NAT is detected"). One that knows MOBIKE does it in any case:
// "this way, there is no need to change the ports later if a NAT is detected on some other path" (RFC
// 4555 section 3.3).
func (sa *SA) float() {
	if sa.p.NoNATs {
		sa.nat = natState{}
		return
	}
	mobile := sa.p.MOBIKE && sa.nat.able
	if sa.path.Encap || !sa.nat.local && !sa.nat.remote && !sa.c.ForceEncap && !mobile {
		return
	}
	sa.path = Path{
		Local:  netip.AddrPortFrom(sa.path.Local.Addr(), 0),
		Remote: netip.AddrPortFrom(sa.path.Remote.Addr(), or(sa.c.NATPort, natPort)),
		Encap:  true,
		VRF:    sa.path.VRF,
	}
}

// follow takes the path of an authentic message that is no repeat for the peer's path, where the
// peer is behind a NAT whose mapping may change (section 2.23). A responder also follows its
// initiator's float during the handshake. The way to a peer without NAT never moves, and "a host
// behind a NAT SHOULD NOT do this": one replayed packet could lead it astray. A responder behind a
// NAT is none of those, its NAT is a fixed one or nobody could reach it.
func (sa *SA) follow(p Path) {
	was := sa.path
	switch {
	case p == was:
		return
	case was.Local.Port() == 0 && p.Encap && p.Remote == was.Remote:
		sa.path = p // the owner has filled in the port of its NAT-traversal socket
		return
	case sa.state == stateAuth && !sa.initiator:
		sa.path = p
		return
	case sa.peer.mobike: // RFC 4555 section 3.8: only UPDATE_SA_ADDRESSES moves
		return
	case !sa.nat.remote || !p.Encap || sa.nat.local && sa.initiator:
		return
	}
	sa.path = p
	sa.c.Counters.NATMappingsChanged.Add(1)
	if sa.established {
		sa.emit(Moved{Path: p})
	}
}

// startKeepalives begins when the SA stands, and at an initiator when a login begins, where a person may
// take longer to type than a NAT remembers: the end behind the NAT keeps the mapping open (RFC 3948
// section 4).
func (sa *SA) startKeepalives(now time.Time) {
	if sa.nat.local && sa.path.Encap {
		sa.nat.keepalive = now.Add(or(sa.p.NATKeepalive, defaultNATKeepalive))
	}
}

func (sa *SA) advanceNAT(now time.Time) {
	if sa.keepsMapping() && due(sa.nat.keepalive, now) {
		sa.nat.keepalive = now.Add(or(sa.p.NATKeepalive, defaultNATKeepalive))
		sa.emit(Keepalive{Path: sa.path})
	}
}

func (sa *SA) nextKeepalive() time.Time {
	if !sa.keepsMapping() {
		return time.Time{}
	}
	return sa.nat.keepalive
}

func (sa *SA) keepsMapping() bool {
	return sa.state == stateReady || sa.state == stateAuth && sa.hs.eap != nil
}
