package opstest

import (
	"net/netip"
	"time"

	"flexvpn/ops/view"
)

// Sample is a node that is a hub with two spokes and itself a spoke of a central hub, as it looks at
// the moment now.
func Sample(now time.Time) *Node {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	return &Node{
		Is: view.Info{
			Node: "hub1", Version: "1.2.3", Role: "hub", Plane: "userspace", PID: 4242,
			Started: ago(26 * time.Hour), UptimeSeconds: (26 * time.Hour).Seconds(),
		},
		Full: []view.Session{spoke1(ago), spoke2(ago), central(ago)},
		Refused: []view.Failed{
			{
				Time: ago(40 * time.Second), Identity: "spoke3.branch.example.net", Remote: "198.51.100.30:4500",
				Stage: "authentication", Reason: "authentication", Detail: "the peer's AUTH does not fit the pre-shared key of keyring spokes: compare the keys of both ends",
			},
			{
				Time: ago(3 * time.Hour), Remote: "[2001:db8:30::9]:500",
				Stage: "init", Reason: "no_proposal", Detail: "the peer offers only modp1024: give it group 19 or x25519",
			},
		},
		PoolList:   pools(ago),
		Given:      policies(ago),
		Interfaced: interfaces(),
		Routed:     routed(ago),
		Speakers:   speakers(ago),
		Paths:      paths(ago),
		Profiles:   clients(now),
		Tracked:    tracks(now),
		Counted:    stats(),
		Named:      named(),
		Asked:      asked(now),
		Translated: translated(),
		Addressed:  addressed(now),
	}
}

func routed(ago func(time.Duration) time.Time) []view.Route {
	return []view.Route{
		{Prefix: prefix("10.0.0.0/8"), Source: "aggregate", Session: "bgp", NextHops: []string{"discard"}, Distance: 200, Since: ago(time.Hour), Installed: true},
		{Prefix: prefix("10.1.1.2/32"), Interface: "va-1", NextHops: []string{"dev va-1"}, Source: "address", Session: "h1", Identity: "spoke1.branch.example.net", Distance: 1, Since: ago(time.Hour), Installed: true},
		{Prefix: prefix("172.16.1.0/24"), Interface: "va-1", NextHops: []string{"dev va-1"}, Source: "ikev2", Session: "h1", Identity: "spoke1.branch.example.net", Distance: 2, Since: ago(time.Hour), Installed: true, Others: []view.OtherRoute{
			{Source: "ibgp", Distance: 200, Interface: "va-1", NextHops: []string{"10.1.1.2 dev va-1"}, Session: "bgp", Identity: "10.1.1.2", Since: ago(5 * time.Minute), Why: "distance 200 against 2"},
		}},
		{Prefix: prefix("2001:db8:16:2::/64"), Interface: "va-2", NextHops: []string{"dev va-2"}, Source: "ikev2", Session: "h2", Identity: "spoke2.branch.example.net", Distance: 2, Since: ago(5 * time.Minute), Problem: "add route: permission denied"},
	}
}

