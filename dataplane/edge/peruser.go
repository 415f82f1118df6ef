package edge

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"flexvpn/config"
)

// mostLists bounds the lists of each direction that came with interfaces: every packet from a peer is
// held against the set of each until one has its interface.
const mostLists = 256

// use is a list in one direction. It is comparable.
type use struct {
	in          bool
	name, lines string // lines are empty where the list is of the configuration
}

func (e entry) uses() (out []use) {
	for _, u := range []use{{true, e.filterIn, e.linesIn}, {false, e.filterOut, e.linesOut}} {
		if u.name != "" {
			out = append(out, u)
		}
	}
	return out
}

func (u use) chain() string {
	if u.in {
		return aclIn + u.name
	}
	return aclOut + u.name
}

func (u use) hook() string {
	if u.in {
		return fromPeers
	}
	return toPeers
}

// of are the sets of the direction, by list.
func (u use) of(s *sets) *map[string]*nftables.Set {
	if u.in {
		return &s.in
	}
	return &s.out
}

// checkList says what is wrong with a list that an interface wants.
func (p *Plane) checkList(u use) error {
	if u.lines == "" {
		if !p.known[u.name] {
			return fmt.Errorf("there is no access list %s: add it to access-lists", u.name)
		}
		return nil
	}
	if p.known[u.name] {
		return fmt.Errorf("access list %s is of the configuration and cannot have other lines", u.name)
	}
	_, err := config.ParseAccessList(u.lines)
	return err
}

// lists makes the lists of e that are not there yet. They come before everything else, as those of the
// configuration do.
func (b *builder) lists(e entry) error {
	for _, u := range e.uses() {
		all := u.of(&b.sets)
		if (*all)[u.name] != nil {
			continue
		}
		if len(*all) >= mostLists {
			return fmt.Errorf("there are %d access lists already: more cannot be held against each packet; give spokes the same lines, or name a list of access-lists", len(*all))
		}
		l, err := config.ParseAccessList(u.lines)
		if err != nil {
			return err
		}
		denied, device, prefix := "denied_in", expr.MetaKeyIIFNAME, "in_"
		if !u.in {
			denied, device, prefix = "denied_out", expr.MetaKeyOIFNAME, "out_"
		}
		b.accessList(u.chain(), denied, l)
		*all = maps.Clone(*all)
		s := b.set(prefix + u.name)
		(*all)[u.name] = s
		b.conn.InsertRule(&nftables.Rule{
			Table: b.table, Chain: &nftables.Chain{Table: b.table, Name: u.hook()}, Exprs: dispatch(device, s, u.chain()),
		})
	}
	return b.err
}

// unusedList is a list with the rule that leads to it.
type unusedList struct {
	use
	set  *nftables.Set
	rule *nftables.Rule
}

// unused are the lists whose last user the interface is, once it is what next says.
func (t *table) unused(name string, now, next entry) (out []unusedList, err error) {
	for _, u := range now.uses() {
		users := t.users[u.chain()]
		set := (*u.of(&t.sets))[u.name]
		if u.lines == "" || set == nil || len(users) > 1 || !users[name] || u == next.use(u.in) {
			continue
		}
		rule, err := t.dispatchRule(u.hook(), set.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, unusedList{u, set, rule})
	}
	return out, nil
}

func (e entry) use(in bool) use {
	if in {
		return use{true, e.filterIn, e.linesIn}
	}
	return use{false, e.filterOut, e.linesOut}
}

// dispatchRule is the rule of a chain that looks a device up in a set.
func (t *table) dispatchRule(chain, set string) (*nftables.Rule, error) {
	rules, err := t.rules(chain)
	if err != nil {
		return nil, err
	}
	for _, r := range rules {
		for _, e := range r.Exprs {
			if l, ok := e.(*expr.Lookup); ok && l.SetName == set {
				return r, nil
			}
		}
	}
	return nil, fmt.Errorf("nftables: chain %s has lost its rule for set %s", chain, set)
}

// forget removes lists: the rule first, which holds on to the rest.
func (b *builder) forget(all []unusedList) {
	for _, u := range all {
		c := &nftables.Chain{Table: b.table, Name: u.chain()}
		if err := b.conn.DelRule(&nftables.Rule{Table: b.table, Chain: &nftables.Chain{Table: b.table, Name: u.hook()}, Handle: u.rule.Handle}); err != nil {
			b.err = err
		}
		b.conn.FlushChain(c)
		b.conn.DelChain(c)
		b.conn.DelSet(u.set)
	}
}

func (s *sets) forget(all []unusedList) {
	for _, u := range all {
		m := u.of(s)
		*m = maps.Clone(*m)
		delete(*m, u.name)
	}
}

// uses notes whose interface uses which lists.
func (t *table) uses(name string, now, next entry) {
	for _, u := range now.uses() {
		delete(t.users[u.chain()], name)
		if len(t.users[u.chain()]) == 0 {
			delete(t.users, u.chain())
		}
	}
	for _, u := range next.uses() {
		if u.lines == "" {
			continue
		}
		if t.users[u.chain()] == nil {
			t.users[u.chain()] = map[string]bool{}
		}
		t.users[u.chain()][name] = true
	}
}

// perUser are the lists that came with interfaces, by name.
func (p *Plane) perUser() []*config.AccessList {
	all := map[string]*config.AccessList{}
	for _, a := range p.attached {
		for _, u := range a.uses() {
			if u.lines == "" || all[u.name] != nil {
				continue
			}
			if l, err := config.ParseAccessList(u.lines); err == nil {
				l.Name = u.name
				all[u.name] = l
			}
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b *config.AccessList) int { return cmp.Compare(a.Name, b.Name) })
}
