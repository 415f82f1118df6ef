package dns

import (
	"container/list"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Bounds of the cache. A branch's hosts use some hundred names; a greater message than maxStored is
// rare and asked for again.
const (
	maxEntries = 4096
	maxStored  = 4096 // octets
	maxTTL     = 24 * time.Hour
	// maxNegative bounds how long a name is remembered not to exist, RFC 2308 section 5.
	maxNegative = 15 * time.Minute
	// maxStale and staleTTL are those of RFC 8767 section 5: how old an answer may be, and the TTL it
	// is given with.
	maxStale = 24 * time.Hour
	staleTTL = 30
)

// A key is a question on a way. DNSSEC records come only to those who ask for them, so both bits matter.
type key struct {
	view   string
	name   string // lower case
	qtype  uint16
	do, cd bool
}

type entry struct {
	key     key
	message []byte // packed
	stored  time.Time
	expires time.Time
}

// A cache remembers answers; the least recently used goes first. It is safe for concurrent use.
type cache struct {
	mu      sync.Mutex
	most    int
	entries map[key]*list.Element // of *entry
	order   *list.List            // most recently used first
}

func newCache(most int) *cache {
	return &cache{most: most, entries: map[key]*list.Element{}, order: list.New()}
}

// put remembers m if it may be: what was found, or that there is nothing.
func (c *cache) put(k key, m *dns.Msg, now time.Time) {
	life, ok := lifetime(m)
	if !ok {
		return
	}
	b, err := m.Pack()
	if err != nil || len(b) > maxStored {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.entries[k]; ok {
		c.remove(old)
	}
	c.entries[k] = c.order.PushFront(&entry{k, b, now, now.Add(life)})
	for c.order.Len() > c.most {
		c.remove(c.order.Back())
	}
}

func (c *cache) remove(e *list.Element) {
	delete(c.entries, e.Value.(*entry).key)
	c.order.Remove(e)
}

// get is the remembered answer with what is left of its TTLs. One that has expired is fresh no more, but
// may serve as stale.
func (c *cache) get(k key, now time.Time) (m *dns.Msg, fresh bool) {
	c.mu.Lock()
	found, ok := c.entries[k]
	if !ok {
		c.mu.Unlock()
		return nil, false
	}
	e := *found.Value.(*entry)
	c.order.MoveToFront(found)
	c.mu.Unlock()
	if now.Sub(e.expires) > maxStale {
		return nil, false
	}
	m = new(dns.Msg)
	if m.Unpack(e.message) != nil {
		return nil, false // we packed it ourselves
	}
	fresh = now.Before(e.expires)
	age := uint32(now.Sub(e.stored) / time.Second)
	for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
		if h := rr.Header(); h.Rrtype != dns.TypeOPT {
			h.Ttl = remaining(h.Ttl, age, fresh)
		}
	}
	return m, fresh
}

func remaining(ttl, age uint32, fresh bool) uint32 {
	switch {
	case !fresh:
		return staleTTL
	case ttl <= age:
		return 0
	}
	return ttl - age
}

// forget drops what came through a client's view.
func (c *cache) forget(client string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, e := range c.entries {
		if slices.Contains(strings.Fields(k.view), client) {
			c.remove(e)
		}
	}
}

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len()
}

// lifetime is how long an answer may be remembered: the least TTL of its records, or what the SOA says
// of a name that does not exist (RFC 2308 section 5).
func lifetime(m *dns.Msg) (time.Duration, bool) {
	if m.Truncated || m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return 0, false
	}
	negative := m.Rcode == dns.RcodeNameError || len(m.Answer) == 0
	least, most := uint32(0), maxTTL
	if negative {
		soa := soaOf(m)
		if soa == nil {
			return 0, false
		}
		least, most = min(soa.Hdr.Ttl, soa.Minttl), maxNegative
	} else {
		least = m.Answer[0].Header().Ttl
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		least = min(least, rr.Header().Ttl)
	}
	// RFC 2181 section 8: a TTL with the highest bit set is 0.
	if least == 0 || least > 1<<31-1 {
		return 0, false
	}
	return min(time.Duration(least)*time.Second, most), true
}

func soaOf(m *dns.Msg) *dns.SOA {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return soa
		}
	}
	return nil
}
