package kernel

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"flexvpn/dataplane"
	"flexvpn/dataplane/planetest"
)

// docs/dataplane.md shows what iproute2 says of one native spoke and one with GRE: it is what it says.
func TestDocumentedObjects(t *testing.T) {
	needKernel(t)
	if atLeast(6, 2) {
		t.Log("docs/dataplane.md shows Linux 6.1")
		return
	}
	newNamespace(t)
	p := newPlane(t, Options{Node: "hub1", Alias: "flexvpn hub1 "})
	native, gre := planetest.NewChild(0xc1d2e3f4, planetest.Algorithms[2]), planetest.NewChild(0xa1b2c3d4, planetest.Algorithms[2])
	native.SPIOut, gre.SPIOut = 0x0badcafe, 0x0defaced
	native.ESN, gre.ESN, gre.Transport = true, true, true
	for i, c := range []dataplane.Child{native, gre} {
		spec := planetest.NewInterface(fmt.Sprintf("va%d", i+1), c)
		spec.Alias = fmt.Sprintf("flexvpn hub1 spoke%d.branch.example.net", i+1)
		spec.Addresses = []netip.Prefix{netip.MustParsePrefix("10.1.1.1/32")}
		if c.Transport {
			spec.Mode = dataplane.GRE
		} else {
			spec.Path.Encap = false
		}
		if err := p.Apply(spec); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile("../../docs/dataplane.md")
	if err != nil {
		t.Fatal(err)
	}
	want := string(page)
	for _, command := range []string{"ip -d link show va1", "ip -d link show va2", "ip xfrm state", "ip xfrm policy", "ip -d link show flexvpn-" + p.anchorName()[8:], "ip route show 240.0.0.0/12"} {
		text := "    # " + command + "\n" + indented(said(t, strings.Fields(command)[0], strings.Fields(command)[1:]...))
		if !strings.Contains(want, text) {
			t.Errorf("docs/dataplane.md does not have:\n%s", text)
		}
	}
}

// What is secret, and what is long.
var (
	keys    = regexp.MustCompile(`0x[0-9a-f]{40,}`)
	bitmaps = regexp.MustCompile(`(?m)^( *)00000000.*\n(?: *00000000.*\n)*`)
)

func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(keys.ReplaceAllString(text, "0x…")) {
		b.WriteString("    " + strings.ReplaceAll(strings.TrimRight(line, " \n"), "\t", "  ") + "\n")
	}
	return bitmaps.ReplaceAllString(b.String(), "${1}00000000 …\n")
}

// And it shows what a handover changes.
func TestDocumentedHandover(t *testing.T) {
	needKernel(t)
	newNamespace(t)
	p := newPlane(t, Options{Node: "spoke1"})
	next, old := planetest.NewChild(0xa1b2c3d4, planetest.Algorithms[2]), planetest.NewChild(0xc1d2e3f4, planetest.Algorithms[2])
	next.SPIOut, old.SPIOut = 0x0defaced, 0x0badcafe
	next.Transport, old.Transport = true, true
	next.Path.Local, next.Path.Remote = netip.MustParseAddrPort("192.0.2.9:4500"), netip.MustParseAddrPort("203.0.113.1:4500")
	old.Path = next.Path
	old.Path.Remote, old.Path.Encap = netip.MustParseAddrPort("203.0.113.2:4500"), true
	spec := planetest.NewInterface("tunnel1", old)
	spec.Mode = dataplane.GRE
	apply := func() string {
		t.Helper()
		if err := p.Apply(spec); err != nil {
			t.Fatal(err)
		}
		return said(t, "ip", "xfrm", "policy")
	}
	apply()
	spec.Children = []dataplane.Child{old, next}
	before, states := apply(), said(t, "sh", "-c", "ip xfrm state | grep -E 'src|spi|encap' | grep -v sel")
	spec.Outbound = next.SPIIn
	after := apply()
	page, err := os.ReadFile("../../docs/dataplane.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"    # ip xfrm state | grep -E 'src|spi|encap' | grep -v sel\n" + indented(states),
		"before\n" + indented(before), "and after\n" + indented(after),
	} {
		if !strings.Contains(string(page), text) {
			t.Errorf("docs/dataplane.md does not have:\n%s", text)
		}
	}
}
