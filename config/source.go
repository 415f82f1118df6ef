package config

import (
	"cmp"
	"slices"
)

// rawTrackState is where something waits for a tracked object: {object: 10, state: up}.
type rawTrackState struct {
	header
	object given[int]
	state  given[string]
}

func (t *rawTrackState) keys() []key {
	return []key{
		{name: "object", part: integer(&t.object, 1, maxTrack), required: true, example: "10", doc: "Number of the tracked object."},
		stateKey(&t.state),
	}
}

func stateKey(into *given[string]) key {
	return key{name: "state", part: choice(into, "up", "down"), def: "up", example: "down", doc: "The state that is waited for."}
}

func (r *reader) trackState(raw *rawTrackState, in string, cfg *Config) TrackState {
	if !raw.seen {
		return TrackState{}
	}
	r.trackRef(raw.object, in, cfg.Tracks)
	return TrackState{Number: raw.object.v, Up: raw.state.v == "up"}
}

// rawConnectTrack is the track of connect.
type rawConnectTrack struct {
	header
	track given[int]
	state given[string]
}

func (c *rawConnectTrack) keys() []key {
	return []key{
		{name: "track", part: integer(&c.track, 1, maxTrack), required: true, example: "10", doc: "Number of the tracked object."},
		stateKey(&c.state),
	}
}

// rawConnect is auto, manual, or a track.
type rawConnect struct {
	word  given[string]
	track rawConnectTrack
}

func (c *rawConnect) shape() shape {
	return shape{kind: "`auto`, `manual`, or a section", keys: c.track.keys()}
}

func (c *rawConnect) absent(r *reader, at place, def string) {
	choice(&c.word, ConnectAuto, ConnectManual).absent(r, at, def)
}

func (c *rawConnect) read(r *reader, f field) {
	if _, ok := pairsOf(f.node); ok {
		c.word = given[string]{v: ConnectTrack, at: f.at, ok: true, typed: true}
		object(&c.track).read(r, f)
		return
	}
	choice(&c.word, ConnectAuto, ConnectManual).read(r, f)
}

// rawSource mirrors one source of a client.
type rawSource struct {
	header
	sequence given[int]
	iface    given[string]
	track    given[int]
}

func (s *rawSource) keys() []key {
	return []key{
		{name: "sequence", part: integer(&s.sequence, 1, 255), required: true, example: "1", doc: "Place in the order; each source has its own."},
		{name: "interface", part: named(&s.iface, deviceName), required: true, example: "eth0", doc: "Interface to connect from; the source is usable while its line protocol is up, it has an address of the peer's family, and it is in the tunnel's `front-vrf`, or in no VRF without one."},
		{name: "track", part: integer(&s.track, 1, maxTrack), otherwise: "none", example: "1", doc: "Number of a tracked object that must be up, too."},
	}
}

func (r *reader) sources(c *rawClient, tunnel *Tunnel, in string, cfg *Config) []Source {
	var out []Source
	sequences := map[int]place{}
	for i := range c.sources {
		s := &c.sources[i]
		if !s.seen {
			continue
		}
		r.trackRef(s.track, "a source of "+in, cfg.Tracks)
		if first, again := sequences[s.sequence.v]; again && s.sequence.ok {
			r.fail(s.sequence.at, "", "source sequence %d is given twice in %s (first in line %d)", s.sequence.v, in, first.line)
		} else if s.sequence.ok {
			sequences[s.sequence.v] = s.sequence.at
		}
		if tunnel != nil && s.iface.v == tunnel.Name {
			r.fail(s.iface.at, "name the interface towards the hubs", "a source of %s is its own tunnel %s", in, tunnel.Name)
		}
		out = append(out, Source{Sequence: s.sequence.v, Interface: s.iface.v, Track: s.track.v})
	}
	switch {
	case tunnel == nil:
	case (tunnel.Source.IsValid() || tunnel.SourceInterface != "") && len(out) > 0:
		r.fail(c.sources[0].at, "give tunnel "+tunnel.Name+" source: dynamic, or remove the sources", "sources of %s have no meaning: its tunnel has a fixed source", in)
	case tunnel.SourceInterface != "":
		out = []Source{{Sequence: 1, Interface: tunnel.SourceInterface}}
	}
	slices.SortStableFunc(out, func(a, b Source) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return out
}
