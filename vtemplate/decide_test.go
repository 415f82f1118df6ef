package vtemplate

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"flexvpn/config"
	"flexvpn/dataplane"
	"flexvpn/ikev2/wire"
)

// ts are selectors of a protocol, each "ADDRESS/BITS" or "FIRST-LAST".
func ts(proto uint8, texts ...string) []wire.Selector {
	var all []wire.Selector
	for _, s := range texts {
		if first, last, ok := strings.Cut(s, "-"); ok {
			all = append(all, wire.Selector{Protocol: proto, EndPort: 65535, Start: netip.MustParseAddr(first), End: netip.MustParseAddr(last)})
			continue
		}
		all = append(all, wire.SelectorFromPrefix(netip.MustParsePrefix(s), proto))
	}
	return all
}

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range texts {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

func many(n int, format string) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return all
}

func template(mode string) *config.VirtualTemplate {
	return &config.VirtualTemplate{Number: 1, Mode: mode}
}

func TestDecide(t *testing.T) {
	anyBoth := ts(0, "0.0.0.0/0", "::/0")
	gre := Proposal{TSi: ts(47, "198.51.100.7/32"), TSr: ts(47, "203.0.113.1/32"), Transport: true, Outer: netip.MustParseAddr("198.51.100.7")}
	native := Proposal{TSi: anyBoth, TSr: anyBoth, FlexVPN: true, Assigned: addrs("10.1.1.2", "fd00::2")}
	plain := native
	plain.FlexVPN = false
	for name, c := range map[string]struct {
		mode     string
		change   func(*Proposal)
		p        Proposal
		want     string // mode, transport, TSi, TSr
		refusing string // part of the refusal
	}{
		"protocol 47 between two hosts is GRE":      {mode: "auto", p: gre, want: "gre true 198.51.100.7 proto 47 | 203.0.113.1 proto 47"},
		"so it is with mode gre":                    {mode: "gre", p: gre, want: "gre true 198.51.100.7 proto 47 | 203.0.113.1 proto 47"},
		"and over IPv6":                             {mode: "auto", p: Proposal{TSi: ts(47, "2001:db8::7/128"), TSr: ts(47, "2001:db8::1/128"), Transport: true, Outer: netip.MustParseAddr("2001:db8::7")}, want: "gre true 2001:db8::7 proto 47 | 2001:db8::1 proto 47"},
		"an assigned address does not narrow GRE":   {mode: "auto", p: gre, change: func(p *Proposal) { p.Assigned = addrs("10.1.1.2") }, want: "gre true 198.51.100.7 proto 47 | 203.0.113.1 proto 47"},
		"GRE is refused by mode ipsec":              {mode: "ipsec", p: gre, refusing: "the peer wants GRE, virtual-template 1 is mode ipsec"},
		"GRE in tunnel mode keeps the ends":         {mode: "auto", p: gre, change: func(p *Proposal) { p.Transport = false }, want: "gre false 198.51.100.7 proto 47 | 203.0.113.1 proto 47"},
		"they may be others than those of IKE":      {mode: "gre", p: gre, change: func(p *Proposal) { p.Transport, p.Outer = false, netip.MustParseAddr("192.0.2.9") }, want: "gre false 198.51.100.7 proto 47 | 203.0.113.1 proto 47"},
		"of several ends the first pair is taken":   {mode: "auto", p: Proposal{TSi: ts(47, "2001:db8::7/128", "10.0.0.7/32"), TSr: ts(47, "10.0.0.1/32", "10.0.0.2/32")}, want: "gre false 10.0.0.7 proto 47 | 10.0.0.1 proto 47"},
		"GRE between two families is refused":       {mode: "auto", p: Proposal{TSi: ts(47, "10.0.0.7/32"), TSr: ts(47, "2001:db8::1/128")}, refusing: "addresses of two families"},
		"GRE from another host than IKE is refused": {mode: "auto", p: gre, change: func(p *Proposal) { p.Outer = netip.MustParseAddr("192.0.2.9") }, refusing: "comes from 192.0.2.9"},
		"protocol 47 between networks is no GRE":    {mode: "gre", p: Proposal{TSi: ts(47, "198.51.100.0/24"), TSr: ts(47, "203.0.113.1/32"), Transport: true}, refusing: "the peer wants native IPsec"},

		"any to any is native, kept for a FlexVPN peer":      {mode: "auto", p: native, want: "ipsec false 0.0.0.0/0, ::/0 | 0.0.0.0/0, ::/0"},
		"transport mode is not granted to a native peer":     {mode: "ipsec", p: native, change: func(p *Proposal) { p.Transport = true }, want: "ipsec false 0.0.0.0/0, ::/0 | 0.0.0.0/0, ::/0"},
		"a peer without an assigned address is not narrowed": {mode: "auto", p: plain, change: func(p *Proposal) { p.Assigned = nil }, want: "ipsec false 0.0.0.0/0, ::/0 | 0.0.0.0/0, ::/0"},
		"a native peer is refused by mode gre":               {mode: "gre", p: native, refusing: "virtual-template 1 is mode gre"},

		"a plain client is narrowed to its addresses":        {mode: "auto", p: plain, want: "ipsec false 10.1.1.2, fd00::2 | 0.0.0.0/0, ::/0"},
		"and to the family it was given":                     {mode: "auto", p: plain, change: func(p *Proposal) { p.Assigned = addrs("10.1.1.2") }, want: "ipsec false 10.1.1.2 | 0.0.0.0/0"},
		"it keeps the protocol and ports it proposed":        {mode: "auto", p: plain, change: func(p *Proposal) { p.TSi = ts(6, "0.0.0.0/0"); p.TSi[0].StartPort = 80 }, want: "ipsec false 10.1.1.2 proto 6 ports 80-65535 | 0.0.0.0/0"},
		"a client that proposes others' addresses is turned": {mode: "auto", p: plain, change: func(p *Proposal) { p.TSi = ts(0, "192.168.0.0/16") }, refusing: "leaves nothing for its address 10.1.1.2, fd00::2"},
		"a client without a common family is turned":         {mode: "auto", p: plain, change: func(p *Proposal) { p.TSi = ts(0, "0.0.0.0/0"); p.TSr = ts(0, "::/0") }, refusing: "leaves nothing"},

		"nothing proposed":                        {mode: "auto", p: Proposal{TSi: anyBoth}, refusing: "no traffic selectors"},
		"a flood of selectors":                    {mode: "auto", p: Proposal{TSi: ts(0, many(33, "10.%d.0.0/16")...), TSr: anyBoth}, refusing: "more than 32 traffic selectors"},
		"ranges that make thousands of prefixes":  {mode: "auto", p: Proposal{TSi: ts(0, many(30, "2001:db8:%d::1-2001:db8:%[1]d:ffff:ffff:ffff:ffff:fffe")...), TSr: anyBoth}, refusing: "prefixes, more than 128"},
		"a range without addresses leaves nobody": {mode: "auto", p: plain, change: func(p *Proposal) { p.TSi = []wire.Selector{{EndPort: 65535}} }, refusing: "leaves nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.p
			if c.change != nil {
				c.change(&p)
			}
			d, refusal := Decide(template(c.mode), p)
			if c.refusing != "" {
				if !strings.Contains(refusal, c.refusing) || d.Mode != 0 || d.TSi != nil {
					t.Errorf("refusal %q with %+v, want %q and no decision", refusal, d, c.refusing)
				}
				return
			}
			if got := fmt.Sprintf("%s %t %s | %s", d.Mode, d.Transport, selectors(d.TSi), selectors(d.TSr)); got != c.want || refusal != "" {
				t.Errorf("decided %q (%s), want %q", got, refusal, c.want)
			}
		})
	}
}

