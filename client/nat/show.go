package nat

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"flexvpn/ops/view"
)

// maxShown bounds how many translations show lists, and maxForgotten how many connections are made to
// begin anew at once.
const (
	maxShown     = 4096
	maxForgotten = 4096
)

// View is what show prints.
func (n *NAT) View() (view.NAT, error) {
	v := view.NAT{Rules: n.rules()}
	outside := map[netip.Addr]string{}
	for _, r := range v.Rules {
		for _, a := range r.Addresses {
			outside[a] = r.Outside
		}
	}
	err := flows(statusSourceNAT, func(f flow) bool {
		device, ours := outside[f.reply.destination.Addr()]
		if !f.sourceTranslated() || !ours {
			return true
		}
		if len(v.Translations) == maxShown {
			v.Truncated = true
			return false
		}
		v.Translations = append(v.Translations, translation(f, device))
		return true
	})
	slices.SortFunc(v.Translations, func(a, b view.NATTranslation) int {
		return cmp.Or(a.InsideLocal.Compare(b.InsideLocal), cmp.Compare(a.Protocol, b.Protocol), a.OutsideGlobal.Compare(b.OutsideGlobal))
	})
	return v, err
}

func translation(f flow, device string) view.NATTranslation {
	return view.NATTranslation{
		Protocol: protocolName(f.protocol), Outside: device, Timeout: f.timeout.Seconds(),
		InsideLocal: f.original.source, InsideGlobal: f.reply.destination,
		OutsideLocal: f.original.destination, OutsideGlobal: f.reply.source,
	}
}

func protocolName(p uint8) string {
	switch p {
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		return "icmp"
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	}
	return fmt.Sprint(p)
}

func (n *NAT) rules() []view.NATRule {
	packets, octets, err := counts(len(n.cfg.Rules))
	why := forwarding()
	if err != nil {
		why = fmt.Sprintf("read the nftables table %s: %v", table, err)
	}
	out := make([]view.NATRule, len(n.cfg.Rules))
	for i, r := range n.cfg.Rules {
		out[i] = view.NATRule{Inside: r.Inside, Outside: r.Outside, Source: r.Source, Translations: packets[i], Bytes: octets[i], Error: why}
		addrs, err := n.cfg.Addresses(r.Outside)
		if err != nil && why == "" {
			out[i].Error = fmt.Sprintf("%s is not there now: nothing leaves by it", r.Outside)
		}
		for _, p := range addrs {
			if !p.Addr().IsLinkLocalUnicast() {
				out[i].Addresses = append(out[i].Addresses, p.Addr())
			}
		}
	}
	return out
}

// Stats are the connections translated so far, by outside interface.
func (n *NAT) Stats() map[string]uint64 {
	packets, _, _ := counts(len(n.cfg.Rules)) // zeros, when the table is not there
	out := map[string]uint64{}
	for i, r := range n.cfg.Rules {
		out[r.Outside] += packets[i]
	}
	return out
}

// forgetUntranslated forgets connections of a rule's hosts that keep their own address, towards what now
// leads through a tunnel.
func (n *NAT) forgetUntranslated(r Rule, t Tunnel) (int, error) {
	hosts := r.Source
	for _, in := range r.Inside {
		addrs, _ := n.cfg.Addresses(in)
		for _, p := range addrs {
			hosts = append(slices.Clip(hosts), p.Masked())
		}
	}
	var list []flow
	err := flows(0, func(f flow) bool {
		if !f.sourceTranslated() && within(hosts, f.original.source.Addr()) && within(t.Routes, f.original.destination.Addr()) {
			list = append(list, f)
		}
		return len(list) < maxForgotten
	})
	if err != nil {
		return 0, err
	}
	return forget(list)
}

func within(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}
