package config

import (
	"net/netip"
	"slices"
	"strings"
)

// DNS is the name service for the hosts behind a spoke.
type DNS struct {
	Enabled bool         // the section stands in the file
	Listen  []string     // interfaces; empty: the inside interfaces of the clients
	Default []netip.Addr // servers for names of no view; empty: those of /etc/resolv.conf
	VRF     string       // where those servers are; empty: the default routing domain
	Lists   []NameList   // in the order of the file
}

// NameList are domains that an operator has resolved through a client's tunnel, besides those that its
// hub pushes.
type NameList struct {
	Name    string
	Client  string
	Domains []string
	Servers []netip.Addr // empty: those that the hub pushes
}

// maxNameServers is far above what anybody has; it bounds how long a query can take.
const maxNameServers = 8

// rawDNS mirrors the dns section.
type rawDNS struct {
	header
	listen   []given[string]
	defaults []given[netip.Addr]
	vrf      given[string]
	lists    []entry[rawNameList]
}

func (d *rawDNS) keys() []key {
	return []key{
		{name: "listen", part: oneOrListOf(&d.listen, interfacePart), otherwise: "the inside interfaces of the clients", example: "[eth1]", doc: "Interfaces whose hosts are served, over UDP and TCP port 53 of both families."},
		{name: "default-servers", part: oneOrListOf(&d.defaults, unicast), otherwise: "those of /etc/resolv.conf", example: "[9.9.9.9, \"2620:fe::fe\"]", doc: "Servers for all names outside the domains of a connected client; at most 8."},
		{name: "vrf", part: named(&d.vrf, interfaceName), otherwise: "the default routing domain", example: "internet", doc: "VRF in which the default servers are asked (`ip name-server vrf`). The servers that a hub pushes are asked by its tunnel, in whatever VRF that is."},
		{name: "name-lists", part: mapOf(&d.lists, "name-list", word, func(v *rawNameList) part { return object(v) }), doc: "Domains besides those that a hub pushes, in effect while the client is connected."},
	}
}

// rawNameList mirrors one name-list.
type rawNameList struct {
	header
	client  given[string]
	permit  []given[string]
	servers []given[netip.Addr]
}

func (l *rawNameList) keys() []key {
	return []key{
		{name: "client", part: named(&l.client, word), required: true, example: "flex1", doc: "The client through whose tunnel the names are resolved."},
		{name: "permit", part: oneOrListOf(&l.permit, domainPart), required: true, example: "[corp.example.net]", doc: "Domains: the names in and under them take the tunnel."},
		{name: "servers", part: oneOrListOf(&l.servers, unicast), otherwise: "those that the hub pushes", example: "[10.0.0.53]", doc: "Servers to ask, through the tunnel; at most 8."},
	}
}

func interfacePart(v *given[string]) part { return named(v, interfaceName) }

// domainPart is a domain below the root: the root would take every name.
func domainPart(v *given[string]) part {
	p := named(v, host).(scalarPart[string])
	parse := p.parse
	p.parse = func(s string) (string, error) {
		if s == "." {
			return "", problem{"must not be the root: every name is under it", "name the domains that are behind the hub"}
		}
		name, err := parse(s)
		return strings.ToLower(strings.TrimSuffix(name, ".")), err
	}
	p.kind = "domain"
	return p
}

func (r *reader) dns(raw *rawDNS, cfg *Config) DNS {
	d := DNS{Enabled: raw.seen, Listen: r.insideInterfaces(raw.listen, "dns listen", cfg), Default: r.nameServers(raw.defaults, "default-servers"), VRF: raw.vrf.v}
	r.vrfOnHost(raw.vrf, "dns")
	for _, s := range raw.defaults {
		if s.ok && raw.vrf.ok && s.v.IsLoopback() {
			r.fail(s.at, "name a server on the network, or remove vrf", "default-servers: no packet of VRF %s reaches %s, which is in no VRF", raw.vrf.v, s.v)
		}
	}
	for i := range raw.lists {
		l, in := &raw.lists[i].v, "name-list "+raw.lists[i].name
		if l.client.ok && cfg.Clients[l.client.v] == nil {
			r.dangling(l.client, "client", in, mapKeys(cfg.Clients))
		}
		d.Lists = append(d.Lists, NameList{Name: raw.lists[i].name, Client: l.client.v, Domains: valid(l.permit), Servers: r.nameServers(l.servers, in)})
	}
	if raw.seen && len(cfg.Clients) == 0 {
		r.warn(raw.at, "add one under clients, or remove dns", "dns is given, but there is no client whose hub could push a domain")
	}
	return d
}

func (r *reader) nameServers(raw []given[netip.Addr], in string) []netip.Addr {
	if len(raw) > maxNameServers {
		r.fail(raw[maxNameServers].at, "", "%s has more than %d servers", in, maxNameServers)
	}
	return valid(raw)
}

// insideInterfaces are interfaces of hosts: each once, none of them a tunnel of this configuration.
func (r *reader) insideInterfaces(raw []given[string], in string, cfg *Config) []string {
	var out []string
	for _, v := range raw {
		switch {
		case !v.ok:
			continue
		case cfg.Tunnels[v.v] != nil:
			r.fail(v.at, "name an interface of hosts", "%s: %s is a tunnel", in, v.v)
		case slices.Contains(out, v.v):
			r.fail(v.at, "", "%s: interface %s is given twice", in, v.v)
		}
		out = append(out, v.v)
	}
	return out
}
