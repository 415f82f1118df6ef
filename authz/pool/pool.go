// Package pool leases addresses to spokes so that no two live sessions ever share one, and so that
// a spoke that returns finds its former address.
//
// # Who gets which address
//
// A lease belongs to an identity. An identity that returns gets the address it released last, as
// long as that is free. A new identity gets the address it asks for if nobody ever had it, else the
// lowest address never used, else the one that was released longest ago. One identity with several
// sessions gets an address for each.
//
// # What a crash means
//
// The truth about active leases is in memory: a session lives in this process or not at all, so
// after a start none is active and all are remembered. The store only remembers who had what. It
// is written behind, by one goroutine, in batches ([Delay] after a first change), so that a session
// set-up does not wait for a disk. A crash loses at most the changes of the last batch, and with
// them only stickiness: a spoke that came in that moment may find another address after the
// restart, or its former address may count as never used. It cannot give one address to two live
// sessions, because the restarted process has no session before it leased that session's address
// itself. Addresses that were active when the process ended count as released at its next start,
// later than all others, so that strangers get them last.
//
// Leasing and releasing cost the same with a thousand leases and with a million; ranges are never
// walked, however large they are.
package pool

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"flexvpn/store"
)

// Delay is the longest time a change waits before it is written.
const Delay = 100 * time.Millisecond

// maxRemembered bounds the free addresses that one pool remembers, and with them its memory:
// identities can be invented by whoever knows a group's secret, and an IPv6 range never ends.
// Beyond it the address that was released longest ago is given again before a fresh one is.
const maxRemembered = 1 << 18

// ErrExhausted is what errors.Is finds when every address of a pool is leased.
var ErrExhausted = errors.New("no address is free")

// ErrUnknown is what errors.Is finds when no pool has the name.
var ErrUnknown = errors.New("no such pool")

// A Definition is a pool as configured: ranges of one family in the order in which they are used.
type Definition struct {
	Name   string
	Ranges []Range
}

// A Range is from First to Last inclusive, both of one family.
type Range struct{ First, Last netip.Addr }

// Pools are all pools of one node. Its methods are safe for concurrent use.
type Pools struct {
	now    func() time.Time // constant after New
	writer *writer          // constant after New

	mu     sync.Mutex
	byName map[string]*pool      // the map is constant after New
	names  []string              // in the order of definition, constant after New
	leases map[netip.Addr]*lease // guarded by mu: all, active and remembered
	spans  spans                 // constant after New
	fixed  map[netip.Addr]string // guarded by mu: who has an address outside of all pools
}

// New makes the pools of defs and reads what s remembers of them; what it remembers of addresses
// outside of all ranges is dropped. Pools must not overlap. The Pools must be closed before s is.
func New(s store.Store, defs []Definition) (*Pools, error) { return newPools(s, defs, time.Now) }

func newPools(s store.Store, defs []Definition, now func() time.Time) (*Pools, error) {
	p := &Pools{now: now, byName: make(map[string]*pool), leases: make(map[netip.Addr]*lease), fixed: map[netip.Addr]string{}}
	for _, d := range defs {
		if p.byName[d.Name] != nil {
			return nil, fmt.Errorf("pool %s is defined twice", d.Name)
		}
		p.byName[d.Name] = newPool(d)
		p.names = append(p.names, d.Name)
	}
	spans, err := spansOf(defs, p.byName)
	if err != nil {
		return nil, err
	}
	p.spans = spans
	p.writer = newWriter(s)
	if err := p.load(s, spans); err != nil {
		return nil, fmt.Errorf("read address leases: %w", err)
	}
	p.writer.start(p.encode)
	return p, nil
}

// Lease gives identity an address of the pool called name until it is released. want is the address
// the peer asks for; it may be invalid. See the package comment for who gets which.
func (p *Pools) Lease(name, identity string, want netip.Addr) (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	from := p.byName[name]
	if from == nil {
		return netip.Addr{}, fmt.Errorf("pool %s: %w", name, ErrUnknown)
	}
	l := p.choose(from, identity, want.Unmap().WithZone(""))
	if l == nil {
		return netip.Addr{}, fmt.Errorf("pool %s: %w: all %d are leased (enlarge the pool or end sessions)", name, ErrExhausted, from.active)
	}
	l.active, l.since = true, p.now()
	from.active++
	p.writer.touch(l.addr)
	return l.addr, nil
}

// choose finds the address and takes it out of all lists of free ones.
func (p *Pools) choose(from *pool, identity string, want netip.Addr) *lease {
	if l := from.former(identity, want); l != nil {
		from.forget(l)
		return l
	}
	crowded := from.free.len >= maxRemembered
	if !crowded && from.contains(want) && p.leases[want] == nil {
		return p.fresh(from, want, identity)
	}
	if !crowded {
		if addr := from.nextFresh(p.leases); addr.IsValid() {
			return p.fresh(from, addr, identity)
		}
	}
	l := from.free.front
	if l == nil {
		return nil
	}
	from.forget(l)
	l.identity = identity
	return l
}

func (p *Pools) fresh(from *pool, addr netip.Addr, identity string) *lease {
	l := &lease{addr: addr, identity: identity, pool: from}
	p.leases[addr] = l
	return l
}

// Release ends the lease of addr, which is remembered for its identity. Releasing an address that
// is not leased does nothing. It must be called once for each lease, after the last packet to the
// address was sent: the address may belong to somebody else at once.
func (p *Pools) Release(addr netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.fixed, addr)
	l := p.leases[addr]
	if l == nil || !l.active {
		return
	}
	l.active, l.since = false, p.now()
	l.pool.active--
	l.pool.remember(l)
	p.writer.touch(addr)
}

// Report has failed called, on a goroutine of Pools, whenever a batch could not be written. It is
// tried again, and leases are given meanwhile: only what a restart would remember is at stake.
func (p *Pools) Report(failed func(error)) { p.writer.report(failed) }

// Flush writes all changes made before it and returns when they are on disk.
func (p *Pools) Flush() error { return p.writer.flush() }

// Close writes what is left and ends the goroutine. Leases that are active then count as released
// at the next start. The store stays open.
func (p *Pools) Close() error { return p.writer.close() }