// Whatever is proposed, the decision never reaches beyond it.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 255, 255, 255, 255, 47, 198, 51, 100, 7, 198, 51, 100, 7}, uint8(7))
	f.Fuzz(func(t *testing.T, data []byte, flags uint8) {
		var p Proposal
		for i := 0; len(data) >= 9; i++ {
			s := wire.Selector{Protocol: data[0], EndPort: 65535, Start: netip.AddrFrom4([4]byte(data[1:5])), End: netip.AddrFrom4([4]byte(data[5:9]))}
			if i%2 == 0 {
				p.TSi = append(p.TSi, s)
			} else {
				p.TSr = append(p.TSr, s)
			}
			data = data[9:]
		}
		p.Transport, p.FlexVPN = flags&1 != 0, flags&2 != 0
		if flags&4 != 0 {
			p.Assigned = addrs("10.1.1.2", "fd00::2")
		}
		d, refusal := Decide(template([]string{"auto", "gre", "ipsec"}[flags%3]), p)
		if (refusal == "") != (d.Mode != 0) {
			t.Fatalf("decided %+v and refused with %q", d, refusal)
		}
		for _, s := range d.TSi {
			inside := false
			for _, proposed := range p.TSi {
				got, ok := proposed.Intersect(s)
				inside = inside || s == proposed || ok && got == s
			}
			if !inside {
				t.Fatalf("%s was not proposed (%s)", s, selectors(p.TSi))
			}
		}
		if d.Mode == dataplane.GRE && !d.Transport && (len(d.TSi) != 1 || len(d.TSr) != 1) {
			t.Fatalf("GRE in tunnel mode between %s and %s", selectors(d.TSi), selectors(d.TSr))
		}
	})
}
