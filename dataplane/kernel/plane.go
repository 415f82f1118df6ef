// Package kernel is the data plane that a headend runs: the kernel's own ESP, one XFRM interface for
// a native spoke, one GRE device for another. Packets never pass through this process.
//
// # What stands for one spoke
//
// Mode ipsec: an XFRM interface with an if_id of its own; a pair of tunnel-mode states for each child;
// policies that carry the if_id, out, in and forward for each pair of selectors. The selectors of a
// state are open (XFRM_STATE_AF_UNSPEC), so that both families pass one pair.
//
// Mode gre: a GRE device between two invented IPv4 addresses, L for us and V for the spoke; a pair
// of BEET-mode states whose inner addresses these are; two policies for protocol 47. BEET is
// transport mode on the wire (no IP options are sent), but here it gives every spoke an address of its
// own: spokes behind one NAT, outer addresses that move, and IPv6 outside are all the same to GRE.
//
// Mode gre with SAs in tunnel mode: a GRE device between the two addresses that the selectors name, a
// pair of tunnel-mode states, two policies for protocol 47. The addresses are in the packets, so that
// nothing can be invented here.
//
// Which child sends is the SPI in the template of the outgoing policies, with the addresses of that
// child's path. So a switch is one message, also from one hub to another, and a state that does not send
// keeps its sequence numbers, which must never begin again under a key. The other policies name no
// outer addresses: whatever came by a state of this interface may come in.
//
// # Marks
//
// Everything of ours can be told from others' after a crash: request identifiers and if_ids of
// states and policies begin with a tag of the node, links have the node's alias, routes the protocol
// number. [Plane] numbers its interfaces: number n has if_id and request identifier tag|n and the n-th
// address of the range.
package kernel

import (
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/nlmsg"
	"flexvpn/dataplane/kernel/xfrm"
)

// Options of a Plane.
type Options struct {
	Node string // whose objects these are
	// Alias begins the alias of every link that is this node's.
	Alias string
	// Range is where the invented addresses of GRE come from; the zero value is [DefaultRange].
	Range      netip.Prefix
	OutputMark uint32 // on packets that leave encrypted; 0: none
	Offload    bool   // ask the device below for the cryptography
	Log        *slog.Logger
}

// DefaultRange is in the block that the Internet never used (RFC 1112 section 4): no route of a real
// network is met there.
var DefaultRange = netip.MustParsePrefix("240.0.0.0/12")

// Plane makes interfaces in the network namespace in which it was made.
type Plane struct {
	opt     Options
	tag     uint32 // high bits of all identifiers
	rtnl    *nlmsg.Conn
	reaper  *nlmsg.Conn // deletes links, which takes long
	xfrm    *nlmsg.Conn
	watches []*nlmsg.Watch
	stats   *os.File          // /proc/net/xfrm_stat of the namespace
	zero    map[string]uint64 // what stood in it at the start
	dir     bool              // states have a direction: Linux 6.10
	linger  time.Duration     // of states that were replaced
	others  map[uint32]bool   // numbers that somebody else's devices had at the start
	tasks   sync.WaitGroup
	done    chan struct{}
	changed chan struct{} // somebody else changed states or policies, or news were lost

	mu       sync.Mutex // guards these
	byName   map[string]*device
	byNumber map[uint32]*device
	spis     map[uint32]*device // by SPIIn
	greEnds  map[ends]*device   // GRE in tunnel mode
	told     map[uint32]bool    // devices below of which was said whether they encrypt
	next     uint32             // the lowest number never given
	free     []uint32
	doubt    map[uint32]struct{} // numbers of which something may be left in the kernel
	closed   bool

	anchorMu sync.Mutex
	anchor   uint32 // index of the device of the invented addresses; 0: not made

	unlinkMu sync.Mutex
	unlinks  []unlink
	reaping  bool

	totalsMu sync.Mutex // guards these
	gone     dataplane.Totals
	sum      dataplane.Totals
	summed   int64 // when, monotonic; 0: never
	summing  bool

	*dataplane.EventQueue
}

var _ dataplane.Plane = (*Plane)(nil)

const (
	// Identifiers are a tag of twelve bits, the highest of them set, and a number of twenty.
	tagBits    = 0xfff00000
	maxNumber  = 1<<20 - 1
	indexShift = 0x10000000
)

