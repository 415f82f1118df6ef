package edge

import (
	"errors"
	"fmt"
	"sync"

	"flexvpn/config"
	"flexvpn/dataplane"
	"flexvpn/dataplane/rtnl"
)

// Options of a Plane.
type Options struct {
	Lists []*config.AccessList // that interfaces may name
	// ClampMSS makes AdjustMSS so; a plane that touches every packet does it itself.
	ClampMSS bool
	// Owned lets the table go with the process however that ends, as this plane's devices do.
	Owned bool
	Link  *rtnl.Conn
	// Noticed is told what was found wrong in the kernel and mended; nil: nobody.
	Noticed func(what string, err error)
}

// Plane is a data plane whose interfaces have filters, rates and VRFs.
type Plane struct {
	inner dataplane.Plane
	opt   Options
	known map[string]bool // access lists
	done  chan struct{}   // closed by Close
	tasks sync.WaitGroup

	mu       sync.Mutex // guards these and what is done to the table
	table    *table
	attached map[string]attached
	closed   bool

	*dataplane.EventQueue // the inner plane's events and our own
}

// attached is what stands on one interface.
type attached struct {
	entry
	vrf    string
	shaper rtnl.Shaper
}

var _ dataplane.Plane = (*Plane)(nil)

// New decorates inner in the network namespace of the calling thread. What a crashed run left of our
// table is removed. The Plane closes inner.
func New(inner dataplane.Plane, o Options) (*Plane, error) {
	t, err := openTable(o.Lists, o.Owned)
	if err != nil {
		return nil, err
	}
	p := &Plane{
		inner: inner, opt: o, table: t, known: map[string]bool{}, done: make(chan struct{}),
		attached: map[string]attached{}, EventQueue: dataplane.NewEventQueue(),
	}
	for _, l := range o.Lists {
		p.known[l.Name] = true
	}
	if p.opt.Noticed == nil {
		p.opt.Noticed = func(string, error) {}
	}
	err = t.Remove()
	if err == nil && len(o.Lists) > 0 { // tell at the start that there is no nftables, not at the first spoke
		err = t.rebuild(nil)
	}
	if err == nil {
		err = p.watch()
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	p.tasks.Go(p.forward)
	return p, nil
}

// wanted is what spec wants attached.
func (p *Plane) wanted(spec *dataplane.Interface) (attached, error) {
	a := attached{vrf: spec.VRF, entry: entry{filterIn: spec.FilterIn, filterOut: spec.FilterOut, linesIn: spec.LinesIn, linesOut: spec.LinesOut}}
	for _, u := range a.uses() {
		if err := p.checkList(u); err != nil {
			return a, err
		}
	}
	if r := spec.QoS.Police; r.Bits != 0 {
		a.police = config.Rate{Bits: r.Bits, Burst: r.BurstOr(policeMS, spec.MTU)}
		a.police.Burst = max(a.police.Burst, second(a.police))
	}
	if r := spec.QoS.Shape; r.Bits != 0 {
		burst := r.BurstOr(shapeMS, spec.MTU)
		wait := dataplane.Rate{Bits: r.Bits}
		a.shaper = rtnl.Shaper{Bits: r.Bits, Burst: burst, Queue: burst + wait.BurstOr(queueMS, spec.MTU)}
	}
	if p.opt.ClampMSS && spec.AdjustMSS > 0 {
		a.mss4 = uint16(spec.AdjustMSS)
		if spec.AdjustMSS > ip6More {
			a.mss6 = uint16(spec.AdjustMSS - ip6More)
		}
	}
	return a, nil
}

// Bursts in milliseconds of their rate. A policer has no queue, so that it must let pass what TCP
// sends in some round trips, and nftables holds no less than a second; a shaper's bucket only has to outlast the clock's tick, and its queue is
// short enough that a voice call survives a full one.
const (
	policeMS = 1000
	shapeMS  = 10
	queueMS  = 50
	ip6More  = 20 // octets by which IPv6's header is longer than IPv4's
)

// Apply makes the interface what spec says, with all that is attached to it.
func (p *Plane) Apply(spec dataplane.Interface) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	next, err := p.wanted(&spec)
	if err != nil {
		return fmt.Errorf("interface %s: %w", spec.Name, err)
	}
	p.mu.Lock()
	now, there := p.attached[spec.Name]
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return dataplane.ErrClosed
	}
	if now == next && there {
		return p.inner.Apply(spec)
	}
	if err := p.filter(spec.Name, now, next); err != nil {
		return fmt.Errorf("interface %s: %w", spec.Name, err)
	}
	if err := p.make(&spec, now, next, there); err != nil {
		if !there {
			err = errors.Join(err, p.inner.Remove(spec.Name))
		}
		return errors.Join(err, p.filter(spec.Name, next, now))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attached[spec.Name] = next
	return nil
}

// filter makes the table's elements of an interface.
func (p *Plane) filter(name string, now, next attached) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.table.change(name, now.entry, next.entry)
	if p.table.Lost() {
		p.repair()
		err = p.table.change(name, now.entry, next.entry)
	}
	return err
}

// make makes the interface and what hangs on its device. The first error stops it; what it did to a
// device that was there before is undone.
func (p *Plane) make(spec *dataplane.Interface, now, next attached, there bool) (err error) {
	if there && now.shaper != next.shaper { // while it can still be undone alone
		if err := p.opt.Link.SetShaper(spec.Name, next.shaper); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, p.opt.Link.SetShaper(spec.Name, now.shaper))
			}
		}()
	}
	if now.vrf != next.vrf {
		if err := p.join(spec, next.vrf); err != nil {
			return err
		}
	}
	if err := p.inner.Apply(*spec); err != nil || there {
		return err
	}
	if next.shaper != (rtnl.Shaper{}) {
		return p.opt.Link.SetShaper(spec.Name, next.shaper)
	}
	return nil
}

// join makes the device, bare as long as it belongs elsewhere: a port that changes its VRF loses its
// addresses, and no packet may pass in the wrong one.
func (p *Plane) join(spec *dataplane.Interface, vrf string) error {
	bare := *spec
	bare.Addresses, bare.Children, bare.Outbound = nil, nil, 0
	if err := p.inner.Apply(bare); err != nil {
		return err
	}
	return p.opt.Link.SetVRF(spec.Name, vrf)
}

// Remove takes the interface away, then what was attached to it.
func (p *Plane) Remove(name string) error {
	err := p.inner.Remove(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	now, there := p.attached[name]
	if !there {
		return err
	}
	delete(p.attached, name)
	return errors.Join(err, p.table.change(name, now.entry, entry{}))
}

// Counters are the inner plane's.
func (p *Plane) Counters(name string) (dataplane.Counters, bool) { return p.inner.Counters(name) }

// Totals are the inner plane's.
func (p *Plane) Totals() dataplane.Totals { return p.inner.Totals() }

// NeedsEncap is the inner plane's answer.
func (p *Plane) NeedsEncap() bool { return p.inner.NeedsEncap() }

// Name is the inner plane's.
func (p *Plane) Name() string { return p.inner.Name() }

// Close removes everything, the inner plane's work first.
func (p *Plane) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	clear(p.attached)
	p.mu.Unlock()
	err := p.inner.Close()
	close(p.done)
	p.tasks.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(err, p.table.close())
}
