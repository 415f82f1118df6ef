package config

import (
	"net/netip"

	"github.com/goccy/go-yaml/ast"
)

// rawListen is an address, or one in a VRF.
type rawListen struct {
	header
	address given[netip.Addr]
	vrf     given[string]
}

func (l *rawListen) keys() []key {
	return []key{
		{name: "address", part: address(&l.address), required: true, example: "0.0.0.0", doc: "Address of this host."},
		{name: "vrf", part: named(&l.vrf, interfaceName), required: true, example: "internet", doc: "VRF that the address is in."},
	}
}

func (l *rawListen) shape() shape { return shape{kind: "IP address, or a mapping of address and vrf"} }

func (l *rawListen) absent(r *reader, at place, def string) { address(&l.address).absent(r, at, def) }

func (l *rawListen) read(r *reader, f field) {
	switch f.node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		object(l).read(r, f)
	default:
		address(&l.address).read(r, f)
	}
}

func listenIn(raw []rawListen) (out []netip.Addr) {
	for _, l := range raw {
		if l.address.ok && !l.vrf.typed {
			out = append(out, l.address.v)
		}
	}
	return out
}

func listenInVRFs(raw []rawListen) map[string][]netip.Addr {
	var out map[string][]netip.Addr
	for _, l := range raw {
		if l.address.ok && l.vrf.ok {
			if out == nil {
				out = map[string][]netip.Addr{}
			}
			out[l.vrf.v] = append(out[l.vrf.v], l.address.v)
		}
	}
	return out
}

// frontVRFs holds that IKE listens in every front-door VRF, and that those it listens in are there.
func (r *reader) frontVRFs(raw *rawConfig, cfg *Config) {
	for _, l := range raw.ikev2.listen {
		r.vrfOnHost(l.vrf, "ikev2.listen")
	}
	check := func(ref given[string], in string) {
		if _, ok := cfg.IKEv2.ListenVRF[ref.v]; ref.ok && !ok {
			r.fail(ref.at, "add {address: 0.0.0.0, vrf: "+ref.v+"} to ikev2.listen", "nothing of ikev2.listen is in the front-vrf %s of %s", ref.v, in)
		}
	}
	for i := range raw.templates {
		check(raw.templates[i].v.attach.frontVRF, "virtual-template "+raw.templates[i].name)
	}
	for i := range raw.tunnels {
		check(raw.tunnels[i].v.attach.frontVRF, "tunnel "+raw.tunnels[i].name)
	}
}
