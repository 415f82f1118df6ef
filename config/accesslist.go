package config

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// AccessList is a named list of entries; the first that fits a packet decides, and a packet that
// none fits is denied, as on IOS.
type AccessList struct {
	Name    string
	Entries []AccessEntry
	PerUser bool // from a RADIUS server, not from the file
}

// AccessEntry permits or denies packets of either family. Zero fields fit every packet.
type AccessEntry struct {
	Permit                        bool
	Protocol                      Protocol
	Source, Destination           netip.Prefix // invalid: any
	SourcePorts, DestinationPorts PortRange    // TCP, UDP and SCTP only
	Established                   bool         // TCP that answers: ACK or RST is set
	Text                          string       // as it stands in the file
}

// Protocol is the number of an IP protocol; 0 is any. ProtocolICMP with IPv6 packets is ICMPv6.
type Protocol uint8

// The protocols with ports, and the one that has another number with IPv6.
const (
	ProtocolICMP   Protocol = 1
	ProtocolTCP    Protocol = 6
	ProtocolUDP    Protocol = 17
	ProtocolICMPv6 Protocol = 58
	ProtocolSCTP   Protocol = 132
)

// PortRange is from First to Last inclusive; the zero value is every port.
type PortRange struct{ First, Last uint16 }

// protocols are the names that IOS has for protocols.
var protocols = map[string]Protocol{
	"ip": 0, "ipv6": 0, "icmp": ProtocolICMP, "igmp": 2, "tcp": ProtocolTCP, "udp": ProtocolUDP, "gre": 47,
	"esp": 50, "ahp": 51, "ospf": 89, "sctp": ProtocolSCTP,
}

// services are the names of ports that are worth a name.
var services = map[string]uint16{
	"ftp-data": 20, "netbios-dgm": 138, "netbios-ns": 137, "netbios-ss": 139, "non500-isakmp": 4500, "pop3": 110, "snmptrap": 162, "sunrpc": 111,
	"bgp": 179, "bootpc": 68, "bootps": 67, "domain": 53, "ftp": 21, "https": 443, "isakmp": 500, "ntp": 123,
	"radius": 1812, "smtp": 25, "snmp": 161, "ssh": 22, "syslog": 514, "tacacs": 49, "telnet": 23, "tftp": 69, "www": 80,
}

// parseAccessEntry reads an entry in the words of IOS:
//
//	permit|deny PROTOCOL SOURCE [PORTS] DESTINATION [PORTS] [established]
//
// An address is any, host A, a prefix, or A with a wildcard mask; ports are eq N, gt N, lt N or range
// A B.
func parseAccessEntry(s string) (AccessEntry, error) {
	e := AccessEntry{Text: s}
	w := &words{rest: strings.Fields(s)}
	switch verb := w.next(); verb {
	case "permit", "deny":
		e.Permit = verb == "permit"
	default:
		return e, problem{fmt.Sprintf("must begin with permit or deny, not %s", quote(verb)), "permit tcp 10.0.0.0/8 any eq 443"}
	}
	w.protocol(&e)
	e.Source = w.network("source")
	e.SourcePorts = w.ports(e.Protocol)
	e.Destination = w.network("destination")
	e.DestinationPorts = w.ports(e.Protocol)
	if w.peek() == "established" && e.Protocol == ProtocolTCP {
		w.next()
		e.Established = true
	}
	if w.err == nil && w.peek() != "" {
		w.fail("has %s after its end", quote(strings.Join(w.rest, " ")))
	}
	if w.err == nil && e.Source.IsValid() && e.Destination.IsValid() && e.Source.Addr().Is4() != e.Destination.Addr().Is4() {
		w.fail("goes from %s to %s, which are of two families", e.Source, e.Destination)
	}
	return e, w.err
}

// words are the words of an entry; the first error stays.
type words struct {
	rest []string
	err  error
}

func (w *words) fail(format string, args ...any) {
	if w.err == nil {
		w.err = problem{text: fmt.Sprintf(format, args...)}
	}
}

func (w *words) peek() string {
	if len(w.rest) == 0 {
		return ""
	}
	return w.rest[0]
}

func (w *words) next() string {
	first := w.peek()
	if first != "" {
		w.rest = w.rest[1:]
	}
	return first
}

