package routing

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"flexvpn/dataplane"
)

// ErrNoRoute is what errors.Is finds when a [Memory] knows no way to an address.
var ErrNoRoute = errors.New("no route to host")

// Memory is a FIB that forwards nothing: for tests and for data plane none. Like the kernel it
// holds one route for each prefix, metric and table.
type Memory struct {
	mu     sync.Mutex
	routes map[slot]dataplane.Route // guarded by mu
}

type slot struct {
	prefix        netip.Prefix
	metric, table int
}

func slotOf(r dataplane.Route) slot { return slot{r.Prefix, r.Metric, r.Table} }

// MemoryFIB returns an empty one.
func MemoryFIB() *Memory { return &Memory{routes: make(map[slot]dataplane.Route)} }

// AddRoute implements FIB.
func (m *Memory) AddRoute(r dataplane.Route) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := slotOf(r)
	if _, there := m.routes[at]; there {
		return fmt.Errorf("add route %s metric %d: %w", r.Prefix, r.Metric, fs.ErrExist)
	}
	m.routes[at] = r
	return nil
}

// VRF implements FIB: there are none.
func (m *Memory) VRF(string) (int, bool, error) { return 0, false, nil }

// Up implements FIB.
func (m *Memory) Up(string) bool { return true }

// Watch implements FIB: nothing ever happens.
func (m *Memory) Watch(done <-chan struct{}) (<-chan dataplane.NetEvent, error) {
	out := make(chan dataplane.NetEvent)
	go func() {
		<-done
		close(out)
	}()
	return out, nil
}

// ReplaceRoute implements FIB.
func (m *Memory) ReplaceRoute(r dataplane.Route) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.routes[slotOf(r)] = r
	return nil
}

// DeleteRoute implements FIB. A route of the same slot that differs is another route.
func (m *Memory) DeleteRoute(r dataplane.Route) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at := slotOf(r); m.routes[at].Equal(r) {
		delete(m.routes, at)
	}
	return nil
}

// Routes implements FIB.
func (m *Memory) Routes(protocol int) ([]dataplane.Route, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []dataplane.Route
	for _, r := range m.routes {
		if r.Protocol == protocol {
			all = append(all, r)
		}
	}
	return all, nil
}

// RouteTo implements FIB: the longest prefix of the main table, then the lowest metric.
func (m *Memory) RouteTo(a netip.Addr) (dataplane.Route, error) {
	return m.RouteBeside(a, func(int) bool { return false })
}

// RouteBeside implements FIB.
func (m *Memory) RouteBeside(a netip.Addr, ours func(protocol int) bool) (dataplane.Route, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var best dataplane.Route
	for _, r := range m.routes {
		if r.Table != 0 || ours(r.Protocol) || !r.Prefix.Contains(a) {
			continue
		}
		if !best.Prefix.IsValid() || r.Prefix.Bits() > best.Prefix.Bits() ||
			r.Prefix.Bits() == best.Prefix.Bits() && r.Metric < best.Metric {
			best = r
		}
	}
	if !best.Prefix.IsValid() {
		return best, fmt.Errorf("%s: %w", a, ErrNoRoute)
	}
	return best, nil
}

// String is the whole table, one route a line, sorted: what tests compare.
func (m *Memory) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []string
	for _, r := range m.routes {
		line := r.Prefix.String()
		if r.Via.IsValid() {
			line += " via " + r.Via.String()
		}
		if r.Discard {
			line = "blackhole " + line
		} else {
			line += " dev " + r.Interface
		}
		for _, h := range r.More {
			line += " and " + hopText(h)
		}
		lines = append(lines, fmt.Sprintf("%s metric %d proto %d", line, r.Metric, r.Protocol))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
