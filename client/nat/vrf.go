package nat

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Packets that came in by a port of a VRF have the VRF itself as their interface when the source address
// is translated; which port it was is known in the forward hook only (meta sdifname). There, hosts that
// begin a connection are noted, with the VRF, because another may have the same address; what is noted is
// translated. Outside of VRFs nothing is ever noted.

// noted bounds the hosts of one interface that are noted, and keep how long: until the packet has come to
// the other hook, but a set that is written for each packet need not be emptied for each.
const (
	noted = 1 << 16
	keep  = time.Minute
)

// metaSDIFName is the kernel's NFT_META_SDIFNAME, the port by which a packet came into a VRF (Linux 5.6).
const metaSDIFName expr.MetaKey = 34

// firstRegister is NFT_REG32_00: parts of a key stand in registers of 32 bits.
const firstRegister = unix.NFT_REG32_00

// hosts are the sets of one interface, IPv4 and IPv6.
type hosts [2]*nftables.Set

var families = [2]byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6}

// addHosts adds the sets of all inside interfaces and the rules that fill them.
func (n *NAT) addHosts(c *nftables.Conn) (map[string]hosts, error) {
	chain := c.AddChain(&nftables.Chain{
		Name: "from_vrfs", Table: n.table.Ref(), Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	})
	out := map[string]hosts{}
	for _, r := range n.cfg.Rules {
		for _, in := range r.Inside {
			if _, done := out[in]; done {
				continue
			}
			var h hosts
			for i, family := range families {
				h[i] = &nftables.Set{
					Table: n.table.Ref(), ID: uint32(1 + 2*len(out) + i), Name: fmt.Sprintf("hosts%d_%d", []int{4, 6}[i], 1+len(out)), KeyType: hostKey(family),
					KeyByteOrder: binaryutil.NativeEndian, Concatenation: true, Dynamic: true, HasTimeout: true, Timeout: keep, Size: noted,
				}
				if err := c.AddSet(h[i], nil); err != nil {
					return nil, err
				}
				c.AddRule(&nftables.Rule{Table: n.table.Ref(), Chain: chain, Exprs: note(in, family, h[i])})
			}
			out[in] = h
		}
	}
	return out, nil
}

func hostKey(family byte) nftables.SetDatatype {
	if family == unix.NFPROTO_IPV6 {
		return nftables.MustConcatSetType(nftables.TypeIFIndex, nftables.TypeIP6Addr)
	}
	return nftables.MustConcatSetType(nftables.TypeIFIndex, nftables.TypeIPAddr)
}

// note is the rule that notes the host of a new connection which came in by a port of a VRF.
func note(in string, family byte, s *nftables.Set) []expr.Any {
	state := binaryutil.NativeEndian.PutUint32(expr.CtStateBitNEW)
	e := append(isInterface(metaSDIFName, in),
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: state, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	)
	return append(append(e, who(family)...), &expr.Dynset{SrcRegKey: firstRegister, SetName: s.Name, SetID: s.ID, Operation: unix.NFT_DYNSET_OP_UPDATE})
}

// who loads a packet of a family's interface and source address.
func who(family byte) []expr.Any {
	offset, size := uint32(12), uint32(4)
	if family == unix.NFPROTO_IPV6 {
		offset, size = 8, 16
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Meta{Key: expr.MetaKeyIIF, Register: firstRegister},
		&expr.Payload{DestRegister: firstRegister + 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
	}
}

// fromVRFs are the rules for hosts whose interface is a port of a VRF.
func (r Rule) fromVRFs(all map[string]hosts) (out [][]expr.Any) {
	for _, in := range r.Inside {
		for i, family := range families {
			sources := []netip.Prefix{{}}
			if len(r.Source) > 0 {
				sources = slices.DeleteFunc(slices.Clone(r.Source), func(p netip.Prefix) bool { return p.Addr().Is4() != (family == unix.NFPROTO_IPV4) })
			}
			for _, p := range sources {
				out = append(out, append(isHost(all[in][i], p, family, r.Outside), &expr.Counter{}, &expr.Masq{}))
			}
		}
	}
	return out
}

// isHost fits packets that leave by outside, from a prefix, whose VRF and source address are noted.
func isHost(s *nftables.Set, p netip.Prefix, family byte, outside string) []expr.Any {
	e := append(isInterface(expr.MetaKeyOIFNAME, outside), isFrom(p)...)
	return append(append(e, who(family)...), &expr.Lookup{SourceRegister: firstRegister, SetName: s.Name, SetID: s.ID})
}
