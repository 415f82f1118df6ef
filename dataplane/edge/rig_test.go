package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/config"
	"flexvpn/dataplane"
	"flexvpn/dataplane/planetest"
	"flexvpn/dataplane/rtnl"
)

// These tests apply lists and rates to real devices (veth, whose other ends are the peers) and send
// real packets. They need root.

// vethPlane is a plane whose interfaces are veth pairs to a namespace of peers: what a packet meets
// on the device is what it meets on a TUN or GRE device.
type vethPlane struct {
	*planetest.Fake
	link     *rtnl.Conn
	hub, far string // namespaces
}

func (v vethPlane) Apply(spec dataplane.Interface) error {
	_, there := v.Interface(spec.Name)
	if err := v.Fake.Apply(spec); err != nil || there {
		return err
	}
	run := func(args string) error { return exec.Command("ip", strings.Fields(args)...).Run() }
	err := run(fmt.Sprintf("-n %s link add %s type veth peer name p-%[2]s netns %s", v.hub, spec.Name, v.far))
	return errors.Join(err, v.link.SetAddresses(spec.Name, spec.Addresses), v.link.SetLink(spec.Name, spec.MTU, spec.Alias, true))
}

func (v vethPlane) Remove(name string) error {
	return errors.Join(v.Fake.Remove(name), v.link.DeleteLink(name))
}

// rig is a hub between a peer on va1 (10.1.1.2, 2001:db8:1::2) and a host of its LAN (192.168.10.5,
// 2001:db8:10::5).
type rig struct {
	t             testing.TB
	hub, far, lan string
	inner         vethPlane
	link          *rtnl.Conn
	plane         *Plane
	noticed       chan string
}

var rigs atomic.Uint32

func newRig(t testing.TB, lists ...*config.AccessList) *rig {
	t.Helper()
	return rigOf(t, false, lists)
}

func rigOf(t testing.TB, owned bool, lists []*config.AccessList) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	prefix := fmt.Sprintf("fvedge-%d-%d-", os.Getpid()%100000, rigs.Add(1))
	r := &rig{t: t, hub: prefix + "hub", far: prefix + "far", lan: prefix + "lan", noticed: make(chan string, 100)}
	for _, ns := range []string{r.hub, r.far, r.lan} {
		r.ip("netns add " + ns)
		t.Cleanup(func() { r.ip("netns del " + ns) })
		r.ip("-n " + ns + " link set lo up")
	}
	r.ip(fmt.Sprintf("-n %s link add lan0 type veth peer name eth0 netns %s", r.hub, r.lan))
	r.up(r.hub, "lan0", "192.168.10.1/24", "2001:db8:10::1/64")
	r.up(r.lan, "eth0", "192.168.10.5/24", "2001:db8:10::5/64")
	r.ip("-n " + r.lan + " route add default via 192.168.10.1")
	r.ip("-n " + r.lan + " route add default via 2001:db8:10::1")
	r.in(r.hub, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
	r.open(owned, lists)
	return r
}

// open makes the plane in the hub's namespace.
func (r *rig) open(owned bool, lists []*config.AccessList) {
	r.t.Helper()
	r.inside(r.hub, func() {
		var err error
		if r.link, err = rtnl.Open(); err != nil {
			r.t.Error(err)
			return
		}
		r.inner = vethPlane{planetest.NewFake(), r.link, r.hub, r.far}
		r.plane, err = New(r.inner, Options{Lists: lists, ClampMSS: true, Owned: owned, Link: r.link, Noticed: func(what string, err error) {
			r.noticed <- fmt.Sprint(what, " ", err)
		}})
		if err != nil {
			r.t.Error(err)
			return
		}
		r.t.Cleanup(func() {
			if err := r.plane.Close(); err != nil {
				r.t.Errorf("close: %v", err)
			}
			_ = r.link.Close()
		})
	})
}

func (r *rig) ip(args string) {
	r.t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		r.t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
}

func (r *rig) up(ns, dev string, addresses ...string) {
	r.t.Helper()
	for _, a := range addresses {
		r.ip(fmt.Sprintf("-n %s addr add %s dev %s %s", ns, a, dev, map[bool]string{true: "nodad"}[strings.Contains(a, ":")]))
	}
	r.ip(fmt.Sprintf("-n %s link set %s up", ns, dev))
}

