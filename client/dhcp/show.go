package dhcp

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"flexvpn/ops/view"
)

type totals struct {
	mu       sync.Mutex
	messages map[string]uint64
	drops    map[string]uint64
}

func (t *totals) init() {
	t.messages = map[string]uint64{"discover": 0, "offer": 0, "request": 0, "ack": 0, "nak": 0, "decline": 0, "release": 0, "inform": 0, "other": 0}
	t.drops = map[string]uint64{"malformed": 0, "relayed": 0, "overload": 0, "exhausted": 0, "conflict": 0, "store": 0}
}

func (t *totals) drop(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drops[reason]++
}

// count keeps to the closed set of names: the type is a host's octet.
func (t *totals) count(kind dhcpv4.MessageType) {
	name := strings.ToLower(kind.String())
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.messages[name]; !known {
		name = "other"
	}
	t.messages[name]++
}

// Stats are the counters.
func (s *Server) Stats() view.DHCPStats {
	s.totals.mu.Lock()
	v := view.DHCPStats{Messages: maps.Clone(s.totals.messages), Drops: maps.Clone(s.totals.drops), Leases: map[string]map[string]uint64{}}
	s.totals.mu.Unlock()
	now := time.Now()
	for _, p := range s.pools {
		by := map[string]uint64{"free": 0, "bound": 0, "offered": 0}
		p.mu.Lock()
		for _, l := range p.book.leases {
			if l.live(now) {
				by[l.state(now)]++
			}
		}
		by["free"] = uint64(max(0, p.book.size-int(by["bound"]+by["offered"])))
		p.mu.Unlock()
		v.Leases[p.pool.Name] = by
	}
	return v
}

func (l *lease) state(now time.Time) string {
	switch {
	case !l.live(now):
		return "expired"
	case l.offered:
		return "offered"
	}
	return "bound"
}

func (p *server) view(now time.Time) view.DHCPPool {
	s := p.settings()
	p.mu.Lock()
	defer p.mu.Unlock()
	v := view.DHCPPool{
		Name: p.pool.Name, Interface: p.pool.Interface, Network: p.pool.Network, Size: p.book.size, Lease: p.pool.Lease.Seconds(),
		Routers: s.routers, DNS: s.dns, WINS: s.wins, Domain: s.domain, Import: p.viewImports(),
	}
	if p.err != nil {
		v.Error = p.err.Error()
	}
	for _, l := range p.book.sorted() {
		expires := l.expires
		b := view.DHCPBinding{Address: l.address, Hardware: l.hardware.String(), ClientID: hexText(l.clientID), Name: l.name, State: l.state(now), Expires: &expires}
		v.Bindings = append(v.Bindings, b)
	}
	for _, h := range p.pool.Hosts {
		if p.book.leases[h.Address] == nil {
			v.Bindings = append(v.Bindings, view.DHCPBinding{Address: h.Address, Hardware: h.Hardware, Name: h.Name, State: "reserved"})
		}
	}
	for a, c := range p.book.conflicts {
		if until := c.found.Add(conflictLife); now.Before(until) {
			v.Conflicts = append(v.Conflicts, view.DHCPConflict{Address: a, Method: c.method, Found: c.found, Until: until})
		}
	}
	slices.SortFunc(v.Conflicts, func(a, b view.DHCPConflict) int { return a.Address.Compare(b.Address) })
	return v
}

// viewImports are what hubs pushed and the pool takes, even where the pool's own settings go first.
func (p *server) viewImports() (out []view.DHCPImport) {
	for _, i := range p.imported() {
		v := view.DHCPImport{Client: i.Client}
		if p.pool.ImportDNS {
			v.DNS = join4(nil, i.DNS)
		}
		if p.pool.ImportWINS {
			v.WINS = join4(nil, i.WINS)
		}
		if p.pool.ImportDomain {
			v.Domain = i.Domain
		}
		if len(v.DNS) > 0 || len(v.WINS) > 0 || v.Domain != "" {
			out = append(out, v)
		}
	}
	return out
}
