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
	id    uint32 // of the last set
	err   error  // of the last that could not be put into words
}

// The places of our chains, among those of iptables: input before addresses are translated (-100),
// output after (100), as on IOS.
var (
	priorityIn  = nftables.ChainPriorityRef(-150)
	priorityOut = nftables.ChainPriorityRef(150)
)

// base makes everything but elements and policers.
func (b *builder) base(lists []*config.AccessList) error {
	in := b.hook(fromPeers, nftables.ChainHookPrerouting, priorityIn)
	out := b.hook(toPeers, nftables.ChainHookPostrouting, priorityOut)
	b.sets.deniedIn, b.sets.deniedOut, b.sets.policed = b.counters("denied_in"), b.counters("denied_out"), b.counters("policed")
	b.tail(expr.MetaKeyIIFNAME, b.sets.deniedIn)
	b.tail(expr.MetaKeyOIFNAME, b.sets.deniedOut)
	b.tail(expr.MetaKeyIIFNAME, b.sets.policed)
	b.sets.in, b.sets.out, b.sets.police = map[string]*nftables.Set{}, map[string]*nftables.Set{}, map[config.Rate]*nftables.Set{}
	for _, l := range lists {
		b.accessList(aclIn+l.Name, "denied_in", l)
		b.accessList(aclOut+l.Name, "denied_out", l)
		b.sets.in[l.Name], b.sets.out[l.Name] = b.set("in_"+l.Name), b.set("out_"+l.Name)
		b.rule(in, dispatch(expr.MetaKeyIIFNAME, b.sets.in[l.Name], aclIn+l.Name))
		b.rule(out, dispatch(expr.MetaKeyOIFNAME, b.sets.out[l.Name], aclOut+l.Name))
	}
	b.sets.mss4, b.sets.mss6 = b.sizes("mss4"), b.sizes("mss6")
	b.clamps(in, expr.MetaKeyIIFNAME)
	b.clamps(out, expr.MetaKeyOIFNAME)
	return b.err
}

// add adds a set. An id means something inside a transaction only; the library's own counter is not
// safe for use from several connections.
func (b *builder) add(s *nftables.Set) *nftables.Set {
	b.id++
	s.Table, s.ID, s.KeyType, s.KeyByteOrder = b.table, b.id, nftables.TypeIFName, binaryutil.NativeEndian
	if err := b.conn.AddSet(s, nil); err != nil {
		b.err = err
	}
	return s
}

func (b *builder) set(name string) *nftables.Set { return b.add(&nftables.Set{Name: name}) }

func (b *builder) counters(name string) *nftables.Set {
	return b.add(&nftables.Set{Name: name, Counter: true})
}

// sizes is a map to segment sizes. A port has the form of one: two octets, the high one first.
func (b *builder) sizes(name string) *nftables.Set {
	return b.add(&nftables.Set{Name: name, IsMap: true, DataType: nftables.TypeInetService})
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
func (b *builder) tail(device expr.MetaKey, counters *nftables.Set) {
	c := b.chain(counters.Name)
	b.rule(c, []expr.Any{&expr.Counter{}})
	b.rule(c, []expr.Any{
		&expr.Meta{Key: device, Register: 1},
		&expr.Lookup{SourceRegister: 1, SetName: counters.Name, SetID: counters.ID},
		&expr.Verdict{Kind: expr.VerdictDrop},
	})
	b.rule(c, []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}})
}

// dispatch jumps to a chain with the packets of the devices in a set.
func dispatch(device expr.MetaKey, s *nftables.Set, chain string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: device, Register: 1},
		&expr.Lookup{SourceRegister: 1, SetName: s.Name, SetID: s.ID},
		&expr.Verdict{Kind: expr.VerdictJump, Chain: chain},
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

// rate makes what polices to a rate where it is not there yet: it comes after the access lists. Its
// chain has a token bucket for each interface that sends, which is forgotten when the interface has
// been silent: it is full then.
func (b *builder) rate(r config.Rate) error {
	if r.Bits == 0 || b.sets.police[r] != nil {
		return nil
	}
	name := fmt.Sprintf("%d_%d", r.Bits, r.Burst)
	s := b.set("police_" + name)
	b.sets.police[r] = s
	meter := b.add(&nftables.Set{Name: "meter_" + name, Dynamic: true, HasTimeout: true, Timeout: 5 * time.Minute, Size: 1 << 20})
	b.rule(b.chain(s.Name), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Dynset{SrcRegKey: 1, SetName: meter.Name, SetID: meter.ID, Operation: unix.NFT_DYNSET_OP_UPDATE, Exprs: []expr.Any{
			&expr.Limit{Type: expr.LimitTypePktBytes, Rate: r.Bits / 8, Unit: expr.LimitTimeSecond, Over: true, Burst: r.Burst - min(r.Burst, second(r))},
		}},
		&expr.Verdict{Kind: expr.VerdictGoto, Chain: "policed"},
	})
	b.rule(&nftables.Chain{Table: b.table, Name: fromPeers}, dispatch(expr.MetaKeyIIFNAME, s, s.Name))
	return b.err
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
