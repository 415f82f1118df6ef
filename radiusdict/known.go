package radiusdict

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"flexvpn/secret"
)

// known is one attribute of the AV-pairs with all its names.
type known struct {
	names []string
	set   func(*Reply, Pair) error
}

// table is every AV-pair that a FlexVPN hub acts on, and those it has no use for by intent.
var table = []known{
	{[]string{"addr"}, func(r *Reply, p Pair) error { return setAddr(&r.Address, p.Value, false) }},
	{[]string{"netmask"}, setNetmask},
	{[]string{"addr-pool"}, func(r *Reply, p Pair) error { return setWord(&r.Pool, p.Value) }},
	{[]string{"ipv6-addr-pool"}, func(r *Reply, p Pair) error { return setWord(&r.Pool6, p.Value) }},
	{[]string{"addrv6"}, func(r *Reply, p Pair) error { return setAddr(&r.Address6, p.Value, true) }},
	{[]string{"prefix-len"}, noEffect("an overlay address is a host address")},
	{[]string{"dns-servers"}, func(r *Reply, p Pair) error {
		return r.addAddrs(&r.DNS, "dns-servers", words(p.Value), p.Protocol == "ipv6")
	}},
	{[]string{"ipv6-dns-servers-addr", "ipv6-dns-servers"}, func(r *Reply, p Pair) error {
		// "ipv6-dns-servers=addr=2001:db8::5" is how some write ipv6-dns-servers-addr.
		return r.addAddrs(&r.DNS, "ipv6-dns-servers-addr", words(strings.TrimPrefix(p.Value, "addr=")), true)
	}},
	{[]string{"wins-servers"}, func(r *Reply, p Pair) error {
		return r.addAddrs(&r.WINS, "wins-servers", words(p.Value), false)
	}},
	{[]string{"default-domain", "def-domain"}, func(r *Reply, p Pair) error {
		var one []string
		if err := r.addNames(&one, "default-domain", []string{p.Value}, 1); err != nil {
			return err
		}
		first(&r.DefDomain, one[0])
		return nil
	}},
	{[]string{"split-dns"}, func(r *Reply, p Pair) error {
		return r.addNames(&r.SplitDNS, "split-dns", some(words(p.Value)), MaxDomains)
	}},
	{[]string{"ipsec-backup-gateway", "backup-gateway"}, func(r *Reply, p Pair) error {
		return r.addNames(&r.BackupGateways, "ipsec-backup-gateway", some(words(p.Value)), MaxGateways)
	}},
	{[]string{"banner"}, func(r *Reply, p Pair) error { first(&r.Banner, p.Value); return nil }},
	{[]string{"route-set"}, setRouteSet},
	{[]string{"route-set-interface"}, func(r *Reply, _ Pair) error { r.RouteInterface = true; return nil }},
	{[]string{"route-accept"}, setRouteAccept},
	{[]string{"subnet-acl", "ipv6-subnet-acl"}, func(r *Reply, p Pair) error { return r.addList(p.Value) }},
	{[]string{"inacl"}, func(r *Reply, p Pair) error {
		// ipsec:inacl=NAME is the networks to push, ip:inacl#N= a line of a filter.
		if p.Number < 0 && strings.Contains(p.Protocol, "ipsec") {
			return r.addList(p.Value)
		}
		return addEntry(&r.EntriesIn, &r.FilterIn, p)
	}},
	{[]string{"outacl"}, func(r *Reply, p Pair) error { return addEntry(&r.EntriesOut, &r.FilterOut, p) }},
	{[]string{"sub-qos-policy-in"}, func(r *Reply, p Pair) error { return setWord(&r.QoSIn, p.Value) }},
	{[]string{"sub-qos-policy-out"}, func(r *Reply, p Pair) error { return setWord(&r.QoSOut, p.Value) }},
	{[]string{"vrf-id"}, func(r *Reply, p Pair) error { return setWord(&r.VRF, p.Value) }},
	{[]string{"interface-config"}, addInterfaceLine},
	{[]string{"route"}, func(r *Reply, p Pair) error { return r.addRoute(p.Value, p.Protocol == "ipv6") }},
	{[]string{"tunnel-password"}, func(r *Reply, p Pair) error { return setSecret(&r.Password, p.Value) }},
	{[]string{"ikev2-password-local"}, func(r *Reply, p Pair) error { return setSecret(&r.PasswordLocal, p.Value) }},
	{[]string{"ikev2-password-remote"}, func(r *Reply, p Pair) error { return setSecret(&r.PasswordRemote, p.Value) }},
	{[]string{"audit-session-id"}, func(r *Reply, p Pair) error { first(&r.AuditSessionID, p.Value); return nil }},

	{[]string{"dhcp-server", "group-dhcp-server", "dhcp-giaddr", "dhcp-timeout"}, noDHCP},
	{[]string{"pfs"}, noEffect("the peers' ESP proposals decide")},
	{[]string{"include-local-lan"}, noEffect("it speaks to remote-access clients")},
	{[]string{"smartcard-removal-disconnect"}, noEffect("it speaks to remote-access clients")},
	{[]string{"configuration-url", "configuration-version"}, noEffect("it is not sent")},
	{[]string{"profile-name", "method", "connect-progress"}, noEffect("it only informs")},
}

