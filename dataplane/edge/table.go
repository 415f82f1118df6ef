package edge

import (
	"errors"
	"fmt"
	"maps"
	"os"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"flexvpn/config"
	"flexvpn/dataplane/nft"
)

// tableName is the name of our table, family inet. It is ours alone: what a crashed run left of it is
// removed.
const tableName = "flexvpn_edge"

// table is our table of nftables. Its methods are not safe for concurrent use.
type table struct {
	*nft.Table
	lists []*config.AccessList // constant

	made bool
	sets sets
	// users are the interfaces of each list that came with them, by its chain.
	users map[string]map[string]bool
}

func openTable(lists []*config.AccessList, owned bool) (*table, error) {
	t, err := nft.Open(tableName, owned)
	if err != nil {
		return nil, err
	}
	return &table{Table: t, lists: lists}, nil
}

// transact sends what fill puts together as one transaction: all of it takes effect, or nothing.
func (t *table) transact(fill func(*nftables.Conn) error) error { return explain(t.Transact(fill)) }

// explain says what to do about a kernel that has no nftables, or forbids them.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: access lists, policers and adjust-mss need a kernel with nf_tables (modprobe nf_tables)", err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: run as root or with CAP_NET_ADMIN", err)
	}
	return err
}

// rebuild makes the table new with the elements of all interfaces, in one transaction: no packet
// passes between the old and the new.
func (t *table) rebuild(all map[string]entry) error {
	var s sets
	err := t.Make(func(c *nftables.Conn) error {
		b := &builder{conn: c, table: t.Ref()}
		if err := b.base(t.lists); err != nil {
			return err
		}
		for name, e := range all {
			if err := errors.Join(b.rate(e.police), b.lists(e)); err != nil {
				return err
			}
			for _, x := range e.elements(&b.sets, name) {
				if err := c.SetAddElements(x.set, x.element); err != nil {
					return err
				}
			}
		}
		s = b.sets
		return nil
	})
	if err = explain(err); err == nil {
		t.made, t.sets, t.users = true, s, map[string]map[string]bool{}
		for name, e := range all {
			t.uses(name, entry{}, e)
		}
	}
	return err
}

// change makes the elements of one interface those of next, which were those of now, at one stroke.
func (t *table) change(name string, now, next entry) error {
	if now == next {
		return nil
	}
	if !t.made {
		if err := t.rebuild(nil); err != nil {
			return err
		}
	}
	// The table's own sets stay as they are until the kernel has taken the change.
	after := t.sets
	after.police = maps.Clone(t.sets.police)
	unused, err := t.unused(name, now, next)
	if err != nil {
		return err
	}
	err = t.transact(func(c *nftables.Conn) error {
		b := &builder{conn: c, table: t.Ref(), sets: after}
		if err := errors.Join(b.rate(next.police), b.lists(next)); err != nil {
			return err
		}
		after = b.sets
		old, fresh := now.elements(&after, name), next.elements(&after, name)
		for _, x := range old {
			if !contains(fresh, x) {
				if err := c.SetDeleteElements(x.set, keys(x.element)); err != nil {
					return err
				}
			}
		}
		for _, x := range fresh {
			if !contains(old, x) {
				if err := c.SetAddElements(x.set, x.element); err != nil {
					return err
				}
			}
		}
		b.forget(unused)
		return b.err
	})
	if err == nil {
		t.sets = after
		t.uses(name, now, next)
		t.sets.forget(unused)
	}
	return err
}

func (t *table) close() error { return errors.Join(t.Remove(), t.Close()) }
