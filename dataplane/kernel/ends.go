package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/nlmsg"
)

// ends are the addresses of a GRE device: invented ones, or with SAs in tunnel mode those that the
// packets have between ESP and GRE.
type ends struct {
	local, peer netip.Addr
	real        bool
}

// greTunnelEnds are those of the children of spec; ok is false when none has any.
func greTunnelEnds(spec *dataplane.Interface) (e ends, ok bool, err error) {
	if spec.Mode != dataplane.GRE {
		return e, false, nil
	}
	for i := range spec.Children {
		local, remote, tunnel := spec.Children[i].GREEnds()
		this := ends{local, remote, tunnel}
		if i > 0 && this != e {
			return e, false, errors.New("its children have GRE of different ends or modes: one device carries one pair")
		}
		e = this
	}
	return e, e.real, nil
}

// serve reports whether a device of these ends can be what spec says. Without children any can.
func (e ends) serve(spec *dataplane.Interface) bool {
	if spec.Mode != dataplane.GRE || len(spec.Children) == 0 {
		return true
	}
	want, tunnel, err := greTunnelEnds(spec)
	return err == nil && (tunnel == e.real) && (!tunnel || want == e)
}

// kin reports whether a device of these ends is of the kind that spec wants.
func (e ends) kin(spec *dataplane.Interface) bool {
	if spec.Mode != dataplane.GRE || len(spec.Children) == 0 {
		return true
	}
	want, _, err := greTunnelEnds(spec)
	return err != nil || want.local.Is6() == e.local.Is6()
}

// endsOf are the ends that a new device of spec has; the zero value stands for invented ones.
func endsOf(spec *dataplane.Interface) (ends, error) {
	e, tunnel, err := greTunnelEnds(spec)
	if err != nil || !tunnel {
		return ends{}, err
	}
	if spec.TransportVRF != "" {
		return e, fmt.Errorf("GRE in tunnel mode behind the front-door VRF %s: the kernel's plane has it in the default routing domain only: set mode transport in the peer's transform set", spec.TransportVRF)
	}
	return e, ours(e.local)
}

// remake makes a device of another kind for ends of the other family: IPv6's is not IPv4's. It stays in its
// VRF.
func (p *Plane) remake(d *device, spec *dataplane.Interface) error {
	d.mu.Lock()
	served := d.served
	d.mu.Unlock()
	if served && spec.QoS.Shape.Bits != 0 {
		return fmt.Errorf("interface %s: GRE in tunnel mode between addresses of the other family takes another device, and its shaper would be lost: remove the interface first", spec.Name)
	}
	if _, err := endsOf(spec); err != nil { // before anything is taken away
		return fmt.Errorf("interface %s: %w", spec.Name, err)
	}
	if err := p.Remove(spec.Name); err != nil {
		return err
	}
	return p.create(spec, true)
}

// ours refuses an address that is not this machine's: GRE that comes for it would be forwarded.
func ours(a netip.Addr) error {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err != nil {
		return fmt.Errorf("GRE in tunnel mode for %s, which is no address of this machine (behind a NAT?): set mode transport in the peer's transform set: %w", a, err)
	}
	return c.Close()
}

// alone refuses ends that another device has. p.mu is held.
func (p *Plane) alone(e ends) error {
	other := p.greEnds[e]
	if !e.real || other == nil {
		return nil
	}
	return fmt.Errorf("interface %s has GRE in tunnel mode between %s and %s too, and the kernel could not tell them apart: set mode transport in the transform set of one peer", other.name, e.local, e.peer)
}

// retarget gives a device that stands the ends of spec: the link stays, with its VRF and all else that
// hangs on it. Its children are of other ends, and go first.
func (p *Plane) retarget(d *device, spec *dataplane.Interface) error {
	e, err := endsOf(spec)
	if err != nil {
		return err
	}
	if !e.real {
		e = ends{local: p.local(), peer: p.peer(d.number)}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return errors.New("it was removed meanwhile")
	}
	bare := d.spec
	bare.Children, bare.Outbound = nil, 0
	if err := d.change(&bare); err != nil {
		return d.failed(err)
	}
	old, err := p.swapEnds(d, e)
	if err != nil {
		return err
	}
	before, policies := d.policies, d.wantedPolicies(&bare)
	// The policy that blocks before the device that sends.
	err = p.xfrm.Do(differences(nil, policies)...)
	if err == nil {
		err = p.rtnl.Do(d.link(&bare).retarget())
	}
	if err != nil {
		_, back := p.swapEnds(d, old)
		return d.failed(undone(err, errors.Join(back, p.xfrm.Do(differences(policies, nil)...))))
	}
	d.policies = policies
	var stale []*nlmsg.Message
	for k := range before {
		if _, still := policies[k]; !still {
			stale = append(stale, k.Delete())
		}
	}
	return p.xfrm.Do(stale...)
}

// swapEnds gives d other ends. d.mu is held.
func (p *Plane) swapEnds(d *device, e ends) (old ends, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.alone(e); err != nil {
		return e, err
	}
	old = d.ends
	delete(p.greEnds, old)
	if d.ends = e; e.real {
		p.greEnds[e] = d
	}
	return old, nil
}
