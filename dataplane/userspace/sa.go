package userspace

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"flexvpn/dataplane"
)

// sa is one child: a pair of ESP SAs. What its SPI stands for (keys, algorithms, replay state) never
// changes; its policy can.
type sa struct {
	spiIn, spiOut uint32
	esn           bool
	identity      uint64 // of keys and algorithms
	owner         *device
	policy        atomic.Pointer[policy]
	expired       atomic.Bool // a hard limit was reached
	softTold      atomic.Bool

	in  inbound
	out outbound
}

// inbound is the receiving SA. One goroutine at a time opens packets of an SA: those of one peer come
// by one socket, and their order matters more than their spread.
type inbound struct {
	sync.Mutex // guards all
	opener
	shape
	window    window
	use       use
	replayed  uint64
	corrupt   uint64
	elsewhere uint64 // packets that came from another address than the path's
	last      time.Time
}

// outbound is the sending SA, guarded by device.tx.
type outbound struct {
	sealer
	shape
	seq uint64 // last used
	use use
}

// use is what an SA has carried.
type use struct{ packets, bytes uint64 }

// policy is what Apply may change of a child. It is immutable.
type policy struct {
	local, remote selector
	limits        dataplane.Limits
	from          netip.AddrPort // where the peer's packets come from
	// greIP is the IP header between ESP and GRE, its lengths open; nil: there is none, as in
	// transport mode.
	greIP []byte
}

// identitySeed makes identities useless outside this process.
var identitySeed = maphash.MakeSeed()

// identify hashes what must not change under an SPI. The keys themselves are not kept.
func identify(c *dataplane.Child) uint64 {
	var h maphash.Hash
	h.SetSeed(identitySeed)
	maphash.WriteComparable(&h, [...]uint64{
		uint64(c.SPIOut), uint64(c.Encr), uint64(c.KeyBits), uint64(c.Integ),
		flag(c.Transport), flag(c.ESN), uint64(c.ReplayWindow),
	})
	for _, k := range [...][]byte{c.KeyIn.Reveal(), c.KeyOut.Reveal(), c.IntegIn.Reveal(), c.IntegOut.Reveal()} {
		_, _ = h.Write(k)
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func newSA(owner *device, spec *dataplane.Interface, c *dataplane.Child) (*sa, error) {
	s := &sa{spiIn: c.SPIIn, spiOut: c.SPIOut, esn: c.ESN, owner: owner, identity: identify(c)}
	var err error
	if s.in.opener, s.in.shape, err = newOpener(c); err != nil {
		return nil, err
	}
	if s.out.sealer, s.out.shape, err = newSealer(c); err != nil {
		return nil, err
	}
	s.in.window = newWindow(c.ReplayWindow)
	s.policy.Store(newPolicy(spec, c))
	return s, nil
}

func newPolicy(spec *dataplane.Interface, c *dataplane.Child) *policy {
	p := &policy{local: newSelector(c.Local), remote: newSelector(c.Remote), limits: c.Limits, from: unmapped(spec.PathOf(c).Remote)}
	if local, remote, ok := c.GREEnds(); ok && spec.Mode == dataplane.GRE {
		p.greIP = greIP(local, remote)
	}
	return p
}

// sequenceSoon is where an SA without ESN asks to be replaced even when no limit is set: there is
// still a sixteenth of its numbers to do it.
const (
	sequenceSoon = 1<<32 - 1<<28
	sequenceEnd  = 1<<32 - 1
)

// sequence is the next sequence number to send. ok is false when there is none: RFC 4303 section
// 3.3.3 forbids to begin again.
func (s *sa) sequence() (seq uint64, ok bool) {
	end := uint64(sequenceEnd)
	if s.esn {
		end = 1<<64 - 1
	}
	if s.out.seq >= end {
		s.expire()
		return 0, false
	}
	s.out.seq++
	if !s.esn && s.out.seq >= sequenceSoon {
		s.soften()
	}
	return s.out.seq, true
}

// spend books a packet of n octets, or refuses it when a hard limit stands in the way.
func (s *sa) spend(u *use, l *dataplane.Limits, n int) bool {
	packets, octets := u.packets+1, u.bytes+uint64(n)
	if over(packets, l.HardPackets) || over(octets, l.HardBytes) {
		s.expire()
		return false
	}
	u.packets, u.bytes = packets, octets
	if over(packets+1, l.SoftPackets) || over(octets+1, l.SoftBytes) {
		s.soften()
	}
	return true
}

func over(n, limit uint64) bool { return limit != 0 && n > limit }

func (s *sa) expire() {
	if !s.expired.Swap(true) {
		s.owner.plane.Tell(dataplane.Event{Kind: dataplane.HardExpire, Interface: s.owner.name, SPIIn: s.spiIn})
	}
}

func (s *sa) soften() {
	if !s.softTold.Load() && !s.softTold.Swap(true) {
		s.owner.plane.Tell(dataplane.Event{Kind: dataplane.SoftExpire, Interface: s.owner.name, SPIIn: s.spiIn})
	}
}

func (s *sa) counters() dataplane.ChildCounters {
	s.in.Lock()
	c := dataplane.ChildCounters{
		SPIIn: s.spiIn, InPackets: s.in.use.packets, InBytes: s.in.use.bytes, Replayed: s.in.replayed,
		BadIntegrity: s.in.corrupt, Elsewhere: s.in.elsewhere, LastIn: s.in.last,
	}
	s.in.Unlock()
	s.owner.tx.Lock()
	c.OutPackets, c.OutBytes = s.out.use.packets, s.out.use.bytes
	s.owner.tx.Unlock()
	return c
}

// selector is a set of inner addresses: one end of the traffic selectors of a child.
type selector struct {
	all      bool
	any4     bool
	any6     bool
	prefixes []netip.Prefix
}

func newSelector(list []netip.Prefix) selector {
	s := selector{all: len(list) == 0}
	for _, p := range list {
		p = p.Masked()
		switch {
		case p.Bits() > 0:
			s.prefixes = append(s.prefixes, p)
		case p.Addr().Is4():
			s.any4 = true
		default:
			s.any6 = true
		}
	}
	s.all = s.all || s.any4 && s.any6
	return s
}

func (s *selector) has(a netip.Addr) bool {
	if s.all || s.any4 && a.Is4() || s.any6 && a.Is6() {
		return true
	}
	for _, p := range s.prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
