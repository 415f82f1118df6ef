// Package xfrm writes and reads the kernel's XFRM messages: IPsec states and policies, their changes
// and what the kernel tells of them. Everything that is written can be read back into the same typed
// values.
//
// The netlink library (v1.3.1) has messages of its own. These stand here because it cannot say
// what a headend needs:
//
//   - flags of a state other than ESN: without XFRM_STATE_AF_UNSPEC IPv6 does not pass a tunnel over
//     IPv4, nor the reverse;
//   - a replay window over 255 packets without ESN: it is cut to eight bits, 1024 becomes none at all;
//   - ESN, windows, flags and the time of last use when it reads a state;
//   - lifetimes of policies; reading ::/0 in a policy, or an IPv6 address that ends in twelve zero
//     octets (they come back as IPv4);
//   - MIGRATE and MAPPING messages, thresholds of MAPPING, offload;
//   - notifications other than EXPIRE, and the interface identifier (if_id) in those.
package xfrm

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Protocol numbers and modes.
const (
	protoESP  = 50
	Transport = 0
	Tunnel    = 1
	BEET      = 4
)

// Types of messages (linux/xfrm.h).
const (
	msgNewSA       = 0x10
	msgDelSA       = 0x11
	msgGetSA       = 0x12
	msgDelPolicy   = 0x14
	msgGetPolicy   = 0x15
	msgExpire      = 0x18
	msgUpdPolicy   = 0x19
	msgUpdSA       = 0x1a
	msgFlushSA     = 0x1c
	msgFlushPolicy = 0x1d
	msgNewAE       = 0x1e
	msgMigrate     = 0x21
	msgMapping     = 0x26
)

// Attributes (linux/xfrm.h).
const (
	attrAlgCrypt     = 2
	attrEncap        = 4
	attrTmpl         = 5
	attrSA           = 6
	attrPolicy       = 7
	attrMigrate      = 17
	attrAEAD         = 18
	attrAuthTrunc    = 20
	attrESN          = 23
	attrOffload      = 28
	attrOutputMark   = 29
	attrOutputMask   = 30
	attrIfID         = 31
	attrMappingLimit = 32
	attrDirection    = 33
)

// Lengths of fixed parts.
const (
	lenSelector = 56
	lenSA       = 224
	lenSAID     = 24
	lenPolicy   = 168
	lenPolicyID = 64
	lenTemplate = 64
	lenExpire   = lenSA + 8
	lenMapping  = 64
)

var native = binary.NativeEndian

func u16(b []byte, v uint16) []byte { return native.AppendUint16(b, v) }
func u32(b []byte, v uint32) []byte { return native.AppendUint32(b, v) }
func u64(b []byte, v uint64) []byte { return native.AppendUint64(b, v) }

func be16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }
func be32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

// address is an xfrm_address_t: sixteen octets whose family stands elsewhere.
func address(b []byte, a netip.Addr) []byte {
	var x [16]byte
	if a.IsValid() {
		copy(x[:], a.Unmap().AsSlice())
	}
	return append(b, x[:]...)
}

func readAddress(b []byte, family uint16) netip.Addr {
	if family == unix.AF_INET6 {
		return netip.AddrFrom16([16]byte(b[:16]))
	}
	return netip.AddrFrom4([4]byte(b[:4]))
}

func family(a netip.Addr) uint16 {
	switch {
	case !a.IsValid():
		return unix.AF_UNSPEC
	case a.Unmap().Is4():
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// Selector says which packets are meant; the zero value means all of both families.
type Selector struct {
	Src, Dst netip.Prefix
	Protocol uint8
}

func (s Selector) append(b []byte) []byte {
	b = address(b, s.Dst.Addr())
	b = address(b, s.Src.Addr())
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // ports and their masks
	b = u16(b, family(s.Dst.Addr()))
	b = append(b, bits(s.Dst), bits(s.Src), s.Protocol, 0, 0, 0)
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0) // interface, user
}

func bits(p netip.Prefix) uint8 { return uint8(max(p.Bits(), 0)) }

func readSelector(b []byte) Selector {
	f := native.Uint16(b[40:])
	if f == unix.AF_UNSPEC {
		return Selector{Protocol: b[44]}
	}
	return Selector{
		Dst: netip.PrefixFrom(readAddress(b, f), int(b[42])), Src: netip.PrefixFrom(readAddress(b[16:], f), int(b[43])),
		Protocol: b[44],
	}
}

// Lifetime ends a state by use: a soft limit is told once, at a hard one the state goes. Infinity
// never comes.
type Lifetime struct {
	SoftBytes, HardBytes     uint64
	SoftPackets, HardPackets uint64
}

// Infinity is no limit.
const Infinity = ^uint64(0)

// Forever is a lifetime without limits.
var Forever = Lifetime{Infinity, Infinity, Infinity, Infinity}

func (l Lifetime) append(b []byte) []byte {
	for _, v := range [...]uint64{l.SoftBytes, l.HardBytes, l.SoftPackets, l.HardPackets, 0, 0, 0, 0} {
		b = u64(b, v)
	}
	return b
}

func readLifetime(b []byte) Lifetime {
	return Lifetime{native.Uint64(b), native.Uint64(b[8:]), native.Uint64(b[16:]), native.Uint64(b[24:])}
}
