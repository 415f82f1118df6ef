package pool

import (
	"net/netip"
	"time"
)

// A lease is one address that somebody has or had. All fields are guarded by Pools.mu.
type lease struct {
	addr     netip.Addr
	identity string
	pool     *pool
	active   bool
	since    time.Time // leased when active, else released

	// While it is free a lease stands in two lists: of its pool and of its identity.
	inPool, inIdentity links
}

// links are a lease's place in one list.
type links struct{ prev, next *lease }

// A list holds free leases, the one released longest ago in front. place says which links it uses.
type list struct {
	front, back *lease
	len         int
	place       func(*lease) *links
}

func (q *list) pushBack(l *lease) {
	*q.place(l) = links{prev: q.back}
	if q.back == nil {
		q.front = l
	} else {
		q.place(q.back).next = l
	}
	q.back = l
	q.len++
}

func (q *list) remove(l *lease) {
	at := q.place(l)
	if at.prev == nil {
		q.front = at.next
	} else {
		q.place(at.prev).next = at.next
	}
	if at.next == nil {
		q.back = at.prev
	} else {
		q.place(at.next).prev = at.prev
	}
	*at = links{}
	q.len--
}

func placeInPool(l *lease) *links     { return &l.inPool }
func placeInIdentity(l *lease) *links { return &l.inIdentity }

// A pool is one definition with its free leases. All fields are guarded by Pools.mu.
type pool struct {
	Definition
	size   uint64 // saturated
	active uint64
	free   list             // all free leases
	known  map[string]*list // free leases by identity; no empty lists

	// The first address that may never have been used: addresses before it have a lease.
	cursor      netip.Addr
	cursorRange int // len(Ranges) when every address has a lease
}

func newPool(d Definition) *pool {
	p := &pool{Definition: d, free: list{place: placeInPool}, known: make(map[string]*list), size: size(d.Ranges)}
	if len(d.Ranges) > 0 {
		p.cursor = d.Ranges[0].First
	}
	return p
}

// former is the free lease identity had: the one it asks for, else the one it released last.
func (p *pool) former(identity string, want netip.Addr) *lease {
	mine := p.known[identity]
	if mine == nil {
		return nil
	}
	// Only one identity's own leases are compared, and only a few of them: an identity may have as
	// many sessions as its profile allows.
	tries := 16
	for l := mine.back; l != nil && tries > 0; l = l.inIdentity.prev {
		if l.addr == want {
			return l
		}
		tries--
	}
	return mine.back
}

// remember puts a lease that became free into its lists, as the one released last.
func (p *pool) remember(l *lease) {
	p.free.pushBack(l)
	mine := p.known[l.identity]
	if mine == nil {
		mine = &list{place: placeInIdentity}
		p.known[l.identity] = mine
	}
	mine.pushBack(l)
}

// forget takes a free lease out of its lists.
func (p *pool) forget(l *lease) {
	p.free.remove(l)
	mine := p.known[l.identity]
	mine.remove(l)
	if mine.len == 0 {
		delete(p.known, l.identity)
	}
}

// nextFresh is the lowest address without a lease, invalid when there is none. The cursor passes
// each lease once in the pool's life, so the cost is constant on average.
func (p *pool) nextFresh(leases map[netip.Addr]*lease) netip.Addr {
	for p.cursorRange < len(p.Ranges) {
		if leases[p.cursor] == nil {
			return p.cursor
		}
		if p.cursor != p.Ranges[p.cursorRange].Last {
			p.cursor = p.cursor.Next()
			continue
		}
		if p.cursorRange++; p.cursorRange < len(p.Ranges) {
			p.cursor = p.Ranges[p.cursorRange].First
		}
	}
	return netip.Addr{}
}

func (p *pool) contains(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	for _, r := range p.Ranges {
		if r.First.BitLen() == a.BitLen() && !a.Less(r.First) && !r.Last.Less(a) {
			return true
		}
	}
	return false
}
