package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// ErrTaken is that another process that lives owns a table of this name.
var ErrTaken = errors.New("another flexvpn has it: run one of them in a network namespace of its own")

// ownerFlag is the kernel's NFT_TABLE_F_OWNER.
const ownerFlag = 2

// Make makes the table new with what fill puts into it, in place of one that is there. Without Owned
// that is one transaction, so that no packet passes between the old and the new; an owned one is changed
// by nobody, and made anew only when it is gone.
func (t *Table) Make(fill func(*nftables.Conn) error) error {
	if t.owned {
		err := t.Remove()
		if err == nil {
			err = t.own()
		}
		switch {
		case err == nil:
			t.lost, t.mine = false, true
			if err = t.Transact(fill); err != nil {
				return errors.Join(err, t.Remove())
			}
			return nil
		case !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP):
			return err
		}
		t.owned = false // this kernel is older than 5.12
	}
	return taken(t.Transact(func(c *nftables.Conn) error {
		c.DelTable(c.AddTable(t.Ref())) // whether it was there or not
		c.AddTable(t.Ref())
		return fill(c)
	}))
}

// own makes the table, empty and this socket's. The library has no word for the flag.
func (t *Table) own() error {
	if _, err := t.Conn(); err != nil {
		return err
	}
	e := netlink.NewAttributeEncoder()
	e.ByteOrder = binary.BigEndian
	e.String(unix.NFTA_TABLE_NAME, t.name)
	e.Uint32(unix.NFTA_TABLE_FLAGS, ownerFlag)
	attributes, err := e.Encode()
	if err != nil {
		return err
	}
	_, err = t.raw.SendMessages([]netlink.Message{
		bracket(unix.NFNL_MSG_BATCH_BEGIN),
		message(unix.NFT_MSG_NEWTABLE, netlink.Request|netlink.Create|netlink.Excl|netlink.Acknowledge, attributes),
		bracket(unix.NFNL_MSG_BATCH_END),
	})
	if err == nil {
		_, err = t.raw.Receive()
	}
	if err != nil {
		t.Failed()
		return fmt.Errorf("nftables: make the table %s: %w", t.name, taken(err))
	}
	return nil
}

// message is one to nf_tables about the family inet; struct nfgenmsg is family, version 0, resource 0.
func message(kind uint16, flags netlink.HeaderFlags, attributes []byte) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind), Flags: flags},
		Data:   append([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, attributes...),
	}
}

// bracket begins or ends a transaction of nf_tables, which is its resource.
func bracket(kind uint16) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: netlink.Request},
		Data:   []byte{unix.NFPROTO_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES},
	}
}

// taken says what it means that the kernel lets us not touch a table although we may touch tables.
func taken(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%w (%w)", ErrTaken, err)
	}
	return err
}

// Exists asks for the table. A kernel without nftables has none.
func (t *Table) Exists() (bool, error) {
	c, err := t.Conn()
	if err != nil {
		if missing(err) {
			return false, nil
		}
		return false, err
	}
	all, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		t.Failed()
		if missing(err) {
			return false, nil
		}
		return false, fmt.Errorf("nftables: list tables: %w", err)
	}
	for _, a := range all {
		if a.Name == t.name {
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

// Remove removes the table, also one that a former run left; one that is not there is no error.
func (t *Table) Remove() error {
	there, err := t.Exists()
	if err != nil || !there {
		return err
	}
	err = t.Transact(func(c *nftables.Conn) error {
		c.DelTable(t.Ref())
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove the table %s: %w", t.name, taken(err))
	}
	return nil
}

// Close hangs up; a table that is owned goes with that.
func (t *Table) Close() error {
	t.hangUp()
	return t.netns.Close()
}
