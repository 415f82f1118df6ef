package opstest

import (
	"context"
	"net/netip"

	"flexvpn/ops/view"
)

// NAT implements ops.Node.
func (n *Node) NAT(context.Context) (view.NAT, error) { return n.Translated, n.Fail }

// DNS implements ops.Node.
func (n *Node) DNS() view.DNS { return n.Named }

func named() view.DNS {
	a := netip.MustParseAddr
	return view.DNS{
		Enabled: true, Cached: 12, InFlight: 1,
		Listeners: []view.DNSListener{{Interface: "eth1"}, {Interface: "eth2", Error: "serve names on eth2: address already in use"}},
		Default:   []view.DNSServer{{Address: a("9.9.9.9")}},
		Views: []view.DNSView{
			{Client: "flex1", State: "up", Tunnel: "tunnel1", DefaultDomain: "example.net", Domains: []string{"example.net", "corp.example"}, Servers: []view.DNSServer{
				{Address: a("192.168.10.5")}, {Address: a("198.51.100.53"), Problem: "outside every route of the tunnel tunnel1: the route leads to eth0"},
			}},
			{Client: "flex2", State: "away", Tunnel: "tunnel2", Domains: []string{"other.example"}, Servers: []view.DNSServer{{Address: a("2001:db8:10::53")}}},
		},
		Lists: []view.DNSList{
			{Name: "flex1", Client: "flex1", Origin: "hub", Active: true, Domains: []string{"example.net"}},
			{Name: "corp", Client: "flex1", Origin: "configured", Active: true, Domains: []string{"corp.example"}},
		},
		Counters: dnsStats(),
	}
}

func dnsStats() view.DNSStats {
	return view.DNSStats{
		Queries: map[string]uint64{"tunnel": 1200, "default": 34000},
		Answers: map[string]uint64{"server": 20000, "cache": 15000, "stale": 150, "nobody": 50},
		Drops:   map[string]uint64{"malformed": 3, "response": 0, "refused": 7, "overload": 0, "mismatch": 2},
	}
}

func translated() view.NAT {
	ap, a := netip.MustParseAddrPort, netip.MustParseAddr
	return view.NAT{
		Rules: []view.NATRule{
			{Inside: []string{"eth1"}, Outside: "tunnel1", Addresses: []netip.Addr{a("10.1.1.2")}, Translations: 1234, Bytes: 98_000},
			{Inside: []string{"eth1", "eth2"}, Outside: "eth0", Source: []netip.Prefix{prefix("172.16.1.0/24")}, Translations: 99, Bytes: 6000, Error: "eth0 is not there now: nothing leaves by it"},
		},
		Translations: []view.NATTranslation{
			{Protocol: "tcp", InsideGlobal: ap("10.1.1.2:40001"), InsideLocal: ap("172.16.1.10:40001"), OutsideLocal: ap("192.168.10.80:443"), OutsideGlobal: ap("192.168.10.80:443"), Outside: "tunnel1", Timeout: 431999},
			{Protocol: "icmp", InsideGlobal: ap("10.1.1.2:7"), InsideLocal: ap("172.16.1.11:7"), OutsideLocal: ap("192.168.10.80:7"), OutsideGlobal: ap("192.168.10.80:7"), Outside: "tunnel1", Timeout: 29},
		},
	}
}
