package routing

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"flexvpn/dataplane"
)

// settleDown is how long Run waits before it sweeps when something was not as expected, so that a
// burst of surprises costs one reading of the FIB.
const settleDown = time.Second

// Run follows the machine's network until ctx ends: it learns connected prefixes, takes routes of
// interfaces that go down out, brings back those that others remove, and tries again when what was in
// the way has gone.
func (t *Table) Run(ctx context.Context, log *slog.Logger) error {
	for ctx.Err() == nil {
		if err := t.follow(ctx, log); err != nil {
			return err
		}
	}
	return nil
}

// follow follows one subscription until it breaks.
func (t *Table) follow(ctx context.Context, log *slog.Logger) error {
	t.forgetNetwork()
	events, err := t.fib.Watch(ctx.Done())
	if err != nil {
		return err
	}
	sweep := time.NewTimer(settleDown)
	defer sweep.Stop()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return nil
			}
			if err := t.Notice(e); err != nil {
				log.Warn("repair routes", "err", err)
			}
			if t.doubtful() {
				sweep.Reset(settleDown)
			}
		case <-sweep.C:
			if err := t.Sweep(); err != nil {
				log.Warn("reconcile routes", "err", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (t *Table) doubtful() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.doubt
}

// forgetNetwork forgets what earlier news said: the next subscription begins with what there is.
func (t *Table) forgetNetwork() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.down)
	clear(t.own)
	for key := range t.sets {
		if strings.HasPrefix(key, connectedKey) {
			_ = t.set(key, nil)
		}
	}
}

// Notice takes in one change of the machine's network.
func (t *Table) Notice(e dataplane.NetEvent) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e.Kind {
	case dataplane.LinkUp:
		return problems(t.link(e.Link))
	case dataplane.LinkDown:
		return problems(t.link(e.Link))
	case dataplane.AddressCame:
		return problems(t.address(e, true))
	case dataplane.AddressGone:
		return problems(append(t.address(e, false), t.confirm(e.Link)...))
	case dataplane.RouteCame:
		return problems(t.routeCame(e.Route))
	case dataplane.RouteGone:
		return problems(t.routeGone(e.Route))
	}
	return nil
}

// link looks at an interface that went up or down. What the news says may be over already: a name is
// given again, and what counts is what is.
func (t *Table) link(name string) (errs []error) {
	if _, isVRF := t.tables[name]; isVRF && name != "" {
		delete(t.tables, name) // it may come back with another table
	}
	up := t.fib.Up(name)
	was := t.down[name]
	if up {
		delete(t.down, name)
	} else {
		t.down[name] = true
		t.forgetDown()
	}
	if !up && was {
		return nil
	}
	for c := range t.through[name].all {
		errs = append(errs, t.reresolve(c)...)
	}
	if up {
		errs = append(errs, t.confirm(name)...)
	}
	return errs
}

// maxDown bounds how many interfaces without a route are remembered to be down: most are gone for ever.
const maxDown = 4096

func (t *Table) forgetDown() {
	if len(t.down) <= maxDown {
		return
	}
	for name := range t.down {
		if t.through[name].len() == 0 {
			delete(t.down, name)
		}
	}
}

// confirm writes what stands through an interface again if it is not there: the kernel removes routes
// with a link, or with its last address, without a word.
func (t *Table) confirm(name string) (errs []error) {
	for c := range t.through[name].all {
		if e := t.entries[c.dest]; e != nil && e.stands && e.winner() == c {
			errs = append(errs, t.mend(c.dest, e))
		}
	}
	return errs
}

// mend adds e's route unless something stands there.
func (t *Table) mend(d dest, e *entry) error {
	t.counters.Writes++
	err := t.fib.AddRoute(e.installed)
	switch {
	case err == nil:
		t.counters.Repairs++
		return nil
	case errors.Is(err, fs.ErrExist):
		return nil
	}
	e.stands = false
	return errors.Join(t.settle(d)...)
}

// connectedKey begins the keys of what interfaces' addresses lead to.
const connectedKey = SourceConnected + "/"

// address learns or forgets an address of an interface: the machine's own, and the prefix it is in.
func (t *Table) address(e dataplane.NetEvent, came bool) (errs []error) {
	a := e.Address.Addr().Unmap()
	if a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() {
		return nil
	}
	host := dest{e.VRF, netip.PrefixFrom(a, a.BitLen())}
	key, d := connectedKey+e.Link, dest{e.VRF, e.Address.Masked()}
	if came {
		if t.own[host] == nil {
			t.own[host] = map[string]struct{}{}
		}
		t.own[host][e.Link] = struct{}{}
		errs = t.put(&claim{key: key, dest: d, source: SourceConnected, given: []dataplane.Hop{{Interface: e.Link}}})
		return append(errs, t.again(host)...)
	}
	if delete(t.own[host], e.Link); len(t.own[host]) == 0 {
		delete(t.own, host)
	}
	if c := t.sets[key].get(d); c != nil && !t.alsoIn(key, d) {
		errs = t.drop(c)
	}
	return append(errs, t.again(host)...)
}

// alsoIn reports whether an interface has another address of ours in the same prefix.
func (t *Table) alsoIn(key string, d dest) bool {
	link := strings.TrimPrefix(key, connectedKey)
	if d.prefix.IsSingleIP() {
		return false
	}
	for host, links := range t.own {
		if _, has := links[link]; has && host.vrf == d.vrf && d.prefix.Contains(host.prefix.Addr()) {
			return true
		}
	}
	return false
}

// routeGone brings back a route of ours that somebody removed, and tries again where somebody else's
// was in the way.
func (t *Table) routeGone(r dataplane.Route) []error {
	vrf, ok := t.vrfOf(r.Table)
	if !ok {
		return nil
	}
	d := dest{vrf, r.Prefix}
	e := t.entries[d]
	switch {
	case !Ours(r.Protocol):
		errs := t.again(d)
		if e != nil && !e.stands {
			errs = append(errs, t.settle(d)...)
		}
		return errs
	case e == nil || !e.stands || !sameSlot(e.installed, r):
		return nil // our own doing
	case e.installed.Equal(r):
		return []error{t.mend(d, e)}
	case len(e.installed.More) > 0 && contains(e.installed.Hops(), r.Hops()):
		// One way of several went: the kernel tells so for IPv6.
		t.counters.Repairs++
		t.counters.Writes++
		return []error{t.fib.ReplaceRoute(e.installed)}
	}
	return nil
}

func contains(all, some []dataplane.Hop) bool {
	for _, h := range some {
		for _, o := range all {
			if h == o {
				return true
			}
		}
	}
	return false
}

// routeCame notices somebody else's route in the place of ours. It is left alone.
func (t *Table) routeCame(r dataplane.Route) []error {
	vrf, ok := t.vrfOf(r.Table)
	if !ok || Ours(r.Protocol) {
		return nil
	}
	d := dest{vrf, r.Prefix}
	if e := t.entries[d]; e != nil && e.stands && sameSlot(e.installed, r) {
		t.doubt = true // Sweep finds out whether ours is still there beside it
	}
	return t.again(d)
}