var byName = func() map[string]*known {
	m := map[string]*known{}
	for i := range table {
		for _, n := range table[i].names {
			m[n] = &table[i]
		}
	}
	return m
}()

func knownAs(p Pair) *known { return byName[p.Attribute] }

// Names are all AV-pair attributes that are known, sorted.
func Names() []string {
	out := make([]string, 0, len(byName))
	for n := range byName {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

func noEffect(why string) func(*Reply, Pair) error {
	return func(r *Reply, p Pair) error { r.note("AV-pair %s has no effect: %s", p.Name(), why); return nil }
}

// noDHCP refuses: an address from elsewhere than the server asked for would be another one.
func noDHCP(*Reply, Pair) error {
	return errors.New("this hub has no addresses from a DHCP server: give a pool (ipsec:addr-pool) or an address, or make the pair optional (*)")
}

// first sets a single value unless one was there before.
func first[T comparable](to *T, v T) {
	var zero T
	if *to == zero {
		*to = v
	}
}

// some makes an empty list an entry that no check lets pass.
func some(list []string) []string {
	if len(list) == 0 {
		return []string{""}
	}
	return list
}

func setWord(to *string, value string) error {
	if value == "" || len(value) > 63 || strings.ContainsAny(value, " \t\r\n") {
		return fmt.Errorf("%q is no name", clip(value))
	}
	first(to, value)
	return nil
}

func setSecret(to *secret.Bytes, value string) error {
	if value == "" {
		return errors.New("the key is empty")
	}
	if to.IsEmpty() {
		*to = secret.FromString(value)
	}
	return nil
}

func setAddr(to *netip.Addr, value string, six bool) error {
	a, err := netip.ParseAddr(value)
	if err != nil || a.Zone() != "" || a.Is4() == six || !isPeer(a) {
		return fmt.Errorf("%q is no %s address of a host", clip(value), family(six))
	}
	first(to, a)
	return nil
}

func setNetmask(r *Reply, p Pair) error {
	a, err := netip.ParseAddr(p.Value)
	if err != nil || maskBits(a) < 0 {
		return fmt.Errorf("%q is no netmask", clip(p.Value))
	}
	first(&r.Netmask, a)
	return nil
}

// maskBits is the length of a mask's prefix, -1 when it is none.
func maskBits(mask netip.Addr) int {
	if !mask.Is4() {
		return -1
	}
	b := mask.As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	bits := 0
	for v&0x80000000 != 0 {
		v <<= 1
		bits++
	}
	if v != 0 {
		return -1
	}
	return bits
}

// setRouteSet reads "interface [NAME]", "prefix P", "prefix ipv6 P", "access-list [ipv6] NAME",
// "local|remote ipv4 NET MASK" and a prefix alone.
func setRouteSet(r *Reply, p Pair) error {
	w := strings.Fields(p.Value)
	if len(w) == 0 {
		return errors.New("it is empty: write interface, prefix P or access-list NAME")
	}
	switch strings.ToLower(w[0]) {
	case "interface":
		r.RouteInterface = true
		return nil
	case "access-list":
		return r.addList(w[len(w)-1])
	case "prefix", "local", "remote":
		w = w[1:]
	}
	if len(w) > 0 && (strings.EqualFold(w[0], "ipv4") || strings.EqualFold(w[0], "ipv6")) {
		w = w[1:]
	}
	prefix, rest, err := prefixOf(w)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("%q is no prefix", clip(p.Value))
	}
	if len(r.RoutesSet) < maxRoutes && !slices.Contains(r.RoutesSet, prefix) {
		r.RoutesSet = append(r.RoutesSet, prefix)
	}
	return nil
}

func (r *Reply) addList(name string) error {
	var word string
	if err := setWord(&word, name); err != nil {
		return err
	}
	if !slices.Contains(r.RouteLists, word) && len(r.RouteLists) < maxLines {
		r.RouteLists = append(r.RouteLists, word)
	}
	return nil
}

// prefixOf reads "N/len", "N MASK" or an address alone, and gives back the words behind.
func prefixOf(w []string) (netip.Prefix, []string, error) {
	if len(w) == 0 {
		return netip.Prefix{}, nil, errors.New("no prefix")
	}
	if p, err := netip.ParsePrefix(w[0]); err == nil && !p.Addr().Is4In6() {
		return p.Masked(), w[1:], nil
	}
	a, err := netip.ParseAddr(w[0])
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return netip.Prefix{}, nil, fmt.Errorf("%q is no prefix", clip(w[0]))
	}
	bits, rest := a.BitLen(), w[1:]
	if a.Is4() && len(rest) > 0 {
		if mask, err := netip.ParseAddr(rest[0]); err == nil && maskBits(mask) > 0 {
			bits, rest = maskBits(mask), rest[1:]
		}
	}
	p, err := a.Prefix(bits)
	return p, rest, err
}

