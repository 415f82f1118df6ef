package config

import (
	"net/netip"
	"testing"
	"time"
)

func TestTracks(t *testing.T) {
	cfg := mustParse(t, "n.yaml", `node: n
ikev2:
  keyrings: {hubs: [{peer: any, pre-shared-key: {file: hub.psk}}]}
  profiles: {hubs: {authentication: {local: psk, remote: psk}, keyring: hubs}}
clients:
  c:
    peers:
      - {sequence: 1, fqdn: hub.example.net, family: ipv6, track: {object: 8}}
      - {sequence: 2, address: 192.0.2.2, track: {object: 7, state: down}}
    connect: {track: 6, state: down}
    sources: [{sequence: 1, interface: eth0, track: 5}]
    profile: hubs
    tunnel: tunnel1
tunnels: {tunnel1: {mode: gre}}
tracks:
  1: {interface: eth0, ip-routing: up, family: ipv6, delay: {up: 20s, down: 10s}}
  2: {route: {prefix: "2001:db8::/32", vrf: red}}
  3: {tcp-connect: {target: hub.example.net, port: 443, source: eth0}}
  4: {http-get: {url: "https://192.0.2.1/health", verify: false, interval: 2s, timeout: 2s, up: 1, down: 2}}
  5: {dns-query: {server: "2001:db8::53", name: hub.example.net, type: AAAA, source: "2001:db8::9"}}
  6: {list: {and: [1, {not: 2}]}}
  7: {list: {or: [3]}}
  8: {list: {threshold: {objects: [{track: 4, weight: 20}, {track: 5}], up: 30, down: 10}}}
`)
	c := cfg.Clients["c"]
	equal(t, "peers", c.Peers, []Peer{
		{Sequence: 1, FQDN: "hub.example.net", Family: FamilyIPv6, Track: TrackState{8, true}},
		{Sequence: 2, Address: netip.MustParseAddr("192.0.2.2"), Track: TrackState{7, false}},
	})
	equal(t, "connect", c.ConnectTrack, TrackState{6, false})
	equal(t, "its words", c.ConnectTrack.String(), "track 6 down")
	std := Probe{Interval: 5 * time.Second, Timeout: time.Second, Up: 3, Down: 3}
	tcp, dns := std, std
	tcp.Target, tcp.Port, tcp.Source = "hub.example.net", 443, "eth0"
	dns.Target, dns.Port, dns.Name, dns.Type, dns.Source = "2001:db8::53", 53, "hub.example.net", "AAAA", "2001:db8::9"
	equal(t, "tracks", cfg.Tracks, map[int]*Track{
		1: {Number: 1, Kind: TrackIPRouting, Interface: "eth0", Family: FamilyIPv6, DelayUp: 20 * time.Second, DelayDown: 10 * time.Second},
		2: {Number: 2, Kind: TrackRoute, Family: FamilyIPv4, Route: RouteTrack{Prefix: netip.MustParsePrefix("2001:db8::/32"), VRF: "red"}},
		3: {Number: 3, Kind: TrackTCPConnect, Family: FamilyIPv4, Probe: tcp},
		4: {Number: 4, Kind: TrackHTTPGet, Family: FamilyIPv4, Probe: Probe{Target: "https://192.0.2.1/health", Interval: 2 * time.Second, Timeout: 2 * time.Second, Up: 1, Down: 2}},
		5: {Number: 5, Kind: TrackDNSQuery, Family: FamilyIPv4, Probe: dns},
		6: {Number: 6, Kind: TrackList, Family: FamilyIPv4, List: TrackedList{Rule: ListAnd, Members: []ListMember{{Number: 1}, {Number: 2, Not: true}}}},
		7: {Number: 7, Kind: TrackList, Family: FamilyIPv4, List: TrackedList{Rule: ListOr, Members: []ListMember{{Number: 3}}}},
		8: {Number: 8, Kind: TrackList, Family: FamilyIPv4, List: TrackedList{
			Rule: ListThreshold, Up: 30, Down: 10, Members: []ListMember{{Number: 4, Weight: 20}, {Number: 5, Weight: 10}},
		}},
	})
}
