package userspace

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/rtnl"
)

// device is one interface: a TUN device and its SAs.
type device struct {
	plane *Plane
	id    uint64
	name  string
	index int // of the link
	tun   tun
	// forward is what a packet needs to know; it is replaced as a whole.
	forward atomic.Pointer[forwarding]

	mu   sync.Mutex // guards what was applied
	spec dataplane.Interface
	sas  []*sa
	gone bool

	tx                   sync.Mutex // guards the way out: these and sa.out
	outPackets, outBytes uint64
	lastOut              time.Time

	rx                 sync.Mutex // guards these
	inPackets, inBytes uint64
	lastIn             time.Time
}

// forwarding is immutable.
type forwarding struct {
	path dataplane.Path // of out
	vrf  string         // of the outer packets
	mss  uint16
	gre  int // octets of GRE header before the inner packet; 0 in mode ipsec
	out  *sa // nil: nothing may leave
}

// next is the next header of ESP for an inner packet of the IP version.
func (f *forwarding) next(p *policy, version uint8) uint8 {
	if p.greIP != nil {
		version = p.greIP[0] >> 4
	}
	switch {
	case f.gre != 0 && p.greIP == nil:
		return protoGRE
	case version == 6:
		return protoIPv6
	}
	return protoIPv4
}

func newForwarding(spec *dataplane.Interface, sas []*sa) *forwarding {
	f := &forwarding{vrf: spec.TransportVRF, mss: uint16(spec.AdjustMSS)}
	if spec.Mode == dataplane.GRE {
		f.gre = greHeader
	}
	if i := slices.IndexFunc(sas, func(s *sa) bool { return s.spiIn == spec.Outbound }); i >= 0 {
		f.out, f.path = sas[i], spec.PathOf(&spec.Children[i])
		f.path.Local, f.path.Remote = unmapped(f.path.Local), unmapped(f.path.Remote)
	}
	return f
}

// change is the way from the SAs a device has to those a specification wants.
type change struct {
	spec     *dataplane.Interface
	sas      []*sa // as wanted, in the specification's order
	policies []*policy
	added    []*sa
	removed  []*sa
}

// plan finds what must change; it touches nothing.
func (d *device) plan(spec *dataplane.Interface) (*change, error) {
	c := &change{spec: spec}
	for i := range spec.Children {
		child := &spec.Children[i]
		s, err := d.child(spec, child)
		if err != nil {
			return nil, fmt.Errorf("interface %s, child %#08x: %w", d.name, child.SPIIn, err)
		}
		if !slices.Contains(d.sas, s) {
			c.added = append(c.added, s)
		}
		c.sas = append(c.sas, s)
		c.policies = append(c.policies, newPolicy(spec, child))
	}
	for _, s := range d.sas {
		if !slices.Contains(c.sas, s) {
			c.removed = append(c.removed, s)
		}
	}
	return c, nil
}

// child is the SA of a child: the one that is there, with its counters and replay state, or a new one.
func (d *device) child(spec *dataplane.Interface, c *dataplane.Child) (*sa, error) {
	for _, s := range d.sas {
		if s.spiIn != c.SPIIn {
			continue
		}
		// The same keys with a fresh sequence number would repeat a nonce; other keys under a live SPI
		// would be a mistake of the caller's.
		if s.identity != identify(c) {
			return nil, errIdentity
		}
		return s, nil
	}
	return newSA(d, spec, c)
}

// insert makes the new SAs receive. On error none does.
func (c *change) insert(t *spiTable) error {
	for i, s := range c.added {
		if other := t.insert(s); other != nil {
			for _, s := range c.added[:i] {
				t.remove(s)
			}
			return fmt.Errorf("interface %s, child %#08x: interface %s has a child of this SPI", s.owner.name, s.spiIn, other.owner.name)
		}
	}
	return nil
}

// commit lets the packets take the new way. The new SAs already receive; what is no longer wanted
// stops last.
func (d *device) commit(c *change) {
	for i, s := range c.sas {
		s.policy.Store(c.policies[i])
	}
	d.forward.Store(newForwarding(c.spec, c.sas))
	for _, s := range c.removed {
		d.plane.spis.remove(s)
	}
	d.sas = c.sas
	d.spec = *c.spec
	d.spec.Children = nil // holds keys
	d.spec.Addresses = slices.Clone(c.spec.Addresses)
}

// received adds to the counters of the interface.
func (d *device) received(packets, octets uint64, now time.Time) {
	d.rx.Lock()
	d.inPackets += packets
	d.inBytes += octets
	d.lastIn = now
	d.rx.Unlock()
	d.plane.totals.inPackets.Add(packets)
	d.plane.totals.inBytes.Add(octets)
}

func (d *device) counters() dataplane.Counters {
	var c dataplane.Counters
	d.rx.Lock()
	c.InPackets, c.InBytes, c.LastIn = d.inPackets, d.inBytes, d.lastIn
	d.rx.Unlock()
	d.tx.Lock()
	c.OutPackets, c.OutBytes, c.LastOut = d.outPackets, d.outBytes, d.lastOut
	d.tx.Unlock()
	d.mu.Lock()
	sas := d.sas
	d.mu.Unlock()
	for _, s := range sas {
		c.Children = append(c.Children, s.counters())
	}
	return c
}

// wakeID is the id of the descriptor that tells workers to end.
const wakeID = 0

// The epoll instance keeps a device's id in the place for user data.
func deviceID(e *unix.EpollEvent) uint64 { return uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32 }

func event(id uint64, events uint32) *unix.EpollEvent {
	return &unix.EpollEvent{Events: events, Fd: int32(uint32(id)), Pad: int32(uint32(id >> 32))}
}

// One worker is told of a readable device, once, until the device is armed again.
const readable = unix.EPOLLIN | unix.EPOLLONESHOT

// arm lets a worker be told the next time the device is readable.
func (d *device) arm() {
	d.tun.mu.RLock()
	defer d.tun.mu.RUnlock()
	if d.tun.fd >= 0 {
		// It fails only for a descriptor that is not registered: then the device is being removed.
		_ = unix.EpollCtl(d.plane.epoll, unix.EPOLL_CTL_MOD, d.tun.fd, event(d.id, readable))
	}
}

// devices makes and configures TUN devices.
type devices interface {
	open(name string) (fd int, uso bool, err error)
	// configure changes link and addresses from old, nil for a new device, to spec.
	configure(spec, old *dataplane.Interface) (index int, err error)
}

// kernelDevices are the kernel's.
type kernelDevices struct{ link *rtnl.Conn }

func (kernelDevices) open(name string) (int, bool, error) { return openTUN(name) }

func (k kernelDevices) configure(spec, old *dataplane.Interface) (int, error) {
	var have []netip.Prefix
	if old == nil || old.MTU != spec.MTU || old.Alias != spec.Alias {
		if err := k.link.SetLink(spec.Name, spec.MTU, spec.Alias, true); err != nil {
			return 0, err
		}
	}
	if old != nil {
		have = old.Addresses
	}
	for _, p := range spec.Addresses {
		if !slices.Contains(have, p) {
			if err := k.link.AddAddress(spec.Name, p); err != nil {
				return 0, err
			}
		}
	}
	for _, p := range have {
		if !slices.Contains(spec.Addresses, p) {
			if err := k.link.RemoveAddress(spec.Name, p); err != nil {
				return 0, err
			}
		}
	}
	if old != nil {
		return 0, nil
	}
	l, _, err := k.link.Link(spec.Name)
	return l.Index, err
}

var errIdentity = errors.New("keys and algorithms cannot change under an SPI: add a child with another")
