package dns

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"flexvpn/ops/view"
)

// totals count what happened.
type totals struct {
	mu sync.Mutex
	v  view.DNSStats
}

func (t *totals) init() {
	t.v = view.DNSStats{
		Queries: map[string]uint64{"tunnel": 0, "default": 0},
		Answers: map[string]uint64{string(fromServer): 0, string(fromCache): 0, string(fromStale): 0, string(fromNobody): 0},
		Drops:   map[string]uint64{"malformed": 0, "response": 0, "refused": 0, "overload": 0, "mismatch": 0},
	}
}

func (t *totals) drop(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.v.Drops[reason]++
}

func (t *totals) answered(tunnel bool, from origin) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tunnel {
		t.v.Queries["tunnel"]++
	} else {
		t.v.Queries["default"]++
	}
	t.v.Answers[string(from)]++
}

// Stats are the counters.
func (p *Proxy) Stats() view.DNSStats {
	p.totals.mu.Lock()
	defer p.totals.mu.Unlock()
	v := p.totals.v
	return view.DNSStats{Queries: maps.Clone(v.Queries), Answers: maps.Clone(v.Answers), Drops: maps.Clone(v.Drops)}
}

// View is what show prints.
func (p *Proxy) View() view.DNS {
	v := view.DNS{Enabled: true, Cached: p.cache.len(), InFlight: p.limits.inFlight(), Counters: p.Stats()}
	for _, a := range p.cfg.Default() {
		v.Default = append(v.Default, p.viewServer(server{addr: a}))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(p.listeners)) {
		l := view.DNSListener{Interface: name}
		if err := p.listeners[name].err; err != nil {
			l.Error = err.Error()
		}
		v.Listeners = append(v.Listeners, l)
	}
	t := p.table.Load()
	for _, tv := range t.views {
		v.Views = append(v.Views, p.viewOf(tv))
		if pushed := tv.names(""); len(pushed) > 0 {
			v.Lists = append(v.Lists, view.DNSList{Name: tv.client, Client: tv.client, Origin: "hub", Active: !tv.away, Domains: pushed})
		}
	}
	for _, l := range p.cfg.Lists {
		_, up := p.tunnels[l.Client]
		v.Lists = append(v.Lists, view.DNSList{Name: l.Name, Client: l.Client, Origin: "configured", Active: up, Domains: l.Domains})
	}
	return v
}

func (p *Proxy) viewOf(tv *tableView) view.DNSView {
	v := view.DNSView{
		Client: tv.client, State: "up", Tunnel: tv.device, Inside: tv.inside, DefaultDomain: strings.TrimSuffix(tv.suffix, "."),
	}
	if tv.away {
		v.State = "away"
	}
	for _, s := range tv.servers {
		v.Servers = append(v.Servers, p.viewServer(s))
	}
	for _, d := range tv.domains {
		v.Domains = append(v.Domains, strings.TrimSuffix(d.name, "."))
	}
	return v
}

// viewServer says of a server of a tunnel whether a route leads to it, before anybody asks it.
func (p *Proxy) viewServer(s server) view.DNSServer {
	v := view.DNSServer{Address: s.addr, Problem: p.health.reason(s)}
	if err := p.routed(s); err != nil {
		v.Problem = err.Error()
	}
	return v
}

// names are the view's domains of one list; the empty name is what the hub pushed.
func (v *tableView) names(list string) (out []string) {
	for _, d := range v.domains {
		if d.list == list {
			out = append(out, strings.TrimSuffix(d.name, "."))
		}
	}
	return out
}
