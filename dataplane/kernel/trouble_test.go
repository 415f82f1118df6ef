package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/nlmsg/nlmsgtest"
	"flexvpn/dataplane/planetest"
)

// troubled is a plane whose connections a test can break.
type troubled struct {
	*Plane
	t    *testing.T
	rtnl *nlmsgtest.Trouble
	xfrm *nlmsgtest.Trouble
}

func newTroubled(t *testing.T) *troubled {
	t.Helper()
	newNamespace(t)
	ip(t, "link set lo up")
	p := newPlane(t, Options{})
	return &troubled{Plane: p, t: t, rtnl: nlmsgtest.Put(p.rtnl), xfrm: nlmsgtest.Put(p.xfrm)}
}

func (p *troubled) must(spec dataplane.Interface) {
	p.t.Helper()
	if err := p.Apply(spec); err != nil {
		p.t.Fatal(err)
	}
}

// spoke is an interface as a hub has it.
func spoke(name string, mode dataplane.Mode, spis ...uint32) dataplane.Interface {
	var children []dataplane.Child
	for _, spi := range spis {
		c := planetest.NewChild(spi, planetest.Algorithms[2])
		c.ESN, c.Transport = true, mode == dataplane.GRE
		children = append(children, c)
	}
	spec := planetest.NewInterface(name, children...)
	spec.Mode = mode
	spec.Addresses = []netip.Prefix{netip.MustParsePrefix("10.1.1.1/32"), netip.MustParsePrefix("2001:db8:9::1/128")}
	return spec
}

// fates are the kinds of trouble that one message may have.
var fates = []nlmsgtest.Fate{{Refuse: unix.ENOMEM}, {Mute: true}, {Refuse: unix.EEXIST}, {Lost: true}, {Refuse: unix.ENOBUFS}}

// listed is what the kernel has by the plane's own reading: quicker than by another program, which
// judges at the end.
func (p *troubled) listed() (out []string) {
	p.t.Helper()
	k, err := p.dump()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, l := range k.links {
		out = append(out, fmt.Sprintf("link %s %s %q up %v", l.name, l.kind, l.alias, l.up))
	}
	for id, s := range k.states {
		out = append(out, fmt.Sprintf("state %s of %#x from %s in mode %d", id, s.ReqID, s.Src, s.Mode))
	}
	for key, pol := range k.policies {
		out = append(out, fmt.Sprintf("policy %s by %+v", key, pol.Template))
	}
	slices.Sort(out)
	return out
}

// Whichever message of a new interface the kernel refuses, loses or does without a word: nothing of it
// stays behind, and the interface beside it is as it was.
func TestNoHalfBuiltInterface(t *testing.T) {
	needKernel(t)
	rounds := 2
	if testing.Short() {
		rounds = 1
	}
	for i, mode := range []dataplane.Mode{dataplane.IPsec, dataplane.GRE} {
		t.Run(mode.String(), func(t *testing.T) {
			p := newTroubled(t)
			p.must(spoke("va1", mode, 0x1001))
			before, listed := kernelState(t), p.listed()
			for socket, trouble := range map[string]*nlmsgtest.Trouble{"rtnl": p.rtnl, "xfrm": p.xfrm} {
				trouble.Decide(nil)
				p.must(spoke("va2", mode, 0x1002))
				messages := trouble.Seen()
				if messages < 4 {
					t.Fatalf("%s saw %d messages", socket, messages)
				}
				if err := p.Remove("va2"); err != nil {
					t.Fatal(err)
				}
				for k := range messages * rounds {
					fate := fates[(k+k/messages+2*i)%len(fates)]
					trouble.Decide(func(n int, _ uint16) (f nlmsgtest.Fate) {
						if n == k%messages {
							f = fate
						}
						return f
					})
					err := p.Apply(spoke("va2", mode, 0x1002))
					trouble.Decide(nil)
					what := fmt.Sprintf("%s message %d, %+v", socket, k%messages, fate)
					// A number that is taken is passed over.
					if passed := fate.Refuse == unix.EEXIST && socket == "rtnl" && k%messages == 0; (err == nil) != passed {
						t.Errorf("%s: error %v", what, err)
					}
					if _, there := p.Counters("va2"); there != (err == nil) {
						t.Errorf("%s: there is an interface after %v", what, err)
					}
					_ = p.Remove("va2")
					same(t, p.listed(), listed, what)
				}
			}
			same(t, kernelState(t), before, "at the end")
		})
	}
}

