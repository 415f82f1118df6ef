package pool

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrTaken is what errors.Is finds when somebody else has the address.
var ErrTaken = errors.New("the address is taken")

// Fix leases one certain address to identity until it is released: what a server assigned by itself.
// It need not be of any pool; one that is, is not given to others meanwhile.
func (p *Pools) Fix(addr netip.Addr, identity string) error {
	addr = addr.Unmap().WithZone("")
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.spans.find(addr)
	if of == nil {
		if has, taken := p.fixed[addr]; taken {
			return fmt.Errorf("%w: %s has %s", ErrTaken, has, addr)
		}
		p.fixed[addr] = identity
		return nil
	}
	l := p.leases[addr]
	switch {
	case l == nil:
		l = p.fresh(of, addr, identity)
	case l.active:
		return fmt.Errorf("%w: %s has %s of pool %s", ErrTaken, l.identity, addr, of.Name)
	default:
		of.forget(l)
		l.identity = identity
	}
	l.active, l.since = true, p.now()
	of.active++
	p.writer.touch(addr)
	return nil
}

// Of is the name of the pool that has addr, empty when none has.
func (p *Pools) Of(addr netip.Addr) string {
	if of := p.spans.find(addr.Unmap().WithZone("")); of != nil {
		return of.Name
	}
	return ""
}
