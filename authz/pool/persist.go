package pool

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"flexvpn/store"
)

// maxPause is the longest time between two attempts to write to a store that refuses.
const maxPause = 5 * time.Second

// bucket holds one record for each address; the key is its 4 or 16 octets, so that a pool may be
// renamed or cut into two and its addresses stay with their identities.
//
// A record is: version (1 octet, recordVersion), state (1 octet: active or released), the time of
// the lease or of the release (8 octets, Unix nanoseconds, big-endian), the identity (the rest).
const (
	bucket        = "leases"
	recordVersion = 1
	recordActive  = 'A'
	recordFree    = 'R'
	recordHeader  = 10
)

func appendRecord(b []byte, l *lease) []byte {
	state := byte(recordFree)
	if l.active {
		state = recordActive
	}
	b = append(b, recordVersion, state)
	b = binary.BigEndian.AppendUint64(b, uint64(l.since.UnixNano()))
	return append(b, l.identity...)
}

func parseRecord(key, value []byte) (*lease, bool) {
	addr, ok := netip.AddrFromSlice(key)
	if !ok || len(value) < recordHeader || value[0] != recordVersion || value[1] != recordActive && value[1] != recordFree {
		return nil, false
	}
	return &lease{
		addr:     addr,
		active:   value[1] == recordActive,
		since:    time.Unix(0, int64(binary.BigEndian.Uint64(value[2:]))),
		identity: string(value[recordHeader:]),
	}, true
}

// load reads what is remembered. What was active when the process ended counts as released now, in
// the order in which it was leased. What no pool has any more, or cannot be read, is dropped.
func (p *Pools) load(s store.Store, where spans) error {
	var found []*lease
	err := s.ForEach(bucket, func(key, value []byte) error {
		l, ok := parseRecord(key, value)
		if ok {
			l.pool = where.find(l.addr)
		}
		if !ok || l.pool == nil {
			p.writer.drop(key)
			return nil
		}
		found = append(found, l)
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(found, byRelease)
	now := p.now()
	for i, l := range found {
		if l.active {
			l.active, l.since = false, now.Add(time.Duration(i)) // keeps the order for the next start
			p.writer.touch(l.addr)
		}
		p.leases[l.addr] = l
		l.pool.remember(l)
	}
	for _, name := range p.names {
		from := p.byName[name]
		from.nextFresh(p.leases) // pass the remembered ones now, not in somebody's session set-up
	}
	return nil
}

// byRelease orders the released before the active, each by time.
func byRelease(a, b *lease) int {
	switch {
	case a.active != b.active && b.active:
		return -1
	case a.active != b.active:
		return 1
	case !a.since.Equal(b.since):
		return a.since.Compare(b.since)
	}
	return a.addr.Compare(b.addr)
}

// encode is the record of addr as it is now.
func (p *Pools) encode(addrs []netip.Addr) [][]byte {
	records := make([][]byte, len(addrs))
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, a := range addrs {
		l := p.leases[a]
		records[i] = appendRecord(make([]byte, 0, recordHeader+len(l.identity)), l)
	}
	return records
}

// A writer brings changed leases to the store, behind the sessions' backs. It notes which
// addresses changed, not how: ten changes of one address are one record, and its memory is bounded
// by the number of leases.
type writer struct {
	store  store.Store
	encode func([]netip.Addr) [][]byte // constant after start

	mu      sync.Mutex // taken after Pools.mu, never the other way round
	changed map[netip.Addr]struct{}
	dropped [][]byte // keys of records that no pool has
	failed  func(error)
	wake    chan struct{}
	flushes chan chan error
	quit    chan struct{}
	done    chan struct{} // closed when the goroutine has ended
	last    error         // of the last batch; read after done only
	once    sync.Once
}

func newWriter(s store.Store) *writer {
	return &writer{
		store: s, failed: func(error) {}, changed: make(map[netip.Addr]struct{}),
		wake: make(chan struct{}, 1), flushes: make(chan chan error), quit: make(chan struct{}), done: make(chan struct{}),
	}
}

func (w *writer) start(encode func([]netip.Addr) [][]byte) {
	w.encode = encode
	go w.run()
}

func (w *writer) report(failed func(error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = failed
}

func (w *writer) reporter() func(error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// touch notes that addr's record is out of date.
func (w *writer) touch(addr netip.Addr) {
	w.mu.Lock()
	w.changed[addr] = struct{}{}
	w.mu.Unlock()
	w.poke()
}

// drop notes a record that is to vanish.
func (w *writer) drop(key []byte) {
	w.mu.Lock()
	w.dropped = append(w.dropped, slices.Clone(key))
	w.mu.Unlock()
	w.poke()
}

func (w *writer) poke() {
	select {
	case w.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// run is the writer's goroutine; close waits for it.
func (w *writer) run() {
	defer close(w.done)
	var due <-chan time.Time // nil: nothing to write
	pause := Delay
	for {
		select {
		case <-w.wake:
			if due == nil {
				due = time.After(pause) // let a batch gather
			}
		case <-due:
			due = nil
			if err := w.write(); err != nil {
				w.reporter()(err)
				pause = min(2*pause, maxPause)
				due = time.After(pause)
			} else {
				pause = Delay
			}
		case reply := <-w.flushes:
			reply <- w.write()
		case <-w.quit:
			w.last = w.write()
			return
		}
	}
}

// write brings all noted changes to the store in one transaction; on failure they stay noted.
func (w *writer) write() error {
	w.mu.Lock()
	changed, dropped := w.changed, w.dropped
	w.changed, w.dropped = make(map[netip.Addr]struct{}), nil
	w.mu.Unlock()
	if len(changed)+len(dropped) == 0 {
		return nil
	}
	addrs := make([]netip.Addr, 0, len(changed))
	for a := range changed {
		addrs = append(addrs, a)
	}
	slices.SortFunc(addrs, netip.Addr.Compare) // neighbours share pages
	records := w.encode(addrs)
	err := w.store.Update(func(tx store.Tx) error {
		for _, key := range dropped {
			if err := tx.Delete(bucket, key); err != nil {
				return err
			}
		}
		for i, a := range addrs {
			if err := tx.Put(bucket, a.AsSlice(), records[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	w.mu.Lock()
	for a := range changed {
		w.changed[a] = struct{}{}
	}
	w.dropped = append(dropped, w.dropped...)
	w.mu.Unlock()
	return err
}

func (w *writer) flush() error {
	reply := make(chan error, 1)
	select {
	case w.flushes <- reply:
		return <-reply
	case <-w.done:
		return errors.New("address leases: flush after close")
	}
}

func (w *writer) close() error {
	w.once.Do(func() { close(w.quit) })
	<-w.done
	return w.last
}