func (w *words) protocol(e *AccessEntry) {
	word := w.next()
	p, ok := protocols[word]
	if n, err := strconv.ParseUint(word, 10, 8); !ok && err == nil && n > 0 {
		p, ok = Protocol(n), true
	}
	if !ok {
		w.fail("must have a protocol after permit or deny (ip, tcp, udp, icmp, gre, esp or a number), not %s", quote(word))
	}
	e.Protocol = p
}

func (w *words) network(which string) netip.Prefix {
	word := w.next()
	host := word == "host"
	if host {
		word = w.next()
	}
	if word == "any" && !host {
		return netip.Prefix{}
	}
	p, err := parsePrefix(word)
	if bare := !strings.Contains(word, "/"); err != nil || host && !bare || bare && !host && p.Addr().Is6() {
		w.fail("must have a %s (any, host A, a prefix, or A with a wildcard mask), not %s", which, quote(word))
		return netip.Prefix{}
	}
	if !host && !strings.Contains(word, "/") {
		p = netip.PrefixFrom(p.Addr(), 32-w.wildcard(word))
	}
	if p != p.Masked() {
		w.fail("has a %s with bits set outside its prefix length: %s is of %s", which, p.Addr(), p.Masked())
	}
	return p
}

// wildcard is how many bits at the end of an address do not matter, as a mask says that has ones there.
func (w *words) wildcard(addr string) int {
	word := w.next()
	a, err := netip.ParseAddr(word)
	if err != nil || !a.Is4() {
		w.fail("must have a wildcard mask after %s, not %s: write host %s for one address", addr, quote(word), addr)
		return 0
	}
	b := a.As4()
	mask := binary.BigEndian.Uint32(b[:])
	if mask&(mask+1) != 0 {
		w.fail("has the wildcard mask %s, whose ones are not all at its end", a)
		return 0
	}
	return bits.Len32(mask)
}

func (w *words) ports(p Protocol) PortRange {
	verb := w.peek()
	switch verb {
	case "eq", "gt", "lt", "range", "neq":
	default:
		return PortRange{}
	}
	w.next()
	if p != ProtocolTCP && p != ProtocolUDP && p != ProtocolSCTP {
		w.fail("has ports (%s), which only tcp, udp and sctp have", verb)
	}
	n := w.port()
	switch {
	case verb == "eq":
		return PortRange{n, n}
	case verb == "gt" && n < 65535:
		return PortRange{n + 1, 65535}
	case verb == "lt" && n > 1:
		return PortRange{1, n - 1}
	case verb == "range":
		last := w.port()
		if last < n {
			w.fail("has a range of ports from %d down to %d", n, last)
		}
		return PortRange{n, last}
	}
	w.fail("has %s %d: write eq, range, or a gt or lt that leaves a port", verb, n)
	return PortRange{}
}

func (w *words) port() uint16 {
	word := w.next()
	if n, ok := services[word]; ok {
		return n
	}
	n, err := strconv.ParseUint(word, 10, 16)
	if err != nil || n == 0 {
		w.fail("must have a port of 1 to 65535 or a name like www, not %s", quote(word))
	}
	return uint16(n)
}

const accessListDoc = "Access lists by name, for `access-group` of templates and tunnels. An entry is one line in the words of IOS: " +
	"`permit|deny PROTOCOL SOURCE [PORTS] DESTINATION [PORTS] [established]`; an address is `any`, `host A`, a prefix or `A WILDCARD`, ports are `eq N`, `gt N`, `lt N` or `range A B`. " +
	"The first entry that fits decides; what none fits is denied. `any` is both families, and `icmp` is ICMPv6 for IPv6."

// rawAccessList is a list of entries.
type rawAccessList []given[AccessEntry]

func accessList(into *rawAccessList) part {
	return listOf((*[]given[AccessEntry])(into), func(v *given[AccessEntry]) part {
		return scalar(v, "access list entry", parseAccessEntry)
	})
}

func accessLists(raw []entry[rawAccessList]) map[string]*AccessList {
	out := make(map[string]*AccessList, len(raw))
	for i := range raw {
		out[raw[i].name] = &AccessList{Name: raw[i].name, Entries: valid(raw[i].v)}
	}
	return out
}

// listName is the rule for the name of an access list: it becomes the name of a chain of nftables.
func listName(s string) string {
	if wrong := word(s); wrong != "" {
		return wrong
	}
	if len(s) > 32 {
		return "it must have at most 32 octets"
	}
	return ""
}
