// Package store keeps what must survive a restart: keys and values in named buckets.
//
// [Open] keeps them in one bbolt file, [Memory] in this process only. It is a leaf: it knows
// nothing of leases or of anything else that is put into it.
package store

import "errors"

// A Store holds buckets of keys and values. Buckets come into being with their first key.
// All methods are safe for concurrent use. A write that returned nil survives a crash of the
// machine; a write that failed changed nothing.
type Store interface {
	// Put stores one value.
	Put(bucket string, key, value []byte) error
	// Delete removes one key; a key that is not there is no error.
	Delete(bucket string, key []byte) error
	// Update makes all changes that fn asks for, or none when fn returns an error, which Update
	// then returns. However many they are, they cost one write to disk.
	Update(fn func(Tx) error) error
	// ForEach calls fn for every key of the bucket in ascending order until fn returns an error,
	// which ForEach then returns. Key and value are valid until fn returns. fn must not write to
	// the store.
	ForEach(bucket string, fn func(key, value []byte) error) error
	// Close ends all use of the store.
	Close() error
}

// A Tx is the set of changes of one Update. It copies what it is given.
type Tx interface {
	Put(bucket string, key, value []byte) error
	Delete(bucket string, key []byte) error
}

// Why a store cannot be opened or used; errors.Is tells.
var (
	ErrLocked  = errors.New("another process holds it")
	ErrDamaged = errors.New("the file is damaged")
	ErrClosed  = errors.New("the store is closed")
)

// check refuses what no implementation can hold, so that both refuse the same.
func check(bucket string, key []byte) error {
	switch {
	case bucket == "":
		return errors.New("store: bucket without a name")
	case len(key) == 0:
		return errors.New("store: empty key in bucket " + bucket)
	case len(key) > maxKey:
		return errors.New("store: key too long in bucket " + bucket)
	}
	return nil
}

const maxKey = 32768 // what bbolt allows
