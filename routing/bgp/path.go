package bgp

import (
	"net/netip"
	"slices"
	"time"
)

// Attributes are the path attributes of a route (RFC 4271 section 4.3).
type Attributes struct {
	Origin      uint8 // 0 IGP, 1 EGP, 2 incomplete
	ASPath      []Segment
	NextHop     netip.Addr // unspecified: this end of the session
	MED         uint32
	HasMED      bool
	LocalPref   uint32
	Originator  netip.Addr // RFC 4456 section 8
	ClusterList []netip.Addr
	Communities []uint32
	more        []any // transitive attributes that are passed on as they are
}

// Segment is a part of an AS path.
type Segment struct {
	Set  bool
	ASNs []uint32
}

// Well-known communities (RFC 1997).
const (
	noExport    = 0xffffff01
	noAdvertise = 0xffffff02
)

const defaultLocalPref = 100

// pathLength counts a set as one AS (RFC 4271 section 9.1.2.2 a).
func (a *Attributes) pathLength() (n int) {
	for _, s := range a.ASPath {
		if s.Set {
			n++
		} else {
			n += len(s.ASNs)
		}
	}
	return n
}

// neighborAS is the AS that a path came from last; 0 for this one.
func (a *Attributes) neighborAS() uint32 {
	if len(a.ASPath) == 0 || len(a.ASPath[0].ASNs) == 0 {
		return 0
	}
	return a.ASPath[0].ASNs[0]
}

func (a *Attributes) through(asn uint32) bool {
	return slices.ContainsFunc(a.ASPath, func(s Segment) bool { return slices.Contains(s.ASNs, asn) })
}

// A path is one way to a prefix in the speaker's table.
type path struct {
	prefix netip.Prefix
	from   *peer  // nil: ours
	local  string // why it is ours: network, aggregate, or the source it is redistributed from
	attrs  Attributes
	since  time.Time
}

func (p *path) internal() bool { return p.from != nil && p.from.internal }

// routerID stands for whoever brought the path into the AS.
func (p *path) routerID() netip.Addr {
	switch {
	case p.attrs.Originator.IsValid():
		return p.attrs.Originator
	case p.from != nil:
		return p.from.routerID
	}
	return netip.Addr{}
}
