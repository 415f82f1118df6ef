package nat

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

const chainName = "postrouting"

// mark says which rule of the configuration a rule of the kernel's belongs to; nft list shows it.
func mark(i int) []byte { return userdata.AppendString(nil, userdata.TypeComment, marks(i)) }

func marks(i int) string { return fmt.Sprintf("nat entry %d", i+1) }

// expressions are the kernel's rules for r: one for each inside interface and source.
func (r Rule) expressions() (out [][]expr.Any) {
	sources := r.Source
	if len(sources) == 0 {
		sources = []netip.Prefix{{}}
	}
	for _, in := range r.Inside {
		for _, s := range sources {
			e := append(isInterface(expr.MetaKeyIIFNAME, in), isInterface(expr.MetaKeyOIFNAME, r.Outside)...)
			out = append(out, append(append(e, isFrom(s)...), &expr.Counter{}, &expr.Masq{}))
		}
	}
	return out
}

func isInterface(key expr.MetaKey, name string) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: padded},
	}
}

// isFrom fits packets from a prefix; the zero prefix fits all.
func isFrom(p netip.Prefix) []expr.Any {
	if !p.IsValid() {
		return nil
	}
	family, offset, size := byte(unix.NFPROTO_IPV4), uint32(12), 4
	if p.Addr().Is6() {
		family, offset, size = unix.NFPROTO_IPV6, 8, 16
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(size)},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(size), Mask: netmask(p.Bits(), size), Xor: make([]byte, size)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Masked().Addr().AsSlice()},
	}
}

func netmask(bits, size int) []byte {
	m := make([]byte, size)
	for i := range bits {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}

// counts are the packets and octets that each rule of the configuration saw: the first of every
// connection, because the others follow its translation.
func counts(rules int) (packets, octets []uint64, err error) {
	packets, octets = make([]uint64, rules), make([]uint64, rules)
	c, err := nftables.New()
	if err != nil {
		return packets, octets, err
	}
	t := &nftables.Table{Name: table, Family: nftables.TableFamilyINet}
	all, err := c.GetRules(t, &nftables.Chain{Name: chainName, Table: t})
	if err != nil {
		return packets, octets, err
	}
	index := make(map[string]int, rules)
	for i := range rules {
		index[marks(i)] = i
	}
	for _, r := range all {
		comment, _ := userdata.GetString(r.UserData, userdata.TypeComment)
		i, ours := index[comment]
		for _, e := range r.Exprs {
			if n, ok := e.(*expr.Counter); ok && ours {
				packets[i] += n.Packets
				octets[i] += n.Bytes
			}
		}
	}
	return packets, octets, nil
}
