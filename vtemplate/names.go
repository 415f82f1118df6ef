package vtemplate

import (
	"container/heap"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// maxName is the longest name of an interface: IFNAMSIZ without its NUL.
const maxName = 15

// Names gives virtual-accesses their names: a prefix with the lowest free number, from 1. A name
// stays taken until it is released. Its methods are safe for concurrent use; each costs O(log n).
type Names struct {
	prefix string
	taken  func(name string) bool

	mu   sync.Mutex
	next int              // guarded by mu: the lowest number never given
	free numbers          // guarded by mu: given once, free again
	held map[int]struct{} // guarded by mu
}

// NewNames gives names that begin with prefix. taken, which may be nil, says whether a device that
// is not ours has a name: its number is then passed over for as long as this process lives.
func NewNames(prefix string, taken func(name string) bool) *Names {
	if taken == nil {
		taken = func(string) bool { return false }
	}
	return &Names{prefix: prefix, taken: taken, next: 1, held: make(map[int]struct{})}
}

// Take returns the lowest free name.
func (n *Names) Take() (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		number := n.lowest()
		name := n.prefix + strconv.Itoa(number)
		if len(name) > maxName {
			heap.Push(&n.free, number)
			return "", fmt.Errorf("virtual-access name %s is longer than the %d octets of an interface name", name, maxName)
		}
		if n.taken(name) {
			continue
		}
		n.held[number] = struct{}{}
		return name, nil
	}
}

func (n *Names) lowest() int {
	if len(n.free) > 0 {
		return heap.Pop(&n.free).(int)
	}
	n.next++
	return n.next - 1
}

// Release frees a name that Take returned; any other is ignored.
func (n *Names) Release(name string) {
	digits, ok := strings.CutPrefix(name, n.prefix)
	number, err := strconv.Atoi(digits)
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, held := n.held[number]; !ok || err != nil || !held || strconv.Itoa(number) != digits {
		return
	}
	delete(n.held, number)
	heap.Push(&n.free, number)
}

// numbers is a heap, the lowest first.
type numbers []int

func (h numbers) Len() int           { return len(h) }
func (h numbers) Less(i, j int) bool { return h[i] < h[j] }
func (h numbers) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *numbers) Push(x any)        { *h = append(*h, x.(int)) }
func (h *numbers) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
