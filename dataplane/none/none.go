// Package none is a data plane that keeps what it is told and forwards nothing: the control plane
// can be measured and loaded without interfaces, keys or privileges.
package none

import (
	"sync"

	"flexvpn/dataplane"
)

// Plane remembers the names of interfaces and the SPIs of their children, and nothing else: ten
// thousands of them cost next to no memory. Its counters stand still.
type Plane struct {
	mu         sync.Mutex
	interfaces map[string][]uint32 // SPIIn of each child
	events     chan dataplane.Event
	closed     bool
}

var _ dataplane.Plane = (*Plane)(nil)

// New makes an empty plane.
func New() *Plane {
	return &Plane{interfaces: map[string][]uint32{}, events: make(chan dataplane.Event)}
}

// Apply remembers a valid interface.
func (p *Plane) Apply(spec dataplane.Interface) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return dataplane.ErrClosed
	}
	spis := p.interfaces[spec.Name][:0]
	for i := range spec.Children {
		spis = append(spis, spec.Children[i].SPIIn)
	}
	p.interfaces[spec.Name] = spis
	return nil
}

// Remove forgets an interface.
func (p *Plane) Remove(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.interfaces, name)
	return nil
}

// Counters are zero for an interface that is there.
func (p *Plane) Counters(name string) (c dataplane.Counters, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	spis, ok := p.interfaces[name]
	for _, spi := range spis {
		c.Children = append(c.Children, dataplane.ChildCounters{SPIIn: spi})
	}
	return c, ok
}

// EventsDropped is zero: there are no events.
func (p *Plane) EventsDropped() uint64 { return 0 }

// Totals are zero.
func (p *Plane) Totals() dataplane.Totals { return dataplane.Totals{} }

// Events tells nothing: nothing happens here.
func (p *Plane) Events() <-chan dataplane.Event { return p.events }

// Drops is empty: a plane that gets no packets drops none.
func (p *Plane) Drops() map[string]uint64 { return map[string]uint64{} }

// NeedsEncap is false: no packet leaves, so none needs a wrapping.
func (p *Plane) NeedsEncap() bool { return false }

// Name is none.
func (p *Plane) Name() string { return "none" }

// Close forgets everything.
func (p *Plane) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		clear(p.interfaces)
		close(p.events)
	}
	return nil
}
