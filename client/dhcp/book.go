package dhcp

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"flexvpn/store"
)

// Times of the book.
const (
	offerLife    = 30 * time.Second // an offer is kept for the host so long
	conflictLife = 10 * time.Minute // an address that somebody else has is left alone so long
	maxConflicts = 256
)

// A hostKey tells hosts apart: the client identifier if the host gives one, else its hardware address
// (RFC 2131 section 4.2).
type hostKey string

// A lease is an address that a host has, had, or was offered.
type lease struct {
	address  netip.Addr
	host     hostKey
	hardware net.HardwareAddr
	clientID []byte
	name     string
	offered  bool // not taken yet
	expires  time.Time
}

func (l *lease) live(now time.Time) bool { return now.Before(l.expires) }

// record is a lease in the store.
type record struct {
	Host     []byte    `json:"host"`
	Hardware []byte    `json:"hardware"`
	ClientID []byte    `json:"client_id,omitempty"`
	Name     string    `json:"name,omitempty"`
	Expires  time.Time `json:"expires"`
}

type conflict struct {
	method string
	found  time.Time
}

// A book is a pool's leases. It is not safe for concurrent use, and time is its argument.
type book struct {
	pool      Pool
	store     store.Store
	size      int
	leases    map[netip.Addr]*lease
	hosts     map[hostKey]*lease
	conflicts map[netip.Addr]conflict
	reserved  map[netip.Addr]string // by address: the hardware address
	next      netip.Addr            // where the search for a free address goes on
}

func bucketName(pool string) string { return "dhcp/" + pool }

