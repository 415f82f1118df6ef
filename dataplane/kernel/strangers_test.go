package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"flexvpn/dataplane"
)

// Somebody else's device has the name of an interface, its if_id, its index, the ends of its GRE: the
// next is taken, or the name is said to be taken. Nothing of his is touched, not even after a restart.
func TestStrangersDevices(t *testing.T) {
	needKernel(t)
	newNamespace(t)
	tag := tagOf("hub1")
	ids := &Plane{tag: tag, opt: Options{Range: DefaultRange}}
	esp := "aead rfc4106(gcm(aes)) 0x0102030405060708090a0b0c0d0e0f1011121314 128"
	ip(t, "link set lo up",
		"link add va1 type bridge", "link set va1 up", "addr add 198.18.0.1/24 dev va1",
		fmt.Sprintf("link add theirs type xfrm dev lo if_id %#x", tag|1), "link set theirs up",
		fmt.Sprintf("xfrm state add src 203.0.113.1 dst 203.0.113.2 proto esp spi 0x77 reqid %d mode tunnel %s if_id %#x", tag|1, esp, tag|1),
		fmt.Sprintf("xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir out tmpl src 203.0.113.1 dst 203.0.113.2 proto esp reqid %d mode tunnel if_id %#x", tag|1, tag|1),
		fmt.Sprintf("link add index %d name bridge2 type bridge", ids.index(2)),
		fmt.Sprintf("link add gre3 type gre local %s remote %s ttl 64", ids.local(), ids.peer(3)))
	before, all := kernelState(t), said(t, "ip", "-br", "addr")
	unharmed := func(when string) {
		t.Helper()
		if now := said(t, "ip", "-br", "addr"); now != all {
			t.Errorf("%s: devices were\n%s\nand are\n%s", when, all, now)
		}
		same(t, kernelState(t), before, when)
	}
	p, err := New(Options{Node: "hub1", Alias: "test "})
	if err != nil {
		t.Fatal(err)
	}
	unharmed("at the start")
	if err := p.Apply(spoke("va1", dataplane.IPsec, 0x1001)); !errors.Is(err, dataplane.ErrNameTaken) || !strings.Contains(err.Error(), "va1") {
		t.Errorf("error %v", err)
	}
	unharmed("after a name that is taken")
	for i, mode := range []dataplane.Mode{dataplane.GRE, dataplane.IPsec, dataplane.GRE} {
		if err := p.Apply(spoke(fmt.Sprintf("va%d", i+2), mode, uint32(0x1001+i))); err != nil {
			t.Fatal(err)
		}
	}
	for name, d := range p.byName {
		if d.number <= 3 {
			t.Errorf("%s has number %d, which is somebody else's", name, d.number)
		}
	}
	if err := p.reconcile(); err != nil {
		t.Error(err)
	}
	// It dies without a word, and the next run cleans up behind it.
	if err := p.Leave(); err != nil {
		t.Fatal(err)
	}
	if p, err = New(Options{Node: "hub1", Alias: "test "}); err != nil {
		t.Fatal(err)
	}
	unharmed("after a crash and a start")
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	unharmed("after the end")
}

// Two nodes of one network namespace have their invented addresses from different ranges. One that
// forgets to say so is told, and the first does not notice.
func TestTwoNodesOfOneNamespace(t *testing.T) {
	needKernel(t)
	newNamespace(t)
	ip(t, "link set lo up", "link add front type vrf table 77", "link set front up")
	p := newPlane(t, Options{Node: "hub1", Alias: "test hub1 "})
	for i, vrf := range []string{"", "front"} {
		spec := spoke(fmt.Sprintf("va%d", i+1), dataplane.GRE, uint32(0x1001+i))
		spec.Alias, spec.TransportVRF = "test hub1 "+spec.Name, vrf
		if err := p.Apply(spec); err != nil {
			t.Fatal(err)
		}
	}
	state := func() string {
		return said(t, "ip", "-d", "link") + said(t, "ip", "xfrm", "policy") + said(t, "ip", "route", "show", "proto", "181")
	}
	before := state()
	if _, err := New(Options{Node: "spoke7", Alias: "test spoke7 "}); err == nil || !strings.Contains(err.Error(), "kernel.gre-range") {
		t.Errorf("error %v", err)
	}
	if now := state(); now != before {
		t.Errorf("the first node's objects were\n%s\nand are\n%s", before, now)
	}
	second := newPlane(t, Options{Node: "spoke7", Alias: "test spoke7 ", Range: netip.MustParsePrefix("241.0.0.0/12")})
	spec := spoke("tunnel1", dataplane.GRE, 0x5001)
	if err := second.Apply(spec); err != nil {
		t.Error(err)
	}
}

// What cannot be made again ends its session with that reason: a device whose queue others made, and one
// whose name somebody took. What is his stays, and nothing of ours does.
func TestCannotBeRestored(t *testing.T) {
	needKernel(t)
	p := newTroubled(t)
	p.must(spoke("va1", dataplane.IPsec, 0x1001))
	before := kernelState(t)
	shaped := spoke("va2", dataplane.IPsec, 0x1002)
	shaped.QoS.Shape.Bits = 1e6
	p.must(shaped)
	p.must(spoke("va3", dataplane.IPsec, 0x1003))
	d := p.byName["va3"]
	ip(t, "link del va2")
	d.mu.Lock() // who mends waits until the name is taken
	ip(t, "link del va3", "link add va3 type bridge")
	d.mu.Unlock()
	why := map[string]string{}
	eventually(t, func() error {
		for _, e := range p.events() {
			if e.Kind == dataplane.InterfaceGone {
				why[e.Interface] = e.Why
			}
		}
		if len(why) < 2 {
			return fmt.Errorf("gone are %v", why)
		}
		return nil
	})
	if !strings.Contains(why["va2"], "its VRF and queues are not the data plane's to make") || !strings.Contains(why["va3"], "file exists") {
		t.Errorf("the reasons are %q", why)
	}
	same(t, kernelState(t), append(before, `link va3 bridge mtu 1500 down ""`), "when two could not be made again")
}
