package config

import (
	"cmp"
	"net/netip"
	"slices"
)

// rawClient mirrors one client profile.
type rawClient struct {
	header
	peers       []rawPeer
	connect     rawConnect
	profile     given[string]
	tunnel      given[string]
	reactivate  given[bool]
	backupGroup given[int]
	inside      []given[string]
	sources     []rawSource
}

func (c *rawClient) keys() []key {
	return []key{
		{name: "peers", part: listOf(&c.peers, func(v *rawPeer) part { return object(v) }), otherwise: "the tunnel's `destination`", example: "[{sequence: 1, address: 203.0.113.1}]", doc: "Hubs, tried in the order of their sequence."},
		{name: "connect", part: &c.connect, def: "auto", example: "manual", doc: "`auto` connects at start and again whenever the connection is lost; `manual` waits for `flexvpn connect`; `{track: 10}` connects while the object is up, `{track: 10, state: down}` while it is down (dial backup)."},
		{name: "profile", part: named(&c.profile, word), required: true, example: "hubs", doc: "The IKEv2 profile to connect with."},
		{name: "tunnel", part: named(&c.tunnel, interfaceName), required: true, example: "tunnel1", doc: "The tunnel interface; one client alone may use it."},
		{name: "reactivate", part: boolean(&c.reactivate), def: "false", example: "true", doc: "Return to a better peer as soon as it is available again: the new tunnel is up before the old one is given up. `false` stays with the peer that was reached."},
		{name: "sources", part: listOf(&c.sources, func(v *rawSource) part { return object(v) }), otherwise: "what the routing table chooses", example: "[{sequence: 1, interface: eth0, track: 1}, {sequence: 2, interface: wwan0}]", doc: "Interfaces to connect from. The one with the lowest sequence among those that are up is used; when that changes, the tunnel moves."},
		{name: "backup-group", part: integer(&c.backupGroup, 0, 255), def: "0", example: "10", doc: "Clients of one group never use the same hub at once: a peer that another of them has is skipped. 0 is no group."},
		insideKey(&c.inside),
	}
}

// rawPeer mirrors one peer of a client.
type rawPeer struct {
	header
	sequence given[int]
	address  given[netip.Addr]
	fqdn     given[string]
	resolve  given[string]
	family   given[Family]
	track    rawTrackState
}

func (p *rawPeer) keys() []key {
	return []key{
		{name: "sequence", part: integer(&p.sequence, 1, 255), required: true, example: "1", doc: "Place in the order; each peer has its own."},
		{name: "address", part: unicast(&p.address), otherwise: "none", example: "203.0.113.1", doc: "Address of the hub. A peer has an address or a name."},
		{name: "fqdn", part: named(&p.fqdn, host), otherwise: "none", example: "hub2.example.net", doc: "Name of the hub."},
		{name: "resolve", part: choice(&p.resolve, "dynamic"), otherwise: "the name is resolved once, at the start", example: "dynamic", doc: "`dynamic` resolves the name again for each attempt. All addresses of an answer are tried, one an attempt."},
		{name: "family", part: choice(&p.family, FamilyIPv4, FamilyIPv6), otherwise: "both", example: "ipv6", doc: "Which addresses of the name are used."},
		{name: "track", part: object(&p.track), doc: "The peer is available only while this object is in this state; without it, always."},
	}
}

