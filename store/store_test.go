package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// both runs one test over every implementation: that is what makes Store an interface.
func both(t *testing.T, test func(t *testing.T, s Store)) {
	t.Run("memory", func(t *testing.T) { test(t, Memory()) })
	t.Run("bbolt", func(t *testing.T) {
		s, err := Open(filepath.Join(t.TempDir(), "deep", "state.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		test(t, s)
	})
}

func content(t *testing.T, s Store, bucket string) string {
	t.Helper()
	var all []string
	err := s.ForEach(bucket, func(k, v []byte) error {
		all = append(all, fmt.Sprintf("%s=%s", k, v))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func expect(t *testing.T, s Store, bucket, want string) {
	t.Helper()
	if got := content(t, s, bucket); got != want {
		t.Errorf("bucket %s holds %q, want %q", bucket, got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestValuesComeBackInTheOrderOfTheirKeys(t *testing.T) {
	both(t, func(t *testing.T, s Store) {
		for _, k := range []string{"c", "a", "b"} {
			must(t, s.Put("x", []byte(k), []byte("v"+k)))
		}
		must(t, s.Put("y", []byte("a"), nil))
		expect(t, s, "x", "a=va b=vb c=vc")
		expect(t, s, "y", "a=")
		expect(t, s, "never used", "")
		must(t, s.Put("x", []byte("a"), []byte("new")))
		must(t, s.Delete("x", []byte("b")))
		must(t, s.Delete("x", []byte("not there")))
		must(t, s.Delete("never used", []byte("b")))
		expect(t, s, "x", "a=new c=vc")
	})
}

func TestAnUpdateThatFailsChangesNothing(t *testing.T) {
	both(t, func(t *testing.T, s Store) {
		must(t, s.Put("x", []byte("a"), []byte("1")))
		broken := errors.New("broken")
		err := s.Update(func(tx Tx) error {
			must(t, tx.Put("x", []byte("a"), []byte("2")))
			must(t, tx.Put("new", []byte("b"), []byte("2")))
			must(t, tx.Delete("x", []byte("a")))
			return broken
		})
		if !errors.Is(err, broken) {
			t.Errorf("Update returned %v, want fn's error", err)
		}
		expect(t, s, "x", "a=1")
		expect(t, s, "new", "")
	})
}

func TestAnUpdateMakesItsChangesInOrder(t *testing.T) {
	both(t, func(t *testing.T, s Store) {
		must(t, s.Update(func(tx Tx) error {
			return errors.Join(
				tx.Put("x", []byte("a"), []byte("1")), tx.Delete("x", []byte("a")),
				tx.Delete("x", []byte("b")), tx.Put("x", []byte("b"), []byte("2")))
		}))
		expect(t, s, "x", "b=2")
	})
}

func TestForEachStopsAtAnErrorAndReturnsIt(t *testing.T) {
	both(t, func(t *testing.T, s Store) {
		must(t, s.Put("x", []byte("a"), nil))
		must(t, s.Put("x", []byte("b"), nil))
		stop, calls := errors.New("enough"), 0
		err := s.ForEach("x", func(_, _ []byte) error { calls++; return stop })
		if !errors.Is(err, stop) || calls != 1 {
			t.Errorf("ForEach returned %v after %d calls, want %v after 1", err, calls, stop)
		}
	})
}

func TestTheCallerMayReuseWhatItPut(t *testing.T) {
	both(t, func(t *testing.T, s Store) {
		key, value := []byte("k"), []byte("v")
		must(t, s.Update(func(tx Tx) error {
			err := tx.Put("x", key, value)
			value[0] = '!'
			return err
		}))
		key[0], value[0] = '!', '!'
		expect(t, s, "x", "k=v")
	})
}

func TestKeysThatNoStoreCanHoldAreRefused(t *testing.T) {
	both(t, func(t *testing.T, s Store) {
		for _, bad := range []struct {
			bucket string
			key    []byte
		}{{"", []byte("k")}, {"x", nil}, {"x", make([]byte, maxKey+1)}} {
			if s.Put(bad.bucket, bad.key, nil) == nil || s.Delete(bad.bucket, bad.key) == nil {
				t.Errorf("bucket %q took a key of %d octets", bad.bucket, len(bad.key))
			}
		}
	})
}

func TestAClosedStoreSaysSo(t *testing.T) {
	both(t, func(t *testing.T, s Store) {
		must(t, s.Close())
		if err := s.Put("x", []byte("k"), nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Put: %v, want %v", err, ErrClosed)
		}
		if err := s.ForEach("x", nil); !errors.Is(err, ErrClosed) {
			t.Errorf("ForEach: %v, want %v", err, ErrClosed)
		}
	})
}

func TestWhatWasPutIsThereAfterReopening(t *testing.T) {
	path := filled(t, 3)
	s, err := Open(path)
	must(t, err)
	defer func() { _ = s.Close() }()
	expect(t, s, "x", "000000=v 000001=v 000002=v")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, want readable by its owner alone (%v)", info.Mode(), err)
	}
}

func TestAFileThatAnotherProcessHoldsIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := Open(path)
	must(t, err)
	_, err = Open(path)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("second Open: %v, want %q with the path", err, ErrLocked)
	}
	must(t, s.Close())
	s, err = Open(path)
	must(t, err)
	must(t, s.Close())
}

func TestADamagedFileIsRefusedAndLeftAsItIs(t *testing.T) {
	page := os.Getpagesize()
	for name, damage := range map[string]func(b []byte) []byte{
		"not a store":           func([]byte) []byte { return []byte(strings.Repeat("node: hub1\n", 2000)) },
		"one octet":             func([]byte) []byte { return []byte("x") },
		"both headers cleared":  func(b []byte) []byte { clear(b[:2*page]); return b },
		"cut inside the header": func(b []byte) []byte { return b[:page/2] },
		"cut after the header":  func(b []byte) []byte { return b[:2*page] },
		"cut in the middle":     func(b []byte) []byte { return b[:len(b)/2/page*page] },
		"zeros in the middle":   func(b []byte) []byte { clear(b[4*page : len(b)-page]); return b },
		"ones in the middle": func(b []byte) []byte {
			for i := 2 * page; i < len(b)-page; i++ {
				b[i] = 0xFF
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filled(t, 5000)
			old, err := os.ReadFile(path)
			must(t, err)
			bad := damage(slices.Clone(old))
			must(t, os.WriteFile(path, bad, 0o600))
			for range 2 { // a refused file must not stay locked
				_, err = Open(path)
				if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "move the file away") {
					t.Fatalf("Open: %v, want %q and what to do", err, ErrDamaged)
				}
			}
			if now, err := os.ReadFile(path); err != nil || !slices.Equal(now, bad) {
				t.Errorf("Open changed the damaged file (%v)", err)
			}
		})
	}
}

func TestAPlaceThatCannotBeWrittenIsNotCalledDamaged(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, path := range []string{filepath.Join(file, "state.db"), dir} {
		_, err := Open(path)
		if err == nil || errors.Is(err, ErrDamaged) || errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
			t.Errorf("Open(%s): %v", path, err)
		}
	}
}

// filled makes a store file of n keys.
func filled(t *testing.T, n int) string {
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := Open(path)
	must(t, err)
	must(t, s.Update(func(tx Tx) error {
		for i := range n {
			if err := tx.Put("x", fmt.Appendf(nil, "%06d", i), []byte("v")); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, s.Close())
	return path
}
