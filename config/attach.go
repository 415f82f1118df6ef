package config

import (
	"fmt"
	"net/netip"
)

// Attach is what a virtual-template and a tunnel say alike of where an interface belongs and what
// passes through it.
type Attach struct {
	VRF        string // of the inner packets ("vrf forwarding"); empty: the default
	FrontVRF   string // of the outer packets ("tunnel vrf"); empty: the default, or for a template any
	Unnumbered string // the interface whose addresses it shares; empty: it has its own
	FilterIn   *AccessList
	FilterOut  *AccessList
	Input      *PolicyMap // its policer
	Output     *PolicyMap // its shaper
	DF         string     // copy (default) | set | clear
}

// rawAttach mirrors those keys.
type rawAttach struct {
	vrf, frontVRF, unnumbered given[string]
	access                    rawAccessGroup
	service                   rawServicePolicy
	df                        given[string]
}

func (a *rawAttach) keys() []key {
	return []key{
		{name: "vrf", part: named(&a.vrf, interfaceName), otherwise: "the default routing domain", example: "red", doc: "VRF device that the interface becomes a port of (`vrf forwarding`). It must exist: `ip link add red type vrf table 10`."},
		{name: "front-vrf", part: named(&a.frontVRF, interfaceName), otherwise: "the default; for a template any", example: "internet", doc: "VRF in which IKE and ESP travel (`tunnel vrf`). `ikev2.listen` must have an entry with this VRF."},
		{name: "access-group", part: object(&a.access), doc: "Access lists for what passes the interface."},
		{name: "service-policy", part: object(&a.service), doc: "Policy-maps that limit what passes the interface."},
		{name: "df-bit", part: choice(&a.df, "copy", "set", "clear"), def: "copy", example: "clear", doc: "Don't Fragment bit of the outer packets (`crypto ipsec df-bit`): `copy` takes it from the inner packet, so that path MTU discovery works through the tunnel; with `clear` the network may fragment them. The userspace plane always clears it."},
		{name: "keepalive", part: never("a tunnel under IPsec has no GRE keepalives, as on IOS; set dpd in the profile"), doc: "GRE keepalives."},
	}
}

// rawAccessGroup mirrors access-group.
type rawAccessGroup struct {
	header
	in, out given[string]
}

func (a *rawAccessGroup) keys() []key {
	return []key{
		{name: "in", part: named(&a.in, listName), otherwise: "everything passes", example: "from-spokes", doc: "Access list for packets from the peer."},
		{name: "out", part: named(&a.out, listName), otherwise: "everything passes", example: "to-spokes", doc: "Access list for packets to the peer."},
	}
}

// rawServicePolicy mirrors service-policy.
type rawServicePolicy struct {
	header
	input, output given[string]
}

func (s *rawServicePolicy) keys() []key {
	return []key{
		{name: "input", part: named(&s.input, word), otherwise: "no limit", example: "silver", doc: "Policy-map whose `police` limits packets from the peer."},
		{name: "output", part: named(&s.output, word), otherwise: "no limit", example: "silver", doc: "Policy-map whose `shape` limits packets to the peer."},
	}
}

func unnumberedKey(into *given[string]) key {
	return key{name: "unnumbered", part: named(into, deviceName), otherwise: "it has an `address`", example: "eth1", doc: "Interface whose addresses this one shares (`ip unnumbered`), in place of `address`. It must have one when the process starts; `lo` is allowed."}
}

// deviceName is the rule for the name of a device that somebody else made.
func deviceName(s string) string {
	if s == "lo" {
		return ""
	}
	return interfaceName(s)
}

