package authz

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"flexvpn/ikev2/wire"
)

// Bounds on what one peer may push: a hub is authenticated, but it may be wrong, and what it says
// reaches resolvers, routing tables and terminals.
const (
	maxPrefixes  = 512
	maxAddresses = 8
	maxBanner    = 2048 // octets
	maxVersion   = 512
	maxName      = 253 // a domain name in text form, RFC 1035 section 2.3.4
)

// Wanted is what a client asks its hub for.
type Wanted struct {
	Address bool   // overlay addresses of both families
	Version string // ours; empty: not told
}

// Request is the CFG_REQUEST of a client, in the order in which an IOS spoke asks.
func Request(w Wanted) []wire.Attribute {
	var types []wire.AttributeType
	if w.Address {
		types = append(types, wire.InternalIP4Address, wire.InternalIP4Netmask)
	}
	types = append(types, wire.InternalIP4DNS, wire.InternalIP4NBNS, wire.InternalIP4Subnet)
	if w.Address {
		types = append(types, wire.InternalIP6Address)
	}
	types = append(types, wire.InternalIP6DNS, wire.InternalIP6Subnet)
	request := make([]wire.Attribute, 0, 16)
	for _, t := range types {
		request = append(request, wire.Attribute{Type: t})
	}
	// The own version is told, and the hub's is asked for, by the same attribute.
	request = append(request, wire.AttrText(wire.ApplicationVersion, w.Version))
	for _, t := range []wire.AttributeType{wire.CiscoSplitDNS, wire.CiscoBanner, wire.CiscoBackupServers, wire.CiscoDefaultDomain, wire.InternalDNSDomain} {
		request = append(request, wire.Attribute{Type: t})
	}
	return request
}

// Pushed is what a hub gave a client: checked, bounded, without repeats. It shares no memory with
// the message it came in.
type Pushed struct {
	Addresses      []netip.Addr // overlay addresses
	Netmask        netip.Addr
	DNS, WINS      []netip.Addr
	SplitDNS       []string // domains, lower case
	DefDomain      string
	BackupGateways []string // addresses or host names
	Banner         string   // may have several lines
	Version        string
	Routes         []netip.Prefix
	// Ignored counts values that make no sense or exceed a bound; Refused tells the first of them.
	Ignored int
	Refused []Refusal
}

// A Refusal is a pushed value that was not taken over.
type Refusal struct {
	Attribute string // as a policy names it
	Value     string // printable
	Why       string
}

// String is the refusal in a line.
func (r Refusal) String() string { return fmt.Sprintf("%s %q: %s", r.Attribute, r.Value, r.Why) }

// maxRefused bounds how many refusals are told, and maxRefusedText each one's value.
const (
	maxRefused     = 16
	maxRefusedText = 64 // octets
)

func (p *Pushed) refuse(attribute, value, why string) {
	p.Ignored++
	if len(p.Refused) < maxRefused {
		p.Refused = append(p.Refused, Refusal{attribute, printable([]byte(value), maxRefusedText), why})
	}
}

// Clone is a copy that shares no memory with p.
func (p Pushed) Clone() Pushed {
	p.Addresses, p.DNS, p.WINS = slices.Clone(p.Addresses), slices.Clone(p.DNS), slices.Clone(p.WINS)
	p.SplitDNS, p.BackupGateways, p.Routes = slices.Clone(p.SplitDNS), slices.Clone(p.BackupGateways), slices.Clone(p.Routes)
	p.Refused = slices.Clone(p.Refused)
	return p
}

// FromReply reads a CFG_REPLY. Values that make no sense are counted and left out: a hub that sends
// one bad name server still connects.
func FromReply(attrs []wire.Attribute) Pushed {
	var p Pushed
	var routes prefixList
	for _, a := range attrs {
		if len(a.Value) == 0 {
			continue // nothing was configured
		}
		switch a.Type {
		case wire.InternalIP4Address, wire.InternalIP6Address:
			p.addAddr(&p.Addresses, "address", a, maxAddresses)
		case wire.InternalIP4Netmask:
			p.Netmask, _, _ = a.Addr()
		case wire.InternalIP4DNS, wire.InternalIP6DNS:
			p.addAddr(&p.DNS, "dns", a, 2*maxServers)
		case wire.InternalIP4NBNS:
			p.addAddr(&p.WINS, "wins", a, maxServers)
		case wire.InternalIP4Subnet, wire.InternalIP6Subnet:
			if routes.add(a) > 0 {
				p.refuse("routes", prefixText(a), fmt.Sprintf("no prefix, or more than %d", maxPrefixes))
			}
		case wire.CiscoSplitDNS, wire.InternalDNSDomain:
			p.addNames(&p.SplitDNS, "split-dns", a, maxDomains, domainName)
		case wire.CiscoBackupServers:
			p.addNames(&p.BackupGateways, "backup-gateway", a, maxGateways, gateway)
		case wire.CiscoDefaultDomain:
			p.setDefDomain(a)
		case wire.CiscoBanner:
			p.Banner = printable(a.Value, maxBanner)
		case wire.ApplicationVersion:
			p.Version = printable(a.Value, maxVersion)
		default: // unknown attributes are ignored, RFC 7296 section 3.15.1
		}
	}
	p.Routes = routes.list
	return p
}

