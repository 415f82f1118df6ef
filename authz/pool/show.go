package pool

import (
	"slices"

	"flexvpn/ops/view"
)

// Usage tells how full each pool is, in the order of definition. Its cost does not depend on the
// number of leases.
func (p *Pools) Usage() []view.Pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]view.Pool, 0, len(p.names))
	for _, name := range p.names {
		of := p.byName[name]
		all = append(all, view.Pool{
			Name: name, Range: text(of.Ranges), Size: of.size,
			Used: of.active, Remembered: uint64(of.free.len),
		})
	}
	return all
}

// Leases lists the pool called name by address: who has or had what. It is nil for an unknown pool.
func (p *Pools) Leases(name string) []view.Lease {
	p.mu.Lock()
	of := p.byName[name]
	if of == nil {
		p.mu.Unlock()
		return nil
	}
	all := make([]view.Lease, 0, int(of.active)+of.free.len)
	for _, l := range p.leases {
		if l.pool == of {
			all = append(all, view.Lease{Address: l.addr, Identity: l.identity, Active: l.active, Since: l.since})
		}
	}
	p.mu.Unlock()
	slices.SortFunc(all, func(a, b view.Lease) int { return a.Address.Compare(b.Address) })
	return all
}
