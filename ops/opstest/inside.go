package opstest

import (
	"context"
	"net/netip"
	"time"

	"flexvpn/ops/view"
)

// NAT implements ops.Node.
func (n *Node) NAT(context.Context) (view.NAT, error) { return n.Translated, n.Fail }

// DHCP implements ops.Node.
func (n *Node) DHCP() view.DHCP { return n.Addressed }

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

func addressed(now time.Time) view.DHCP {
	a, soon, late := netip.MustParseAddr, now.Add(23*time.Hour), now.Add(-time.Hour)
	return view.DHCP{
		Counters: dhcpStats(),
		Pools: []view.DHCPPool{
			{
				Name: "lan", Interface: "eth1", Network: prefix("172.16.1.0/24"), Size: 101, Lease: 86400,
				Routers: addrs("172.16.1.1"), DNS: addrs("172.16.1.1"), WINS: addrs("10.10.210.10"), Domain: "example.net",
				Import: []view.DHCPImport{{Client: "flex1", DNS: addrs("192.168.10.5", "192.168.10.6"), WINS: addrs("10.10.210.10"), Domain: "example.net"}},
				Bindings: []view.DHCPBinding{
					{Address: a("172.16.1.50"), Hardware: "52:54:00:12:34:56", Name: "printer", State: "reserved"},
					{Address: a("172.16.1.100"), Hardware: "52:54:00:00:00:01", ClientID: "0152540000000001", Name: "pc1", Expires: &soon, State: "bound"},
					{Address: a("172.16.1.101"), Hardware: "52:54:00:00:00:02", Expires: &late, State: "expired"},
				},
				Conflicts: []view.DHCPConflict{{Address: a("172.16.1.102"), Method: "arp", Found: now.Add(-time.Minute), Until: now.Add(9 * time.Minute)}},
			},
			{Name: "lab", Interface: "eth2", Network: prefix("172.16.2.0/24"), Size: 253, Lease: 3600, Error: "eth2 has no address in 172.16.2.0/24: give it one, for example 172.16.2.1/24"},
		},
	}
}

func dhcpStats() view.DHCPStats {
	return view.DHCPStats{
		Messages: map[string]uint64{"discover": 12, "offer": 11, "request": 30, "ack": 29, "nak": 1, "decline": 0, "release": 2, "inform": 0, "other": 0},
		Drops:    map[string]uint64{"malformed": 4, "relayed": 0, "overload": 900, "exhausted": 0, "conflict": 1, "store": 0},
		Leases:   map[string]map[string]uint64{"lan": {"free": 100, "bound": 1, "offered": 0}, "lab": {"free": 253, "bound": 0, "offered": 0}},
	}
}
