package planetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"flexvpn/dataplane"
	"flexvpn/secret"
)

// Rig is a plane under test with its surroundings.
type Rig struct {
	Plane dataplane.Plane
	// Traffic moves packets through the plane; nil for a plane that forwards nothing.
	Traffic Traffic
	// Kernel: ESP and GRE are the kernel's. It takes GRE without options only, leaves the segment size
	// to nftables, counts padding for confidentiality as content, and its counters of a namespace do
	// not tell a dummy packet from a broken one.
	Kernel bool
	// Settle ends the time for which a plane keeps what was replaced; nil for one that keeps nothing.
	Settle func()
}

// Traffic is both sides of a plane: the host that sends and receives inner packets, and the network
// that carries ESP packets.
type Traffic interface {
	// Send gives the interface an inner packet to send.
	Send(name string, packet []byte)
	// Received is the next inner packet the host gets from the interface; nil when none comes for a
	// while.
	Received(name string) []byte
	// Sent is the next ESP packet on the network; nil when none comes for a while.
	Sent() (local, remote netip.AddrPort, packet []byte)
	// Deliver gives the plane an ESP packet and returns when it was dealt with.
	Deliver(local, remote netip.AddrPort, packet []byte)
}

// Run is the suite. newRig makes a fresh plane and cleans up by t.Cleanup.
func Run(t *testing.T, newRig func(t *testing.T) Rig) {
	state := []struct {
		name string
		test func(*testing.T, *bench)
	}{
		{"apply twice", testApplyTwice},
		{"refuses", testRefuses},
		{"transitions", testTransitions},
		{"remove", testRemove},
		{"close", testClose},
	}
	for _, c := range state {
		t.Run(c.name, func(t *testing.T) { c.test(t, newBench(t, newRig(t))) })
	}
	if newRig(t).Traffic == nil {
		return
	}
	for _, c := range trafficTests {
		t.Run(c.name, func(t *testing.T) { c.test(t, newBench(t, newRig(t))) })
	}
}

// bench is a rig with the words the tests use.
type bench struct {
	Rig
	t *testing.T
}

func newBench(t *testing.T, r Rig) *bench { return &bench{Rig: r, t: t} }

var (
	hub   = netip.MustParseAddrPort("192.0.2.1:4500")
	spoke = netip.MustParseAddrPort("198.51.100.7:4500")

	inside4  = netip.MustParseAddrPort("10.1.1.1:1000")
	outside4 = netip.MustParseAddrPort("10.2.2.2:2000")
	inside6  = netip.MustParseAddrPort("[2001:db8:1::1]:1000")
	outside6 = netip.MustParseAddrPort("[2001:db8:2::2]:2000")
)

// key is secret material of a length, different for every use.
func key(r *rand.Rand, n int) secret.Bytes {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return secret.New(b)
}

// Algorithm is one that every plane must have.
type Algorithm struct {
	Name                 string
	Encr, KeyBits, Integ uint16
	key, integ           int // octets
}

// Algorithms are those every plane must have.
var Algorithms = []Algorithm{
	{"aes128gcm16", 20, 128, 0, 20, 0},
	{"aes192gcm16", 20, 192, 0, 28, 0},
	{"aes256gcm16", 20, 256, 0, 36, 0},
	{"chacha20poly1305", 28, 0, 0, 36, 0},
	{"aes128-sha1", 12, 128, 2, 16, 20},
	{"aes128-sha256", 12, 128, 12, 16, 32},
	{"aes192-sha384", 12, 192, 13, 24, 48},
	{"aes256-sha512", 12, 256, 14, 32, 64},
}

// NewChild makes a child with keys that depend on the SPI alone.
func NewChild(spi uint32, a Algorithm) dataplane.Child {
	r := rand.New(rand.NewPCG(uint64(spi), 1))
	return dataplane.Child{
		SPIIn: spi, SPIOut: spi + 0x10000000, Encr: a.Encr, KeyBits: a.KeyBits, Integ: a.Integ,
		KeyIn: key(r, a.key), KeyOut: key(r, a.key), IntegIn: key(r, a.integ), IntegOut: key(r, a.integ),
	}
}

