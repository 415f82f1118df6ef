package config

import "testing"

func TestTheSummaryCountsWhatAFileHas(t *testing.T) {
	cfg := &Config{
		PrefixLists: map[string]*PrefixList{"a": nil, "b": nil}, StaticRoutes: make([]StaticRoute, 2), AccessLists: map[string]*AccessList{"in": nil},
		PolicyMaps: map[string]*PolicyMap{"10M": nil}, DHCPPools: make([]*DHCPPool, 1), NAT: make([]NATRule, 3), DNS: DNS{Enabled: true},
		BGP: []*BGP{{Listen: make([]BGPListen, 2), Neighbors: make([]BGPNeighbor, 1)}, {VRF: "red", Listen: make([]BGPListen, 1)}},
	}
	equal(t, "summary", cfg.Summary(), "0 profiles, 2 BGP speakers (3 listen ranges, 1 neighbor), 2 static routes, 2 prefix lists, 1 access list, 1 policy map, 1 DHCP pool, 3 NAT rules, DNS")
}
