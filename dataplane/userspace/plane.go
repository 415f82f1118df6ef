// Package userspace is a data plane without a kernel's help but TUN devices: ESP in UDP (RFC 4303,
// RFC 3948), tunnel mode or GRE in transport mode.
//
// # Ways of a packet
//
// A few workers wait for all devices at once. A device gives packets that may stand for many
// (segmentation offload); a worker splits such a packet, seals each part straight into a row of
// equal datagrams, and hands the row to the [Sender] in one call. Inwards, the reader of a socket
// calls [Plane.ReceiveESP] with what UDP GRO merged; the packets are opened in place, merged again
// where they continue each other, and written to the device in one call. No packet costs an
// allocation, no session a goroutine.
//
// # Who owns what
//
// A device's way out is one worker's at a time (device.tx), an SA's way in one reader's (inbound's
// mutex). What forwarding needs to know is an immutable value behind an atomic pointer. The table of
// SPIs is read without locks. Apply adds what is new, swaps that pointer, then removes what is old:
// traffic does not notice.
//
// # MTU and fragments
//
// The kernel holds senders to the device's MTU, so a packet that is too big never gets here. What
// encapsulation adds may make the datagram larger than the path's MTU: it is then sent without DF
// and fragmented by the kernel. An inner MTU of 1400 avoids that on Ethernet.
package userspace

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/rtnl"
)

// Sender owns the UDP sockets of ESP in UDP (RFC 3948).
type Sender interface {
	// WriteESP sends the packets in buf, in the VRF of that name ("": the default), each of segment octets but the last, which may be
	// shorter, from local to remote: one system call with UDP_SEGMENT where the kernel has it. There
	// are at most 64 and they have at most 65,507 octets in all.
	// A packet longer than the path's MTU must be sent by itself and be fragmented (no DF): the
	// inner MTU is the configuration's, and a tunnel that loses large packets is worse than a
	// slow one. buf is the plane's again after the call. It is called from several goroutines.
	WriteESP(vrf string, local, remote netip.AddrPort, buf []byte, segment int) error
}

// Options of a plane.
type Options struct {
	Sender  Sender
	Link    *rtnl.Conn // configures the devices; nil: the plane opens its own
	Workers int        // goroutines that serve all devices; 0: GOMAXPROCS
}

// Plane is the userspace data plane.
type Plane struct {
	sender    Sender
	devices   devices
	ownLink   *rtnl.Conn // nil: somebody else's
	epoll     int
	wake      int // an eventfd: readable tells workers to end
	spis      spiTable
	drops     [dropReasons]atomic.Uint64
	totals    totals
	receivers sync.Pool
	tasks     sync.WaitGroup
	done      chan struct{} // closed by Close

	mu     sync.RWMutex // guards these
	byName map[string]*device
	byID   map[uint64]*device
	lastID uint64
	closed bool

	*dataplane.EventQueue
}

var _ dataplane.Plane = (*Plane)(nil)

// New makes a plane in the network namespace of the calling thread. When TUN devices cannot be made
// here the error is [ErrNoTUN] or [ErrNotPermitted].
func New(o Options) (*Plane, error) {
	if err := probe(); err != nil {
		return nil, fmt.Errorf("userspace data plane: %w", err)
	}
	link := o.Link
	var own *rtnl.Conn
	if link == nil {
		var err error
		if own, err = rtnl.Open(); err != nil {
			return nil, fmt.Errorf("userspace data plane: %w", err)
		}
		link = own
	}
	p, err := newPlane(o, kernelDevices{link})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("userspace data plane: %w", err), closeLink(own))
	}
	p.ownLink = own
	deleted, err := link.WatchDeleted(p.done)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("userspace data plane: %w", err), p.Close())
	}
	p.tasks.Go(func() {
		for l := range deleted {
			p.vanished(l.Name, l.Index)
		}
	})
	return p, nil
}

func closeLink(c *rtnl.Conn) error {
	if c == nil {
		return nil
	}
	return c.Close()
}

// probe makes a device and drops it again: only that tells whether it will work.
func probe() error {
	fd, _, err := openTUN(fmt.Sprintf("fvprobe%d", os.Getpid()%1e7))
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func newPlane(o Options, d devices) (*Plane, error) {
	p := &Plane{
		sender: o.Sender, devices: d, done: make(chan struct{}), byName: map[string]*device{}, byID: map[uint64]*device{},
		lastID: wakeID, EventQueue: dataplane.NewEventQueue(),
	}
	p.receivers.New = func() any { return &receiver{plane: p, merge: newCoalescer()} }
	var err error
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make an epoll instance: %w", err)
	}
	if p.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("make an eventfd: %w", err), unix.Close(p.epoll))
	}
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, p.wake, event(wakeID, unix.EPOLLIN)); err != nil {
		return nil, errors.Join(fmt.Errorf("watch an eventfd: %w", err), unix.Close(p.wake), unix.Close(p.epoll))
	}
	p.startWorkers(o.Workers)
	return p, nil
}

