package config

import "slices"

// insideKey is where a client says which interfaces the hosts behind it are on.
func insideKey(into *[]given[string]) key {
	return key{
		name: "inside", part: listOf(into, func(v *given[string]) part { return named(v, interfaceName) }),
		otherwise: "all interfaces but the tunnel and its source", example: "[eth1]",
		doc: "Interfaces of the hosts behind the spoke: where names of pushed domains are resolved through the tunnel.",
	}
}

// inside are the interfaces of a list, each once; the tunnel itself is not inside.
func (r *reader) inside(raw []given[string], tunnel, in string) []string {
	var out []string
	seen := map[string]place{}
	for _, v := range raw {
		first, again := seen[v.v]
		switch {
		case !v.ok:
			continue
		case v.v == tunnel:
			r.fail(v.at, "name the interface of the hosts", "inside of %s has its own tunnel %s", in, tunnel)
		case again:
			r.fail(v.at, "", "interface %s is given twice in inside of %s (first in line %d)", v.v, in, first.line)
		}
		seen[v.v] = v.at
		out = append(out, v.v)
	}
	return out
}

// insideOfVRFs refuses what a hub pushed for the hosts of one VRF to be given to those of others: without a
// list of interfaces it is for all.
func (r *reader) insideOfVRFs(raw []entry[rawClient], cfg *Config) {
	served := cfg.DNS.Enabled || slices.ContainsFunc(cfg.DHCPPools, func(p *DHCPPool) bool { return p.ImportDNS || p.ImportWINS || p.ImportDomain })
	for i := range raw {
		c := cfg.Clients[raw[i].name]
		if served && c.Tunnel != nil && c.Tunnel.VRF != "" && len(c.Inside) == 0 {
			r.fail(raw[i].at, "inside: [eth1]", "client %s has its tunnel in VRF %s and no inside: hosts of every VRF would be served with what its hub pushes", c.Name, c.Tunnel.VRF)
		}
	}
}
