package kernel

import (
	"net/netip"
	"strings"
	"testing"

	"flexvpn/dataplane"
	"flexvpn/dataplane/planetest"
)

// GRE between IPv6 addresses takes a device of another kind: it comes in the place of the one that stands,
// in the same VRF, and the next start knows it for ours.
func TestGREOfAnotherFamily(t *testing.T) {
	needKernel(t)
	newNamespace(t)
	ip(t, "link set lo up", "link add red type vrf table 100", "link set red up", "addr add 192.0.2.1/32 dev lo")
	ipFamily(t, "-6", "addr add 2001:db8:f::1/128 dev lo nodad")
	p := newPlane(t, Options{})
	spec := planetest.NewInterface("va1")
	spec.Mode, spec.VRF = dataplane.GRE, "red"
	spec.Addresses = []netip.Prefix{netip.MustParsePrefix("10.1.1.1/32")}
	apply := func(want string) {
		t.Helper()
		if err := p.Apply(spec); err != nil {
			t.Fatal(err)
		}
		if out := said(t, "ip", "-d", "addr", "show", "va1"); !strings.Contains(out, want) || !strings.Contains(out, "master red") || !strings.Contains(out, "10.1.1.1/32") {
			t.Errorf("it is not %q in its VRF with its address:\n%s", want, out)
		}
	}
	if err := p.Apply(spec); err != nil {
		t.Fatal(err)
	}
	ip(t, "link set va1 master red", "addr replace 10.1.1.1/32 dev va1")
	between := func(spi uint32, local, remote string) {
		c := planetest.NewChild(spi, planetest.Algorithms[2])
		c.Local, c.Remote = []netip.Prefix{netip.MustParsePrefix(local)}, []netip.Prefix{netip.MustParsePrefix(remote)}
		spec.Children, spec.Outbound = []dataplane.Child{c}, spi
	}
	between(0x1001, "2001:db8:f::1/128", "2001:db8:f::7/128")
	apply("ip6gre remote 2001:db8:f::7 local 2001:db8:f::1")
	if out := said(t, "ip", "xfrm", "policy"); !strings.Contains(out, "src 2001:db8:f::1/128 dst 2001:db8:f::7/128 proto gre") {
		t.Errorf("the policies are\n%s", out)
	}
	between(0x1002, "192.0.2.1/32", "10.7.7.7/32")
	apply("gre remote 10.7.7.7 local 192.0.2.1")

	// What others hung on the device would be lost without a word.
	spec.QoS.Shape.Bits = 1 << 20
	between(0x1003, "2001:db8:f::1/128", "2001:db8:f::7/128")
	if err := p.Apply(spec); err == nil || !strings.Contains(err.Error(), "its shaper would be lost") {
		t.Errorf("with a shaper: %v", err)
	}
	spec.QoS.Shape.Bits = 0
	// Nor is anything taken away for what cannot be.
	between(0x1004, "2001:db8:f::2/128", "2001:db8:f::7/128")
	if err := p.Apply(spec); err == nil || !strings.Contains(err.Error(), "no address of this machine") {
		t.Errorf("for an address of another machine: %v", err)
	}
	between(0x1002, "192.0.2.1/32", "10.7.7.7/32")
	apply("gre remote 10.7.7.7 local 192.0.2.1")

	between(0x1003, "2001:db8:f::1/128", "2001:db8:f::7/128")
	apply("ip6gre remote")
	if err := p.Leave(); err != nil {
		t.Fatal(err)
	}
	newPlane(t, Options{})
	if out := said(t, "ip", "link"); strings.Contains(out, "va1") {
		t.Errorf("the next start left it:\n%s", out)
	}
}
