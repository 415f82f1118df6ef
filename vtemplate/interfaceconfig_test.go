package vtemplate

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"flexvpn/authz"
	"flexvpn/config"
	"flexvpn/dataplane"
)

func TestLinesOfIOSAreUnderstood(t *testing.T) {
	for line, want := range map[string]Override{
		"vrf forwarding red":                  {Setting: SetVRF, Word: "red"},
		"ip vrf forwarding red":               {Setting: SetVRF, Word: "red"},
		"no vrf forwarding red":               {Setting: SetVRF},
		"tunnel vrf internet":                 {Setting: SetFrontVRF, Word: "internet"},
		"ip unnumbered lo":                    {Setting: SetUnnumbered, Word: "lo"},
		"ip address 10.9.9.9 255.255.255.255": {Setting: SetAddress, Address: netip.MustParseAddr("10.9.9.9")},
		"ip mtu 1300":                         {Setting: SetMTU, Number: 1300},
		" ip  tcp adjust-mss  1260 ":          {Setting: SetAdjustMSS, Number: 1260},
		"no ip tcp adjust-mss":                {Setting: SetAdjustMSS},
		"ip access-group from-spokes in":      {Setting: SetAccessIn, Word: "from-spokes"},
		"ipv6 traffic-filter to-spokes out":   {Setting: SetAccessOut, Word: "to-spokes"},
		"no ip access-group from-spokes in":   {Setting: SetAccessIn},
		"no service-policy output":            {Setting: SetPolicyOut},
		"service-policy input gold":           {Setting: SetPolicyIn, Word: "gold"},
		"service-policy output gold":          {Setting: SetPolicyOut, Word: "gold"},
		"traffic-shape rate 10000000":         {Setting: SetShape, Number: 10_000_000},
		"traffic-shape rate 10000000 120000":  {Setting: SetShape, Number: 10_000_000, Burst: 15000},
		"description branch  7 in  the north": {Setting: SetDescription, Word: "branch 7 in the north"},
		"tunnel path-mtu-discovery":           {Setting: SetDF, Word: "copy"},
		"no tunnel path-mtu-discovery":        {Setting: SetDF, Word: "clear"},
		"bandwidth 2000":                      {},
		"no keepalive":                        {},
		"rate-limit input 2000000 375000 750000 conform-action transmit exceed-action drop": {Setting: SetPolice, Number: 2_000_000, Burst: 750_000},
	} {
		if got, err := parseInterfaceConfig(line); err != nil || got != want {
			t.Errorf("%q is %+v (%v), want %+v", line, got, err, want)
		}
	}
	for line, want := range map[string]string{
		"":                                       "not supported",
		"no":                                     "not supported",
		"ip nat outside":                         "not supported",
		"vrf forwarding":                         "must have one name",
		"vrf forwarding red blue":                "must have one name",
		"ip address 10.9.9.9 255.255.255.0":      "every virtual-access would own the network",
		"ip address 0.0.0.0 255.255.255.255":     "no IPv4 address of a host",
		"ip mtu 575":                             "must be 576 to 9000",
		"ip mtu -1":                              "must be 576 to 9000",
		"ip tcp adjust-mss 99999999999999999999": "must be 500 to 8960",
		"ip access-group from-spokes":            "must have a name and in or out",
		"ip access-group from-spokes inside":     "must have a name and in or out",
		"service-policy gold output":             "must have a name and input or output",
		"traffic-shape rate 7999":                "must be 8000",
		"traffic-shape rate":                     "must have a rate",
		"rate-limit input 8000 1500 conform-action transmit exceed-action transmit": "must be BITS BURST",
		"description":                            "must have a text",
		"keepalive 10 3":                         "dead peer detection",
		"shutdown":                               "carries nothing",
		"tunnel path-mtu-discovery age-timer 10": "is too much",
	} {
		if got, err := parseInterfaceConfig(line); err == nil || !strings.Contains(err.Error(), want) || got != (Override{}) {
			t.Errorf("%q is %+v, error %v, want %q", line, got, err, want)
		}
	}
}

func FuzzInterfaceConfig(f *testing.F) {
	f.Add("ip access-group from-spokes in")
	f.Add("rate-limit input 8000 1500 conform-action transmit exceed-action drop")
	f.Fuzz(func(t *testing.T, line string) {
		if o, err := parseInterfaceConfig(line); err != nil && o != (Override{}) {
			t.Errorf("%q is refused and says %+v", line, o)
		}
	})
}

// host is a machine with one VRF and one interface.
type host struct{}

func (host) VRF(name string) (int, bool, error) { return 10, name == "red", nil }

func (host) Addresses(link string) ([]netip.Prefix, error) {
	if link != "eth1" {
		return nil, errors.New("there is no link " + link)
	}
	return prefixList("10.9.9.1/24", "2001:db8:9::1/64"), nil
}