// NewInterface makes an interface in mode ipsec with children, the last of which sends.
func NewInterface(name string, children ...dataplane.Child) dataplane.Interface {
	i := dataplane.Interface{
		Name: name, Alias: "test " + name, Mode: dataplane.IPsec, MTU: 1400,
		Path: dataplane.Path{Local: hub, Remote: spoke, Encap: true}, Children: children,
	}
	if n := len(children); n > 0 {
		i.Outbound = children[n-1].SPIIn
	}
	return i
}

// gcm is a child for tests that do not care.
func gcm(spi uint32) dataplane.Child { return NewChild(spi, Algorithms[2]) }

func (b *bench) apply(spec dataplane.Interface) {
	b.t.Helper()
	if err := b.Plane.Apply(spec); err != nil {
		b.t.Fatalf("apply %s: %v", spec.Name, err)
	}
}

func (b *bench) counters(name string) dataplane.Counters {
	b.t.Helper()
	c, ok := b.Plane.Counters(name)
	if !ok {
		b.t.Fatalf("interface %s has no counters", name)
	}
	return c
}

func (b *bench) spis(name string) []uint32 {
	var out []uint32
	for _, c := range b.counters(name).Children {
		out = append(out, c.SPIIn)
	}
	slices.Sort(out)
	return out
}

// wantEvent waits for the next event and compares it.
func (b *bench) wantEvent(want dataplane.Event, why string) {
	b.t.Helper()
	select {
	case got := <-b.Plane.Events():
		if got != want {
			b.t.Fatalf("%s: event %+v, want %+v", why, got, want)
		}
	case <-time.After(5 * time.Second):
		b.t.Fatalf("%s: no event, want %+v", why, want)
	}
}

func testApplyTwice(t *testing.T, b *bench) {
	spec := NewInterface("fvt0", gcm(0x1001), gcm(0x1002))
	spec.Addresses = []netip.Prefix{netip.MustParsePrefix("10.1.1.1/32"), netip.MustParsePrefix("2001:db8:1::1/128")}
	b.apply(spec)
	b.apply(spec)
	if got, want := b.spis("fvt0"), []uint32{0x1001, 0x1002}; !slices.Equal(got, want) {
		t.Errorf("children %x, want %x", got, want)
	}
}

func testRefuses(t *testing.T, b *bench) {
	good := NewInterface("fvt0", gcm(0x1001))
	b.apply(good)
	bad := map[string]func(*dataplane.Interface){
		"a name that is too long":  func(i *dataplane.Interface) { i.Name = "a-name-of-16-cha" },
		"no name":                  func(i *dataplane.Interface) { i.Name = "" },
		"no mode":                  func(i *dataplane.Interface) { i.Mode = 0 },
		"an MTU no host must take": func(i *dataplane.Interface) { i.MTU = 575 },
		"IPv6 with an MTU under 1280": func(i *dataplane.Interface) {
			i.MTU, i.Addresses = 1279, []netip.Prefix{netip.MustParsePrefix("2001:db8::1/64")}
		},
		"an outbound child that is none":  func(i *dataplane.Interface) { i.Outbound = 0x9999 },
		"two children of one SPI":         func(i *dataplane.Interface) { i.Children = append(i.Children, gcm(0x1001)) },
		"a reserved SPI":                  func(i *dataplane.Interface) { i.Children = append(i.Children, gcm(255)) },
		"GRE in tunnel mode without ends": func(i *dataplane.Interface) { i.Mode = dataplane.GRE },
		"GRE in tunnel mode between networks": func(i *dataplane.Interface) {
			i.Mode = dataplane.GRE
			i.Children[0].Local, i.Children[0].Remote = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, []netip.Prefix{netip.MustParsePrefix("10.7.7.7/32")}
		},
		"GRE in tunnel mode between families": func(i *dataplane.Interface) {
			i.Mode = dataplane.GRE
			i.Children[0].Local, i.Children[0].Remote = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, []netip.Prefix{netip.MustParsePrefix("2001:db8::7/128")}
		},
		"transport-mode SAs in mode ipsec": func(i *dataplane.Interface) { i.Children[0].Transport = true },
		"a replay window over the limit":   func(i *dataplane.Interface) { i.Children[0].ReplayWindow = 4097 },
		"children without a path":          func(i *dataplane.Interface) { i.Path = dataplane.Path{} },
		"a VRF of its own name":            func(i *dataplane.Interface) { i.VRF = i.Name },
		"a shaper slower than one packet":  func(i *dataplane.Interface) { i.QoS.Shape.Bits = 7999 },
		"a burst without a rate":           func(i *dataplane.Interface) { i.QoS.Police.Burst = 3000 },
		"no way of treating DF":            func(i *dataplane.Interface) { i.DF = 3 },
	}
	for what, change := range bad {
		for _, name := range []string{"fvt0", "fvt1"} {
			spec := good
			spec.Name, spec.Children = name, slices.Clone(good.Children)
			change(&spec)
			if err := b.Plane.Apply(spec); err == nil {
				t.Errorf("%s was accepted", what)
			}
		}
	}
	if _, ok := b.Plane.Counters("fvt1"); ok {
		t.Error("a refused interface is there")
	}
	if got := b.spis("fvt0"); !slices.Equal(got, []uint32{0x1001}) {
		t.Errorf("after refusals the children are %x", got)
	}
}

