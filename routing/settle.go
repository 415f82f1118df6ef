package routing

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"

	"flexvpn/dataplane"
)

// Counters count what was done to the FIB.
type Counters struct {
	Writes  uint64 // routes written and removed
	Errors  uint64 // that the FIB refused
	Repairs uint64 // that somebody had removed
}

// Counters are the table's counters.
func (t *Table) Counters() Counters {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counters
}

// Best is what the RIB has for a prefix: the winner, or nothing when Source is empty.
type Best struct {
	VRF       string
	Prefix    netip.Prefix
	Source    string
	Interface string
	Session   string
	Identity  string
	Tag       uint32
}

// settle makes the FIB have the winner's route for d, and tells who follows d.
func (t *Table) settle(d dest) (errs []error) {
	e := t.entries[d]
	if e == nil {
		return nil
	}
	w := e.winner()
	if err := t.write(d, e, w); err != nil {
		errs = append(errs, err)
	}
	t.tell(d, e, w)
	var carries []dataplane.Hop
	if c := e.carrier(); c != nil {
		carries = e.ways(c)
	}
	moved := !slices.Equal(carries, e.carries)
	e.carries = carries
	if len(e.ranks) == 0 && !e.stands {
		delete(t.entries, d)
	}
	if moved && len(t.waiting) > 0 {
		errs = append(errs, t.again(d)...)
	}
	return errs
}

// write makes the FIB have w's route for d, or none of ours. A route is changed in place, or the new
// one added before the old one goes.
func (t *Table) write(d dest, e *entry, w *claim) error {
	e.problem = ""
	if w == nil || sourceOf(w.source).protocol == 0 {
		return t.erase(e)
	}
	r, err := t.route(d, e, w)
	if err != nil {
		e.problem = err.Error()
		return errors.Join(err, t.erase(e))
	}
	if e.stands && e.installed.Equal(r) {
		return nil
	}
	t.counters.Writes++
	if e.stands && sameSlot(e.installed, r) || t.left[slotOf(r)] {
		err = t.fib.ReplaceRoute(r)
	} else {
		err = t.fib.AddRoute(r)
	}
	if err != nil {
		return t.refused(e, r, err)
	}
	delete(t.left, slotOf(r))
	old, stood := e.installed, e.stands
	e.installed, e.stands = r, true
	if stood && !sameSlot(old, r) {
		t.counters.Writes++
		if err := t.fib.DeleteRoute(old); err != nil {
			t.counters.Errors++
			t.left[slotOf(old)] = true // Sweep finds it by its protocol number
			return routeError("remove", old, err)
		}
	}
	return nil
}

// refused notes why r does not stand. What stood before does not lead where it should any more.
func (t *Table) refused(e *entry, r dataplane.Route, err error) error {
	t.counters.Errors++
	if errors.Is(err, fs.ErrExist) {
		t.doubt = true
		err = fmt.Errorf("somebody else has a route of metric %d to it, which is left alone: %w", r.Metric, err)
	}
	err = routeError("install", r, err)
	e.problem = err.Error()
	return errors.Join(err, t.erase(e))
}

func (t *Table) erase(e *entry) error {
	if !e.stands {
		return nil
	}
	t.counters.Writes++
	if err := t.fib.DeleteRoute(e.installed); err != nil {
		t.counters.Errors++
		return routeError("remove", e.installed, err)
	}
	e.stands = false
	return nil
}

// route is what the FIB should have for d because of w.
func (t *Table) route(d dest, e *entry, w *claim) (dataplane.Route, error) {
	r := dataplane.Route{
		Prefix: d.prefix, Metric: max(int(w.distance), 1), Protocol: sourceOf(w.source).protocol,
		Source: w.from, OnLink: w.onlink, Discard: w.discard,
	}
	var err error
	if r.Table, err = t.table(d.vrf); err != nil {
		return r, err
	}
	if w.discard {
		return r, nil
	}
	return r.WithHops(e.hops(w)), nil
}

// table is the routing table of a VRF.
func (t *Table) table(vrf string) (int, error) {
	if table, ok := t.tables[vrf]; ok {
		return table, nil
	}
	table, ok, err := t.fib.VRF(vrf)
	if err == nil && !ok {
		err = fmt.Errorf("there is no VRF %s: ip link add %s type vrf table N, then ip link set %s up", vrf, vrf, vrf)
	}
	if err != nil {
		return 0, err
	}
	t.tables[vrf] = table
	return table, nil
}

