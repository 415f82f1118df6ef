package iketest

import (
	"net/netip"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
	"flexvpn/secret"
)

// Anything are selectors for every packet of both families.
func Anything() []wire.Selector {
	return []wire.Selector{
		wire.SelectorFromPrefix(netip.MustParsePrefix("0.0.0.0/0"), 0),
		wire.SelectorFromPrefix(netip.MustParsePrefix("::/0"), 0),
	}
}

// FQDN is an identity.
func FQDN(name string) ikev2.Identity { return ikev2.Identity{Type: wire.IDFQDN, Data: name} }

func pskPolicies() (spoke, hub *ikev2.Policy) {
	key := secret.FromString("the secret of this test")
	base := ikev2.Policy{
		Credential: ikev2.Credential{Kind: ikev2.AuthPSK, PSK: key},
		Trust:      ikev2.Trust{Kind: ikev2.AuthPSK, PSK: key},
		IKE:        suite.DefaultIKE(), ESP: suite.DefaultESP(),
	}
	s, h := base, base
	s.Name, s.Local, s.Expect = "hubs", FQDN("spoke1.example.net"), FQDN("hub1.example.net")
	s.TSLocal, s.TSRemote = Anything(), Anything()
	s.Config = []wire.Attribute{{Type: wire.InternalIP4Address}}
	h.Name, h.Local = "spokes", FQDN("hub1.example.net")
	return &s, &h
}

// Granted is a friendly answer: an address, and every packet.
func Granted(q ikev2.Authorize) ikev2.AuthorizeAnswer {
	return ikev2.AuthorizeAnswer{
		ID:     q.ID,
		Config: []wire.Attribute{{Type: wire.InternalIP4Address, Value: []byte{10, 1, 1, 2}}},
		TSi:    Anything(), TSr: Anything(), Transport: q.Transport,
	}
}

// Both changes the policies of both ends.
func Both(f func(*ikev2.Policy)) Option {
	return func(p *Pair) { f(p.Spoke.Policy); f(p.Hub.Policy) }
}

// Periodic has both ends probe a silent peer.
func Periodic(interval, retry time.Duration, tries int) Option {
	return Both(func(p *ikev2.Policy) {
		p.Liveness, p.LivenessInterval, p.LivenessRetry, p.LivenessTries = ikev2.LivenessPeriodic, interval, retry, tries
	})
}

// BehindNAT puts the spoke behind a NAT that gives its ports this address.
func BehindNAT(outside string) Option {
	return func(p *Pair) { p.SetNAT(outside, 20000) }
}

// SetNAT changes the NAT's mapping: address and port of the spoke from now on.
func (p *Pair) SetNAT(outside string, base uint16) {
	a := netip.MustParseAddr(outside)
	p.NAT = func(in netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a, base+in.Port()) }
}

// IPv6 moves the outer path to IPv6.
func IPv6() Option {
	return func(p *Pair) {
		p.Spoke.port = netip.MustParseAddrPort("[2001:db8:1::10]:500")
		p.Hub.port = netip.MustParseAddrPort("[2001:db8::1]:500")
	}
}
