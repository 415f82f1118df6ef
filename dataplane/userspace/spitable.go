package userspace

import (
	"sync"
	"sync/atomic"
)

// spiTable finds an SA by the SPI of an arriving packet. Readers take no lock; a change costs the
// same whatever the table holds: it is split in parts that grow by themselves.
type spiTable struct {
	parts [64]spiPart
}

type spiPart struct {
	mu      sync.Mutex // guards changes
	n       int
	buckets atomic.Pointer[[]atomic.Pointer[spiEntry]]
}

// spiEntry is immutable: a reader that follows a chain while it is changed sees the old or the new.
type spiEntry struct {
	sa   *sa
	next *spiEntry
}

// spread mixes SPIs, which peers cannot choose, but tests and other implementations of the choice
// may make sequential.
func spread(spi uint32) uint32 { return spi * 0x9e3779b1 }

func (t *spiTable) part(spi uint32) *spiPart { return &t.parts[spread(spi)>>26] }

func bucket(b []atomic.Pointer[spiEntry], spi uint32) *atomic.Pointer[spiEntry] {
	return &b[spread(spi)>>8&uint32(len(b)-1)]
}

func (t *spiTable) find(spi uint32) *sa {
	b := t.part(spi).buckets.Load()
	if b == nil {
		return nil
	}
	for e := bucket(*b, spi).Load(); e != nil; e = e.next {
		if e.sa.spiIn == spi {
			return e.sa
		}
	}
	return nil
}

// insert adds s unless its SPI is taken, and returns who has it then.
func (t *spiTable) insert(s *sa) (taken *sa) {
	p := t.part(s.spiIn)
	p.mu.Lock()
	defer p.mu.Unlock()
	if other := t.find(s.spiIn); other != nil {
		return other
	}
	b := p.buckets.Load()
	if b == nil || p.n >= len(*b) {
		b = p.grow(b)
	}
	slot := bucket(*b, s.spiIn)
	slot.Store(&spiEntry{sa: s, next: slot.Load()})
	p.n++
	return nil
}

// grow doubles the buckets. The old ones stay valid for readers that hold them.
func (p *spiPart) grow(old *[]atomic.Pointer[spiEntry]) *[]atomic.Pointer[spiEntry] {
	size := 8
	if old != nil {
		size = 2 * len(*old)
	}
	b := make([]atomic.Pointer[spiEntry], size)
	if old != nil {
		for i := range *old {
			for e := (*old)[i].Load(); e != nil; e = e.next {
				slot := bucket(b, e.sa.spiIn)
				slot.Store(&spiEntry{sa: e.sa, next: slot.Load()})
			}
		}
	}
	p.buckets.Store(&b)
	return &b
}

// remove takes s out; it does nothing when s is not there.
func (t *spiTable) remove(s *sa) {
	p := t.part(s.spiIn)
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.buckets.Load()
	if b == nil {
		return
	}
	slot := bucket(*b, s.spiIn)
	var kept *spiEntry
	found := false
	for e := slot.Load(); e != nil; e = e.next {
		if e.sa == s {
			found = true
			continue
		}
		kept = &spiEntry{sa: e.sa, next: kept}
	}
	if found {
		slot.Store(kept)
		p.n--
	}
}
