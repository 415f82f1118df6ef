package config

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

const attachFile = `node: hub1
ikev2: {profiles: {}, listen: [192.0.2.1, {address: 0.0.0.0, vrf: internet}, {address: "::", vrf: internet}]}
access-lists:
  from-spokes:
    - permit tcp 10.0.0.0/8 gt 1023 host 192.168.10.5 eq https
    - permit udp any range 67 bootpc 192.168.0.0 0.0.255.255 lt 1024
    - permit tcp any any established
    - permit icmp any any
    - permit 89 2001:db8::/32 host 2001:db8::1
    - deny ip any any
policy-maps:
  gold: {shape: 10m, shape-burst: 15000, police: 2500k}
virtual-templates:
  1:
    unnumbered: eth1
    vrf: red
    front-vrf: internet
    access-group: {in: from-spokes}
    service-policy: {input: gold, output: gold}
    df-bit: clear
tunnels:
  tunnel1: {unnumbered: lo, access-group: {out: from-spokes}}
`

func TestWhatPassesAnInterface(t *testing.T) {
	cfg, err := Parse("hub.yaml", []byte(attachFile))
	if err != nil {
		t.Fatal(err)
	}
	list := cfg.AccessLists["from-spokes"]
	p := netip.MustParsePrefix
	for i, want := range []AccessEntry{
		{Permit: true, Protocol: 6, Source: p("10.0.0.0/8"), SourcePorts: PortRange{1024, 65535}, Destination: p("192.168.10.5/32"), DestinationPorts: PortRange{443, 443}},
		{Permit: true, Protocol: 17, SourcePorts: PortRange{67, 68}, Destination: p("192.168.0.0/16"), DestinationPorts: PortRange{1, 1023}},
		{Permit: true, Protocol: 6, Established: true},
		{Permit: true, Protocol: 1},
		{Permit: true, Protocol: 89, Source: p("2001:db8::/32"), Destination: p("2001:db8::1/128")},
		{},
	} {
		got := list.Entries[i]
		if got.Text == "" {
			t.Errorf("entry %d has lost its words", i)
		}
		got.Text = ""
		equal(t, list.Entries[i].Text, got, want)
	}
	gold := cfg.PolicyMaps["gold"]
	equal(t, "the policy-map", *gold, PolicyMap{"gold", Rate{10_000_000, 15000}, Rate{2_500_000, 0}})
	equal(t, "the template", cfg.Templates[1].Attach, Attach{
		VRF: "red", FrontVRF: "internet", Unnumbered: "eth1", FilterIn: list, Input: gold, Output: gold, DF: "clear",
	})
	equal(t, "where IKE listens", []any{cfg.IKEv2.Listen, cfg.IKEv2.ListenVRF},
		[]any{addrs("192.0.2.1"), map[string][]netip.Addr{"internet": addrs("0.0.0.0", "::")}})
	tunnel := cfg.Tunnels["tunnel1"]
	equal(t, "the tunnel", tunnel.Attach, Attach{Unnumbered: "lo", FilterOut: list, DF: "copy"})
	if tunnel.Negotiated {
		t.Error("an unnumbered tunnel negotiates its address")
	}
}

// fakeHost is a machine with VRFs and addresses.
type fakeHost struct {
	vrfs      map[string]int
	addresses map[string][]netip.Prefix
}

func (h fakeHost) VRF(name string) (int, bool, error) {
	if name == "eth1" {
		return 0, false, errors.New("eth1 is a device of kind veth, not a VRF")
	}
	table, ok := h.vrfs[name]
	return table, ok, nil
}

func (h fakeHost) Addresses(link string) ([]netip.Prefix, error) {
	list, ok := h.addresses[link]
	if !ok {
		return nil, errors.New("there is no link " + link)
	}
	return list, nil
}

func TestWhatTheMachineMustHave(t *testing.T) {
	good := fakeHost{
		vrfs: map[string]int{"red": 10, "internet": 11},
		addresses: map[string][]netip.Prefix{
			"eth1": prefixes("fe80::1/64", "10.9.9.1/24", "10.9.9.2/24", "2001:db8:9::1/64"),
			"lo":   prefixes("127.0.0.1/8", "::1/128", "172.16.0.1/32"),
		},
	}
	cfg, err := Parse("hub.yaml", []byte(attachFile), OnHost(good))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the addresses shared with eth1", cfg.Templates[1].Addresses, prefixes("10.9.9.1/32", "2001:db8:9::1/128"))
	equal(t, "the addresses shared with lo", cfg.Tunnels["tunnel1"].Addresses, prefixes("172.16.0.1/32"))

	for want, h := range map[string]fakeHost{
		"hub.yaml:16:10: virtual-template 1 names the VRF red, which does not exist (ip link add red type vrf table N; ip link set red up)": {vrfs: map[string]int{"internet": 1}, addresses: good.addresses},
		"hub.yaml:17:16: virtual-template 1 names the VRF internet, which does not exist":                                                   {vrfs: map[string]int{"red": 1}, addresses: good.addresses},
		"hub.yaml:15:17: virtual-template 1 is unnumbered from eth1: there is no link eth1":                                                 {vrfs: good.vrfs},
		"hub.yaml:22:25: tunnel tunnel1 is unnumbered from lo, which has no address to share: ip address add A dev lo":                      {vrfs: good.vrfs, addresses: map[string][]netip.Prefix{"eth1": good.addresses["eth1"], "lo": prefixes("127.0.0.1/8")}},
	} {
		if _, err := Parse("hub.yaml", []byte(attachFile), OnHost(h)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is\n%v\nwant\n%s", err, want)
		}
	}
	wrong := strings.ReplaceAll(attachFile, "vrf: red", "vrf: eth1")
	if _, err := Parse("hub.yaml", []byte(wrong), OnHost(good)); err == nil || !strings.Contains(err.Error(), "virtual-template 1: eth1 is a device of kind veth, not a VRF") {
		t.Errorf("error is %v", err)
	}
}

func FuzzAccessEntry(f *testing.F) {
	f.Add("permit tcp 10.0.0.0/8 gt 1023 host 192.168.10.5 eq https established")
	f.Add("deny ip 10.0.0.0 0.0.0.255 any")
	f.Add("permit ip 2001:db8::/32 host ::1")
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseAccessEntry(s)
		if err != nil {
			return
		}
		for _, p := range []netip.Prefix{e.Source, e.Destination} {
			if p.IsValid() && p != p.Masked() {
				t.Errorf("%q has host bits: %v", s, p)
			}
		}
		for _, r := range []PortRange{e.SourcePorts, e.DestinationPorts} {
			if r.Last < r.First || r != (PortRange{}) && r.First == 0 {
				t.Errorf("%q has the ports %v", s, r)
			}
		}
	})
}
