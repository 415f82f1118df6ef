package profile

import (
	"fmt"
	"time"

	"flexvpn/dataplane"
	"flexvpn/endpoint"
	"flexvpn/ikev2"
	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
	"flexvpn/ops/view"
)

// ViewSA is what show prints of an SA; hub and client show it alike.
func ViewSA(session, role string, f ikev2.Facts) view.SA {
	v := view.SA{
		Session: session, Role: role, Initiator: f.Initiator, State: f.State,
		Local: f.Path.Local.String(), Remote: f.Path.Remote.String(),
		LocalID: IdentityText(f.Local), RemoteID: IdentityText(f.Remote),
		SPILocal: fmt.Sprintf("%016x", f.SPILocal), SPIRemote: fmt.Sprintf("%016x", f.SPIRemote),
		Encryption: suite.EncrName(f.Suite.Encr), KeyBits: int(f.Suite.KeyBits), PRF: suite.PRFName(f.Suite.PRF),
		Integrity: suite.IntegName(f.Suite.Integ), Group: suite.GroupName(f.Suite.Group),
		LocalAuth: authName(f.LocalAuth), RemoteAuth: authName(f.RemoteAuth),
		Made: f.Made, Keyed: f.Keyed, RekeyAt: f.RekeyAt, NATLocal: f.NATLocal, NATRemote: f.NATRemote,
		Fragmentation: f.Fragmentation, NextSend: f.NextSend, NextReceive: f.NextReceive, PeerVersion: f.PeerVersion,
		MOBIKE: f.MOBIKE, Additional: f.Additional, Children: []view.Child{},
	}
	for _, c := range f.Children {
		v.Children = append(v.Children, viewChild(c))
	}
	return v
}

func viewChild(c ikev2.ChildFacts) view.Child {
	mode := "tunnel"
	if c.Transport {
		mode = "transport"
	}
	return view.Child{
		SPIIn: fmt.Sprintf("%08x", c.SPIIn), SPIOut: fmt.Sprintf("%08x", c.SPIOut),
		Encryption: suite.EncrName(c.Suite.Encr), KeyBits: int(c.Suite.KeyBits), Integrity: suite.IntegName(c.Suite.Integ),
		Group: suite.GroupName(c.Suite.Group), ESN: c.Suite.ESN, Mode: mode,
		Local: selectorTexts(c.TSLocal), Remote: selectorTexts(c.TSRemote), Made: c.Made, RekeyAt: c.RekeyAt,
	}
}

func selectorTexts(list []wire.Selector) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, s.String())
	}
	return out
}

func authName(k ikev2.AuthKind) string {
	switch k {
	case ikev2.AuthPSK:
		return "psk"
	case ikev2.AuthCertificate:
		return "certificate"
	case ikev2.AuthEAP:
		return "eap"
	}
	return ""
}

// AddCounters fills the Child SAs' counters in.
func AddCounters(v *view.SA, c dataplane.Counters) {
	for i := range v.Children {
		child := &v.Children[i]
		for _, k := range c.Children {
			if child.SPIIn != fmt.Sprintf("%08x", k.SPIIn) {
				continue
			}
			child.InBytes, child.OutBytes, child.InPackets, child.OutPackets = k.InBytes, k.OutBytes, k.InPackets, k.OutPackets
			child.Replayed, child.BadIntegrity, child.Offloaded = k.Replayed, k.BadIntegrity, k.Offloaded
		}
	}
}

// ViewInterface is what show prints of a virtual-access or tunnel interface.
func ViewInterface(session, identity string, spec dataplane.Interface, plane dataplane.Plane) view.Interface {
	v := view.Interface{
		Name: spec.Name, Session: session, Identity: identity, Mode: spec.Mode.String(), MTU: spec.MTU, AdjustMSS: spec.AdjustMSS,
		Addresses: spec.Addresses, Local: spec.Path.Local.String(), Remote: spec.Path.Remote.String(), Plane: plane.Name(),
		VRF: spec.VRF, FrontVRF: spec.TransportVRF, AccessGroupIn: spec.FilterIn, AccessGroupOut: spec.FilterOut,
		ShapeBPS: spec.QoS.Shape.Bits, PoliceBPS: spec.QoS.Police.Bits,
	}
	if c, ok := plane.Counters(spec.Name); ok {
		v.InBytes, v.OutBytes, v.InPackets, v.OutPackets = c.InBytes, c.OutBytes, c.InPackets, c.OutPackets
	}
	return v
}

// Rekey begins rekeying a session: the IKE SA, or the Child SA whose inbound SPI is outbound's.
func Rekey(c *endpoint.Conn, kind view.RekeyKind, spiIn uint32) {
	c.Do(func(now time.Time, sa *ikev2.SA) {
		if kind == view.RekeyIKE {
			sa.RekeyIKE(now)
			return
		}
		sa.RekeyChild(now, spiIn)
	})
}

// OnPlaneEvent passes a data plane's event to the engine; vanished is called with the reason when the
// interface is gone.
func OnPlaneEvent(c *endpoint.Conn, e dataplane.Event, vanished func(why string)) {
	switch e.Kind {
	case dataplane.SoftExpire, dataplane.HardExpire:
		c.Do(func(now time.Time, sa *ikev2.SA) { sa.RekeyChild(now, e.SPIIn) })
	case dataplane.FirstInbound:
		c.Do(func(now time.Time, sa *ikev2.SA) { sa.PeerUses(now, e.SPIIn) })
	case dataplane.InterfaceGone:
		why := e.Why
		if why == "" {
			why = "it was removed by somebody else"
		}
		vanished("its interface " + e.Interface + " is gone: " + why)
	}
}
