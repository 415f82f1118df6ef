package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strings"
)

// An Attribute is a configuration attribute, section 3.15.1.
type Attribute struct {
	Type  AttributeType
	Value []byte // aliases the datagram
}

const attributeLen = 4 // of an attribute without value

// AttrAddr makes an attribute that holds an address. Only INTERNAL_IP6_ADDRESS carries bits, the
// prefix length; for all others it means nothing.
func AttrAddr(t AttributeType, a netip.Addr, bits int) Attribute {
	value := a.Unmap().AsSlice()
	if t.layout() == layoutIP6Bits {
		value = append(value, uint8(bits))
	}
	return Attribute{Type: t, Value: value}
}

// AttrPrefix makes an INTERNAL_IP4_SUBNET (address and mask) or INTERNAL_IP6_SUBNET (address and
// prefix length), by the family of p. FlexVPN's routes travel like this.
func AttrPrefix(p netip.Prefix) Attribute {
	value := p.Masked().Addr().AsSlice()
	if p.Addr().Is4() {
		mask := ^uint32(0) << (32 - p.Bits()) // p.Bits() is 0: all bits are shifted out
		return Attribute{Type: InternalIP4Subnet, Value: binary.BigEndian.AppendUint32(value, mask)}
	}
	return Attribute{Type: InternalIP6Subnet, Value: append(value, uint8(p.Bits()))}
}

// AttrText makes an attribute that holds text, without a terminating NUL.
func AttrText(t AttributeType, s string) Attribute { return Attribute{Type: t, Value: []byte(s)} }

// Addr returns the address that a holds and its prefix length: that of INTERNAL_IP6_ADDRESS as
// sent, else the full one. It is false for an empty value and for a type that holds no address.
func (a Attribute) Addr() (addr netip.Addr, bits int, ok bool) {
	switch a.Type.layout() {
	case layoutIP4, layoutIP6:
		addr, ok = netip.AddrFromSlice(a.Value)
		return addr, addr.BitLen(), ok
	case layoutIP6Bits:
		p, ok := a.ip6Bits()
		return p.Addr(), p.Bits(), ok
	}
	return netip.Addr{}, 0, false
}

// Prefix returns the prefix of an INTERNAL_IP4_SUBNET or INTERNAL_IP6_SUBNET, host bits cleared. It
// is false for an empty value, another type or a mask with holes.
func (a Attribute) Prefix() (netip.Prefix, bool) {
	switch {
	case a.Type == InternalIP4Subnet && len(a.Value) == 8:
		mask := binary.BigEndian.Uint32(a.Value[4:])
		ones := bits.LeadingZeros32(^mask)
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte(a.Value[:4])), ones)
		return p.Masked(), bits.OnesCount32(mask) == ones
	case a.Type == InternalIP6Subnet:
		p, ok := a.ip6Bits()
		return p.Masked(), ok
	}
	return netip.Prefix{}, false
}

func (a Attribute) ip6Bits() (netip.Prefix, bool) {
	if len(a.Value) != 17 {
		return netip.Prefix{}, false
	}
	p := netip.PrefixFrom(netip.AddrFrom16([16]byte(a.Value[:16])), int(a.Value[16]))
	return p, p.IsValid()
}

// Texts splits a list of names. Each peer has its own way to put several domains or gateways into
// one attribute, racoon a comma, others white space, a NUL or 0x19; most repeat the attribute.
func (a Attribute) Texts() []string {
	return strings.FieldsFunc(string(a.Value), func(r rune) bool {
		return strings.ContainsRune(",; \t\r\n\x00\x19", r)
	})
}

func (a *Attribute) decode(r *reader) {
	a.Type = AttributeType(r.u16() &^ 0x8000) // the first bit is reserved and ignored
	a.Value = r.bytes(int(r.u16()))
	// An empty value asks for one, or acknowledges one, whatever the type.
	if n := len(a.Value); n > 0 && !a.Type.layout().fits(n) {
		r.fail("attribute of a wrong length")
	}
	if a.Type.layout() == layoutIP6Bits && len(a.Value) == 17 && a.Value[16] > 128 {
		r.fail("prefix longer than an address")
	}
}

func (a Attribute) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(a.Type)&^0x8000)
	b = binary.BigEndian.AppendUint16(b, uint16(min(len(a.Value), 0xffff)))
	return append(b, a.Value...)
}

// A layout is the form of an attribute's value, section 3.15.1.
type layout uint8

const (
	layoutOpaque layout = iota
	layoutIP4
	layoutIP6
	layoutIP6Bits // address and prefix length
	layoutIP4Mask // address and mask
	layoutText
	layoutNumber // 32 bits
	layoutTypes  // list of attribute types
)

func (t AttributeType) layout() layout {
	switch t {
	case InternalIP4Address, InternalIP4Netmask, InternalIP4DNS, InternalIP4NBNS, InternalIP4DHCP, 20: // P_CSCF_IP4_ADDRESS
		return layoutIP4
	case InternalIP6DNS, InternalIP6DHCP, 21: // P_CSCF_IP6_ADDRESS
		return layoutIP6
	case InternalIP6Address, InternalIP6Subnet:
		return layoutIP6Bits
	case InternalIP4Subnet:
		return layoutIP4Mask
	case 5: // INTERNAL_ADDRESS_EXPIRY, withdrawn by RFC 7296
		return layoutNumber
	case SupportedAttributes:
		return layoutTypes
	case ApplicationVersion, InternalDNSDomain, CiscoBanner, CiscoDefaultDomain, CiscoSplitDNS,
		CiscoBackupServers, CiscoDDNSHostname, CiscoConfigURL:
		return layoutText
	default:
		return layoutOpaque
	}
}

func (l layout) fits(n int) bool {
	switch l {
	case layoutIP4, layoutNumber:
		return n == 4
	case layoutIP6:
		return n == 16
	case layoutIP6Bits:
		return n == 17
	case layoutIP4Mask:
		return n == 8
	case layoutTypes:
		return n%2 == 0
	default:
		return true
	}
}

// String is "INTERNAL_IP4_ADDRESS=10.1.1.2", or the name alone if the value is empty.
func (a Attribute) String() string {
	if len(a.Value) == 0 {
		return a.Type.String()
	}
	return a.Type.String() + "=" + a.text()
}

func (a Attribute) text() string {
	if p, ok := a.Prefix(); ok {
		return p.String()
	}
	if addr, bits, ok := a.Addr(); ok {
		if a.Type == InternalIP6Address {
			return netip.PrefixFrom(addr, bits).String()
		}
		return addr.String()
	}
	switch a.Type.layout() {
	case layoutText:
		// Some send a terminating NUL all the same.
		return printable(bytes.TrimRight(a.Value, "\x00"))
	case layoutTypes:
		return typeNames(a.Value)
	default:
		// Among Cisco's private attributes are session tokens: the value stays out of logs.
		return fmt.Sprintf("(%d octets)", len(a.Value))
	}
}

func typeNames(list []byte) string {
	var names []string
	for ; len(list) >= 2; list = list[2:] {
		names = append(names, AttributeType(binary.BigEndian.Uint16(list)).String())
	}
	return strings.Join(names, ",")
}
