package bgp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	api "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v3/pkg/apiutil"
	"github.com/osrg/gobgp/v3/pkg/packet/bgp"
	"google.golang.org/protobuf/types/known/anypb"
)

// pathIn reads a path of the library.
func pathIn(p *api.Path) (netip.Prefix, *Attributes, error) {
	var nlri api.IPAddressPrefix
	if p.Nlri == nil || p.Nlri.UnmarshalTo(&nlri) != nil {
		return netip.Prefix{}, nil, errors.New("not a prefix")
	}
	addr, err := netip.ParseAddr(nlri.Prefix)
	if err != nil {
		return netip.Prefix{}, nil, fmt.Errorf("prefix %q: %w", nlri.Prefix, err)
	}
	prefix := netip.PrefixFrom(addr, int(nlri.PrefixLen)).Masked()
	if !prefix.IsValid() || p.IsWithdraw {
		return prefix, nil, nil
	}
	list, err := apiutil.UnmarshalPathAttributes(p.Pattrs)
	if err != nil {
		return prefix, nil, fmt.Errorf("attributes of %s: %w", prefix, err)
	}
	a := &Attributes{LocalPref: defaultLocalPref}
	for _, attr := range list {
		a.read(attr)
	}
	return prefix, a, nil
}

func (a *Attributes) read(attr bgp.PathAttributeInterface) {
	switch v := attr.(type) {
	case *bgp.PathAttributeOrigin:
		a.Origin = v.Value
	case *bgp.PathAttributeAsPath:
		for _, s := range v.Value {
			a.ASPath = append(a.ASPath, Segment{Set: s.GetType() == bgp.BGP_ASPATH_ATTR_TYPE_SET, ASNs: s.GetAS()})
		}
	case *bgp.PathAttributeNextHop:
		a.NextHop = addrOf(v.Value)
	case *bgp.PathAttributeMpReachNLRI:
		a.NextHop = addrOf(v.Nexthop)
	case *bgp.PathAttributeMultiExitDisc:
		a.MED, a.HasMED = v.Value, true
	case *bgp.PathAttributeLocalPref:
		a.LocalPref = v.Value
	case *bgp.PathAttributeOriginatorId:
		a.Originator = addrOf(v.Value)
	case *bgp.PathAttributeClusterList:
		for _, ip := range v.Value {
			a.ClusterList = append(a.ClusterList, addrOf(ip))
		}
	case *bgp.PathAttributeCommunities:
		a.Communities = v.Value
	default:
		if attr.GetFlags()&bgp.BGP_ATTR_FLAG_TRANSITIVE != 0 {
			a.more = append(a.more, attr)
		}
	}
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// pathOut makes a path for the library. Its own additions are known: for iBGP it puts our cluster id
// before the CLUSTER_LIST, for eBGP our AS before the AS_PATH.
func pathOut(p netip.Prefix, a *Attributes) (*api.Path, error) {
	nlri, err := anypb.New(&api.IPAddressPrefix{Prefix: p.Addr().String(), PrefixLen: uint32(p.Bits())})
	if err != nil {
		return nil, err
	}
	family := ipv4
	if p.Addr().Is6() {
		family = ipv6
	}
	attrs, err := apiutil.MarshalPathAttributes(a.native(p))
	if err != nil {
		return nil, err
	}
	return &api.Path{Nlri: nlri, Pattrs: attrs, Family: family}, nil
}

func (a *Attributes) native(p netip.Prefix) []bgp.PathAttributeInterface {
	out := []bgp.PathAttributeInterface{bgp.NewPathAttributeOrigin(a.Origin)}
	if len(a.ASPath) > 0 {
		var segments []bgp.AsPathParamInterface
		for _, s := range a.ASPath {
			kind := uint8(bgp.BGP_ASPATH_ATTR_TYPE_SEQ)
			if s.Set {
				kind = bgp.BGP_ASPATH_ATTR_TYPE_SET
			}
			segments = append(segments, bgp.NewAs4PathParam(kind, s.ASNs))
		}
		out = append(out, bgp.NewPathAttributeAsPath(segments))
	}
	if p.Addr().Is4() && a.NextHop.Is4() {
		out = append(out, bgp.NewPathAttributeNextHop(a.NextHop.String()))
	} else {
		out = append(out, bgp.NewPathAttributeMpReachNLRI(a.NextHop.String(), []bgp.AddrPrefixInterface{nlriOf(p)}))
	}
	if a.HasMED {
		out = append(out, bgp.NewPathAttributeMultiExitDisc(a.MED))
	}
	if a.LocalPref != 0 {
		out = append(out, bgp.NewPathAttributeLocalPref(a.LocalPref))
	}
	if a.Originator.IsValid() {
		out = append(out, bgp.NewPathAttributeOriginatorId(a.Originator.String()))
	}
	if len(a.ClusterList) > 0 {
		var ids []string
		for _, id := range a.ClusterList {
			ids = append(ids, id.String())
		}
		out = append(out, bgp.NewPathAttributeClusterList(ids))
	}
	if len(a.Communities) > 0 {
		out = append(out, bgp.NewPathAttributeCommunities(a.Communities))
	}
	for _, m := range a.more {
		out = append(out, m.(bgp.PathAttributeInterface))
	}
	return out
}

func nlriOf(p netip.Prefix) bgp.AddrPrefixInterface {
	if p.Addr().Is4() {
		return bgp.NewIPAddrPrefix(uint8(p.Bits()), p.Addr().String())
	}
	return bgp.NewIPv6AddrPrefix(uint8(p.Bits()), p.Addr().String())
}

// capabilities are the names of what a neighbor can, for show.
func capabilities(list []*anypb.Any) (out []string) {
	for _, c := range list {
		m, err := c.UnmarshalNew()
		if err != nil {
			continue
		}
		switch m := m.(type) {
		case *api.MultiProtocolCapability:
			out = append(out, fmt.Sprintf("Address family %s Unicast", map[api.Family_Afi]string{api.Family_AFI_IP: "IPv4", api.Family_AFI_IP6: "IPv6"}[m.Family.GetAfi()]))
		case *api.RouteRefreshCapability:
			out = append(out, "Route refresh")
		case *api.FourOctetASNCapability:
			out = append(out, "Four-octets ASN Capability")
		case *api.GracefulRestartCapability:
			out = append(out, fmt.Sprintf("Graceful Restart Capability, restart time %ds", m.Time))
		}
	}
	return out
}
