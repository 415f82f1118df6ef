package edge

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"flexvpn/config"
)

// Lost are the packets of one interface that did not pass.
type Lost struct {
	FilterIn, FilterOut uint64 // denied by an access list
	Policed             uint64 // from the peer, above its rate
	Shaped              uint64 // to the peer, when the queue was full
}

// Lost reads those of all interfaces that have anything attached. It costs one dump of each kind,
// whatever is asked for, so that who shows many interfaces asks once.
func (p *Plane) Lost() (map[string]Lost, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]Lost{}
	for name := range p.attached {
		out[name] = Lost{}
	}
	if p.table.made {
		s := &p.table.sets
		for _, c := range []struct {
			set  *nftables.Set
			into func(*Lost) *uint64
		}{
			{s.deniedIn, func(l *Lost) *uint64 { return &l.FilterIn }},
			{s.deniedOut, func(l *Lost) *uint64 { return &l.FilterOut }},
			{s.policed, func(l *Lost) *uint64 { return &l.Policed }},
		} {
			if err := p.table.countersOf(c.set, func(name string, packets uint64) {
				if l, ok := out[name]; ok {
					*c.into(&l) = packets
					out[name] = l
				}
			}); err != nil {
				return nil, err
			}
		}
	}
	shapers, err := p.opt.Link.Shapers()
	if err != nil {
		return nil, err
	}
	for name, q := range shapers {
		if l, ok := out[name]; ok {
			l.Shaped = q.Dropped
			out[name] = l
		}
	}
	return out, nil
}

// countersOf reads the elements of a set of counters.
func (t *table) countersOf(s *nftables.Set, f func(name string, packets uint64)) error {
	c, err := t.Conn()
	if err != nil {
		return err
	}
	all, err := c.GetSetElements(s)
	if err != nil {
		t.Failed()
		return fmt.Errorf("nftables: read set %s: %w", s.Name, err)
	}
	for _, e := range all {
		if e.Counter != nil {
			f(nameOf(e.Key), e.Counter.Packets)
		}
	}
	return nil
}

// ListCounters are the packets that the entries of an access list decided over, in and out together.
type ListCounters struct {
	List    *config.AccessList
	Matches []uint64 // one for each entry, and one for what no entry fitted
}

// AccessLists reads the counters of all lists, in the order in which they were given.
func (p *Plane) AccessLists() ([]ListCounters, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []ListCounters
	for _, l := range append(slices.Clone(p.opt.Lists), p.perUser()...) {
		c := ListCounters{List: l, Matches: make([]uint64, len(l.Entries)+1)}
		for _, u := range []use{{in: true, name: l.Name}, {name: l.Name}} {
			if l.PerUser && (*u.of(&p.table.sets))[l.Name] == nil {
				continue
			}
			if err := p.table.addMatches(u.chain(), &c); err != nil {
				return nil, err
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// addMatches adds the counters of a list's chain, whose rules stand in the order in which accessList
// makes them.
func (t *table) addMatches(chain string, c *ListCounters) error {
	packets, err := t.ruleCounters(chain)
	if err != nil {
		return err
	}
	at := 0
	for i := range c.Matches {
		n := 1
		if i < len(c.List.Entries) {
			n = len(matches(&c.List.Entries[i]))
		}
		for range n {
			if at < len(packets) {
				c.Matches[i] += packets[at]
			}
			at++
		}
	}
	return nil
}

// rules are those of a chain, as the kernel has them.
func (t *table) rules(chain string) ([]*nftables.Rule, error) {
	c, err := t.Conn()
	if err != nil {
		return nil, err
	}
	rules, err := c.GetRules(t.Ref(), &nftables.Chain{Name: chain})
	if err != nil {
		t.Failed()
		return nil, fmt.Errorf("nftables: read chain %s: %w", chain, err)
	}
	return rules, nil
}

// ruleCounters are the packets that each rule of a chain counted; nothing before there is a table.
func (t *table) ruleCounters(chain string) ([]uint64, error) {
	if !t.made {
		return nil, nil
	}
	rules, err := t.rules(chain)
	if err != nil {
		return nil, err
	}
	out := make([]uint64, len(rules))
	for i, r := range rules {
		for _, e := range r.Exprs {
			if c, ok := e.(*expr.Counter); ok {
				out[i] = c.Packets
			}
		}
	}
	return out, nil
}

// EventsDropped counts events lost on the way to the inner plane's reader, which is this plane, and to ours.
func (p *Plane) EventsDropped() uint64 {
	return p.inner.EventsDropped() + p.EventQueue.EventsDropped()
}

// Drops are the inner plane's, and how many packets access lists and policers dropped.
func (p *Plane) Drops() map[string]uint64 {
	out := maps.Clone(p.inner.Drops())
	if out == nil {
		out = map[string]uint64{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for chain, reason := range map[string]string{"denied_in": "filter_in", "denied_out": "filter_out", "policed": "police"} {
		packets, err := p.table.ruleCounters(chain)
		if err == nil && len(packets) > 0 {
			out[reason] = packets[0]
		}
	}
	return out
}