// A change that fails leaves the interface as it was; one that cannot be taken back ends it, with that
// reason. Either way the kernel has what is declared when it answers again.
func TestNoHalfMadeChange(t *testing.T) {
	needKernel(t)
	for _, mode := range []dataplane.Mode{dataplane.IPsec, dataplane.GRE} {
		t.Run(mode.String(), func(t *testing.T) {
			p := newTroubled(t)
			p.linger = 0
			p.must(spoke("va1", mode, 0x1001))
			bystander := p.listed()
			old, young := spoke("va2", mode, 0x1002), spoke("va2", mode, 0x1002, 0x1003)
			young.MTU, young.Addresses = 1380, append(slices.Clone(young.Addresses), netip.MustParsePrefix("10.1.1.9/32"))
			p.must(old)
			before, listed := kernelState(t), p.listed()
			for socket, trouble := range map[string]*nlmsgtest.Trouble{"rtnl": p.rtnl, "xfrm": p.xfrm} {
				trouble.Decide(nil)
				p.must(young)
				messages := trouble.Seen()
				p.must(old)
				p.settle()
				for k := range messages {
					fate := fates[k%2]
					trouble.Decide(func(n int, _ uint16) (f nlmsgtest.Fate) {
						if n == k {
							f = fate
						}
						return f
					})
					err := p.Apply(young)
					trouble.Decide(nil)
					if err == nil {
						t.Errorf("%s message %d: %+v went unnoticed", socket, k, fate)
					}
					same(t, p.listed(), listed, fmt.Sprintf("%s message %d, %+v", socket, k, fate))
				}
				same(t, kernelState(t), before, socket)
				// From some message on the kernel is dead, for the undoing as well.
				for k := range messages {
					trouble.Decide(func(n int, _ uint16) nlmsgtest.Fate { return nlmsgtest.Fate{Lost: n >= k} })
					err := p.Apply(young)
					trouble.Decide(nil)
					if err == nil {
						t.Errorf("%s from message %d on: nobody noticed", socket, k)
					}
					_, stands := p.Counters("va2")
					if gone := p.events(); stands == (len(gone) == 1) {
						t.Errorf("%s from message %d on: it stands: %v, and the events are %+v", socket, k, stands, gone)
					} else if !stands && !strings.Contains(gone[0].Why, "failed half-way") {
						t.Errorf("%s from message %d on: the reason is %q", socket, k, gone[0].Why)
					}
					if err := p.reconcile(); err != nil {
						t.Fatal(err)
					}
					want := listed
					if !stands {
						want = bystander
					}
					same(t, p.listed(), want, fmt.Sprintf("%s from message %d on", socket, k))
					p.must(old)
				}
				same(t, kernelState(t), before, socket+" was dead")
			}
			if n := len(p.doubts()); n != 0 {
				t.Errorf("%d numbers are in doubt", n)
			}
		})
	}
}

// events are those that nobody has read.
func (p *troubled) events() (all []dataplane.Event) {
	for {
		select {
		case e := <-p.Events():
			all = append(all, e)
		default:
			return all
		}
	}
}

// A removal that the kernel does not answer leaves something, and that is removed when it answers: by
// the plane itself, or by its end.
func TestWhatCouldNotBeRemoved(t *testing.T) {
	needKernel(t)
	for _, mode := range []dataplane.Mode{dataplane.IPsec, dataplane.GRE} {
		p := newTroubled(t)
		p.must(spoke("va1", mode, 0x1001))
		before := kernelState(t)
		dead := func(int, uint16) nlmsgtest.Fate { return nlmsgtest.Fate{Lost: true} }
		p.must(spoke("va2", mode, 0x1002))
		p.xfrm.Decide(dead)
		if err := p.Remove("va2"); !errors.Is(err, unix.ETIMEDOUT) {
			t.Errorf("error %v", err)
		}
		p.xfrm.Decide(nil)
		// Nobody says when it looks: the session that failed asked for it.
		eventually(t, func() error {
			if n := len(p.doubts()); n != 0 {
				return fmt.Errorf("%d numbers are in doubt", n)
			}
			return nil
		})
		same(t, kernelState(t), before, "after the kernel answers again")
		p.must(spoke("va3", mode, 0x1003))
		p.xfrm.Decide(dead)
		_ = p.Remove("va3")
		p.xfrm.Decide(nil)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		same(t, kernelState(t), nil, "after Close")
	}
}

// A peer chooses the SPI that we send by. Behind a NAT one may choose his neighbor's, to the same
// address: he is refused, and the neighbor does not notice.
func TestANeighborsSPI(t *testing.T) {
	needKernel(t)
	for _, mode := range []dataplane.Mode{dataplane.IPsec, dataplane.GRE} {
		p := newTroubled(t)
		p.must(spoke("va1", mode, 0x1001))
		before := kernelState(t)
		thief := spoke("va2", mode, 0x2002)
		thief.Children[0].SPIOut = 0x1001 + 0x10000000
		if err := p.Apply(thief); !errors.Is(err, unix.EEXIST) {
			t.Errorf("error %v", err)
		}
		same(t, kernelState(t), before, "after a neighbor's SPI")
		// And with a rekey.
		p.must(spoke("va2", mode, 0x2002))
		before = kernelState(t)
		thief = spoke("va2", mode, 0x2002, 0x2003)
		thief.Children[1].SPIOut = 0x1001 + 0x10000000
		if err := p.Apply(thief); !errors.Is(err, unix.EEXIST) {
			t.Errorf("error %v", err)
		}
		same(t, kernelState(t), before, "after a rekey to a neighbor's SPI")
	}
}

// News that the kernel could not tell are no drift: everything is compared.
func TestLostNews(t *testing.T) {
	needKernel(t)
	p := newTroubled(t)
	p.must(spoke("va1", dataplane.IPsec, 0x1001))
	before := kernelState(t)
	c, err := p.watches[0].SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
	if err != nil {
		t.Fatal(err)
	}
	// Who reads the news waits over a stranger's link that has an index like ours, while more comes than
	// the socket holds. The last of it is ours.
	p.mu.Lock()
	ip(t, "link add lure index 268435999 type bridge", "link del lure", "link add stranger type bridge")
	var flood []string
	for range 100 {
		flood = append(flood, "link set stranger up", "link set stranger down")
	}
	ip(t, append(flood, "link del stranger", "link del va1")...)
	p.mu.Unlock()
	eventually(t, func() error {
		if have := kernelState(t); !slices.Equal(have, before) {
			return fmt.Errorf("the kernel has %q, want %q", have, before)
		}
		return nil
	})
}