func (p *Pushed) setDefDomain(a wire.Attribute) {
	text := strings.Trim(string(a.Value), "\x00 ")
	if name, ok := domainName(text); ok {
		p.DefDomain = name
		return
	}
	p.refuse("def-domain", text, nameProblem(text))
}

// FromRouteSet reads the prefixes that are behind a peer from its CFG_SET: host bits cleared,
// without repeats, at most 512.
func FromRouteSet(attrs []wire.Attribute) []netip.Prefix {
	var routes prefixList
	for _, a := range attrs {
		routes.add(a)
	}
	return routes.list
}

// A prefixList grows by distinct prefixes up to its bound.
type prefixList struct {
	list []netip.Prefix
	seen map[netip.Prefix]bool
}

// add returns how many values it ignored.
func (l *prefixList) add(a wire.Attribute) int {
	p, ok := a.Prefix()
	switch {
	case !ok || p.Addr().Is4In6():
		return 1
	case l.seen[p]:
		return 0
	case len(l.list) == maxPrefixes:
		return 1
	case l.seen == nil:
		l.seen = make(map[netip.Prefix]bool)
	}
	l.seen[p] = true
	l.list = append(l.list, p)
	return 0
}

// addAddr takes only what can be the address of a host.
func (p *Pushed) addAddr(into *[]netip.Addr, attribute string, a wire.Attribute, most int) {
	addr, _, ok := a.Addr()
	switch {
	case !ok || !isHost(addr) || addr.Is4In6():
		p.refuse(attribute, addressText(a), "not the address of a host")
	case slices.Contains(*into, addr):
	case len(*into) == most:
		p.refuse(attribute, addr.String(), fmt.Sprintf("more than %d", most))
	default:
		*into = append(*into, addr)
	}
}

func addressText(a wire.Attribute) string {
	if addr, _, ok := a.Addr(); ok {
		return addr.String()
	}
	return fmt.Sprintf("%x", a.Value[:min(len(a.Value), maxRefusedText/2)])
}

func prefixText(a wire.Attribute) string {
	if p, ok := a.Prefix(); ok {
		return p.String()
	}
	return addressText(a)
}

func isHost(a netip.Addr) bool {
	return a.IsGlobalUnicast() || a.Is4() && a.IsLinkLocalUnicast()
}

// addNames reads a list in any of the forms in which peers send it.
func (p *Pushed) addNames(into *[]string, attribute string, a wire.Attribute, most int, check func(string) (string, bool)) {
	for _, text := range a.Texts() {
		name, ok := check(text)
		switch {
		case !ok:
			p.refuse(attribute, text, nameProblem(text))
		case slices.Contains(*into, name):
		case len(*into) == most:
			p.refuse(attribute, name, fmt.Sprintf("more than %d", most))
		default:
			*into = append(*into, name)
		}
	}
}

// nameProblem is why a text is no name that is taken over.
func nameProblem(text string) string {
	switch {
	case strings.Trim(text, ".") == "":
		return "the root, which every name is under"
	case strings.ContainsFunc(text, unicode.IsControl):
		return "it has control characters"
	}
	return "no name of labels of letters, digits, '-' and '_', and no address of a host"
}

// domainName accepts what a resolver can be asked for: labels of letters, digits, hyphens and the
// underscore that service names begin with.
func domainName(text string) (string, bool) {
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	if name == "" || len(name) > maxName {
		return "", false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", false
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return "", false
			}
		}
	}
	return name, true
}

// gateway accepts an address of a host or a host name.
func gateway(text string) (string, bool) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.String(), isHost(addr) && addr.Zone() == ""
	}
	name, ok := domainName(text)
	if last := name[strings.LastIndexByte(name, '.')+1:]; ok && last[0] >= '0' && last[0] <= '9' {
		return "", false // no top-level domain begins with a digit: a broken address
	}
	return name, ok
}

// printable is text that may go to a terminal: lines of printable characters, no escape sequences.
func printable(value []byte, most int) string {
	text := strings.ToValidUTF8(string(value[:min(len(value), most)]), "")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text))
}
