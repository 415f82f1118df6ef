package vtemplate

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"flexvpn/config"
	"flexvpn/dataplane"
	"flexvpn/ikev2"
	"flexvpn/ikev2/suite"
	"flexvpn/secret"
)

func prefixList(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range texts {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

var (
	path = ikev2.Path{
		Local: netip.MustParseAddrPort("203.0.113.1:4500"), Remote: netip.MustParseAddrPort("198.51.100.7:4500"), Encap: true,
	}
	native = ikev2.Child{
		SPIIn: 0x1001, SPIOut: 0x2002, Suite: suite.ESP{Encr: 20, KeyBits: 256, ESN: true},
		KeyIn: secret.FromString("in"), KeyOut: secret.FromString("out"), ReplayWindow: 512,
		TSLocal: ts(0, "0.0.0.0/0", "::/0"), TSRemote: ts(0, "10.1.1.2/32", "10.1.1.2/32", "10.0.0.1-10.0.0.2"),
	}
)

func TestAVirtualAccessIsItsTemplateWithWhatWasNegotiated(t *testing.T) {
	tpl := &config.VirtualTemplate{Number: 1, Mode: "auto", Addresses: prefixList("10.1.1.1/32", "fd00::1/128"), MTU: 1390, AdjustMSS: 1350}
	got := Build(tpl, Clone{
		Name: "va1", Decision: Decision{Mode: dataplane.IPsec}, Path: Path(path), Child: native,
		Identity: "spoke1.branch.example.net", Node: "hub1",
	})
	want := dataplane.Interface{
		Name: "va1", Alias: "flexvpn hub1 spoke1.branch.example.net", Mode: dataplane.IPsec, MTU: 1390, AdjustMSS: 1350,
		Addresses: prefixList("10.1.1.1/32", "fd00::1/128"),
		Path:      dataplane.Path{Local: path.Local, Remote: path.Remote, Encap: true},
		Children: []dataplane.Child{{
			SPIIn: 0x1001, SPIOut: 0x2002, Encr: 20, KeyBits: 256, ESN: true, KeyIn: native.KeyIn, KeyOut: native.KeyOut,
			ReplayWindow: 512, Local: prefixList("0.0.0.0/0", "::/0"), Remote: prefixList("10.1.1.2/32", "10.0.0.1/32", "10.0.0.2/32"),
		}},
		Outbound: 0x1001,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	got.Addresses[0] = netip.Prefix{}
	if !tpl.Addresses[0].IsValid() {
		t.Error("the interface shares its addresses with the template")
	}
}

func TestGRESelectorsNameTheOuterPacketsAndBindNothingInside(t *testing.T) {
	c := native
	c.Transport, c.TSLocal, c.TSRemote = true, ts(47, "203.0.113.1/32"), ts(47, "198.51.100.7/32")
	c.Suite = suite.ESP{Encr: 12, KeyBits: 128, Integ: 12}
	c.IntegIn, c.IntegOut = secret.FromString("a"), secret.FromString("b")
	got := Build(&config.VirtualTemplate{}, Clone{Name: "va2", Decision: Decision{Mode: dataplane.GRE, Transport: true}, Child: c})
	child := got.Children[0]
	if got.Mode != dataplane.GRE || !child.Transport || child.Local != nil || child.Remote != nil {
		t.Errorf("mode %s, child %+v", got.Mode, child)
	}
	c.Transport = false
	child = Build(&config.VirtualTemplate{}, Clone{Name: "va2", Decision: Decision{Mode: dataplane.GRE}, Child: c}).Children[0]
	if local, remote, ok := child.GREEnds(); !ok || local.String() != "203.0.113.1" || remote.String() != "198.51.100.7" {
		t.Errorf("in tunnel mode GRE runs from %s to %s (%t)", local, remote, ok)
	}
	child = got.Children[0]
	if child.Integ != 12 || !child.IntegIn.Equal(c.IntegIn) || !child.IntegOut.Equal(c.IntegOut) || got.MTU != 1400 {
		t.Errorf("integrity or MTU is lost: %+v", got)
	}
}

func TestATunnelIsWhatTheSpokeConfigured(t *testing.T) {
	got := BuildTunnel(&config.Tunnel{Name: "tunnel1", Mode: "gre", Addresses: prefixList("10.1.1.2/32"), MTU: 1400, AdjustMSS: 1360}, "spoke1")
	want := dataplane.Interface{Name: "tunnel1", Alias: "flexvpn spoke1 tunnel1", Mode: dataplane.GRE, MTU: 1400, AdjustMSS: 1360, Addresses: prefixList("10.1.1.2/32")}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := BuildTunnel(&config.Tunnel{Mode: "ipsec"}, "spoke1"); got.Mode != dataplane.IPsec {
		t.Errorf("mode is %s, want ipsec", got.Mode)
	}
	if got := BuildTunnel(&config.Tunnel{}, "spoke1"); got.Mode != dataplane.GRE {
		t.Errorf("the default is %s, want gre as on IOS", got.Mode)
	}
}

func TestAPeersNameCannotSpoilAnAlias(t *testing.T) {
	for _, identity := range []string{"\x1b[2Jspoke\n\x00", strings.Repeat("ö", 400), "\xff\xfe", ""} {
		got := alias("hub1", identity, "")
		if len(got) > maxAlias || !utf8.ValidString(got) || !strings.HasPrefix(got, "flexvpn hub1 ") || strings.ContainsAny(got, "\x1b\n\x00") {
			t.Errorf("identity %q makes the alias %q", identity, got)
		}
	}
}

func TestARekeyIsAskedForBeforeALimitIsReached(t *testing.T) {
	if got, want := Limits(config.Lifetime{Bytes: 800, Packets: 4}), (dataplane.Limits{SoftBytes: 700, HardBytes: 800, SoftPackets: 4, HardPackets: 4}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := Limits(config.Lifetime{}); got != (dataplane.Limits{}) {
		t.Errorf("no limits became %+v", got)
	}
}

func take(t *testing.T, n *Names) string {
	t.Helper()
	name, err := n.Take()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTheLowestFreeNameIsGiven(t *testing.T) {
	n := NewNames("va", nil)
	got := []string{take(t, n), take(t, n), take(t, n)}
	n.Release("va3")
	n.Release("va1")
	n.Release("va1")   // no longer held
	n.Release("va9")   // never given
	n.Release("va02")  // another device's
	n.Release("eth0")  //
	n.Release("va")    //
	n.Release("va2.1") //
	got = append(got, take(t, n), take(t, n), take(t, n))
	if want := []string{"va1", "va2", "va3", "va1", "va3", "va4"}; !slices.Equal(got, want) {
		t.Errorf("names are %v, want %v", got, want)
	}
}

func TestNamesOfOthersDevicesArePassedOver(t *testing.T) {
	others := map[string]bool{"va1": true, "va3": true}
	n := NewNames("va", func(name string) bool { return others[name] })
	got := []string{take(t, n), take(t, n)}
	others["va2"] = true // somebody took it between our release and our next session
	n.Release("va2")
	got = append(got, take(t, n))
	if want := []string{"va2", "va4", "va5"}; !slices.Equal(got, want) {
		t.Errorf("names are %v, want %v", got, want)
	}
}

func TestANameThatNoInterfaceCanHaveIsAnError(t *testing.T) {
	n := NewNames("virtual-access", nil)
	for range 9 {
		take(t, n)
	}
	for range 2 {
		if name, err := n.Take(); err == nil || !strings.Contains(err.Error(), "virtual-access10 is longer than the 15") {
			t.Errorf("the tenth name is %q (%v)", name, err)
		}
	}
	n.Release("virtual-access4")
	if got := take(t, n); got != "virtual-access4" {
		t.Errorf("got %s, want the one that is free", got)
	}
}
