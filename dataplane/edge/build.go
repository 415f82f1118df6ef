package edge

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"flexvpn/config"
)

// builder puts the table's parts into a transaction.
type builder struct {
	conn  *nftables.Conn
	table *nftables.Table
	sets  sets
}

// The places of our chains, among those of iptables: input before addresses are translated (-100),
// output after (100), as on IOS.
var (
	priorityIn  = nftables.ChainPriorityRef(-150)
	priorityOut = nftables.ChainPriorityRef(150)
)

// base makes everything but elements and policers.
func (b *builder) base(lists []*config.AccessList) (err error) {
	// An id means something inside a transaction only; the library's own counter is not safe for use
	// from several connections.
	id := uint32(0)
	b.sets.each(func(into **nftables.Set, name string, data nftables.SetDatatype) {
		id++
		*into = &nftables.Set{Table: b.table, ID: id, Name: name, KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian, DataType: data, IsMap: data != nftables.TypeInvalid}
		(*into).Counter = !(*into).IsMap
		if e := b.conn.AddSet(*into, nil); e != nil {
			err = e
		}
	})
	if err != nil {
		return err
	}
	b.tail("denied_in", expr.MetaKeyIIFNAME, b.sets.deniedIn)
	b.tail("denied_out", expr.MetaKeyOIFNAME, b.sets.deniedOut)
	b.tail("policed", expr.MetaKeyIIFNAME, b.sets.policed)
	for _, l := range lists {
		b.accessList(aclIn+l.Name, "denied_in", l)
		b.accessList(aclOut+l.Name, "denied_out", l)
	}
	in := b.hook(fromPeers, nftables.ChainHookPrerouting, priorityIn)
	b.rule(in, dispatch(expr.MetaKeyIIFNAME, b.sets.filterIn))
	b.rule(in, dispatch(expr.MetaKeyIIFNAME, b.sets.police))
	b.clamps(in, expr.MetaKeyIIFNAME)
	out := b.hook(toPeers, nftables.ChainHookPostrouting, priorityOut)
	b.rule(out, dispatch(expr.MetaKeyOIFNAME, b.sets.filterOut))
	b.clamps(out, expr.MetaKeyOIFNAME)
	return nil
}

func (b *builder) hook(name string, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
	accept := nftables.ChainPolicyAccept
	return b.conn.AddChain(&nftables.Chain{
		Table: b.table, Name: name, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: priority, Policy: &accept,
	})
}

func (b *builder) chain(name string) *nftables.Chain {
	return b.conn.AddChain(&nftables.Chain{Table: b.table, Name: name})
}

func (b *builder) rule(c *nftables.Chain, exprs []expr.Any) {
	b.conn.AddRule(&nftables.Rule{Table: b.table, Chain: c, Exprs: exprs})
}

// tail makes the chain where packets of a kind end: counted in all, counted for their interface,
// dropped.
func (b *builder) tail(name string, device expr.MetaKey, counters *nftables.Set) {
	c := b.chain(name)
	b.rule(c, []expr.Any{&expr.Counter{}})
	b.rule(c, []expr.Any{
		&expr.Meta{Key: device, Register: 1},
		&expr.Lookup{SourceRegister: 1, SetName: counters.Name, SetID: counters.ID},
		&expr.Verdict{Kind: expr.VerdictDrop},
	})
	b.rule(c, []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}})
}

// dispatch jumps to the chain that a map has for the packet's device.
func dispatch(device expr.MetaKey, m *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: device, Register: 1},
		&expr.Lookup{SourceRegister: 1, DestRegister: 0, IsDestRegSet: true, SetName: m.Name, SetID: m.ID},
	}
}

// clamps lower the segment size that both ends of a TCP connection announce (RFC 9293 section
// 3.7.1). The kernel never raises one.
func (b *builder) clamps(c *nftables.Chain, device expr.MetaKey) {
	for _, m := range []struct {
		family uint8
		set    *nftables.Set
	}{{unix.NFPROTO_IPV4, b.sets.mss4}, {unix.NFPROTO_IPV6, b.sets.mss6}} {
		const optionMSS, syn, rst = 2, 0x02, 0x04
		exprs := append(isFamily(m.family), isProtocol(unix.IPPROTO_TCP)...)
		exprs = append(exprs, maskedTransport(13, []byte{syn | rst}, []byte{syn})...)
		b.rule(c, append(exprs,
			&expr.Meta{Key: device, Register: 1},
			&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetName: m.set.Name, SetID: m.set.ID},
			&expr.Exthdr{SourceRegister: 1, Type: optionMSS, Offset: 2, Len: 2, Op: expr.ExthdrOpTcpopt},
		))
	}
}

// firstMeter is past the ids of all other sets.
const firstMeter = 1000

// rate makes the chain of a policer where it is not there yet. It has a token bucket for each
// interface that sends, which is forgotten when the interface has been silent: it is full then.
func (b *builder) rate(r config.Rate, have map[config.Rate]bool) error {
	if r.Bits == 0 || have[r] {
		return nil
	}
	have[r] = true
	meter := &nftables.Set{
		Table: b.table, ID: firstMeter + uint32(len(have)), Name: fmt.Sprintf("meter_%d_%d", r.Bits, r.Burst), KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian,
		Dynamic: true, HasTimeout: true, Timeout: 5 * time.Minute, Size: 1 << 20,
	}
	if err := b.conn.AddSet(meter, nil); err != nil {
		return err
	}
	b.rule(b.chain(policeChain(r)), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Dynset{SrcRegKey: 1, SetName: meter.Name, SetID: meter.ID, Operation: unix.NFT_DYNSET_OP_UPDATE, Exprs: []expr.Any{
			&expr.Limit{Type: expr.LimitTypePktBytes, Rate: r.Bits / 8, Unit: expr.LimitTimeSecond, Over: true, Burst: r.Burst - min(r.Burst, second(r))},
		}},
		&expr.Verdict{Kind: expr.VerdictGoto, Chain: "policed"},
	})
	return nil
}

// second is what a rate carries in a second, which a token bucket of nftables that counts octets holds
// besides its burst (nft_limit_init).
func second(r config.Rate) uint32 { return uint32(min(r.Bits/8, math.MaxUint32)) }

// Matches. Each loads into register 1 and compares.

func isFamily(f uint8) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equals([]byte{f})}
}

func isProtocol(p uint8) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equals([]byte{p})}
}

func equals(b []byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: b} }

// maskedTransport holds octets of the transport header against a value.
func maskedTransport(offset uint32, mask, value []byte) []expr.Any {
	n := uint32(len(mask))
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: n},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: n, Mask: mask, Xor: make([]byte, n)},
		equals(value),
	}
}

func isPort(offset uint32, r config.PortRange) []expr.Any {
	if r == (config.PortRange{}) {
		return nil
	}
	load := &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2}
	first, last := binary.BigEndian.AppendUint16(nil, r.First), binary.BigEndian.AppendUint16(nil, r.Last)
	if r.First == r.Last {
		return []expr.Any{load, equals(first)}
	}
	return []expr.Any{
		load,
		&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: first},
		&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: last},
	}
}
