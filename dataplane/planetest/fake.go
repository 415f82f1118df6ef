// Package planetest is for tests of data planes and of rooms that drive one: a fake plane that prints
// its whole state, a slow and plain ESP end to judge packets by, and the suite that every plane must
// pass.
package planetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"flexvpn/dataplane"
)

// Fake is a plane that only remembers what it was told. It is safe for concurrent use.
type Fake struct {
	mu         sync.Mutex
	interfaces map[string]dataplane.Interface
	counters   map[string]dataplane.Counters
	fail       error
	encap      bool
	closed     bool
	events     chan dataplane.Event
	dropped    uint64
}

var _ dataplane.Plane = (*Fake)(nil)

// NewFake makes an empty fake.
func NewFake() *Fake {
	return &Fake{
		interfaces: map[string]dataplane.Interface{}, counters: map[string]dataplane.Counters{},
		events: make(chan dataplane.Event, 64),
	}
}

// String is the whole state, sorted, without keys.
func (f *Fake) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(f.interfaces)) {
		spec := f.interfaces[name]
		fmt.Fprintf(&b, "interface %s %q mode %s mtu %d mss %d\n", name, spec.Alias, spec.Mode, spec.MTU, spec.AdjustMSS)
		for _, a := range sorted(spec.Addresses) {
			fmt.Fprintf(&b, "  address %s\n", a)
		}
		writeTemplate(&b, &spec)
		fmt.Fprintf(&b, "  path %s - %s encap %v\n", spec.Path.Local, spec.Path.Remote, spec.Path.Encap)
		children := slices.Clone(spec.Children)
		slices.SortFunc(children, func(x, y dataplane.Child) int { return int(int64(x.SPIIn) - int64(y.SPIIn)) })
		for i := range children {
			writeChild(&b, &children[i], spec.Outbound)
		}
	}
	return b.String()
}

// writeTemplate prints what a template may say and most do not.
func writeTemplate(b *strings.Builder, spec *dataplane.Interface) {
	for _, f := range []struct {
		set  bool
		text string
	}{
		{spec.VRF != "", "vrf " + spec.VRF},
		{spec.TransportVRF != "", "transport vrf " + spec.TransportVRF},
		{spec.FilterIn != "", "filter in " + spec.FilterIn},
		{spec.FilterOut != "", "filter out " + spec.FilterOut},
		{spec.QoS.Shape.Bits != 0, fmt.Sprintf("shape %d bit/s burst %d", spec.QoS.Shape.Bits, spec.QoS.Shape.Burst)},
		{spec.QoS.Police.Bits != 0, fmt.Sprintf("police %d bit/s burst %d", spec.QoS.Police.Bits, spec.QoS.Police.Burst)},
		{spec.DF != dataplane.DFCopy, "df " + spec.DF.String()},
	} {
		if f.set {
			fmt.Fprintf(b, "  %s\n", f.text)
		}
	}
}

func writeChild(b *strings.Builder, c *dataplane.Child, outbound uint32) {
	fmt.Fprintf(b, "  child in %08x out %08x encr %d/%d integ %d", c.SPIIn, c.SPIOut, c.Encr, c.KeyBits, c.Integ)
	for _, f := range []struct {
		set  bool
		word string
	}{{c.Transport, " transport"}, {c.ESN, " esn"}, {c.SPIIn == outbound, " outbound"}} {
		if f.set {
			b.WriteString(f.word)
		}
	}
	fmt.Fprintf(b, "\n    local %v remote %v\n", sorted(c.Local), sorted(c.Remote))
	if c.Limits != (dataplane.Limits{}) {
		fmt.Fprintf(b, "    limits %+v\n", c.Limits)
	}
	if c.Path != (dataplane.Path{}) {
		fmt.Fprintf(b, "    path %s - %s encap %v\n", c.Path.Local, c.Path.Remote, c.Path.Encap)
	}
}

func sorted[T fmt.Stringer](list []T) []T {
	return slices.SortedFunc(slices.Values(list), func(x, y T) int { return strings.Compare(x.String(), y.String()) })
}

// Lose counts n events as dropped.
func (f *Fake) Lose(n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropped += n
}

// EventsDropped implements dataplane.Plane.
func (f *Fake) EventsDropped() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dropped
}

// Interface is what was applied last.
func (f *Fake) Interface(name string) (spec dataplane.Interface, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	spec, ok = f.interfaces[name]
	return spec, ok
}

// Fail makes the next Apply return err.
func (f *Fake) Fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

// SetCounters is what Counters will say of an interface that is there.
func (f *Fake) SetCounters(name string, c dataplane.Counters) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counters[name] = c
}

// SetNeedsEncap is what NeedsEncap will say.
func (f *Fake) SetNeedsEncap(encap bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.encap = encap
}

// Tell emits an event.
func (f *Fake) Tell(e dataplane.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return dataplane.ErrClosed
	}
	select {
	case f.events <- e:
		return nil
	default:
		return errors.New("nobody reads the events")
	}
}

// Apply remembers spec.
func (f *Fake) Apply(spec dataplane.Interface) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return dataplane.ErrClosed
	}
	if err := f.fail; err != nil {
		f.fail = nil
		return err
	}
	if err := spec.Validate(); err != nil {
		return err
	}
	spec.Addresses, spec.Children = slices.Clone(spec.Addresses), slices.Clone(spec.Children)
	f.interfaces[spec.Name] = spec
	return nil
}

// Remove forgets an interface.
func (f *Fake) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.interfaces, name)
	delete(f.counters, name)
	return nil
}

// Totals add up what SetCounters gave to the interfaces that stand.
func (f *Fake) Totals() (t dataplane.Totals) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.counters {
		t.InPackets += c.InPackets
		t.InBytes += c.InBytes
		t.OutPackets += c.OutPackets
		t.OutBytes += c.OutBytes
	}
	return t
}

// Counters are those of SetCounters, with a zero row for every child that has none.
func (f *Fake) Counters(name string) (c dataplane.Counters, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	spec, ok := f.interfaces[name]
	if !ok {
		return c, false
	}
	c = f.counters[name]
	c.Children = slices.Clone(c.Children)
	for i := range spec.Children {
		spi := spec.Children[i].SPIIn
		if !slices.ContainsFunc(c.Children, func(x dataplane.ChildCounters) bool { return x.SPIIn == spi }) {
			c.Children = append(c.Children, dataplane.ChildCounters{SPIIn: spi})
		}
	}
	return c, true
}

// Events are those of Tell.
func (f *Fake) Events() <-chan dataplane.Event { return f.events }

// Drops is empty.
func (f *Fake) Drops() map[string]uint64 { return map[string]uint64{} }

// NeedsEncap is false unless set.
func (f *Fake) NeedsEncap() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.encap
}

// Name is fake.
func (f *Fake) Name() string { return "fake" }

// Close forgets everything.
func (f *Fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		clear(f.interfaces)
		close(f.events)
	}
	return nil
}