// testTransitions walks through random states; after each step the plane must be what a fake that was
// told the same is, and its packets must show it.
func testTransitions(t *testing.T, b *bench) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 7))
		fake := NewFake()
		ends := map[uint32]*End{}
		spi := uint32(0x10000 * (seed + 1))
		for step := range 40 {
			name := fmt.Sprintf("fvt%d", r.IntN(3))
			if r.IntN(6) == 0 {
				b.remove(fake, name)
			} else {
				spec := nextState(r, fake, name, &spi)
				if err := fake.Apply(spec); err != nil {
					t.Fatalf("seed %d step %d: the test made a bad state: %v", seed, step, err)
				}
				b.apply(spec)
			}
			b.compare(fake, ends)
			if t.Failed() {
				t.Fatalf("seed %d step %d, wanted state:\n%s", seed, step, fake)
			}
		}
		for i := range 3 {
			b.remove(fake, fmt.Sprintf("fvt%d", i))
		}
	}
}

func (b *bench) remove(fake *Fake, name string) {
	b.t.Helper()
	_ = fake.Remove(name)
	if err := b.Plane.Remove(name); err != nil {
		b.t.Fatalf("remove %s: %v", name, err)
	}
}

// nextState changes an interface a little: children come and go, another sends, the path moves.
func nextState(r *rand.Rand, fake *Fake, name string, spi *uint32) dataplane.Interface {
	spec, ok := fake.Interface(name)
	if !ok {
		spec = NewInterface(name)
	}
	spec.Children = slices.Clone(spec.Children)
	if n := len(spec.Children); n > 0 && r.IntN(3) == 0 {
		spec.Children = slices.Delete(spec.Children, 0, 1+r.IntN(n))
	}
	for range r.IntN(3) {
		*spi++
		spec.Children = append(spec.Children, NewChild(*spi, Algorithms[r.IntN(len(Algorithms))]))
	}
	for i := range spec.Children {
		if r.IntN(4) == 0 {
			spec.Children[i].Path = other(spec.Path, r.IntN(4))
		}
	}
	spec.Outbound = 0
	if n := len(spec.Children); n > 0 && r.IntN(5) != 0 {
		spec.Outbound = spec.Children[r.IntN(n)].SPIIn
	}
	spec.MTU = 1300 + r.IntN(200)
	spec.Path.Remote = netip.AddrPortFrom(spoke.Addr(), uint16(4500+r.IntN(3)))
	spec.Addresses = nil
	for range r.IntN(3) {
		spec.Addresses = append(spec.Addresses, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, byte(r.IntN(200)), 1}), 32))
	}
	slices.SortFunc(spec.Addresses, netip.Prefix.Compare)
	spec.Addresses = slices.Compact(spec.Addresses)
	return spec
}

