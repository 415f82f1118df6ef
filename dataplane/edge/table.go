package edge

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"flexvpn/config"
)

// TableName is the name of our table, family inet. It is ours alone: what a crashed run left of it is
// removed.
const TableName = "flexvpn_edge"

// patience bounds a transaction: the kernel answers at once or not at all.
const patience = 20 * time.Second

// bufferSize lets a whole table with thousands of elements travel in one message.
const bufferSize = 16 << 20

// table is our table of nftables. Its methods are not safe for concurrent use.
type table struct {
	lists []*config.AccessList // constant
	netns *os.File             // where the table is, whatever thread asks

	conn *nftables.Conn // nil: must be dialed
	raw  *netlink.Conn
	made bool
	sets sets
	// users are the interfaces of each list that came with them, by its chain.
	users map[string]map[string]bool
}

func openTable(lists []*config.AccessList) (*table, error) {
	netns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("find the network namespace: %w", err)
	}
	return &table{lists: lists, netns: netns}, nil
}

// dial opens a socket that stays. One that had an error is not used again: answers to what went
// before could still be on their way.
func (t *table) dial() error {
	if t.conn != nil {
		return t.raw.SetDeadline(time.Now().Add(patience))
	}
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithNetNSFd(int(t.netns.Fd())), nftables.WithSockOptions(func(c *netlink.Conn) error {
		t.raw = c
		return errors.Join(c.SetReadBuffer(bufferSize), c.SetWriteBuffer(bufferSize))
	}))
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	t.conn = conn
	return t.raw.SetDeadline(time.Now().Add(patience))
}

func (t *table) hangUp() {
	if t.conn != nil {
		_ = t.conn.CloseLasting()
		t.conn, t.raw = nil, nil
	}
}

// transact sends what fill puts together as one transaction: all of it takes effect, or nothing.
func (t *table) transact(fill func(*nftables.Conn) error) error {
	if err := t.dial(); err != nil {
		return err
	}
	err := fill(t.conn)
	if err == nil {
		err = t.conn.Flush()
	}
	if err != nil {
		t.hangUp()
		return fmt.Errorf("nftables: %w", explain(err))
	}
	return nil
}

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

func (t *table) ours() *nftables.Table {
	return &nftables.Table{Name: TableName, Family: nftables.TableFamilyINet}
}

// sweep removes the table; one that is not there is no error.
func (t *table) sweep() error {
	there, err := t.exists()
	if err != nil || !there {
		return err
	}
	t.made = false
	return t.transact(func(c *nftables.Conn) error {
		c.DelTable(t.ours())
		return nil
	})
}

// exists asks for the table. A kernel without nftables has none.
func (t *table) exists() (bool, error) {
	if err := t.dial(); err != nil {
		if errors.Is(err, unix.EPROTONOSUPPORT) {
			return false, nil
		}
		return false, err
	}
	all, err := t.conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		t.hangUp()
		if missing(err) {
			return false, nil
		}
		return false, fmt.Errorf("nftables: list tables: %w", err)
	}
	for _, a := range all {
		if a.Name == TableName {
			return true, nil
		}
	}
	return false, nil
}

// missing is what a kernel without nf_tables answers. The library flattens some errors to text.
func missing(err error) bool {
	for _, e := range []error{unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.EINVAL, unix.EOPNOTSUPP} {
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) {
			return true
		}
	}
	return false
}

// rebuild makes the table new with the elements of all interfaces, in one transaction: no packet
// passes between the old and the new.
func (t *table) rebuild(all map[string]entry) error {
	var s sets
	err := t.transact(func(c *nftables.Conn) error {
		c.DelTable(c.AddTable(t.ours())) // whether it was there or not
		b := &builder{conn: c, table: c.AddTable(t.ours())}
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
	if err == nil {
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
		b := &builder{conn: c, table: t.ours(), sets: after}
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

func (t *table) close() error {
	err := t.sweep()
	t.hangUp()
	return errors.Join(err, t.netns.Close())
}
