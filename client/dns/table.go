package dns

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A table says which way a name goes. It is immutable; the clients in it are in the order of their names.
type table struct {
	views []*tableView
}

// A tableView is one client's domains and servers.
type tableView struct {
	client, device string
	inside         []string
	domains        []domain
	servers        []server // pushed
	suffix         string   // the default domain, fully qualified; empty: none
	away           bool     // its hub is away: only what is remembered counts
}

// A domain is a suffix of names, with its own servers if a list has some.
type domain struct {
	name    string // fully qualified, lower case
	labels  int
	list    string       // the configured list it comes from; empty: pushed
	servers []netip.Addr // empty: the view's
}

// A server is where to ask, and the only interface by which it may be asked; empty: any.
type server struct {
	addr   netip.Addr
	device string
}

// A path is the way of one name.
type path struct {
	view    string // the clients whose view it is, joined by a space; empty: the default way
	servers []server
}

// maxDomains bounds what one client's view holds: the ten of a hub, and what is configured.
const maxDomains = 256

func newTable(lists []List, up, away map[string]Tunnel) *table {
	t := &table{}
	for _, client := range slices.Sorted(maps.Keys(up)) {
		t.views = append(t.views, newView(lists, up[client], false))
	}
	for _, client := range slices.Sorted(maps.Keys(away)) {
		t.views = append(t.views, newView(lists, away[client], true))
	}
	return t
}

func newView(lists []List, u Tunnel, away bool) *tableView {
	v := &tableView{client: u.Client, device: u.Device, inside: u.Inside, away: away}
	for _, a := range u.Servers {
		v.servers = append(v.servers, server{a, u.Device})
	}
	if u.DefaultDomain != "" {
		v.suffix = dns.CanonicalName(u.DefaultDomain)
	}
	for _, name := range u.Domains {
		v.add(name, "", nil)
	}
	for _, l := range lists {
		if l.Client != u.Client {
			continue
		}
		for _, name := range l.Domains {
			v.add(name, l.Name, l.Servers)
		}
	}
	return v
}

// add takes a domain that names are under. The root is none: a hub must not take all names.
func (v *tableView) add(name, list string, servers []netip.Addr) {
	name = dns.CanonicalName(name)
	if name == "." || len(v.domains) == maxDomains {
		return
	}
	if _, ok := dns.IsDomainName(name); !ok {
		return
	}
	v.domains = append(v.domains, domain{name, dns.CountLabel(name), list, servers})
}

// match is the way of a name that a host behind an interface asks for: the views with the longest domain
// that the name is under, else the default way. away are the views without a hub that would have it.
func (t *table) match(name, device string) (p path, away []string) {
	var best, bestAway int
	for _, v := range t.views {
		d, ok := v.longest(name)
		if !ok || !v.serves(device) {
			continue
		}
		if v.away {
			if d.labels > bestAway {
				away, bestAway = nil, d.labels
			}
			if d.labels == bestAway {
				away = append(away, v.client)
			}
			continue
		}
		if d.labels > best {
			p, best = path{}, d.labels
		}
		if d.labels == best {
			p.view = strings.TrimSpace(p.view + " " + v.client)
			p.servers = append(p.servers, v.serversOf(d)...)
		}
	}
	return p, away
}

func (v *tableView) serves(device string) bool {
	return len(v.inside) == 0 || slices.Contains(v.inside, device)
}

func (v *tableView) longest(name string) (best domain, ok bool) {
	for _, d := range v.domains {
		if d.labels > best.labels && dns.IsSubDomain(d.name, name) {
			best, ok = d, true
		}
	}
	return best, ok
}

func (v *tableView) serversOf(d domain) []server {
	if len(d.servers) == 0 {
		return v.servers
	}
	out := make([]server, len(d.servers))
	for i, a := range d.servers {
		out[i] = server{a, v.device}
	}
	return out
}

// suffix is the default domain for a name of one label that a host behind device asks for.
func (t *table) suffix(device string) string {
	for _, v := range t.views {
		if v.suffix != "" && v.serves(device) && !v.away {
			return v.suffix
		}
	}
	return ""
}