func spoke1(ago func(time.Duration) time.Time) view.Session {
	heard := ago(2 * time.Second)
	return view.Session{
		ID: "h1", Role: "hub", State: "UP-ACTIVE", Identity: "spoke1.branch.example.net", Profile: "spokes",
		Local: "203.0.113.1:4500", Remote: "198.51.100.7:4500", NAT: true, Encap: true, Interface: "va-1", Mode: "ipsec",
		Addresses: addrs("10.1.1.2", "2001:db8:a::2"), Since: ago(time.Hour), LastIn: &heard,
		InBytes: 1_234_567, OutBytes: 7_654_321_000, InPackets: 9876, OutPackets: 5_432_100,
		Attributes: []view.Attribute{
			{Name: "address", Value: "10.1.1.2", Origin: "pool flexspokes"},
			{Name: "dns", Value: "192.168.10.5, 192.168.10.6", Origin: "local policy default"},
			{Name: "split-dns", Value: "example.net", Origin: "local policy default"},
		},
		Routes: []view.Route{{Prefix: prefix("172.16.1.0/24"), Interface: "va-1", Source: "ikev2", Session: "h1", Identity: "spoke1.branch.example.net", Distance: 2, Since: ago(time.Hour)}},
		DPD:    "30s/5s on-demand (profile spokes)", Version: "strongSwan 5.9.8",
		SA: &view.SA{
			Session: "h1", Role: "hub", State: "READY", Local: "203.0.113.1:4500", Remote: "198.51.100.7:4500",
			LocalID: "hub1.example.net", RemoteID: "spoke1.branch.example.net", SPILocal: "000d3669857a0f82", SPIRemote: "e0419b1db02de6ae",
			Encryption: "aes-gcm", KeyBits: 256, PRF: "sha384", Group: "x25519", LocalAuth: "psk", RemoteAuth: "psk",
			Made: ago(time.Hour), Keyed: ago(time.Hour), RekeyAt: ago(-22 * time.Hour), NATRemote: true, Fragmentation: true,
			NextSend: 6, NextReceive: 14, PeerVersion: "strongSwan 5.9.8",
			MOBIKE: true, Additional: []netip.Addr{netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("2001:db8:9::9")},
			Children: []view.Child{{
				SPIIn: "232cb82d", SPIOut: "30767b6e", Encryption: "aes-gcm", KeyBits: 256, ESN: true, Mode: "tunnel",
				Local: []string{"0.0.0.0/0"}, Remote: []string{"10.1.1.2", "172.16.1.0/24"}, Made: ago(20 * time.Minute), RekeyAt: ago(-38 * time.Minute),
				InBytes: 1_234_567, OutBytes: 7_654_321_000, InPackets: 9876, OutPackets: 5_432_100, Replayed: 3,
			}},
		},
	}
}

func spoke2(ago func(time.Duration) time.Time) view.Session {
	return view.Session{
		ID: "h2", Role: "hub", State: "UP-ACTIVE", Identity: "spoke2.branch.example.net", Profile: "spokes",
		Local: "[2001:db8::1]:500", Remote: "[2001:db8:20::2]:500", Interface: "va-2", Mode: "gre",
		Addresses: addrs("10.1.1.3"), Since: ago(5 * time.Minute),
		DPD: "30s/5s on-demand (profile spokes)", EAPMethod: "mschapv2", EAPName: "spoke2.branch.example.net",
		SA: &view.SA{
			Session: "h2", Role: "hub", State: "READY", Local: "[2001:db8::1]:500", Remote: "[2001:db8:20::2]:500",
			LocalID: "hub1.example.net", RemoteID: "spoke2.branch.example.net", SPILocal: "1111111111111111", SPIRemote: "2222222222222222",
			Encryption: "aes-cbc", KeyBits: 256, PRF: "sha512", Integrity: "sha512", Group: "ecp256", LocalAuth: "certificate", RemoteAuth: "eap",
			Made: ago(5 * time.Minute), Keyed: ago(5 * time.Minute), RekeyAt: ago(-23 * time.Hour), NextSend: 0, NextReceive: 2,
			Children: []view.Child{{
				SPIIn: "0a0b0c0d", SPIOut: "01020304", Encryption: "aes-cbc", KeyBits: 256, Integrity: "sha256", Group: "ecp256", Mode: "transport",
				Local: []string{"2001:db8::1 proto 47"}, Remote: []string{"2001:db8:20::2 proto 47"}, Made: ago(5 * time.Minute), RekeyAt: ago(-50 * time.Minute),
			}},
		},
	}
}

