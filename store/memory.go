package store

import (
	"maps"
	"slices"
	"sync"
)

// memory is a Store that ends with its process.
type memory struct {
	mu      sync.Mutex
	buckets map[string]map[string][]byte // guarded by mu; nil when closed
}

// Memory returns an empty store that keeps nothing on disk: for tests and for data plane none.
func Memory() Store { return &memory{buckets: make(map[string]map[string][]byte)} }

// Put implements Store.
func (m *memory) Put(bucket string, key, value []byte) error {
	return m.Update(func(tx Tx) error { return tx.Put(bucket, key, value) })
}

// Delete implements Store.
func (m *memory) Delete(bucket string, key []byte) error {
	return m.Update(func(tx Tx) error { return tx.Delete(bucket, key) })
}

// Update implements Store: fn's changes are noted first and made when it succeeded.
func (m *memory) Update(fn func(Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.buckets == nil {
		return ErrClosed
	}
	var tx memoryTx
	if err := fn(&tx); err != nil {
		return err
	}
	for _, c := range tx.changes {
		in := m.buckets[c.bucket]
		switch {
		case c.value == nil:
			delete(in, c.key)
		case in == nil:
			m.buckets[c.bucket] = map[string][]byte{c.key: c.value}
		default:
			in[c.key] = c.value
		}
	}
	return nil
}

// ForEach implements Store. fn sees the bucket as it was when ForEach began.
func (m *memory) ForEach(bucket string, fn func(key, value []byte) error) error {
	m.mu.Lock()
	if m.buckets == nil {
		m.mu.Unlock()
		return ErrClosed
	}
	seen := maps.Clone(m.buckets[bucket])
	m.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(seen)) {
		if err := fn([]byte(key), slices.Clone(seen[key])); err != nil {
			return err
		}
	}
	return nil
}

// Close implements Store.
func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.buckets = nil
	return nil
}

// A change is one noted write; a nil value deletes.
type change struct {
	bucket, key string
	value       []byte
}

type memoryTx struct{ changes []change }

// Put implements Tx.
func (t *memoryTx) Put(bucket string, key, value []byte) error {
	if err := check(bucket, key); err != nil {
		return err
	}
	t.changes = append(t.changes, change{bucket, string(key), append([]byte{}, value...)})
	return nil
}

// Delete implements Tx.
func (t *memoryTx) Delete(bucket string, key []byte) error {
	if err := check(bucket, key); err != nil {
		return err
	}
	t.changes = append(t.changes, change{bucket: bucket, key: string(key)})
	return nil
}