// other is one of the few paths that children have for themselves; 0: that of the interface.
func other(p dataplane.Path, n int) dataplane.Path {
	if n == 0 {
		return dataplane.Path{}
	}
	p.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(n)}), 4500)
	return p
}

// compare holds the plane against the fake.
func (b *bench) compare(fake *Fake, ends map[uint32]*End) {
	b.t.Helper()
	for i := range 3 {
		name := fmt.Sprintf("fvt%d", i)
		spec, want := fake.Interface(name)
		c, got := b.Plane.Counters(name)
		if got != want {
			b.t.Errorf("interface %s is there: %v, want %v", name, got, want)
		}
		if !want || !got {
			continue
		}
		for i := range spec.Children {
			if c := &spec.Children[i]; ends[c.SPIIn] == nil {
				ends[c.SPIIn] = &End{Child: c}
			}
		}
		if len(c.Children) != len(spec.Children) {
			b.t.Errorf("interface %s has %d children, want %d", name, len(c.Children), len(spec.Children))
		}
		if b.Traffic != nil {
			b.exchange(&spec, ends)
		}
	}
}

// exchange sends a packet in on every child and one out, and expects it where the state says.
func (b *bench) exchange(spec *dataplane.Interface, ends map[uint32]*End) {
	b.t.Helper()
	in := UDP(outside4, inside4, []byte("in"))
	for i := range spec.Children {
		e := ends[spec.Children[i].SPIIn]
		b.Traffic.Deliver(hub, spec.PathOf(&spec.Children[i]).Remote, e.Seal(in, 4, Options{}))
		if got := b.Traffic.Received(spec.Name); !bytes.Equal(got, in) {
			b.t.Errorf("interface %s, child %x: the host received %x", spec.Name, e.Child.SPIIn, got)
		}
	}
	if spec.Outbound == 0 {
		return
	}
	out := UDP(inside4, outside4, []byte("out"))
	b.Traffic.Send(spec.Name, out)
	_, remote, packet := b.Traffic.Sent()
	i := slices.IndexFunc(spec.Children, func(c dataplane.Child) bool { return c.SPIIn == spec.Outbound })
	to := spec.PathOf(&spec.Children[i]).Remote
	o, err := ends[spec.Outbound].Open(packet, 0)
	if err != nil || !bytes.Equal(o.Payload, out) || remote != to {
		b.t.Errorf("interface %s sent %+v to %s, %v; want child %x to %s", spec.Name, o, remote, err, spec.Outbound, to)
	}
}

func testRemove(t *testing.T, b *bench) {
	if err := b.Plane.Remove("fvt9"); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
	b.apply(NewInterface("fvt0", gcm(0x1001)))
	if err := b.Plane.Remove("fvt0"); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.Plane.Counters("fvt0"); ok {
		t.Error("a removed interface has counters")
	}
	// Its SPI and its name are free again.
	b.apply(NewInterface("fvt0", gcm(0x1001)))
	b.apply(NewInterface("fvt1", gcm(0x1002)))
}

func testClose(t *testing.T, b *bench) {
	b.apply(NewInterface("fvt0", gcm(0x1001)))
	if err := b.Plane.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if _, ok := b.Plane.Counters("fvt0"); ok {
		t.Error("an interface outlived its plane")
	}
	deadline := time.After(5 * time.Second)
	for open := true; open; {
		select {
		case _, open = <-b.Plane.Events():
		case <-deadline:
			t.Fatal("Close did not close Events")
		}
	}
	if err := b.Plane.Apply(NewInterface("fvt0", gcm(0x1001))); err == nil {
		t.Error("a closed plane made an interface")
	}
	if err := b.Plane.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
}
