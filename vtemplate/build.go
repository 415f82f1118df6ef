// Package vtemplate turns a template, what a spoke gets and what was negotiated into the whole
// specification of an interface: a hub's virtual-access or a spoke's tunnel. It is pure; making
// the interface is [dataplane.Plane.Apply].
//
// A virtual-access is numbered as on IOS ("ip unnumbered"): each carries the template's own /32 and
// /128, the same on all, and a host route to the spoke's assigned address points to it.
package vtemplate

import (
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"flexvpn/config"
	"flexvpn/dataplane"
	"flexvpn/ikev2"
	"flexvpn/ikev2/wire"
)

// A Clone is what makes one virtual-access differ from the others of its template.
type Clone struct {
	Name     string
	Decision Decision
	Path     dataplane.Path
	FrontVRF string // that the spoke's packets come in by
	Child    ikev2.Child
	Identity string // the spoke's
	Node     string // this node's name
}

// Build specifies the virtual-access of one spoke.
func Build(t *config.VirtualTemplate, c Clone) dataplane.Interface {
	spec := dataplane.Interface{
		Name:      c.Name,
		Alias:     alias(c.Node, c.Identity, t.Description),
		Mode:      c.Decision.Mode,
		MTU:       mtu(t.MTU),
		AdjustMSS: t.AdjustMSS,
		Addresses: slices.Clone(t.Addresses),
		Path:      c.Path,
		Children:  []dataplane.Child{Child(c.Child)},
		Outbound:  c.Child.SPIIn,
	}
	attach(&spec, &t.Attach)
	spec.TransportVRF = c.FrontVRF
	return spec
}

// BuildTunnel specifies a spoke's tunnel without its path, its SAs and a negotiated address, which
// come as they are known.
func BuildTunnel(t *config.Tunnel, node string) dataplane.Interface {
	mode := dataplane.GRE
	if t.Mode == "ipsec" {
		mode = dataplane.IPsec
	}
	spec := dataplane.Interface{
		Name:      t.Name,
		Alias:     alias(node, t.Name, t.Description),
		Mode:      mode,
		MTU:       mtu(t.MTU),
		AdjustMSS: t.AdjustMSS,
		Addresses: slices.Clone(t.Addresses),
	}
	attach(&spec, &t.Attach)
	return spec
}

func mtu(configured int) int {
	if configured == 0 {
		return 1400
	}
	return configured
}

// AliasPrefix begins the alias of every interface of ours.
const AliasPrefix = "flexvpn "

// maxAlias keeps well below the kernel's 255 octets (IFALIASZ).
const maxAlias = 200

// alias is what an operator reads in ip link, whose it is and for whom: "flexvpn hub1
// spoke1.branch.example.net", and the description where there is one. An identity is a peer's own text: what does not print is replaced, and
// it is cut to a length.
func alias(node, who, description string) string {
	if description != "" {
		who += ": " + description
	}
	text := AliasPrefix + node + " " + strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, who)
	if len(text) <= maxAlias {
		return text
	}
	return strings.ToValidUTF8(text[:maxAlias], "")
}

// Path is p as the data plane needs it.
func Path(p ikev2.Path) dataplane.Path {
	return dataplane.Path{Local: p.Local, Remote: p.Remote, Encap: p.Encap}
}

// Child is c as the data plane needs it.
func Child(c ikev2.Child) dataplane.Child {
	out := dataplane.Child{
		SPIIn: c.SPIIn, SPIOut: c.SPIOut,
		Encr: c.Suite.Encr, KeyBits: c.Suite.KeyBits, Integ: c.Suite.Integ, ESN: c.Suite.ESN,
		KeyIn: c.KeyIn, KeyOut: c.KeyOut, IntegIn: c.IntegIn, IntegOut: c.IntegOut,
		Transport: c.Transport, ReplayWindow: c.ReplayWindow,
	}
	if !c.Transport { // with transport mode the selectors name the outer packets
		out.Local, out.Remote = prefixes(c.TSLocal), prefixes(c.TSRemote)
	}
	return out
}

// prefixes are the addresses of the selectors. Protocol and ports of a native tunnel's selectors
// are not enforced: routes decide what travels, not the policy database of RFC 4301.
func prefixes(list []wire.Selector) []netip.Prefix {
	var all []netip.Prefix
	seen := make(map[netip.Prefix]bool)
	for _, s := range list {
		for _, p := range s.Prefixes() {
			if !seen[p] {
				seen[p] = true
				all = append(all, p)
			}
		}
	}
	return all
}

// Limits are l as the data plane needs them: a rekey is asked for when seven eighths are used, so
// that it is over before the rest is.
func Limits(l config.Lifetime) dataplane.Limits {
	return dataplane.Limits{
		SoftBytes: l.Bytes - l.Bytes/8, HardBytes: l.Bytes,
		SoftPackets: l.Packets - l.Packets/8, HardPackets: l.Packets,
	}
}
