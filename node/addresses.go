package node

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"flexvpn/config"
)

// coalesce is how long changes of the network are gathered: a link that goes takes many things with it.
const coalesce = 20 * time.Millisecond

// followAddresses tells who has to know that addresses or routes of this host have changed: the
// clients, whose source may be another now, and peers with MOBIKE, of the addresses in ikev2.addresses.
func (n *Node) followAddresses(ctx context.Context) error {
	if n.cfg.DataPlane == config.PlaneNone || len(n.clients) == 0 && len(n.cfg.IKEv2.Addresses) == 0 {
		return nil
	}
	for ctx.Err() == nil {
		if err := n.followOnce(ctx); err != nil {
			return err
		}
	}
	return nil
}

// followOnce follows one subscription until it breaks.
func (n *Node) followOnce(ctx context.Context) error {
	events, err := n.rtnl.Watch(ctx.Done())
	if err != nil {
		return err
	}
	gather := time.NewTimer(coalesce)
	defer gather.Stop()
	for waits := true; ; {
		select {
		case _, ok := <-events:
			if !ok {
				return nil
			}
			if !waits {
				gather.Reset(coalesce)
				waits = true
			}
		case <-gather.C:
			waits = false
			n.addressesChanged()
		case <-ctx.Done():
			return nil
		}
	}
}

func (n *Node) addressesChanged() {
	if len(n.cfg.IKEv2.Addresses) > 0 {
		n.endpoint.SetAddresses(n.ownAddresses())
	}
	n.clientsChanged()
}

// ownAddresses are those of ikev2.addresses that this host has now. One that cannot be asked about
// counts as there.
func (n *Node) ownAddresses() (out []netip.Addr) {
	for _, a := range n.cfg.IKEv2.Addresses {
		if n.has(a) {
			out = append(out, a)
		}
	}
	return out
}

// has reports whether this host has an address, in no VRF or in one that IKE listens in.
func (n *Node) has(a netip.Addr) bool {
	for _, vrf := range append(slices.Sorted(maps.Keys(n.cfg.IKEv2.ListenVRF)), "") {
		if owner, err := n.addressOwner(a, vrf); err != nil || owner != "" {
			return true
		}
	}
	return false
}