// Apply makes the interface what spec says.
func (p *Plane) Apply(spec dataplane.Interface) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	if slices.ContainsFunc(spec.Children, func(c dataplane.Child) bool { return !spec.PathOf(&c).Encap }) {
		return fmt.Errorf("interface %s: the userspace data plane has ESP in UDP only: its path needs encapsulation", spec.Name)
	}
	p.mu.RLock()
	d, closed := p.byName[spec.Name], p.closed
	p.mu.RUnlock()
	switch {
	case closed:
		return dataplane.ErrClosed
	case d == nil:
		return p.create(&spec)
	}
	return d.apply(&spec)
}

// create makes an interface that is not there. Undoing is closing: the kernel removes the device.
func (p *Plane) create(spec *dataplane.Interface) (err error) {
	d := &device{plane: p, name: spec.Name}
	c, err := d.plan(spec)
	if err != nil {
		return err
	}
	if d.tun.fd, d.tun.uso, err = p.devices.open(spec.Name); err != nil {
		return fmt.Errorf("interface %s: %w", spec.Name, err)
	}
	if d.index, err = p.devices.configure(spec, nil); err != nil {
		return errors.Join(fmt.Errorf("interface %s: %w", spec.Name, err), d.tun.close())
	}
	if err := c.insert(&p.spis); err != nil {
		return errors.Join(err, d.tun.close())
	}
	d.commit(c)
	if err := p.register(d); err != nil {
		d.dismantle()
		return fmt.Errorf("interface %s: %w", spec.Name, err)
	}
	return nil
}

func (p *Plane) register(d *device) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return dataplane.ErrClosed
	}
	p.lastID++
	d.id = p.lastID
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, d.tun.fd, event(d.id, readable)); err != nil {
		return fmt.Errorf("watch the device: %w", err)
	}
	p.byName[d.name], p.byID[d.id] = d, d
	return nil
}

// apply changes an interface that is there.
func (d *device) apply(spec *dataplane.Interface) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return fmt.Errorf("interface %s: it was removed meanwhile", d.name)
	}
	c, err := d.plan(spec)
	if err != nil {
		return err
	}
	if err := c.insert(&d.plane.spis); err != nil {
		return err
	}
	old := d.spec
	if _, err := d.plane.devices.configure(spec, &old); err != nil {
		for _, s := range c.added {
			d.plane.spis.remove(s)
		}
		_, undo := d.plane.devices.configure(&old, spec)
		return errors.Join(fmt.Errorf("interface %s: %w", d.name, err), undo)
	}
	d.commit(c)
	return nil
}

// dismantle stops the device and forgets its SAs.
func (d *device) dismantle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = true
	for _, s := range d.sas {
		d.plane.spis.remove(s)
	}
	_ = d.tun.close() // nothing is left to do about it
}

// Remove takes the interface away.
func (p *Plane) Remove(name string) error {
	p.mu.Lock()
	d := p.byName[name]
	p.forget(d)
	p.mu.Unlock()
	if d != nil {
		d.dismantle()
	}
	return nil
}

// forget takes d out of the maps; p.mu is held.
func (p *Plane) forget(d *device) {
	if d != nil {
		delete(p.byName, d.name)
		delete(p.byID, d.id)
	}
}

// vanished takes away an interface whose link somebody else deleted.
func (p *Plane) vanished(name string, index int) {
	p.mu.Lock()
	d := p.byName[name]
	if d == nil || d.index != index {
		p.mu.Unlock()
		return // we did it, or it is a stranger's
	}
	p.forget(d)
	p.mu.Unlock()
	d.dismantle()
	p.Tell(dataplane.Event{Kind: dataplane.InterfaceGone, Interface: name})
}

// Counters reads one interface.
func (p *Plane) Counters(name string) (c dataplane.Counters, ok bool) {
	p.mu.RLock()
	d := p.byName[name]
	p.mu.RUnlock()
	if d == nil {
		return c, false
	}
	return d.counters(), true
}

// totals grow once for each row of packets.
type totals struct{ inPackets, inBytes, outPackets, outBytes atomic.Uint64 }

// Totals are what all interfaces carried.
func (p *Plane) Totals() dataplane.Totals {
	t := &p.totals
	return dataplane.Totals{
		InPackets: t.inPackets.Load(), InBytes: t.inBytes.Load(), OutPackets: t.outPackets.Load(), OutBytes: t.outBytes.Load(),
	}
}

// NeedsEncap is true: this plane has ESP in UDP only.
func (p *Plane) NeedsEncap() bool { return true }

// Name is userspace.
func (p *Plane) Name() string { return "userspace" }

func (p *Plane) deviceByID(id uint64) *device {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.byID[id]
}

// Close removes every interface, ends the workers and closes Events.
func (p *Plane) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	all := p.byName
	p.byName, p.byID = map[string]*device{}, map[uint64]*device{}
	p.mu.Unlock()
	for _, d := range all {
		d.dismantle()
	}
	close(p.done)
	_, err := unix.Write(p.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	p.tasks.Wait()
	p.End()
	return errors.Join(err, unix.Close(p.wake), unix.Close(p.epoll), closeLink(p.ownLink))
}
