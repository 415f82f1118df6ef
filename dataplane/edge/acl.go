package edge

import (
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"flexvpn/config"
)

// accessList makes a chain of a list's entries: a packet that an entry permits returns, one that an
// entry denies, or that none fits, goes to where packets are counted and dropped.
func (b *builder) accessList(name, denied string, l *config.AccessList) {
	c := b.chain(name)
	for i := range l.Entries {
		for _, match := range matches(&l.Entries[i]) {
			verdict := &expr.Verdict{Kind: expr.VerdictGoto, Chain: denied}
			if l.Entries[i].Permit {
				verdict = &expr.Verdict{Kind: expr.VerdictReturn}
			}
			b.listRule(c, append(match, &expr.Counter{}, verdict), l.Entries[i].Text)
		}
	}
	b.listRule(c, []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictGoto, Chain: denied}}, "no entry fits")
}

// listRule adds a rule with the entry's words as its comment, for who looks with nft.
func (b *builder) listRule(c *nftables.Chain, exprs []expr.Any, text string) {
	const most = 120 // octets; nft takes 128
	comment := userdata.AppendString(nil, userdata.TypeComment, text[:min(len(text), most)])
	b.conn.AddRule(&nftables.Rule{Table: b.table, Chain: c, Exprs: exprs, UserData: comment})
}

// matches are the packets an entry fits, as one rule or several.
func matches(e *config.AccessEntry) [][]expr.Any {
	families := []uint8{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6}
	switch {
	case e.Source.IsValid():
		families = familyOf(e.Source)
	case e.Destination.IsValid():
		families = familyOf(e.Destination)
	}
	ports := e.SourcePorts != (config.PortRange{}) || e.DestinationPorts != (config.PortRange{}) || e.Established
	if len(families) == 2 && e.Protocol != config.ProtocolICMP && !(ports && e.Permit) {
		return [][]expr.Any{append(isAnyProtocol(e.Protocol), transport(e)...)}
	}
	var out [][]expr.Any
	for _, f := range families {
		network := append(isFamily(f), isAnyProtocol(protocolIn(f, e.Protocol))...)
		network = append(network, inPrefix(e.Source, false)...)
		network = append(network, inPrefix(e.Destination, true)...)
		out = append(out, concat(network, transport(e)))
		// A fragment that is not the first has no ports to look at: where the first would pass if it
		// fits, the others pass, and are of no use without it.
		if ports && e.Permit {
			out = append(out, concat(network, isLaterFragment(f)))
		}
	}
	return out
}

func concat(a, b []expr.Any) []expr.Any { return append(append([]expr.Any(nil), a...), b...) }

func familyOf(p netip.Prefix) []uint8 {
	if p.Addr().Is4() {
		return []uint8{unix.NFPROTO_IPV4}
	}
	return []uint8{unix.NFPROTO_IPV6}
}

// protocolIn is the number of a protocol in a family: ICMP has two.
func protocolIn(family uint8, p config.Protocol) config.Protocol {
	if p == config.ProtocolICMP && family == unix.NFPROTO_IPV6 {
		return config.ProtocolICMPv6
	}
	return p
}

func isAnyProtocol(p config.Protocol) []expr.Any {
	if p == 0 {
		return nil
	}
	return isProtocol(uint8(p))
}

// transport are the matches in the header of TCP, UDP or SCTP.
func transport(e *config.AccessEntry) []expr.Any {
	out := append(isPort(0, e.SourcePorts), isPort(2, e.DestinationPorts)...)
	if !e.Established {
		return out
	}
	const ack, rst = 0x10, 0x04
	return append(out,
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{ack | rst}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0}},
	)
}

// inPrefix holds the source or destination address against a prefix.
func inPrefix(p netip.Prefix, destination bool) []expr.Any {
	if !p.IsValid() || p.Bits() == 0 {
		return nil
	}
	n := uint32(p.Addr().BitLen() / 8)
	offset := uint32(12) // RFC 791 section 3.1
	if p.Addr().Is6() {
		offset = 8 // RFC 8200 section 3
	}
	if destination {
		offset += n
	}
	out := []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: n}}
	if !p.IsSingleIP() {
		mask := net.CIDRMask(p.Bits(), p.Addr().BitLen())
		out = append(out, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: n, Mask: mask, Xor: make([]byte, n)})
	}
	return append(out, equals(p.Addr().AsSlice()))
}

// isLaterFragment is a fragment with an offset: 13 bits in IPv4's header, 13 in IPv6's extension.
func isLaterFragment(family uint8) []expr.Any {
	var load expr.Any = &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 6, Len: 2}
	mask := []byte{0x1f, 0xff}
	if family == unix.NFPROTO_IPV6 {
		load = &expr.Exthdr{DestRegister: 1, Type: unix.IPPROTO_FRAGMENT, Offset: 2, Len: 2, Op: expr.ExthdrOpIpv6}
		mask = []byte{0xff, 0xf8}
	}
	return []expr.Any{
		load,
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 2, Mask: mask, Xor: []byte{0, 0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0, 0}},
	}
}
