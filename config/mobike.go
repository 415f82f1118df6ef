package config

import "net/netip"

// Mobility is how a profile's sessions change their addresses (MOBIKE, RFC 4555).
type Mobility struct {
	Enabled bool           // default true
	Check   bool           // default true: a new address is proven before traffic goes there
	MoveTo  []netip.Prefix // where peers may move to; empty: anywhere
	NAT     bool           // default true: NAT traversal
}

// rawMobility are the keys of a profile that have to do with it.
type rawMobility struct {
	mobike, check, nat given[bool]
	moveTo             []given[netip.Prefix]
}

func (m *rawMobility) keys() []key {
	return []key{
		{name: "mobike", part: boolean(&m.mobike), def: "true", example: "false", doc: "Sessions move to other addresses without being set up again (MOBIKE, RFC 4555), when the peer can too. It is the initiator of a session that moves it."},
		{name: "return-routability", part: boolean(&m.check), otherwise: "true", example: "false", doc: "A peer must prove that it receives at an address it moves to before traffic is sent there (RFC 4555 section 3.7). `false` spares a move one round trip, and lets an authenticated peer direct its traffic at another host. Only with `mobike`."},
		{name: "move-to", part: oneOrListOf(&m.moveTo, network), otherwise: "anywhere", example: "[192.0.2.0/24, 2001:db8::/32]", doc: "Where peers may move to; elsewhere is refused with UNACCEPTABLE_ADDRESSES. Only with `mobike`."},
		{name: "nat-traversal", part: boolean(&m.nat), def: "true", example: "false", doc: "`false`: clients offer no NAT traversal, and a peer that finds a NAT on the way refuses it (NO_NATS_ALLOWED, RFC 4555 section 3.9). The data plane must have ESP without UDP: not `dataplane: userspace`."},
	}
}

// mobility checks that no key stands there without effect.
func (r *reader) mobility(raw *rawMobility, cfg *Config, in string) Mobility {
	m := Mobility{Enabled: raw.mobike.v, Check: raw.check.v || !raw.check.typed, NAT: raw.nat.v}
	for _, p := range raw.moveTo {
		if p.ok {
			m.MoveTo = append(m.MoveTo, p.v)
		}
	}
	if raw.mobike.ok && !raw.mobike.v {
		if raw.check.typed {
			r.fail(raw.check.at, "remove it, or mobike: true", "return-routability in %s acts only with mobike", in)
		}
		if len(raw.moveTo) > 0 {
			r.fail(raw.moveTo[0].at, "remove it, or mobike: true", "move-to in %s acts only with mobike", in)
		}
	}
	if raw.nat.ok && !raw.nat.v && cfg.DataPlane == PlaneUserspace {
		r.fail(raw.nat.at, "dataplane: kernel", "nat-traversal: false in %s needs ESP without UDP, which dataplane: userspace does not have", in)
	}
	return m
}

// reachableAt checks ikev2.addresses against ikev2.listen: what is not listened on reaches nobody.
func (r *reader) reachableAt(raw []given[netip.Addr], listen []netip.Addr) (out []netip.Addr) {
	listens := func(a netip.Addr) bool {
		for _, l := range listen {
			if l == a || l.IsUnspecified() && l.Is4() == a.Is4() {
				return true
			}
		}
		return len(listen) == 0
	}
	for _, a := range raw {
		switch {
		case !a.ok:
		case !listens(a.v):
			r.fail(a.at, "add it to ikev2.listen", "peers cannot reach this node at %s: ikev2.listen does not have it", a.v)
		default:
			out = append(out, a.v)
		}
	}
	if len(raw) > 0 {
		return out
	}
	for _, l := range listen {
		if !l.IsUnspecified() {
			out = append(out, l)
		}
	}
	return out
}
