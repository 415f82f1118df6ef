package kernel

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/nlmsg"
	"flexvpn/dataplane/kernel/xfrm"
)

// device is one interface: a link, its states and its policies.
type device struct {
	plane  *Plane
	name   string
	number uint32
	id     uint32 // request identifier, and if_id in mode ipsec
	index  uint32 // of the link
	mode   dataplane.Mode
	front  string // the VRF of outer packets
	ends   ends   // of GRE

	port bool // it was made as a port of its VRF

	mu       sync.Mutex // guards these, and the order of what the kernel is told
	spec     dataplane.Interface
	children []*child
	leaving  []*child // were replaced, and linger
	policies map[xfrm.PolicyKey]xfrm.Policy
	served   bool // it has had children
	gone     bool
}

// child is a pair of states. Keys are not kept: in and out have blank ones.
type child struct {
	identity  uint64 // of keys and algorithms
	spec      dataplane.Child
	path      dataplane.Path
	in, out   xfrm.State
	heard     bool   // FirstInbound was told
	softTold  bool   // SoftExpire was
	dead      bool   // a state is gone: a hard limit, or somebody deleted it
	elsewhere uint64 // packets from another address
	before    dataplane.ChildCounters
	lastIn    use
	lastOut   use
}

// identitySeed makes identities useless outside this process.
var identitySeed = maphash.MakeSeed()

