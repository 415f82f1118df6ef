package dataplane

import (
	"strings"
	"testing"
)

func TestAnInterfaceThatNoPlaneCanMakeIsRefused(t *testing.T) {
	for reason, change := range map[string]func(*Interface){
		"must have at most 15 characters":         func(i *Interface) { i.VRF = "a-name-of-16-cha" },
		"\"a-transport-vrf!\": must have at most": func(i *Interface) { i.TransportVRF = "a-transport-vrf!" },
		"cannot be a port of itself":              func(i *Interface) { i.VRF = "va1" },
		"filter's name must have at most 64":      func(i *Interface) { i.FilterIn = strings.Repeat("a", 65) },
		"at most 64 characters":                   func(i *Interface) { i.FilterOut = strings.Repeat("a", 65) },
		"df 3: must be copy, set or clear":        func(i *Interface) { i.DF = 3 },
		"shape: rate 7999: must be 8000":          func(i *Interface) { i.QoS.Shape.Bits = 7999 },
		"police: rate 1099511627777":              func(i *Interface) { i.QoS.Police.Bits = 1<<40 + 1 },
		"police: a burst without a rate":          func(i *Interface) { i.QoS.Police.Burst = 1500 },
		"shape: burst 268435457: must be":         func(i *Interface) { i.QoS.Shape = Rate{Bits: 8000, Burst: 1<<28 + 1} },
	} {
		i := Interface{Name: "va1", Mode: IPsec, MTU: 1400}
		if err := i.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&i)
		if err := i.Validate(); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("error %v, want %q", err, reason)
		}
	}
}

func TestABurstLetsAtLeastTwoPacketsPass(t *testing.T) {
	for _, c := range []struct {
		rate Rate
		want uint32
	}{
		{Rate{Bits: 8000}, 2800},
		{Rate{Bits: 80_000_000}, 100_000},
		{Rate{Bits: 80_000_000, Burst: 5}, 5},
		{Rate{Bits: 1 << 40}, maxBurst},
	} {
		if got := c.rate.BurstOr(10, 1400); got != c.want {
			t.Errorf("%+v has the burst %d, want %d", c.rate, got, c.want)
		}
	}
}