func central(ago func(time.Duration) time.Time) view.Session {
	heard := ago(500 * time.Millisecond)
	return view.Session{
		ID: "c1", Role: "client", State: "UP-ACTIVE", Identity: "hub.central.example.net", Profile: "central",
		Local: "203.0.113.1:500", Remote: "192.0.2.1:500", Interface: "tunnel1", Mode: "gre",
		Addresses: addrs("10.0.0.111"), Since: ago(25 * time.Hour), LastIn: &heard, InBytes: 512, InPackets: 4,
		Attributes: []view.Attribute{
			{Name: "address", Value: "10.0.0.111", Origin: "hub"},
			{Name: "dns", Value: "192.168.10.5", Origin: "hub"},
			{Name: "wins", Value: "10.10.210.10", Origin: "hub"},
			{Name: "def-domain", Value: "example.net", Origin: "hub"},
		},
		Routes: []view.Route{{Prefix: prefix("10.0.0.0/8"), Interface: "tunnel1", Source: "ikev2", Session: "c1", Distance: 2, Since: ago(25 * time.Hour)}},
		DPD:    "10s/2s periodic (profile central)",
		SA: &view.SA{
			Session: "c1", Role: "client", Initiator: true, State: "READY", Local: "203.0.113.1:500", Remote: "192.0.2.1:500",
			LocalID: "hub1.example.net", RemoteID: "hub.central.example.net", SPILocal: "3333333333333333", SPIRemote: "4444444444444444",
			Encryption: "chacha20-poly1305", PRF: "sha256", Group: "ecp384", LocalAuth: "psk", RemoteAuth: "certificate",
			Made: ago(25 * time.Hour), Keyed: ago(2 * time.Hour), RekeyAt: ago(-21 * time.Hour), NextSend: 300, NextReceive: 0,
			Children: []view.Child{},
		},
	}
}

func pools(ago func(time.Duration) time.Time) []view.Pool {
	return []view.Pool{
		{
			Name: "flexspokes", Range: "10.1.1.2-10.1.1.254", Size: 253, Used: 2, Remembered: 1,
			Leases: []view.Lease{
				{Address: netip.MustParseAddr("10.1.1.2"), Identity: "spoke1.branch.example.net", Active: true, Since: ago(time.Hour)},
				{Address: netip.MustParseAddr("10.1.1.3"), Identity: "spoke2.branch.example.net", Active: true, Since: ago(5 * time.Minute)},
				{Address: netip.MustParseAddr("10.1.1.4"), Identity: "spoke3.branch.example.net", Since: ago(80 * time.Hour)},
			},
		},
		{Name: "v6", Range: "2001:db8:a::2-2001:db8:a::ffff", Size: 65534, Used: 1, Leases: []view.Lease{
			{Address: netip.MustParseAddr("2001:db8:a::2"), Identity: "spoke1.branch.example.net", Active: true, Since: ago(time.Hour)},
		}},
	}
}

func interfaces() []view.Interface {
	return []view.Interface{
		{
			Name: "va-1", Session: "h1", Identity: "spoke1.branch.example.net", Mode: "ipsec", MTU: 1400, AdjustMSS: 1360,
			Addresses: []netip.Prefix{prefix("10.1.1.1/32")}, Local: "203.0.113.1:4500", Remote: "198.51.100.7:4500", Plane: "userspace",
			InBytes: 1_234_567, OutBytes: 7_654_321_000, InPackets: 9876, OutPackets: 5_432_100,
			VRF: "red", FrontVRF: "internet", AccessGroupIn: "from-spokes", ShapeBPS: 10_000_000, PoliceBPS: 2_500_000, DeniedIn: 17, ShapedPackets: 3,
		},
		{
			Name: "va-2", Session: "h2", Identity: "spoke2.branch.example.net", Mode: "gre", MTU: 1400,
			Addresses: []netip.Prefix{prefix("10.1.1.1/32")}, Local: "[2001:db8::1]:500", Remote: "[2001:db8:20::2]:500", Plane: "userspace",
		},
	}
}