// setRouteAccept reads "any|none [tag T] [distance D]", with space or colon before the numbers.
func setRouteAccept(r *Reply, p Pair) error {
	a := Accept{}
	w := strings.FieldsFunc(strings.ToLower(p.Value), func(c rune) bool { return c == ' ' || c == ':' || c == ',' || c == '\t' })
	for len(w) > 0 {
		switch {
		case w[0] == "any":
			a.Any, w = true, w[1:]
		case w[0] == "none":
			a.Any, w = false, w[1:]
		case len(w) > 1 && (w[0] == "tag" || w[0] == "distance"):
			most := uint64(255)
			if w[0] == "tag" {
				most = 497777
			}
			n, err := strconv.ParseUint(w[1], 10, 32)
			if err != nil || n == 0 || n > most {
				return fmt.Errorf("%s must be 1 to %d, not %q", w[0], most, clip(w[1]))
			}
			if w[0] == "tag" {
				a.Tag = uint32(n)
			} else {
				a.Distance = uint8(n)
			}
			w = w[2:]
		default:
			return fmt.Errorf("%q: write any or none, then tag T and distance D", clip(p.Value))
		}
	}
	if r.Accept == nil {
		r.Accept = &a
	}
	return nil
}

func addEntry(to *[]Entry, name *string, p Pair) error {
	if p.Number < 0 {
		return setWord(name, p.Value)
	}
	if p.Value == "" || len(*to) >= maxLines {
		return fmt.Errorf("an access list has 1 to %d lines", maxLines)
	}
	*to = append(*to, Entry{p.Number, p.Protocol == "ipv6", p.Value})
	slices.SortStableFunc(*to, func(a, b Entry) int { return cmp.Compare(a.Number, b.Number) })
	return nil
}

// addInterfaceLine takes the lines of one pair: IOS separates them by "\n", written or real.
func addInterfaceLine(r *Reply, p Pair) error {
	for line := range strings.SplitSeq(strings.ReplaceAll(p.Value, `\n`, "\n"), "\n") {
		line = strings.Join(strings.Fields(line), " ")
		if line == "" {
			continue
		}
		if len(r.InterfaceConfig) == maxLines {
			return fmt.Errorf("more than %d lines", maxLines)
		}
		r.InterfaceConfig = append(r.InterfaceConfig, line)
	}
	return nil
}

// addRoute reads "P [next hop] [metric]": the next hop is the session, whatever stands there (RFC
// 2865 section 5.22, RFC 3162 section 2.5).
func (r *Reply) addRoute(text string, six bool) error {
	prefix, rest, err := prefixOf(strings.Fields(text))
	if err != nil || prefix.Addr().Is6() != six {
		return fmt.Errorf("%q does not begin with an %s prefix", clip(text), family(six))
	}
	route := Route{Prefix: prefix}
	for i, w := range rest {
		if _, err := netip.ParseAddr(w); err == nil && i == 0 {
			continue
		}
		n, err := strconv.ParseUint(w, 10, 8)
		if err != nil {
			return fmt.Errorf("%q: a route is PREFIX [GATEWAY] [METRIC]", clip(text))
		}
		first(&route.Distance, uint8(n))
	}
	if len(r.Routes) == maxRoutes {
		return fmt.Errorf("more than %d routes", maxRoutes)
	}
	r.Routes = append(r.Routes, route)
	return nil
}