// identify hashes what must not change under an SPI.
func identify(c *dataplane.Child) uint64 {
	var h maphash.Hash
	h.SetSeed(identitySeed)
	maphash.WriteComparable(&h, [...]uint64{uint64(c.SPIOut), uint64(c.Encr), uint64(c.KeyBits), uint64(c.Integ), uint64(c.ReplayWindow)})
	maphash.WriteComparable(&h, [...]bool{c.Transport, c.ESN})
	for _, k := range [...][]byte{c.KeyIn.Reveal(), c.KeyOut.Reveal(), c.IntegIn.Reveal(), c.IntegOut.Reveal()} {
		_, _ = h.Write(k)
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

var errIdentity = errors.New("keys and algorithms cannot change under an SPI: add a child with another")

// plan is the way from the children a device has to those it shall have.
type plan struct {
	children []*child // as wanted, in their order
	added    []*child
	keyed    []*xfrm.State // the states of added, with keys
	removed  []*child
}

func (d *device) plan(spec *dataplane.Interface) (*plan, error) {
	var pl plan
	for i := range spec.Children {
		s := &spec.Children[i]
		j := slices.IndexFunc(d.children, func(c *child) bool { return c.in.SPI == s.SPIIn })
		if j >= 0 {
			if d.children[j].identity != identify(s) {
				return nil, fmt.Errorf("child %#08x: %w", s.SPIIn, errIdentity)
			}
			pl.children = append(pl.children, d.children[j])
			continue
		}
		c, err := d.newChild(spec, s)
		if err != nil {
			return nil, fmt.Errorf("child %#08x: %w", s.SPIIn, err)
		}
		pl.children, pl.added = append(pl.children, c), append(pl.added, c)
		in, out := c.in, c.out
		d.wantOffload(c.path, &in, &out)
		pl.keyed = append(pl.keyed, &in, &out)
		blank(&c.in)
		blank(&c.out)
	}
	for _, c := range d.children {
		if !slices.Contains(pl.children, c) {
			pl.removed = append(pl.removed, c)
		}
	}
	return &pl, nil
}

// newChild has the keys in its states.
func (d *device) newChild(spec *dataplane.Interface, s *dataplane.Child) (*child, error) {
	c := &child{identity: identify(s), spec: withoutKeys(s)}
	c.in, c.out = d.state(s), d.state(s)
	c.in.SPI, c.out.SPI = s.SPIIn, s.SPIOut
	d.direct(c)
	c.locate(pathOf(spec, s))
	if d.mode == dataplane.GRE {
		c.in.Selector, c.out.Selector = d.gre(xfrm.PolicyIn), d.gre(xfrm.PolicyOut)
	}
	if spec.DF == dataplane.DFClear {
		c.out.Flags |= xfrm.FlagNoPMTUDiscovery
	}
	c.in.Lifetime, c.out.Lifetime = inLifetime(s.Limits, false), outLifetime(s)
	return c, errors.Join(algorithms(&c.in, s, s.KeyIn.Reveal(), s.IntegIn.Reveal()), algorithms(&c.out, s, s.KeyOut.Reveal(), s.IntegOut.Reveal()))
}

func withoutKeys(c *dataplane.Child) dataplane.Child {
	return dataplane.Child{SPIIn: c.SPIIn, SPIOut: c.SPIOut, ESN: c.ESN, Local: slices.Clone(c.Local), Remote: slices.Clone(c.Remote), Limits: c.Limits}
}

// state is what both directions have in common.
func (d *device) state(s *dataplane.Child) xfrm.State {
	out := xfrm.State{ReqID: d.id, Mode: d.xfrmMode(), Window: s.ReplayWindow, OutputMark: d.plane.opt.OutputMark}
	if out.Window == 0 {
		out.Window = defaultWindow
	}
	if s.ESN {
		out.Flags |= xfrm.FlagESN
	}
	if d.mode == dataplane.IPsec {
		out.IfID = d.id
		out.Flags |= xfrm.FlagAFUnspec
	}
	return out
}

const defaultWindow = 1024

// direct gives the states what differs by direction. From Linux 6.10 on a state has one, and one that
// sends no window; before, ESN was refused without a window.
func (d *device) direct(c *child) {
	c.in.OutputMark, c.in.Inbound = 0, true
	c.out.Window = 32
	if d.plane.dir {
		c.in.Direction, c.out.Direction, c.out.Window = xfrm.In, xfrm.Out, 0
	}
}

// pathOf is where a child's packets run, in the kernel's words.
func pathOf(spec *dataplane.Interface, s *dataplane.Child) dataplane.Path {
	return unmapped(spec.PathOf(s))
}

// locate writes where the outer packets run.
func (c *child) locate(p dataplane.Path) {
	c.path = p
	c.in.Src, c.in.Dst = p.Remote.Addr(), p.Local.Addr()
	c.out.Src, c.out.Dst = p.Local.Addr(), p.Remote.Addr()
	c.in.SourcePort, c.in.DestinationPort, c.in.MappingEvery = 0, 0, 0
	if p.Encap {
		c.in.SourcePort, c.in.DestinationPort = p.Remote.Port(), p.Local.Port()
		c.in.MappingEvery = 1
	}
	c.out.SourcePort, c.out.DestinationPort = c.in.DestinationPort, c.in.SourcePort
}

func (d *device) xfrmMode() uint8 {
	if d.mode == dataplane.GRE && !d.ends.real {
		return xfrm.BEET
	}
	return xfrm.Tunnel
}

// sequenceSoon is where an SA without ESN asks to be replaced even when no limit is set: there is
// still a sixteenth of its numbers to do it. RFC 4303 section 3.3.3 forbids to begin again.
const (
	sequenceSoon = 1<<32 - 1<<28
	sequenceEnd  = 1<<32 - 1
)

// inLifetime of a state that has heard nothing asks to be told of its first packet: the kernel looks
// at a soft limit before it counts.
func inLifetime(l dataplane.Limits, heard bool) xfrm.Lifetime {
	t := lifetime(l)
	if !heard {
		t.SoftBytes, t.SoftPackets = xfrm.Infinity, 0
	}
	return t
}

func outLifetime(c *dataplane.Child) xfrm.Lifetime {
	t := lifetime(c.Limits)
	if !c.ESN {
		t.SoftPackets, t.HardPackets = min(t.SoftPackets, sequenceSoon), min(t.HardPackets, sequenceEnd)
	}
	return t
}

func lifetime(l dataplane.Limits) xfrm.Lifetime {
	return xfrm.Lifetime{SoftBytes: limit(l.SoftBytes), HardBytes: limit(l.HardBytes), SoftPackets: limit(l.SoftPackets), HardPackets: limit(l.HardPackets)}
}

func limit(v uint64) uint64 {
	if v == 0 {
		return xfrm.Infinity
	}
	return v
}

// make makes everything of a new device. Its link comes first, where a clash with somebody else's device
// shows before anything of his was touched; it comes up last, so that no packet finds it without states
// and policies. On error nothing is left, or the error says what.
func (d *device) make(spec *dataplane.Interface) error {
	pl, err := d.plan(spec)
	if err != nil {
		return err
	}
	spis := spisOf(pl.added)
	if err := d.plane.claim(d, spis); err != nil {
		return err
	}
	link, raise, err := d.makeLink(spec)
	if err != nil {
		d.plane.release(d, spis)
		return err
	}
	if err := d.plane.rtnl.Do(link); errors.Is(err, unix.EEXIST) {
		d.plane.release(d, spis)
		return d.clash(err)
	} else if err != nil {
		d.plane.release(d, spis)
		return undone(explain(err), d.plane.deleteLink(d.index))
	}
	policies := d.wantedPolicies(spec)
	if err = d.install(pl.keyed, differences(nil, policies)...); err == nil {
		err = d.plane.rtnl.Do(raise...)
	}
	d.commit(spec, pl, policies)
	if err != nil {
		return undone(explain(err), d.abandon())
	}
	return nil
}

func spisOf(children []*child) (all []uint32) {
	for _, c := range children {
		all = append(all, c.in.SPI)
	}
	return all
}

func additions(states []*xfrm.State) (all []*nlmsg.Message) {
	for _, s := range states {
		all = append(all, s.Add())
	}
	return all
}

func (d *device) commit(spec *dataplane.Interface, pl *plan, policies map[xfrm.PolicyKey]xfrm.Policy) {
	d.spec, d.children, d.policies = *spec, pl.children, policies
	d.spec.Children = nil // holds keys
	d.served = d.served || len(spec.Children) > 0
	d.spec.Addresses = slices.Clone(spec.Addresses)
}

// makeLink are the messages that make the link, and those that bring it up with its addresses.
func (d *device) makeLink(spec *dataplane.Interface) (create *nlmsg.Message, raise []*nlmsg.Message, err error) {
	l := d.link(spec)
	if d.front != "" {
		front, err := linkNamed(d.plane.rtnl, d.front)
		if err != nil {
			return nil, nil, fmt.Errorf("front-door VRF %s: %w", d.front, err)
		}
		l.under = front.index
	}
	if d.port && spec.VRF != "" {
		inside, err := linkNamed(d.plane.rtnl, spec.VRF)
		if err != nil {
			return nil, nil, fmt.Errorf("VRF %s: %w", spec.VRF, err)
		}
		l.vrf = inside.index
	}
	raise = l.raise()
	for _, p := range spec.Addresses {
		raise = append(raise, address(unix.RTM_NEWADDR, d.index, p, unix.RT_SCOPE_UNIVERSE))
	}
	if d.mode == dataplane.GRE && l.under != 0 {
		raise = append(raise, route(unix.RTM_NEWROUTE, netip.PrefixFrom(d.ends.peer, 32), l.under))
	}
	return l.create(), raise, nil
}

func (d *device) link(spec *dataplane.Interface) *link {
	return &link{
		name: d.name, index: d.index, mtu: spec.MTU, alias: spec.Alias, mode: d.mode, ifID: d.id,
		local: d.ends.local, peer: d.ends.peer, clear: spec.DF == dataplane.DFClear,
	}
}

// dismantle removes everything; the link first, because without its policy it would send in the
// clear.
func (d *device) dismantle() error {
	d.plane.retire(d)
	err := d.plane.deleteLink(d.index)
	return errors.Join(err, d.plane.rtnl.Do(d.routes()...), d.plane.xfrm.Do(d.deletions()...))
}

// abandon removes what stands of a device that could not be made.
func (d *device) abandon() error {
	err := d.plane.deleteLink(d.index)
	var all []*nlmsg.Message
	for k := range d.policies {
		all = append(all, k.Delete())
	}
	var ids []xfrm.ID
	for _, c := range d.children {
		ids = append(ids, c.in.ID, c.out.ID)
	}
	return errors.Join(err, d.plane.rtnl.Do(d.routes()...), d.plane.xfrm.Do(all...), d.takeBack(ids))
}

// marked tells a state of this device from one that has its request identifier by chance.
func (d *device) marked(s *xfrm.State) bool {
	return s.ReqID == d.id && s.Mode == d.xfrmMode() && (d.mode == dataplane.GRE) == (s.IfID == 0)
}

// takeBack deletes those of states that are this device's. One that was refused because it existed is
// somebody else's: a peer chooses the SPI by which we send, and behind a NAT may choose his neighbor's.
func (d *device) takeBack(ids []xfrm.ID) error {
	var all []*nlmsg.Message
	for _, id := range ids {
		s, err := id.State(d.plane.xfrm)
		switch {
		case isGone(err):
		case err != nil:
			return err
		case d.marked(&s):
			all = append(all, id.Delete())
		}
	}
	return d.plane.xfrm.Do(all...)
}

// routes removes the route that does not go with the link: to the front-door VRF.
func (d *device) routes() []*nlmsg.Message {
	if d.mode != dataplane.GRE || d.front == "" {
		return nil
	}
	return []*nlmsg.Message{route(unix.RTM_DELROUTE, netip.PrefixFrom(d.ends.peer, 32), 0)}
}

func (d *device) deletions() (all []*nlmsg.Message) {
	for k := range d.policies {
		all = append(all, k.Delete())
	}
	for _, c := range slices.Concat(d.children, d.leaving) {
		all = append(all, c.in.Delete(), c.out.Delete())
	}
	return all
}

// explain says what to do about a refusal.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: run as root or with CAP_NET_ADMIN", err)
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%w: somebody else has an object of this name or number", err)
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%w: the kernel lacks this cryptography: load its module or propose another", err)
	}
	return err
}
