package config

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
