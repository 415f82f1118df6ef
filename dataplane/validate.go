package dataplane

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrClosed is what a plane answers after Close.
var ErrClosed = errors.New("the data plane is closed")

// ErrNameTaken is in the error of a plane that cannot make an interface because a device that is not
// its own has the name. That device was not touched, and another name may be tried.
var ErrNameTaken = errors.New("somebody else has a device of this name")

// Limits of an interface.
const (
	maxName         = 15  // IFNAMSIZ less its NUL
	minMTU4         = 576 // RFC 791: what every host must take
	minMTU6         = 1280
	maxMTU          = 65535
	MaxReplayWindow = 4096 // packets; what the kernel takes too
	maxBurst        = 1 << 28
	minRate         = 8000    // bits a second: tc counts in octets, and below this a packet takes seconds
	maxRate         = 1 << 40 // a terabit a second: what fits nowhere is a slip of the pen
	maxLines        = 1 << 15 // octets of a filter that comes with the interface
	maxFilter       = 64      // octets of an access list's name
	// firstSPI is the first that may be used: RFC 4303 section 2.1 reserves 1 to 255, and 0 is
	// the marker of IKE messages on the port of ESP in UDP (RFC 3948 section 2.2).
	firstSPI = 256
)

// Validate reports what no plane could do, whatever it is made of.
func (i *Interface) Validate() error {
	if i.Name == "" || len(i.Name) > maxName {
		return fmt.Errorf("interface name %q: must have 1 to %d characters", i.Name, maxName)
	}
	if err := i.validate(); err != nil {
		return fmt.Errorf("interface %s: %w", i.Name, err)
	}
	return nil
}

func (i *Interface) validate() error {
	if i.Mode != IPsec && i.Mode != GRE {
		return fmt.Errorf("mode %d: must be ipsec or gre", i.Mode)
	}
	least := minMTU4
	for _, a := range i.Addresses {
		if !a.IsValid() {
			return errors.New("an address is not valid")
		}
		if a.Addr().Is6() {
			least = minMTU6
		}
	}
	if i.MTU < least || i.MTU > maxMTU {
		return fmt.Errorf("mtu %d: must be %d to %d", i.MTU, least, maxMTU)
	}
	if i.AdjustMSS < 0 || i.AdjustMSS > maxMTU {
		return fmt.Errorf("adjust-mss %d: must be 0 to %d", i.AdjustMSS, maxMTU)
	}
	if err := i.validateTemplate(); err != nil {
		return err
	}
	return i.validateChildren()
}

// validateTemplate checks what a template says beyond addresses and sizes.
func (i *Interface) validateTemplate() error {
	if len(i.VRF) > maxName || len(i.TransportVRF) > maxName {
		return fmt.Errorf("VRF names %q and %q: must have at most %d characters", i.VRF, i.TransportVRF, maxName)
	}
	if i.VRF == i.Name && i.VRF != "" {
		return errors.New("it cannot be a port of itself")
	}
	if len(i.FilterIn) > maxFilter || len(i.FilterOut) > maxFilter {
		return fmt.Errorf("a filter's name must have at most %d characters", maxFilter)
	}
	if i.LinesIn != "" && i.FilterIn == "" || i.LinesOut != "" && i.FilterOut == "" {
		return errors.New("the lines of a filter need a name")
	}
	if len(i.LinesIn) > maxLines || len(i.LinesOut) > maxLines {
		return fmt.Errorf("the lines of a filter must have at most %d octets", maxLines)
	}
	if i.DF > DFClear {
		return fmt.Errorf("df %d: must be copy, set or clear", i.DF)
	}
	if err := i.QoS.Shape.validate(); err != nil {
		return fmt.Errorf("shape: %w", err)
	}
	if err := i.QoS.Police.validate(); err != nil {
		return fmt.Errorf("police: %w", err)
	}
	return nil
}

func (r Rate) validate() error {
	switch {
	case r.Bits == 0 && r.Burst != 0:
		return errors.New("a burst without a rate")
	case r.Bits != 0 && (r.Bits < minRate || r.Bits > maxRate):
		return fmt.Errorf("rate %d: must be %d to %d bits a second", r.Bits, minRate, uint64(maxRate))
	case r.Burst > maxBurst:
		return fmt.Errorf("burst %d: must be at most %d octets", r.Burst, maxBurst)
	}
	return nil
}

func (i *Interface) validateChildren() error {
	hasOutbound := i.Outbound == 0
	for n := range i.Children {
		c := &i.Children[n]
		if err := c.validate(i.Mode); err != nil {
			return fmt.Errorf("child %#08x: %w", c.SPIIn, err)
		}
		if p := i.PathOf(c); !p.Local.Addr().IsValid() || !p.Remote.Addr().IsValid() {
			return fmt.Errorf("child %#08x: it has no path", c.SPIIn)
		}
		for m := range n {
			if i.Children[m].SPIIn == c.SPIIn {
				return fmt.Errorf("child %#08x: stands there twice", c.SPIIn)
			}
		}
		hasOutbound = hasOutbound || c.SPIIn == i.Outbound
	}
	if !hasOutbound {
		return fmt.Errorf("outbound child %#08x: is not among the children", i.Outbound)
	}
	return nil
}

func (c *Child) validate(m Mode) error {
	if c.SPIIn < firstSPI || c.SPIOut < firstSPI {
		return fmt.Errorf("SPIs %#x and %#x: must be at least %d", c.SPIIn, c.SPIOut, firstSPI)
	}
	if c.Transport && m != GRE {
		return errors.New("mode ipsec needs tunnel-mode SAs")
	}
	if c.ReplayWindow > MaxReplayWindow {
		return fmt.Errorf("replay window %d: must be at most %d", c.ReplayWindow, MaxReplayWindow)
	}
	for _, list := range [][]netip.Prefix{c.Local, c.Remote} {
		for _, p := range list {
			if !p.IsValid() {
				return errors.New("a selector is not valid")
			}
		}
	}
	if m == GRE && !c.Transport {
		return c.validateEnds()
	}
	return nil
}

// validateEnds checks the selectors that name the ends of GRE in tunnel mode.
func (c *Child) validateEnds() error {
	local, remote, ok := c.GREEnds()
	if !ok || !c.Local[0].IsSingleIP() || !c.Remote[0].IsSingleIP() || local.Is4() != remote.Is4() || local.Is4In6() || remote.Is4In6() {
		return fmt.Errorf("GRE in tunnel mode needs selectors of one host each, of one family: they are %v and %v", c.Local, c.Remote)
	}
	return nil
}
