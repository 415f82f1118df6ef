package client

import (
	"net/netip"
	"sync"
)

// Groups keep the clients of one backup group from using one hub at once: who wants to try a hub
// claims it first. A nil Groups, and group 0, let everybody try everything.
type Groups struct {
	mu      sync.Mutex
	members map[int][]*Client
	claims  map[int]map[netip.Addr]*claim
}

// A claim is one client's hold on a hub; it may have several legs there.
type claim struct {
	client *Client
	count  int
}

// NewGroups makes the groups of a node.
func NewGroups() *Groups {
	return &Groups{members: map[int][]*Client{}, claims: map[int]map[netip.Addr]*claim{}}
}

func (g *Groups) join(c *Client) {
	number := c.cfg.Client.BackupGroup
	if g == nil || number == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members[number] = append(g.members[number], c)
	if g.claims[number] == nil {
		g.claims[number] = map[netip.Addr]*claim{}
	}
}

// claim takes a hub for c; false: another client of its group has it.
func (g *Groups) claim(c *Client, hub netip.Addr) bool {
	number := c.cfg.Client.BackupGroup
	if g == nil || number == 0 {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	held := g.claims[number][hub]
	switch {
	case held == nil:
		g.claims[number][hub] = &claim{client: c, count: 1}
	case held.client != c:
		return false
	default:
		held.count++
	}
	return true
}

// release gives a claim back and tells the others of the group when the hub is free again.
func (g *Groups) release(c *Client, hub netip.Addr) {
	number := c.cfg.Client.BackupGroup
	if g == nil || number == 0 {
		return
	}
	for _, other := range g.free(number, c, hub) {
		other.Changed()
	}
}

// free returns the clients that may want the hub now.
func (g *Groups) free(number int, c *Client, hub netip.Addr) (others []*Client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	held := g.claims[number][hub]
	if held == nil || held.client != c {
		return nil
	}
	if held.count--; held.count > 0 {
		return nil
	}
	delete(g.claims[number], hub)
	for _, other := range g.members[number] {
		if other != c {
			others = append(others, other)
		}
	}
	return others
}
