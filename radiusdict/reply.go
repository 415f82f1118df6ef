package radiusdict

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"flexvpn/secret"
)

// How many of each a spoke gets at most, as on IOS, and how many lines a reply may bring.
const (
	MaxServers  = 2 // DNS servers of each family, WINS servers
	MaxDomains  = 10
	MaxGateways = 10
	maxLines    = 64
	maxRoutes   = 512
)

// Reply is what a server's answer says, checked and typed; zero fields were not given. Lists
// accumulate in the order of the answer; of a single value the first counts.
type Reply struct {
	UserName        string // overrides the name that was asked for
	Message         string // Reply-Message, for people
	Address         netip.Addr
	Address6        netip.Addr
	Prefix6         netip.Prefix // Framed-IPv6-Prefix: the spoke's link
	InterfaceID     [8]byte
	Delegated       netip.Prefix // Delegated-IPv6-Prefix: behind the spoke
	Netmask         netip.Addr
	Pool, Pool6     string
	DNS, WINS       []netip.Addr
	SplitDNS        []string
	DefDomain       string
	BackupGateways  []string
	Banner          string
	RoutesSet       []netip.Prefix // pushed to the spoke
	RouteInterface  bool           // "route-set=interface"
	RouteLists      []string       // local access lists whose networks are pushed
	Accept          *Accept        // what is taken from the spoke
	Routes          []Route        // of the hub towards the spoke
	VRF             string
	FilterIn        string // access lists of the virtual-access; In is what comes from the spoke
	FilterOut       string
	EntriesIn       []Entry // access list entries given one by one, sorted by number
	EntriesOut      []Entry
	QoSIn, QoSOut   string
	InterfaceConfig []string
	SessionTimeout  time.Duration
	IdleTimeout     time.Duration
	Interim         time.Duration // of accounting
	Class           [][]byte

	// Pre-shared keys: Password for both directions, the others for one.
	Password, PasswordLocal, PasswordRemote secret.Bytes

	// Keys of the session that is sought or changed (RFC 5176 section 3, Cisco's audit-session-id).
	AuditSessionID string

	// Notes say what was left out and why, one sentence each.
	Notes []string
}

// Accept says which prefixes of the spoke are installed; Any false means none.
type Accept struct {
	Any      bool
	Distance uint8 // 0: not said
	Tag      uint32
}

// Route is one Framed-Route: its next hop is the session.
type Route struct {
	Prefix   netip.Prefix
	Distance uint8 // 0: not said
}

// Entry is one line of an access list that came from the server.
type Entry struct {
	Number int
	Six    bool
	Text   string
}

func (r *Reply) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// AddPair takes one Cisco-AVPair. An error refuses the session.
func (r *Reply) AddPair(text string) error {
	p, err := ParsePair(text)
	if err != nil {
		return err
	}
	if !ours(p.Protocol) {
		r.note("AV-pair %s belongs to another service", p.Name())
		return nil
	}
	k := knownAs(p)
	if k == nil {
		if p.Mandatory {
			return fmt.Errorf("AV-pair %s is not known here: remove it, or write %s*… to make it optional", p.Name(), p.Name())
		}
		r.note("optional AV-pair %s is not known here", p.Name())
		return nil
	}
	err = k.set(r, p)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("AV-pair %s: %w", p.Name(), err)
	if p.Mandatory {
		return err
	}
	r.note("left out: %v", err)
	return nil
}

// ours reports whether the pairs of a protocol speak to a VPN hub; those of others (shell, vpdn …)
// are there for the other services that use the same account.
func ours(protocol string) bool {
	switch protocol {
	case "", "ip", "ipv6", "ipsec", "ip:ipsec", "ipsec:ip":
		return true
	}
	return false
}

// addAddrs appends the addresses of one family, at most most of it.
func (r *Reply) addAddrs(to *[]netip.Addr, what string, value []string, six bool) error {
	for _, w := range value {
		a, err := netip.ParseAddr(w)
		if err != nil || a.Zone() != "" || a.Is4() == six || !isHost(a) {
			return fmt.Errorf("%q is no %s address of a host", clip(w), family(six))
		}
		r.addAddr(to, what, a)
	}
	return nil
}

func (r *Reply) addAddr(to *[]netip.Addr, what string, a netip.Addr) {
	if slices.Contains(*to, a) {
		return
	}
	same := 0
	for _, have := range *to {
		if have.Is4() == a.Is4() {
			same++
		}
	}
	if same == MaxServers {
		r.note("%s: %s left out: a spoke gets at most %d %s servers", what, a, MaxServers, family(a.Is6()))
		return
	}
	*to = append(*to, a)
}

func family(six bool) string {
	if six {
		return "IPv6"
	}
	return "IPv4"
}

func isHost(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.Is4In6() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// isPeer reports whether a spoke can have the address in the overlay.
func isPeer(a netip.Addr) bool {
	return isHost(a) && !a.IsLoopback() && !(a.Is6() && a.IsLinkLocalUnicast())
}

// addNames appends domains or gateways, at most most of them.
func (r *Reply) addNames(to *[]string, what string, value []string, most int) error {
	for _, w := range value {
		name := strings.ToLower(strings.TrimSuffix(w, "."))
		if !hostName(name) {
			return fmt.Errorf("%q is no name of a host or domain", clip(w))
		}
		switch {
		case slices.Contains(*to, name):
		case len(*to) == most:
			r.note("%s: %s left out: a spoke gets at most %d", what, name, most)
		default:
			*to = append(*to, name)
		}
	}
	return nil
}

// hostName accepts names and literal addresses.
func hostName(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Zone() == "" && isHost(a)
	}
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}
