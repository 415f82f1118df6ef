// Package nft is a table of nftables that is ours alone: made as a whole, looked after over one socket,
// and removed. A table that is Owned belongs to that socket (NFT_TABLE_F_OWNER, Linux 5.12): others
// cannot change it, a firewall's reload passes it by, and it is gone with the process, however that ends.
package nft

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// patience bounds a transaction: the kernel answers at once or not at all.
const patience = 20 * time.Second

// bufferSize lets a whole table with thousands of elements travel in one message.
const bufferSize = 16 << 20

// A Table is one table of the family inet. Its methods are not safe for concurrent use.
type Table struct {
	name  string
	owned bool
	netns *os.File // where the table is, whatever thread asks

	conn *nftables.Conn // nil: must be dialed
	raw  *netlink.Conn
	mine bool // the socket made and owns the table
	lost bool // and had to be hung up
}

// Open names a table in the network namespace of the calling thread; nothing is made yet.
func Open(name string, owned bool) (*Table, error) {
	netns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("find the network namespace: %w", err)
	}
	return &Table{name: name, owned: owned, netns: netns}, nil
}

// Ref is the table as the library's calls name it.
func (t *Table) Ref() *nftables.Table {
	return &nftables.Table{Name: t.name, Family: nftables.TableFamilyINet}
}

// Conn is the socket, dialed if need be, for reading. Whoever sees it fail tells Failed.
func (t *Table) Conn() (*nftables.Conn, error) {
	if t.conn != nil {
		if t.raw.SetDeadline(time.Now().Add(patience)) == nil {
			return t.conn, nil
		}
		t.hangUp() // the socket is dead
	}
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithNetNSFd(int(t.netns.Fd())), nftables.WithSockOptions(func(c *netlink.Conn) error {
		t.raw = c
		return errors.Join(c.SetReadBuffer(bufferSize), c.SetWriteBuffer(bufferSize))
	}))
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	t.conn = conn
	return conn, t.raw.SetDeadline(time.Now().Add(patience))
}

// Failed makes the socket fit for use after an error: answers to what went before could still be on
// their way. A table that the socket owns would go with it, so it is hung up only when it is mute.
func (t *Table) Failed() {
	if t.conn == nil {
		return
	}
	if t.drain() != nil {
		t.hangUp()
	}
}

// drain reads until the answer to a question of its own.
func (t *Table) drain() error {
	if err := t.raw.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	asked, err := t.raw.Send(message(unix.NFT_MSG_GETGEN, netlink.Request, nil))
	if err != nil {
		return err
	}
	for {
		got, err := t.raw.Receive()
		if err != nil && !answered(err) {
			return err
		}
		for _, m := range got {
			if m.Header.Sequence == asked.Header.Sequence {
				return nil
			}
		}
	}
}

// answered reports whether an error is what the kernel says of a request, or that it had no room to: the
// socket is well.
func answered(err error) bool {
	op, ok := errors.AsType[*netlink.OpError](err)
	if !ok {
		return false
	}
	_, verdict := op.Err.(unix.Errno)
	return verdict || errors.Is(err, unix.ENOBUFS)
}

func (t *Table) hangUp() {
	if t.conn != nil {
		_ = t.conn.CloseLasting()
		t.conn, t.raw = nil, nil
		t.lost, t.mine = t.lost || t.mine, false
	}
}

// Lost reports whether the table is gone because its socket broke: Make makes it again.
func (t *Table) Lost() bool { return t.lost }

// NetNS is the network namespace that the table is in, as a file descriptor that Close closes.
func (t *Table) NetNS() int { return int(t.netns.Fd()) }

// Transact sends what fill puts together as one transaction: all of it takes effect, or nothing.
func (t *Table) Transact(fill func(*nftables.Conn) error) error {
	c, err := t.Conn()
	if err != nil {
		return err
	}
	if err = fill(c); err == nil {
		err = c.Flush()
	}
	if err != nil {
		t.Failed()
		return fmt.Errorf("nftables: %w", err)
	}
	return nil
}