// tagOf tells the objects of two nodes in one namespace apart.
func tagOf(node string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(node))
	return (h.Sum32()<<20 | 1<<31) & tagBits
}

// New makes a plane in the network namespace of the calling thread. What a crashed run of the same
// node left is removed.
func New(o Options) (*Plane, error) {
	if !o.Range.IsValid() {
		o.Range = DefaultRange
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Plane{
		opt: o, tag: tagOf(o.Node), next: 1, done: make(chan struct{}), changed: make(chan struct{}, 1),
		byName: map[string]*device{}, byNumber: map[uint32]*device{}, spis: map[uint32]*device{}, greEnds: map[ends]*device{},
		doubt: map[uint32]struct{}{}, others: map[uint32]bool{}, told: map[uint32]bool{},
		EventQueue: dataplane.NewEventQueue(), dir: atLeast(6, 10), linger: lingering,
	}
	if err := p.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("kernel data plane: %w", err), p.closeSockets())
	}
	if err := p.sweep(); err != nil {
		return nil, errors.Join(fmt.Errorf("kernel data plane: %w", err), p.closeSockets())
	}
	p.watch()
	return p, nil
}

func (p *Plane) open() (err error) {
	for family, to := range map[int][]**nlmsg.Conn{unix.NETLINK_ROUTE: {&p.rtnl, &p.reaper}, unix.NETLINK_XFRM: {&p.xfrm}} {
		for _, c := range to {
			if *c, err = nlmsg.Open(family); err != nil {
				return err
			}
		}
	}
	links, err := nlmsg.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		return err
	}
	p.watches = append(p.watches, links)
	states, err := xfrm.Subscribe()
	if err != nil {
		return err
	}
	p.watches = append(p.watches, states)
	// What the plane does itself is most of what happens, and nothing to be woken for.
	if err := errors.Join(links.Only(0, unix.RTM_DELLINK), states.Only(p.xfrm.PortID(), xfrm.EventTypes...)); err != nil {
		return err
	}
	// The thread's own view: a namespace may be a thread's.
	if p.stats, err = os.Open("/proc/thread-self/net/xfrm_stat"); err == nil {
		p.zero = p.readStats()
	}
	return nil
}

func (p *Plane) closeSockets() error {
	var errs []error
	for _, w := range p.watches {
		errs = append(errs, w.Close())
	}
	for _, c := range []*nlmsg.Conn{p.rtnl, p.reaper, p.xfrm} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	if p.stats != nil {
		errs = append(errs, p.stats.Close())
	}
	return errors.Join(errs...)
}

// Apply makes the interface what spec says.
func (p *Plane) Apply(spec dataplane.Interface) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	p.mu.Lock()
	d, closed := p.byName[spec.Name], p.closed
	p.mu.Unlock()
	switch {
	case closed:
		return dataplane.ErrClosed
	case d == nil:
		return p.create(&spec, false)
	case d.mode != spec.Mode || d.front != spec.TransportVRF:
		// Another kind of device: it cannot be changed, only made anew.
		if err := p.Remove(spec.Name); err != nil {
			return err
		}
		return p.create(&spec, false)
	case !d.ends.kin(&spec):
		return p.remake(d, &spec)
	case !d.ends.serve(&spec):
		if err := p.retarget(d, &spec); err != nil {
			return fmt.Errorf("interface %s: %w", spec.Name, err)
		}
	}
	return d.apply(&spec)
}

func unmapped(p dataplane.Path) dataplane.Path {
	p.Local = netip.AddrPortFrom(p.Local.Addr().Unmap(), p.Local.Port())
	p.Remote = netip.AddrPortFrom(p.Remote.Addr().Unmap(), p.Remote.Port())
	return p
}

// create makes an interface that is not there, as a port of its VRF or for others to make one. On error
// nothing of it is left.
func (p *Plane) create(spec *dataplane.Interface, port bool) error {
	if spec.Mode == dataplane.GRE {
		if err := p.makeAnchor(); err != nil {
			return fmt.Errorf("interface %s: %w", spec.Name, err)
		}
	}
	e, err := endsOf(spec)
	if err != nil {
		return fmt.Errorf("interface %s: %w", spec.Name, err)
	}
	for n := range passedOver {
		d, err := p.register(spec, e)
		if err != nil {
			return err
		}
		d.port = port
		if err = d.begin(spec); errors.Is(err, errNumberTaken) {
			continue
		}
		if n > 0 {
			p.opt.Log.Warn("others' devices have what would have been an interface's, and are passed over", "interface", spec.Name, "devices", n, "if_id", fmt.Sprintf("%#x", d.id), "index", d.index)
		}
		return err
	}
	return fmt.Errorf("interface %s: %d devices in a row that are somebody else's have what would be its if_id, its index or its ends: give this node another name, or kernel.gre-range another range", spec.Name, passedOver)
}