func (r *reader) clients(raw []entry[rawClient], cfg *Config) map[string]*Client {
	out := make(map[string]*Client, len(raw))
	owner := map[string]string{}
	for i := range raw {
		c, in := &raw[i].v, "client "+raw[i].name
		made := &Client{
			Name: raw[i].name, Connect: c.connect.word.v, Peers: r.peers(c.peers, in, cfg),
			Reactivate: c.reactivate.v, BackupGroup: c.backupGroup.v, Inside: r.inside(c.inside, c.tunnel.v, in),
		}
		if c.profile.ok {
			made.Profile = findProfile(cfg.IKEv2.Profiles, c.profile.v)
			if made.Profile == nil {
				r.dangling(c.profile, "profile", in, profileNames(cfg.IKEv2.Profiles))
			}
			r.eapOf(made, c.profile.at, in)
		}
		if c.tunnel.ok {
			made.Tunnel = cfg.Tunnels[c.tunnel.v]
			if made.Tunnel == nil {
				r.dangling(c.tunnel, "tunnel", in, mapKeys(cfg.Tunnels))
			} else if other, again := owner[c.tunnel.v]; again {
				r.fail(c.tunnel.at, "give each client a tunnel of its own", "tunnel %s of %s belongs to client %s already", c.tunnel.v, in, other)
			}
			owner[c.tunnel.v] = made.Name
		}
		made.Sources = r.sources(c, made.Tunnel, in, cfg)
		r.destination(made, raw[i].at, in)
		if c.connect.word.v == ConnectTrack {
			r.trackRef(c.connect.track.track, "connect of "+in, cfg.Tracks)
			made.ConnectTrack = TrackState{Number: c.connect.track.track.v, Up: c.connect.track.state.v == "up"}
		}
		out[made.Name] = made
	}
	return out
}

// destination makes a tunnel's fixed destination the client's one peer.
func (r *reader) destination(c *Client, at place, in string) {
	switch fixed := c.Tunnel != nil && c.Tunnel.Destination.IsValid(); {
	case fixed && len(c.Peers) > 0:
		r.fail(at, "remove them, or give the tunnel destination: dynamic", "the peers of %s have no meaning: its tunnel %s has the destination %s", in, c.Tunnel.Name, c.Tunnel.Destination)
	case fixed:
		c.Peers = []Peer{{Sequence: 1, Address: c.Tunnel.Destination}}
	case len(c.Peers) == 0:
		r.fail(at, "peers: [{sequence: 1, address: 203.0.113.1}]", "%s has no peers, and its tunnel no destination", in)
	}
}

func findProfile(profiles []*Profile, name string) *Profile {
	for _, p := range profiles {
		if p.Name == name {
			return p
		}
	}
	return nil
}

func profileNames(profiles []*Profile) []string {
	names := make([]string, len(profiles))
	for i, p := range profiles {
		names[i] = p.Name
	}
	return names
}

func (r *reader) peers(raw []rawPeer, in string, cfg *Config) []Peer {
	out := make([]Peer, 0, len(raw))
	sequences := map[int]place{}
	for i := range raw {
		p := &raw[i]
		if !p.seen {
			continue
		}
		if p.address.typed == p.fqdn.typed {
			r.fail(p.at, "address: IP, or fqdn: NAME", "a peer of %s must have either an address or an fqdn", in)
		}
		if p.resolve.typed && !p.fqdn.typed {
			r.fail(p.resolve.at, "remove it", "resolve in a peer of %s needs an fqdn", in)
		}
		if p.family.typed && !p.fqdn.typed {
			r.fail(p.family.at, "remove it", "family in a peer of %s needs an fqdn: an address has its own", in)
		}
		if first, again := sequences[p.sequence.v]; again && p.sequence.ok {
			r.fail(p.sequence.at, "", "sequence %d is given twice in %s (first in line %d)", p.sequence.v, in, first.line)
		} else if p.sequence.ok {
			sequences[p.sequence.v] = p.sequence.at
		}
		out = append(out, Peer{
			Sequence: p.sequence.v, Address: p.address.v, FQDN: p.fqdn.v, Dynamic: p.resolve.v == "dynamic", Family: p.family.v,
			Track: r.trackState(&p.track, "a peer of "+in, cfg),
		})
	}
	slices.SortStableFunc(out, func(a, b Peer) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return out
}

// unusedTunnels warns of tunnels that no client has.
func (r *reader) unusedTunnels(raw []entry[rawTunnel], clients map[string]*Client) {
	used := map[string]bool{}
	for _, c := range clients {
		if c.Tunnel != nil {
			used[c.Tunnel.Name] = true
		}
	}
	for i := range raw {
		if !used[raw[i].name] {
			r.warn(raw[i].at, "name it in a client, or remove it", "tunnel %s is used by no client", raw[i].name)
		}
	}
}
