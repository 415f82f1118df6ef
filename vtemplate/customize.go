package vtemplate

import (
	"fmt"
	"net/netip"
	"slices"

	"flexvpn/authz"
	"flexvpn/config"
)

// A Catalog is what attributes of a spoke may name.
type Catalog struct {
	AccessLists map[string]*config.AccessList
	PolicyMaps  map[string]*config.PolicyMap
	Host        config.Host // nil: VRFs are taken as they stand, and nothing can be unnumbered
}

// Customize is the template as one spoke gets it: what its attributes say stands in place of what the
// template says, first those with a name of their own, then the lines of interface-config in their
// order. A line that is not understood, and a name that leads nowhere, is an error: a spoke must not
// come up without the access list that somebody wants in front of it. The template itself is returned
// when nothing differs.
func (c Catalog) Customize(t *config.VirtualTemplate, a *authz.Attributes) (*config.VirtualTemplate, error) {
	var all []authz.Value[Override]
	for _, named := range [...]struct {
		setting Setting
		value   *authz.Value[string]
	}{{SetVRF, &a.VRF}, {SetAccessIn, &a.FilterIn}, {SetAccessOut, &a.FilterOut}, {SetPolicyIn, &a.QoSIn}, {SetPolicyOut, &a.QoSOut}} {
		if v := named.value; v.IsSet() {
			all = append(all, authz.Value[Override]{V: Override{Setting: named.setting, Word: v.V}, Origin: v.Origin})
		}
	}
	slices.SortFunc(all, func(x, y authz.Value[Override]) int { return int(x.V.Setting) - int(y.V.Setting) })
	for _, line := range a.InterfaceConfig {
		o, err := parseInterfaceConfig(line.V)
		if err != nil {
			return nil, fmt.Errorf("%w (%s)", err, line.Origin)
		}
		all = append(all, authz.Value[Override]{V: o, Origin: line.Origin})
	}
	if len(all) == 0 {
		return t, nil
	}
	own := *t
	for _, o := range all {
		if err := c.apply(&own, o.V); err != nil {
			return nil, fmt.Errorf("%w (%s)", err, o.Origin)
		}
	}
	return &own, check(&own)
}

func (c Catalog) apply(t *config.VirtualTemplate, o Override) (err error) {
	switch o.Setting {
	case SetNothing:
	case SetVRF:
		t.VRF = o.Word
		return c.checkVRF(o.Word)
	case SetFrontVRF:
		t.FrontVRF = o.Word
		return c.checkVRF(o.Word)
	case SetUnnumbered:
		t.Addresses, err = c.shared(o.Word)
	case SetAddress:
		t.Addresses = slices.DeleteFunc(slices.Clone(t.Addresses), func(p netip.Prefix) bool { return p.Addr().Is4() })
		if o.Address.IsValid() {
			t.Addresses = append(t.Addresses, netip.PrefixFrom(o.Address, 32))
		}
	case SetMTU:
		t.MTU = int(o.Number)
	case SetAdjustMSS:
		t.AdjustMSS = int(o.Number)
	case SetAccessIn:
		t.FilterIn, err = c.accessList(o.Word)
	case SetAccessOut:
		t.FilterOut, err = c.accessList(o.Word)
	case SetPolicyIn:
		t.Input, err = find(c.PolicyMaps, "policy-map", o.Word)
		if err == nil && t.Input != nil && t.Input.Police.Bits == 0 {
			err = fmt.Errorf("policy-map %s polices nothing", o.Word)
		}
	case SetPolicyOut:
		t.Output, err = find(c.PolicyMaps, "policy-map", o.Word)
		if err == nil && t.Output != nil && t.Output.Shape.Bits == 0 {
			err = fmt.Errorf("policy-map %s shapes nothing", o.Word)
		}
	case SetShape:
		t.Output = nil
		if o.Number != 0 {
			t.Output = &config.PolicyMap{Shape: config.Rate{Bits: o.Number, Burst: o.Burst}}
		}
	case SetPolice:
		t.Input = nil
		if o.Number != 0 {
			t.Input = &config.PolicyMap{Police: config.Rate{Bits: o.Number, Burst: o.Burst}}
		}
	case SetDescription:
		t.Description = o.Word
	case SetDF:
		t.DF = o.Word
	}
	return err
}

// accessList is the list of a name, or the one that has these lines.
func (c Catalog) accessList(filter string) (*config.AccessList, error) {
	if authz.IsLines(filter) {
		return config.ParseAccessList(filter)
	}
	return find(c.AccessLists, "access-list", filter)
}

// find looks a name up; no name is nothing.
func find[T any](all map[string]*T, noun, name string) (*T, error) {
	if name == "" {
		return nil, nil
	}
	if v := all[name]; v != nil {
		return v, nil
	}
	return nil, fmt.Errorf("there is no %s %s in the configuration", noun, name)
}

func (c Catalog) checkVRF(name string) error {
	if name == "" || c.Host == nil {
		return nil
	}
	_, ok, err := c.Host.VRF(name)
	if err == nil && !ok {
		err = fmt.Errorf("there is no VRF %s: ip link add %s type vrf table N", name, name)
	}
	return err
}

func (c Catalog) shared(link string) ([]netip.Prefix, error) {
	if link == "" {
		return nil, nil
	}
	if c.Host == nil {
		return nil, fmt.Errorf("nothing can be unnumbered from %s here", link)
	}
	return config.Shared(c.Host, link)
}

// check holds of a whole template what no single line can tell.
func check(t *config.VirtualTemplate) error {
	least := 576
	for _, p := range t.Addresses {
		if p.Addr().Is6() {
			least = 1280
		}
	}
	m := mtu(t.MTU)
	if m < least {
		return fmt.Errorf("interface-config: mtu %d is less than %d, which the addresses of the interface need", m, least)
	}
	if t.AdjustMSS > m-40 {
		return fmt.Errorf("interface-config: adjust-mss %d is greater than the mtu %d less 40", t.AdjustMSS, m)
	}
	return nil
}
