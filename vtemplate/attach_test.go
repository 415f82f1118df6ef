package vtemplate

import (
	"reflect"
	"testing"

	"flexvpn/config"
	"flexvpn/dataplane"
)

func TestWhatIsAttachedToATemplateIsAttachedToItsClones(t *testing.T) {
	a := config.Attach{
		VRF: "red", FrontVRF: "internet", FilterIn: &config.AccessList{Name: "from-spokes"}, FilterOut: &config.AccessList{Name: "to-spokes"},
		Input: &config.PolicyMap{Police: config.Rate{Bits: 2e6, Burst: 500_000}}, Output: &config.PolicyMap{Shape: config.Rate{Bits: 10e6}, Police: config.Rate{Bits: 1e6}},
		DF: "clear",
	}
	want := dataplane.Interface{
		VRF: "red", TransportVRF: "internet", FilterIn: "from-spokes", FilterOut: "to-spokes", DF: dataplane.DFClear,
		QoS: dataplane.QoS{Police: dataplane.Rate{Bits: 2e6, Burst: 500_000}, Shape: dataplane.Rate{Bits: 10e6}},
	}
	clone := Build(&config.VirtualTemplate{Attach: a}, Clone{Name: "va1", FrontVRF: "internet"})
	tunnel := BuildTunnel(&config.Tunnel{Name: "tunnel1", Attach: a}, "spoke1")
	for _, got := range []dataplane.Interface{clone, tunnel} {
		want.Name, want.Alias, want.Mode, want.MTU, want.Children, want.Outbound = got.Name, got.Alias, got.Mode, got.MTU, got.Children, got.Outbound
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if got := Build(&config.VirtualTemplate{Description: "branches in the north"}, Clone{Name: "va1", Node: "hub1", Identity: "spoke1"}); got.Alias != "flexvpn hub1 spoke1: branches in the north" {
		t.Errorf("the alias is %q", got.Alias)
	}
	if got := Build(&config.VirtualTemplate{Attach: config.Attach{DF: "set"}}, Clone{Name: "va1"}); got.DF != dataplane.DFSet {
		t.Errorf("df is %s, want set", got.DF)
	}
	if got := Build(&config.VirtualTemplate{Attach: config.Attach{DF: "copy"}}, Clone{Name: "va1"}); got.DF != dataplane.DFCopy || got.FilterIn != "" || got.QoS != (dataplane.QoS{}) {
		t.Errorf("a template without attachments makes %+v", got)
	}
}