// vrfOf is the VRF of a table that the RIB has routes in.
func (t *Table) vrfOf(table int) (string, bool) {
	for vrf, n := range t.tables {
		if n == table {
			return vrf, true
		}
	}
	return "", false
}

// tell tells watchers when the winner is another one.
func (t *Table) tell(d dest, e *entry, w *claim) {
	if len(t.watchers) == 0 {
		return
	}
	b := t.best(d, w)
	if e.told == nil && b.Source == "" || e.told != nil && b == *e.told {
		return
	}
	if e.told = &b; b.Source == "" {
		e.told = nil
	}
	for _, f := range t.watchers {
		f(b)
	}
}

func (t *Table) best(d dest, w *claim) Best {
	b := Best{VRF: d.vrf, Prefix: d.prefix}
	if w == nil {
		return b
	}
	b.Source, b.Identity, b.Tag = w.source, w.identity, w.tag
	b.Session = sessionOf(w.key)
	if len(w.hops) > 0 {
		b.Interface = w.hops[0].Interface
	}
	return b
}

// OnChange calls f with every winner that there is, and then with each change. f is called with the
// table locked: it must not block, nor call the table.
func (t *Table) OnChange(f func(Best)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watchers = append(t.watchers, f)
	for d, e := range t.entries {
		if b := t.best(d, e.winner()); b.Source != "" {
			e.told = &b
			f(b)
		}
	}
}

// sameSlot reports whether writing b replaces a.
func sameSlot(a, b dataplane.Route) bool {
	return a.Prefix == b.Prefix && a.Metric == b.Metric && a.Table == b.Table
}

// Sweep makes the FIB hold exactly the declared routes under our protocol numbers: what a former run
// or a failed write left behind is removed, what is missing is written. Routes of all other numbers
// are left alone. It costs one reading of all our routes.
func (t *Table) Sweep() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doubt = false
	clear(t.left)
	var standing []dataplane.Route
	for _, protocol := range Protocols {
		some, err := t.fib.Routes(protocol)
		if err != nil {
			return fmt.Errorf("read our routes: %w", err)
		}
		standing = append(standing, some...)
	}
	for _, e := range t.entries {
		e.stands = false
	}
	var strange []dataplane.Route
	var errs []error
	for _, r := range standing {
		e, want := t.wantedLike(r)
		switch {
		case e == nil || e.stands && !e.installed.Equal(want):
			strange = append(strange, r)
		default:
			e.installed, e.stands = r, true
		}
	}
	for _, r := range strange {
		t.counters.Writes++
		if err := t.fib.DeleteRoute(r); err != nil {
			t.counters.Errors++
			errs = append(errs, routeError("remove", r, err))
		}
	}
	for d := range t.entries {
		errs = append(errs, t.settle(d)...)
	}
	return problems(errs)
}

// wantedLike finds the entry whose route belongs where r stands.
func (t *Table) wantedLike(r dataplane.Route) (*entry, dataplane.Route) {
	vrf, ok := t.vrfOf(r.Table)
	if !ok {
		return nil, r
	}
	e := t.entries[dest{vrf, r.Prefix}]
	if e == nil {
		return nil, r
	}
	w := e.winner()
	if w == nil || sourceOf(w.source).protocol == 0 {
		return nil, r
	}
	want, err := t.route(dest{vrf, r.Prefix}, e, w)
	if err != nil || !sameSlot(want, r) {
		return nil, r
	}
	return e, want
}

func routeError(what string, r dataplane.Route, err error) error {
	if r.Discard {
		return fmt.Errorf("%s discard route %s: %w", what, r.Prefix, err)
	}
	return fmt.Errorf("%s route %s dev %s: %w", what, r.Prefix, r.Interface, err)
}

// maxProblems bounds an error's text when an interface is gone and all its routes fail.
const maxProblems = 8

func problems(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if n := len(errs); n > maxProblems {
		errs = append(errs[:maxProblems:maxProblems], fmt.Errorf("and %d more routes", n-maxProblems))
	}
	return errors.Join(errs...)
}