func clients(now time.Time) []view.Client {
	next := now.Add(6 * time.Second)
	return []view.Client{
		{
			Name: "flex1", State: "ACTIVE", Peer: "192.0.2.1", Source: "203.0.113.1", SourceInterface: "eth0", Tunnel: "tunnel1",
			Connect: "auto", Reactivate: true, BackupGroup: 10,
			Addresses: addrs("10.0.0.111"), Since: now.Add(-25 * time.Hour), Session: "c1",
			Peers: []view.ClientPeer{
				{Sequence: 1, Peer: "192.0.2.1", Current: true, Track: "track 10 up", Available: true},
				{Sequence: 1, Peer: "192.0.2.11", PushedBy: "192.0.2.1", Available: true},
				{Sequence: 2, Peer: "hub2.example.net", Addresses: addrs("192.0.2.2"), Track: "track 11 up", Unavailable: "hub2.example.net waits for track 11 up"},
			},
			Pushed: []view.Attribute{
				{Name: "dns", Value: "192.168.10.5", Origin: "hub"}, {Name: "routes", Value: "10.0.0.0/8", Origin: "hub"},
			},
		},
		{
			Name: "flex2", State: "BACKOFF", Peer: "hub2.example.net", Source: "203.0.113.1", Tunnel: "tunnel2", Connect: "auto",
			Why:     "hub2.example.net does not answer on 192.0.2.2:500: is UDP 500 open on the way?",
			Attempt: 3, NextTry: &next, Since: now.Add(-2 * time.Second), LastError: "hub2.example.net does not answer on 192.0.2.2:500: is UDP 500 open on the way?",
			Peers: []view.ClientPeer{
				{Sequence: 1, Peer: "192.0.2.9", Failures: 1, Available: true},
				{Sequence: 2, Peer: "hub2.example.net", Current: true, Failures: 2, Available: true},
			},
		},
	}
}

func stats() view.Stats {
	return view.Stats{
		SessionsUp:    map[string]uint64{"hub": 2, "client": 1},
		Failovers:     map[string]uint64{"track": 2, "dead": 1, "better": 2},
		Tracks:        map[int]bool{1: true, 10: false},
		SetupsTotal:   map[string]uint64{"hub": 17, "client": 1},
		FailuresTotal: map[string]uint64{"authentication": 5, "no_proposal": 1, "timeout": 0},
		EndedTotal:    map[string]uint64{"local": 3, "peer_dead": 12},
		HalfOpen:      1,
		Logins:        3,
		Handshake: view.Histogram{
			Bounds: []float64{.005, .01, .05, .1, .5, 1, 5}, Buckets: []uint64{0, 9, 16, 17, 17, 17, 18}, Count: 18, Sum: 2.75,
		},
		InBytes: 1_235_079, OutBytes: 7_654_321_000, InPackets: 9880, OutPackets: 5_432_100,
		EAP:    []view.EAPCount{{Method: "mschapv2", Outcome: "accepted", Count: 4}, {Method: "mschapv2", Outcome: "rejected"}},
		Rekeys: map[string]uint64{"ike": 1, "child": 40},
		Moves:  map[string]uint64{"done": 3},
		IKE:    map[string]uint64{"retransmitted": 21, "bad_integrity": 0, "cookies_sent": 3},
		Drops:  map[string]uint64{"replay": 3, "no_sa": 11}, EventsDropped: 4,
		Pools:   []view.Pool{{Name: "flexspokes", Range: "10.1.1.2-10.1.1.254", Size: 253, Used: 2, Remembered: 1}, {Name: "v6", Range: "2001:db8:a::2-2001:db8:a::ffff", Size: 65534, Used: 1}},
		Clients: map[string]string{"flex1": "ACTIVE", "flex2": "BACKOFF"},
		DNS:     dnsStats(),
		DHCP:    dhcpStats(),
		NAT:     map[string]uint64{"tunnel1": 1234, "eth0": 99},
		AAA:     askedStats(),
	}
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}
