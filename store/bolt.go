package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// lockWait is how long Open waits for a predecessor to let go of the file.
const lockWait = time.Second

// bolt is a Store in one bbolt file.
type bolt struct{ db *bbolt.DB }

// Open opens the store in the file path, which it creates, with its folder, if it is not there.
// The whole file is read and checked: a damaged one is refused with [ErrDamaged] and left as it
// is, one that another process uses is refused with [ErrLocked].
func Open(path string) (Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	db, err := openChecked(path)
	switch {
	case err == nil:
		return &bolt{db}, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("open store %s: %w: stop the other flexvpn, or give this one a state-dir of its own", path, ErrLocked)
	case errors.Is(err, ErrDamaged):
		return nil, fmt.Errorf("open store %s: %w: move the file away and start again; what it remembers (which spoke had which address) is then forgotten", path, err)
	}
	return nil, fmt.Errorf("open store %s: %w", path, err)
}

// openChecked opens the file and reads all of it. bbolt panics on some damage, and a page that
// was cut off the end of the file is a memory fault: both become ErrDamaged.
func openChecked(path string) (db *bbolt.DB, err error) {
	var file *os.File
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = damaged(p)
		}
		if err != nil && file != nil {
			// The mapping that a panic leaves behind keeps the lock alive beyond the file.
			_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
			_ = file.Close() // closing twice is harmless
			db = nil
		}
	}()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:      lockWait,
		FreelistType: bbolt.FreelistMapType,
		NoStatistics: true,
		OpenFile: func(name string, flag int, mode fs.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag, mode)
			file = f
			return f, err
		},
	})
	if err != nil {
		return nil, diagnose(err)
	}
	if err := verify(db, file); err != nil {
		return nil, err
	}
	return db, nil
}

// diagnose tells damage from what else may keep bbolt from opening a file.
func diagnose(err error) error {
	for _, damage := range []error{bolterrors.ErrInvalid, bolterrors.ErrChecksum, bolterrors.ErrVersionMismatch, bolterrors.ErrInvalidMapping} {
		if errors.Is(err, damage) {
			return damaged(err)
		}
	}
	return err
}

// verify compares the file's length with what its header says, before the check of every page
// runs into the missing end on a goroutine whose faults cannot be caught.
func verify(db *bbolt.DB, file *os.File) error {
	return db.View(func(tx *bbolt.Tx) error {
		info, err := file.Stat()
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return damaged(fmt.Sprintf("%d octets of %d are there", info.Size(), tx.Size()))
		}
		var first error
		for err := range tx.Check() { // must be drained
			if first == nil {
				first = damaged(err)
			}
		}
		return first
	})
}

func damaged(detail any) error { return fmt.Errorf("%w (%v)", ErrDamaged, detail) }

// Put implements Store.
func (b *bolt) Put(bucket string, key, value []byte) error {
	return b.Update(func(tx Tx) error { return tx.Put(bucket, key, value) })
}

// Delete implements Store.
func (b *bolt) Delete(bucket string, key []byte) error {
	return b.Update(func(tx Tx) error { return tx.Delete(bucket, key) })
}

// Update implements Store.
func (b *bolt) Update(fn func(Tx) error) error {
	return closed(b.db.Update(func(tx *bbolt.Tx) error { return fn(boltTx{tx}) }))
}

// ForEach implements Store.
func (b *bolt) ForEach(bucket string, fn func(key, value []byte) error) error {
	return closed(b.db.View(func(tx *bbolt.Tx) error {
		found := tx.Bucket([]byte(bucket))
		if found == nil {
			return nil
		}
		return found.ForEach(fn)
	}))
}

// Close implements Store.
func (b *bolt) Close() error { return b.db.Close() }

func closed(err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

type boltTx struct{ tx *bbolt.Tx }

// Put implements Tx. bbolt keeps the key and value it is given until the commit.
func (t boltTx) Put(bucket string, key, value []byte) error {
	if err := check(bucket, key); err != nil {
		return err
	}
	in, err := t.tx.CreateBucketIfNotExists([]byte(bucket))
	if err != nil {
		return fmt.Errorf("store: bucket %s: %w", bucket, err)
	}
	if err := in.Put(key, append([]byte{}, value...)); err != nil {
		return fmt.Errorf("store: put into %s: %w", bucket, err)
	}
	return nil
}

// Delete implements Tx.
func (t boltTx) Delete(bucket string, key []byte) error {
	if err := check(bucket, key); err != nil {
		return err
	}
	in := t.tx.Bucket([]byte(bucket))
	if in == nil {
		return nil
	}
	return in.Delete(key)
}