// loadBook reads the pool's leases. What the configuration no longer allows is left out, and removed.
func loadBook(p Pool, s store.Store) (*book, error) {
	b := &book{
		pool: p, store: s, leases: map[netip.Addr]*lease{}, hosts: map[hostKey]*lease{},
		conflicts: map[netip.Addr]conflict{}, reserved: map[netip.Addr]string{}, next: p.Ranges[0].First,
	}
	for _, h := range p.Hosts {
		b.reserved[h.Address] = h.Hardware
	}
	for _, r := range p.Ranges {
		b.size += int(number(r.Last)-number(r.First)) + 1
	}
	var stale [][]byte
	err := s.ForEach(bucketName(p.Name), func(key, value []byte) error {
		a, ok := netip.AddrFromSlice(key)
		var r record
		if !ok || json.Unmarshal(value, &r) != nil || !b.allows(a, net.HardwareAddr(r.Hardware)) {
			stale = append(stale, slices.Clone(key))
			return nil
		}
		b.put(&lease{address: a, host: hostKey(r.Host), hardware: r.Hardware, clientID: r.ClientID, name: r.Name, expires: r.Expires})
		return nil
	})
	for _, key := range stale {
		if err == nil {
			err = s.Delete(bucketName(p.Name), key)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("dhcp-pool %s: read the leases: %w", p.Name, err)
	}
	return b, nil
}

func number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// allows reports whether a host may have an address at all.
func (b *book) allows(a netip.Addr, hardware net.HardwareAddr) bool {
	if owner, reserved := b.reserved[a]; reserved {
		return owner == hardware.String()
	}
	return slices.ContainsFunc(b.pool.Ranges, func(r Range) bool { return !a.Less(r.First) && !r.Last.Less(a) })
}

// put notes a lease; a host has one.
func (b *book) put(l *lease) {
	if old := b.leases[l.address]; old != nil && old.host != l.host {
		delete(b.hosts, old.host)
	}
	if old := b.hosts[l.host]; old != nil && old.address != l.address {
		delete(b.leases, old.address)
	}
	b.leases[l.address], b.hosts[l.host] = l, l
}

// A pick is the address that a host may be offered.
type pick struct {
	address netip.Addr
	fresh   bool // nobody vouches for it: probe it first
}

// choose finds the address for a host that asks, perhaps, for one: what is reserved for it, what it has or
// had, what it wants, what is free (RFC 2131 section 4.3.1).
func (b *book) choose(host hostKey, hardware net.HardwareAddr, wanted, own netip.Addr, now time.Time) (pick, bool) {
	for _, h := range b.pool.Hosts {
		if h.Hardware == hardware.String() {
			return pick{address: h.Address}, !b.inConflict(h.Address, now)
		}
	}
	if l := b.hosts[host]; l != nil && b.allows(l.address, hardware) && !b.inConflict(l.address, now) {
		return pick{address: l.address, fresh: !l.live(now)}, true
	}
	if wanted.IsValid() && b.free(wanted, hardware, own, now) {
		return pick{wanted, true}, true
	}
	return b.search(hardware, own, now)
}

// free reports whether nobody has an address, has been offered it, or is in its way.
func (b *book) free(a netip.Addr, hardware net.HardwareAddr, own netip.Addr, now time.Time) bool {
	l := b.leases[a]
	return a != own && b.allows(a, hardware) && (l == nil || !l.live(now)) && !b.inConflict(a, now)
}

// search goes round the ranges: first for an address that nobody ever had, then for the one that was
// given up longest ago.
func (b *book) search(hardware net.HardwareAddr, own netip.Addr, now time.Time) (pick, bool) {
	var oldest *lease
	a := b.next
	for range b.size {
		if l := b.leases[a]; b.free(a, hardware, own, now) {
			if l == nil {
				b.next = b.after(a)
				return pick{a, true}, true
			}
			if oldest == nil || l.expires.Before(oldest.expires) {
				oldest = l
			}
		}
		a = b.after(a)
	}
	if oldest == nil {
		return pick{}, false
	}
	return pick{oldest.address, true}, true
}

// after is the address behind a in the ranges, the first behind the last.
func (b *book) after(a netip.Addr) netip.Addr {
	for i, r := range b.pool.Ranges {
		switch {
		case a == r.Last:
			return b.pool.Ranges[(i+1)%len(b.pool.Ranges)].First
		case !a.Less(r.First) && a.Less(r.Last):
			return a.Next()
		}
	}
	return b.pool.Ranges[0].First
}

// offer keeps an address for a host for a moment. Nothing is written: a host that only asks costs no
// disk.
func (b *book) offer(l lease, now time.Time) {
	if old := b.hosts[l.host]; old != nil && old.address == l.address && !old.offered && old.live(now) {
		return // it has it already
	}
	l.offered, l.expires = true, now.Add(offerLife)
	b.put(&l)
}

// bind gives an address to a host, in the store first.
func (b *book) bind(l lease, now time.Time) error {
	l.offered, l.expires = false, now.Add(b.pool.Lease)
	value, err := json.Marshal(record{[]byte(l.host), l.hardware, l.clientID, l.name, l.expires})
	if err != nil {
		return err
	}
	old := b.hosts[l.host]
	err = b.store.Update(func(tx store.Tx) error {
		if old != nil && old.address != l.address {
			if err := tx.Delete(bucketName(b.pool.Name), old.address.AsSlice()); err != nil {
				return err
			}
		}
		return tx.Put(bucketName(b.pool.Name), l.address.AsSlice(), value)
	})
	if err == nil {
		b.put(&l)
	}
	return err
}

// release ends a lease now; the address stays the host's to come back to.
func (b *book) release(l *lease, now time.Time) error {
	l.expires = now
	value, err := json.Marshal(record{[]byte(l.host), l.hardware, l.clientID, l.name, l.expires})
	if err != nil {
		return err
	}
	return b.store.Put(bucketName(b.pool.Name), l.address.AsSlice(), value)
}

// drop forgets an offer or a lease.
func (b *book) drop(l *lease) error {
	delete(b.leases, l.address)
	delete(b.hosts, l.host)
	return b.store.Delete(bucketName(b.pool.Name), l.address.AsSlice())
}

// putAside leaves an address alone for a while. When too many are aside, the oldest comes back first.
func (b *book) putAside(a netip.Addr, method string, now time.Time) {
	if len(b.conflicts) >= maxConflicts {
		var oldest netip.Addr
		for other, c := range b.conflicts {
			if !oldest.IsValid() || c.found.Before(b.conflicts[oldest].found) {
				oldest = other
			}
		}
		delete(b.conflicts, oldest)
	}
	b.conflicts[a] = conflict{method, now}
}

func (b *book) inConflict(a netip.Addr, now time.Time) bool {
	c, ok := b.conflicts[a]
	if ok && now.Sub(c.found) >= conflictLife {
		delete(b.conflicts, a)
		return false
	}
	return ok
}

// sorted are the leases in the order of their addresses.
func (b *book) sorted() []*lease {
	out := make([]*lease, 0, len(b.leases))
	for _, l := range b.leases {
		out = append(out, l)
	}
	slices.SortFunc(out, func(x, y *lease) int { return cmp.Compare(number(x.address), number(y.address)) })
	return out
}