func said(words ...string) (out []authz.Value[string]) {
	for _, w := range words {
		out = append(out, authz.Value[string]{V: w, Origin: "radius user u"})
	}
	return out
}

// Lines become a list with the name of their content, and travel with the interface.
func TestAListThatComesLineByLine(t *testing.T) {
	lines := "permit tcp 0.0.0.0/0 any eq 443\npermit ipv6 ::/0 any"
	own, err := Catalog{}.Customize(&config.VirtualTemplate{}, &authz.Attributes{FilterIn: authz.Value[string]{V: lines, Origin: "radius user u"}})
	if err != nil {
		t.Fatal(err)
	}
	var spec dataplane.Interface
	attach(&spec, &own.Attach)
	if spec.LinesIn != lines || !strings.HasPrefix(spec.FilterIn, "per-user.") || spec.FilterOut+spec.LinesOut != "" {
		t.Errorf("the interface has %q %q, %q %q", spec.FilterIn, spec.LinesIn, spec.FilterOut, spec.LinesOut)
	}
	if _, err := (Catalog{}).Customize(&config.VirtualTemplate{}, &authz.Attributes{FilterOut: authz.Value[string]{V: "permit x", Origin: "radius user u"}}); err == nil {
		t.Error("lines that mean nothing pass")
	}
}

func TestATemplateIsCustomizedForOneSpoke(t *testing.T) {
	lists := map[string]*config.AccessList{"a": {Name: "a"}, "b": {Name: "b"}}
	maps := map[string]*config.PolicyMap{"gold": {Name: "gold", Shape: config.Rate{Bits: 1e6}}, "slow": {Name: "slow", Police: config.Rate{Bits: 1e5}}}
	c := Catalog{AccessLists: lists, PolicyMaps: maps, Host: host{}}
	template := &config.VirtualTemplate{Number: 1, Addresses: prefixList("10.1.1.1/32"), MTU: 1400, AdjustMSS: 1360, Attach: config.Attach{FilterIn: lists["a"], DF: "copy"}}

	if got, err := c.Customize(template, &authz.Attributes{}); err != nil || got != template {
		t.Errorf("without attributes the template is copied (%v)", err)
	}
	got, err := c.Customize(template, &authz.Attributes{
		VRF: said("red")[0], FilterIn: said("b")[0], QoSIn: said("slow")[0], QoSOut: said("gold")[0],
		InterfaceConfig: said("ip mtu 1300", "ip tcp adjust-mss 1200", "ip access-group a out", "ip unnumbered eth1", "no tunnel path-mtu-discovery", "traffic-shape rate 5000000", "ip mtu 1350"),
	})
	if err != nil {
		t.Fatal(err)
	}
	spec := Build(got, Clone{Name: "va1"})
	if spec.VRF != "red" || spec.FilterIn != "b" || spec.FilterOut != "a" || spec.MTU != 1350 || spec.AdjustMSS != 1200 || spec.DF.String() != "clear" ||
		spec.QoS.Police.Bits != 1e5 || spec.QoS.Shape.Bits != 5e6 || len(spec.Addresses) != 2 || spec.Addresses[0] != prefixList("10.9.9.1/32")[0] {
		t.Errorf("the clone is %+v", spec)
	}
	if template.MTU != 1400 || template.FilterIn != lists["a"] || template.VRF != "" || len(template.Addresses) != 1 {
		t.Errorf("the template itself was changed: %+v", template)
	}
	if got, err := c.Customize(template, &authz.Attributes{InterfaceConfig: said("no ip access-group a in")}); err != nil || got.FilterIn != nil {
		t.Errorf("no ip access-group leaves %v (%v)", got.FilterIn, err)
	}
	for want, lines := range map[string][]string{
		"there is no access-list c in the configuration (radius user u)": {"ip access-group c in"},
		"there is no policy-map c":                                       {"service-policy input c"},
		"policy-map gold polices nothing":                                {"service-policy input gold"},
		"policy-map slow shapes nothing":                                 {"service-policy output slow"},
		"there is no VRF blue":                                           {"vrf forwarding blue"},
		"unnumbered from eth9: there is no link":                         {"ip unnumbered eth9"},
		"mtu 1200 is less than 1280":                                     {"ip unnumbered eth1", "ip mtu 1200"},
		"adjust-mss 1360 is greater than the mtu 1300":                   {"ip mtu 1300"},
		`"ip nat inside": this line is not supported (radius user u)`:    {"ip nat inside"},
	} {
		if _, err := c.Customize(template, &authz.Attributes{InterfaceConfig: said(lines...)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", lines, err, want)
		}
	}
}