// register gives an interface its number.
func (p *Plane) register(spec *dataplane.Interface, e ends) (*device, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, dataplane.ErrClosed
	}
	if err := p.alone(e); err != nil {
		return nil, fmt.Errorf("interface %s: %w", spec.Name, err)
	}
	for p.others[p.next] {
		p.next++
	}
	n := p.next
	if len(p.free) > 0 {
		n = p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
	} else if p.next++; n > maxNumber || spec.Mode == dataplane.GRE && !p.opt.Range.Contains(p.peer(n)) {
		p.next--
		return nil, fmt.Errorf("interface %s: the range %s of invented addresses is used up: give kernel.gre-range a larger one", spec.Name, p.opt.Range)
	}
	if !e.real {
		e = ends{local: p.local(), peer: p.peer(n)}
	}
	d := &device{
		plane: p, name: spec.Name, number: n, id: p.tag | n, index: p.index(n),
		mode: spec.Mode, front: spec.TransportVRF, ends: e,
	}
	p.byName[d.name], p.byNumber[n] = d, d
	if e.real {
		p.greEnds[e] = d
	}
	return d, nil
}

// index is that of the link of interface n.
func (p *Plane) index(n uint32) uint32 { return indexShift | p.tag>>3&0x0ff00000 | n }

// forget takes d out of the maps. Its number is free, unless something of it is left: then it is not
// given again before the kernel was looked at. d.mu is held.
func (p *Plane) forget(d *device, left error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range d.children {
		if p.spis[c.in.SPI] == d {
			delete(p.spis, c.in.SPI)
		}
	}
	if p.byName[d.name] == d {
		delete(p.byName, d.name)
	}
	if p.greEnds[d.ends] == d {
		delete(p.greEnds, d.ends)
	}
	if p.byNumber[d.number] != d {
		return left
	}
	delete(p.byNumber, d.number)
	switch {
	case errors.Is(left, errNumberTaken): // for as long as this process lives
	case left != nil:
		p.doubt[d.number] = struct{}{}
		p.lookAround()
	default:
		p.free = append(p.free, d.number)
	}
	return left
}

// claim takes SPIs for d, all or none.
func (p *Plane) claim(d *device, spis []uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, spi := range spis {
		if other := p.spis[spi]; other != nil {
			return fmt.Errorf("child %#08x: interface %s has a child of this SPI", spi, other.name)
		}
	}
	for _, spi := range spis {
		p.spis[spi] = d
	}
	return nil
}

func (p *Plane) release(d *device, spis []uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, spi := range spis {
		if p.spis[spi] == d {
			delete(p.spis, spi)
		}
	}
}

// Remove takes the interface away.
func (p *Plane) Remove(name string) error {
	p.mu.Lock()
	d := p.byName[name]
	p.mu.Unlock()
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return nil
	}
	d.gone = true
	return p.forget(d, d.dismantle())
}

// NeedsEncap is false: the kernel has ESP with and without UDP.
func (p *Plane) NeedsEncap() bool { return false }

// Name is kernel.
func (p *Plane) Name() string { return "kernel" }

// Close removes every interface and ends.
func (p *Plane) Close() error { return p.close(false) }

// Leave ends and leaves everything in the kernel: packets go on, until the next start removes what
// has no session.
func (p *Plane) Leave() error { return p.close(true) }

func (p *Plane) close(keep bool) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	all := slices.Collect(maps.Values(p.byName))
	p.mu.Unlock()
	close(p.done)
	var errs []error
	for _, w := range p.watches {
		errs = append(errs, w.Close())
	}
	p.watches = nil
	p.tasks.Wait()
	if keep {
		p.settle()
	} else {
		errs = append(errs, p.removeAll(all))
	}
	p.End()
	return errors.Join(append(errs, p.closeSockets())...)
}
