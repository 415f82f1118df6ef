package xfrm

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane/kernel/nlmsg"
)

// PolicyDirection is what a policy looks at.
type PolicyDirection uint8

// The directions.
const (
	PolicyIn PolicyDirection = iota
	PolicyOut
	PolicyForward
)

// String names the direction as `ip xfrm policy` does.
func (d PolicyDirection) String() string { return [...]string{"in", "out", "fwd"}[min(d, 2)] }

// PolicyKey names a policy.
type PolicyKey struct {
	Selector  Selector
	Direction PolicyDirection
	IfID      uint32
}

// Policy asks that packets have passed, or shall pass, a state of its template; or blocks them.
type Policy struct {
	PolicyKey
	Block    bool
	Template Template
	Priority uint32
}

// Template says which states serve a policy.
type Template struct {
	Src, Dst netip.Addr
	SPI      uint32 // 0: any
	ReqID    uint32
	Mode     uint8
}

// Put makes the policy, or changes the one of its key.
func (p *Policy) Put() *nlmsg.Message {
	b := p.Selector.append(make([]byte, 0, lenPolicy))
	b = Forever.append(b)
	b = append(b, make([]byte, 32)...)
	b = u32(b, p.Priority)
	b = u32(b, 0) // the kernel's index
	action := uint8(0)
	if p.Block {
		action = 1
	}
	b = append(b, uint8(p.Direction), action, 0, 0, 0, 0, 0, 0)
	m := nlmsg.New(msgUpdPolicy, unix.NLM_F_REPLACE|unix.NLM_F_CREATE, "put policy "+p.PolicyKey.String(), b)
	if !p.Block {
		m.Attr(attrTmpl, p.Template.append(nil))
	}
	return p.ifID(m)
}

func (t Template) append(b []byte) []byte {
	b = ID{Dst: t.Dst, SPI: t.SPI}.append(b)
	b = u16(b, family(t.Dst))
	b = append(b, 0, 0)
	b = address(b, t.Src)
	b = u32(b, t.ReqID)
	b = append(b, t.Mode, 0, 0, 0)
	for range 3 {
		b = u32(b, ^uint32(0)) // any algorithm: the states say which
	}
	return b
}

func (k PolicyKey) ifID(m *nlmsg.Message) *nlmsg.Message {
	if k.IfID != 0 {
		m.Uint32(attrIfID, k.IfID)
	}
	return m
}

// String is the policy's name in an error.
func (k PolicyKey) String() string {
	return k.Direction.String() + " " + k.Selector.Src.String() + " to " + k.Selector.Dst.String() + " if_id 0x" + strconv.FormatUint(uint64(k.IfID), 16)
}

// Compare lets an operator see the policies of all interfaces in one order.
func (k PolicyKey) Compare(o PolicyKey) int {
	return cmp.Or(
		strings.Compare(k.Direction.String(), o.Direction.String()),
		k.Selector.Src.Compare(o.Selector.Src), k.Selector.Dst.Compare(o.Selector.Dst),
		cmp.Compare(k.Selector.Protocol, o.Selector.Protocol), cmp.Compare(k.IfID, o.IfID))
}

// policyID is a struct xfrm_userpolicy_id.
func (k PolicyKey) policyID() []byte {
	b := k.Selector.append(make([]byte, 0, lenPolicyID))
	b = u32(b, 0)
	return append(b, uint8(k.Direction), 0, 0, 0)
}

// Delete removes the policy; one that is gone is no error.
func (k PolicyKey) Delete() *nlmsg.Message {
	m := nlmsg.New(msgDelPolicy, 0, "delete policy "+k.String(), k.policyID())
	m.Absent = true
	return k.ifID(m)
}

// Policies are all policies of the namespace that have a template, and those that block.
func Policies(c *nlmsg.Conn) (map[PolicyKey]Policy, error) {
	all := map[PolicyKey]Policy{}
	m := nlmsg.New(msgGetPolicy, unix.NLM_F_DUMP, "list policies", nil)
	err := c.Get(m, func(r nlmsg.Reply) {
		if p, ok := readPolicy(r.Body); ok {
			all[p.PolicyKey] = p
		}
	})
	return all, err
}

func readPolicy(b []byte) (p Policy, ok bool) {
	if len(b) < lenPolicy || b[160] > uint8(PolicyForward) {
		return p, false // a socket's own policy has a direction beyond
	}
	p.Selector = readSelector(b)
	p.Priority = native.Uint32(b[152:])
	p.Direction, p.Block = PolicyDirection(b[160]), b[161] == 1
	a := nlmsg.Attributes(b, lenPolicy)
	if t := a[attrTmpl]; len(t) >= lenTemplate {
		f := native.Uint16(t[24:])
		p.Template = Template{Dst: readAddress(t, f), SPI: readID(t, f).SPI, Src: readAddress(t[28:], f), ReqID: native.Uint32(t[44:]), Mode: t[48]}
	}
	if i := a[attrIfID]; len(i) >= 4 {
		p.IfID = native.Uint32(i)
	}
	return p, true
}

// Migration moves a state, and the template of one policy that it serves, to other addresses.
// Sequence numbers and keys move with it.
type Migration struct {
	Policy                         PolicyKey
	Mode                           uint8
	ReqID                          uint32
	OldSrc, OldDst, NewSrc, NewDst netip.Addr
	SourcePort, DestinationPort    uint16 // of ESP in UDP afterwards; 0: none
}

// Message asks for the migration (XFRM_MSG_MIGRATE).
func (g *Migration) Message() *nlmsg.Message {
	m := nlmsg.New(msgMigrate, 0, fmt.Sprintf("move states from %s - %s to %s - %s", g.OldSrc, g.OldDst, g.NewSrc, g.NewDst), g.Policy.policyID())
	var b []byte
	for _, a := range []netip.Addr{g.OldDst, g.OldSrc, g.NewDst, g.NewSrc} {
		b = address(b, a)
	}
	b = append(b, protoESP, g.Mode, 0, 0)
	b = u32(b, g.ReqID)
	b = u16(b, family(g.OldDst))
	m.Attr(attrMigrate, u16(b, family(g.NewDst)))
	if g.SourcePort != 0 {
		s := State{SourcePort: g.SourcePort, DestinationPort: g.DestinationPort}
		m.Attr(attrEncap, s.encap())
	}
	return g.Policy.ifID(m)
}
