package planetest_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"flexvpn/dataplane"
	"flexvpn/dataplane/none"
	"flexvpn/dataplane/planetest"
)

func TestFakePassesTheSuite(t *testing.T) {
	planetest.Run(t, func(*testing.T) planetest.Rig { return planetest.Rig{Plane: planetest.NewFake()} })
}

func TestNonePassesTheSuite(t *testing.T) {
	planetest.Run(t, func(*testing.T) planetest.Rig { return planetest.Rig{Plane: none.New()} })
}

func TestFakePrintsItsState(t *testing.T) {
	f := planetest.NewFake()
	b := planetest.NewInterface("va2", planetest.NewChild(0x2002, planetest.Algorithms[5]), planetest.NewChild(0x2001, planetest.Algorithms[2]))
	b.Addresses = []netip.Prefix{netip.MustParsePrefix("10.1.1.1/32")}
	b.VRF, b.TransportVRF, b.FilterIn, b.FilterOut, b.DF = "red", "front", "from-spokes", "to-spokes", dataplane.DFClear
	b.QoS = dataplane.QoS{Shape: dataplane.Rate{Bits: 10e6, Burst: 15000}, Police: dataplane.Rate{Bits: 2e6}}
	b.Children[0].ESN = true
	b.Children[1].Path = dataplane.Path{Local: b.Path.Local, Remote: netip.MustParseAddrPort("203.0.113.9:4500")}
	b.Children[0].Remote = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix("10.8.0.0/16")}
	for _, spec := range []dataplane.Interface{b, planetest.NewInterface("va1")} {
		if err := f.Apply(spec); err != nil {
			t.Fatal(err)
		}
	}
	const want = `interface va1 "test va1" mode ipsec mtu 1400 mss 0
  path 192.0.2.1:4500 - 198.51.100.7:4500 encap true
interface va2 "test va2" mode ipsec mtu 1400 mss 0
  address 10.1.1.1/32
  vrf red
  transport vrf front
  filter in from-spokes
  filter out to-spokes
  shape 10000000 bit/s burst 15000
  police 2000000 bit/s burst 0
  df clear
  path 192.0.2.1:4500 - 198.51.100.7:4500 encap true
  child in 00002001 out 10002001 encr 20/256 integ 0 outbound
    local [] remote []
    path 192.0.2.1:4500 - 203.0.113.9:4500 encap false
  child in 00002002 out 10002002 encr 12/128 integ 12 esn
    local [] remote [10.8.0.0/16 10.9.0.0/16]
`
	if got := f.String(); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	boom := errors.New("boom")
	f.Fail(boom)
	if err := f.Apply(b); !errors.Is(err, boom) {
		t.Errorf("a failing Apply returned %v", err)
	}
	if err := f.Remove("va2"); err != nil || strings.Contains(f.String(), "va2") {
		t.Errorf("after Remove (%v):\n%s", err, f)
	}
}
