package rtnl

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Shaper is a token bucket on a link's way out; the zero value is none.
type Shaper struct {
	Bits  uint64 // a second
	Burst uint32 // octets that leave at once
	Queue uint32 // octets that may wait
}

// Queued counts what a shaper did.
type Queued struct {
	Packets, Bytes uint64 // that left
	Dropped        uint64 // packets that found the queue full
	Backlog        uint32 // octets that wait now
}

// shaperHandle is the handle of our queueing discipline, by which it is told from another's.
var shaperHandle = netlink.MakeHandle(0xf1e, 0)

// SetShaper gives a link a token bucket (tc-tbf(8)) in place of its queue, with a fair queue inside it
// (tc-fq_codel(8)) where the kernel has one; the zero Shaper takes it away.
func (c *Conn) SetShaper(name string, s Shaper) error {
	l, err := c.h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	q := &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: shaperHandle, Parent: netlink.HANDLE_ROOT},
		Rate:       s.Bits / 8, Limit: s.Queue, Buffer: netlink.Xmittime(s.Bits/8, s.Burst),
	}
	if s == (Shaper{}) {
		err := c.h.QdiscDel(q)
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("remove the shaper of %s: %w", name, err)
		}
		return nil
	}
	if err := c.h.QdiscReplace(q); err != nil {
		return fmt.Errorf("shape %s to %d bit/s: %w", name, s.Bits, err)
	}
	fair := netlink.NewFqCodel(netlink.QdiscAttrs{LinkIndex: q.LinkIndex, Parent: shaperHandle | 1})
	if err := c.h.QdiscReplace(fair); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("give the shaper of %s a fair queue: %w", name, err)
	}
	return nil
}

// Shapers are the counters of all our shapers by the name of the link.
func (c *Conn) Shapers() (map[string]Queued, error) {
	all, err := dump(func() ([]netlink.Qdisc, error) { return c.h.QdiscList(nil) })
	if err != nil {
		return nil, fmt.Errorf("list queueing disciplines: %w", err)
	}
	out, names := map[string]Queued{}, map[int]string{}
	for _, q := range all {
		a := q.Attrs()
		if a.Handle != shaperHandle || a.Parent != netlink.HANDLE_ROOT || q.Type() != "tbf" {
			continue
		}
		if name := c.linkName(a.LinkIndex, names); name != "" {
			out[name] = queuedOf(a.Statistics)
		}
	}
	return out, nil
}

func queuedOf(s *netlink.QdiscStatistics) (q Queued) {
	if s == nil {
		return q
	}
	if s.Basic != nil {
		q.Packets, q.Bytes = uint64(s.Basic.Packets), s.Basic.Bytes
	}
	if s.Queue != nil {
		q.Dropped, q.Backlog = uint64(s.Queue.Drops), s.Queue.Backlog
	}
	return q
}