func (r *rig) in(ns, command string) string {
	r.t.Helper()
	out, err := exec.Command("ip", append([]string{"netns", "exec", ns}, strings.Fields(command)...)...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s in %s: %v\n%s", command, ns, err, out)
	}
	return string(out)
}

// inside runs f on a thread of a namespace: sockets that it makes stay there.
func (r *rig) inside(ns string, f func()) {
	r.t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		fd, err := unix.Open("/run/netns/"+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			_ = unix.Close(fd)
		}
		if err != nil {
			r.t.Errorf("enter namespace %s: %v", ns, err)
			return
		}
		f()
	})
	wg.Wait()
	if r.t.Failed() {
		r.t.FailNow()
	}
}

// spec is va1 with what change says of it.
func (r *rig) spec(change func(*dataplane.Interface)) dataplane.Interface {
	spec := planetest.NewInterface("va1")
	spec.MTU = 1400
	spec.Addresses = []netip.Prefix{netip.MustParsePrefix("10.1.1.1/24"), netip.MustParsePrefix("2001:db8:1::1/64")}
	if change != nil {
		change(&spec)
	}
	return spec
}

// apply makes va1, and the peer behind it the first time.
func (r *rig) apply(change func(*dataplane.Interface)) {
	r.t.Helper()
	_, there := r.inner.Interface("va1")
	if err := r.plane.Apply(r.spec(change)); err != nil {
		r.t.Fatal(err)
	}
	if there {
		return
	}
	r.up(r.far, "p-va1", "10.1.1.2/24", "2001:db8:1::2/64")
	r.ip("-n " + r.far + " link set p-va1 mtu 1400")
	r.ip("-n " + r.far + " route add default via 10.1.1.1")
	r.ip("-n " + r.far + " route add default via 2001:db8:1::1")
}

func (r *rig) lost(name string) Lost {
	r.t.Helper()
	all, err := r.plane.Lost()
	if err != nil {
		r.t.Fatal(err)
	}
	return all[name]
}

// until polls for a condition that must come.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("it did not come: %s\nlost %+v\n%s", what, r.lost("va1"), r.in(r.hub, "nft list ruleset"))
		}
	}
}

// serve accepts TCP on an address and returns its listener.
func (r *rig) serve(ns, addr string) net.Listener {
	r.t.Helper()
	var l net.Listener
	r.inside(ns, func() {
		var err error
		if l, err = net.Listen("tcp", addr); err != nil {
			r.t.Error(err)
		}
	})
	r.t.Cleanup(func() { _ = l.Close() })
	return l
}

// connects opens a TCP connection that must come about.
func (r *rig) connects(ns, addr string) (c net.Conn) {
	r.t.Helper()
	r.inside(ns, func() {
		var err error
		if c, err = net.DialTimeout("tcp", addr, 30*time.Second); err != nil {
			r.t.Errorf("connect to %s: %v\nlost %+v", addr, err, r.lost("va1"))
		}
	})
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// denied tries to connect until counter grows, and holds that no connection came about.
func (r *rig) denied(ns, addr string, counter func() uint64) {
	r.t.Helper()
	before := counter()
	tried := make(chan error, 1)
	done := make(chan struct{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	go func() {
		defer close(done)
		r.inside(ns, func() {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
			if err == nil {
				_ = c.Close()
			}
			tried <- err
		})
	}()
	r.until("a packet to "+addr+" is counted as denied", func() bool { return counter() > before })
	cancel()
	<-done
	if err := <-tried; err == nil {
		r.t.Errorf("a connection to %s came about", addr)
	}
}

// list makes an access list of lines as they stand in a configuration.
func list(t testing.TB, name string, lines ...string) *config.AccessList {
	t.Helper()
	text := "node: n\nikev2: {profiles: {}}\naccess-lists:\n  " + name + ":\n"
	for _, l := range lines {
		text += "    - " + l + "\n"
	}
	cfg, err := config.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg.AccessLists[name]
}
