package routing

// A group is a set of claims that are told apart by K. Most groups have one claim (a session's own
// address, what leads into its interface), for which a map would cost more than the claim.
type group[K comparable] struct {
	few  []*claim
	many map[K]*claim // instead of few, when there are more than fewest
	of   func(*claim) K
}

const fewest = 8

// byDest and byClaim are the two kinds of groups.
func byDest() *group[dest] { return &group[dest]{of: (*claim).at} }

func byClaim() *group[*claim] { return &group[*claim]{of: (*claim).itself} }

func (c *claim) at() dest { return c.dest }

func (c *claim) itself() *claim { return c }

func (g *group[K]) len() int {
	if g == nil {
		return 0
	}
	return len(g.few) + len(g.many)
}

func (g *group[K]) get(k K) *claim {
	switch {
	case g == nil:
		return nil
	case g.many != nil:
		return g.many[k]
	}
	for _, c := range g.few {
		if g.of(c) == k {
			return c
		}
	}
	return nil
}

// put enters c in the place of the one that is like it.
func (g *group[K]) put(c *claim) {
	k := g.of(c)
	if g.many != nil {
		g.many[k] = c
		return
	}
	for i, o := range g.few {
		if g.of(o) == k {
			g.few[i] = c
			return
		}
	}
	if g.few = append(g.few, c); len(g.few) > fewest {
		g.many = make(map[K]*claim, len(g.few))
		for _, o := range g.few {
			g.many[g.of(o)] = o
		}
		g.few = nil
	}
}

func (g *group[K]) remove(k K) {
	if g == nil {
		return
	}
	delete(g.many, k)
	for i, c := range g.few {
		if g.of(c) == k {
			last := len(g.few) - 1
			g.few[i], g.few[last] = g.few[last], nil
			g.few = g.few[:last]
			return
		}
	}
}

// all goes through the claims there are at the start.
func (g *group[K]) all(yield func(*claim) bool) {
	if g == nil {
		return
	}
	list := append(make([]*claim, 0, g.len()), g.few...)
	for _, c := range g.many {
		list = append(list, c)
	}
	for _, c := range list {
		if !yield(c) {
			return
		}
	}
}