// attach resolves the references of in.
func (r *reader) attach(raw *rawAttach, cfg *Config, in string) Attach {
	a := Attach{VRF: raw.vrf.v, FrontVRF: raw.frontVRF.v, Unnumbered: raw.unnumbered.v, DF: raw.df.v}
	a.FilterIn = r.accessRef(raw.access.in, cfg, in)
	a.FilterOut = r.accessRef(raw.access.out, cfg, in)
	a.Input = r.policyMapRef(raw.service.input, cfg, in)
	a.Output = r.policyMapRef(raw.service.output, cfg, in)
	if a.Input != nil && a.Input.Police.Bits == 0 {
		r.fail(raw.service.input.at, "give it police: RATE", "policy-map %s is the input of %s but polices nothing", a.Input.Name, in)
	}
	if a.Output != nil && a.Output.Shape.Bits == 0 {
		r.fail(raw.service.output.at, "give it shape: RATE", "policy-map %s is the output of %s but shapes nothing", a.Output.Name, in)
	}
	r.vrfOnHost(raw.vrf, in)
	r.vrfOnHost(raw.frontVRF, in)
	return a
}

func (r *reader) accessRef(ref given[string], cfg *Config, in string) *AccessList {
	if !ref.ok {
		return nil
	}
	l := cfg.AccessLists[ref.v]
	if l == nil {
		r.dangling(ref, "access-list", in, mapKeys(cfg.AccessLists))
	}
	return l
}

func (r *reader) policyMapRef(ref given[string], cfg *Config, in string) *PolicyMap {
	if !ref.ok {
		return nil
	}
	p := cfg.PolicyMaps[ref.v]
	if p == nil {
		r.dangling(ref, "policy-map", in, mapKeys(cfg.PolicyMaps))
	}
	return p
}

// A Host answers what only the machine knows that the configuration will run on.
type Host interface {
	// VRF finds the routing table of a VRF device; ok is false when there is no such device.
	VRF(name string) (table int, ok bool, err error)
	// Addresses are those of a link.
	Addresses(link string) ([]netip.Prefix, error)
}

// OnHost checks what the configuration expects of the machine it will run on: VRFs and the interfaces
// that others are unnumbered from. Without it such names are taken as they stand.
func OnHost(h Host) Option { return func(o *options) { o.host = h } }

// vrfOnHost refuses a VRF that is not there: an interface would end up in the default routing domain.
func (r *reader) vrfOnHost(ref given[string], in string) {
	if r.host == nil || !ref.ok {
		return
	}
	_, ok, err := r.host.VRF(ref.v)
	switch {
	case err != nil:
		r.fail(ref.at, "", "%s: %v", in, err)
	case !ok:
		r.fail(ref.at, "ip link add "+ref.v+" type vrf table N; ip link set "+ref.v+" up", "%s names the VRF %s, which does not exist", in, ref.v)
	}
}

// numbering is the addresses of an interface: its own, or those it shares.
func (r *reader) numbering(own []given[netip.Prefix], from given[string], at place, in string) []netip.Prefix {
	switch {
	case !from.typed && len(own) == 0:
		r.fail(at, "address: 10.1.1.1/32, or unnumbered: INTERFACE", "%s has neither address nor unnumbered", in)
	case from.typed && len(own) > 0:
		r.fail(from.at, "remove one of them", "%s has both address and unnumbered", in)
	case from.ok && r.host != nil:
		return r.shared(from, in)
	}
	return valid(own)
}

func (r *reader) shared(from given[string], in string) []netip.Prefix {
	out, err := Shared(r.host, from.v)
	if err != nil {
		r.fail(from.at, "", "%s is %v", in, err)
	}
	return out
}

// Shared are the first addresses of each family of a link, as hosts' addresses: the network they are
// in stays where it is.
func Shared(h Host, link string) (out []netip.Prefix, err error) {
	all, err := h.Addresses(link)
	if err != nil {
		return nil, fmt.Errorf("unnumbered from %s: %w", link, err)
	}
	var four, six bool
	for _, p := range all {
		a := p.Addr().Unmap()
		seen := &four
		if a.Is6() {
			seen = &six
		}
		if *seen || a.IsLinkLocalUnicast() || a.IsLoopback() || !isUnicast(a) {
			continue
		}
		*seen = true
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("unnumbered from %s, which has no address to share: ip address add A dev %s", link, link)
	}
	return out, nil
}
