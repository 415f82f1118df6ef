package kernel

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/xfrm"
)

// Counters reads one interface and its states.
func (p *Plane) Counters(name string) (c dataplane.Counters, ok bool) {
	p.mu.Lock()
	d := p.byName[name]
	p.mu.Unlock()
	if d == nil {
		return c, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return c, false
	}
	if l, err := linkAt(p.rtnl, d.index); err == nil {
		c.InPackets, c.InBytes, c.OutPackets, c.OutBytes = l.inPackets, l.inBytes, l.outPackets, l.outBytes
	}
	for _, ch := range d.children {
		row := d.childCounters(ch)
		c.Children = append(c.Children, row)
		c.LastIn, c.LastOut = latest(c.LastIn, ch.lastIn.at), latest(c.LastOut, ch.lastOut.at)
	}
	return c, true
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// childCounters reads the states of a child; one that is gone has nothing to tell.
func (d *device) childCounters(c *child) (row dataplane.ChildCounters) {
	in, _ := c.in.State(d.plane.xfrm)
	out, _ := c.out.State(d.plane.xfrm)
	c.lastIn.look(&in)
	c.lastOut.look(&out)
	row = c.before
	row.SPIIn, row.Elsewhere, row.LastIn = c.in.SPI, c.elsewhere, c.lastIn.at
	row.Offloaded = in.Offloaded && out.Offloaded
	row.InPackets += in.Packets
	row.InBytes += inner(in.Bytes, in.Packets, d.overhead())
	row.OutPackets += out.Packets
	row.OutBytes += inner(out.Bytes, out.Packets, d.overhead())
	row.Replayed += uint64(in.Replayed)
	row.BadIntegrity += uint64(in.BadIntegrity)
	return row
}

// use is when a state last carried a packet. From Linux 6.2 on the kernel says it, to the second; an
// older one is asked how many it carried, and the time is that of the look that found more.
type use struct {
	packets uint64
	at      time.Time
}

var tellsUse = atLeast(6, 2)

func (u *use) look(s *xfrm.State) {
	more := s.Packets > u.packets
	u.packets = s.Packets // a state that followed another may count anew
	if !more {
		return
	}
	u.at = time.Now()
	if tellsUse && !s.LastUsed.IsZero() {
		u.at = s.LastUsed
	}
}

// inner are the octets of inner packets: the kernel counts what is around them as well.
func inner(octets, packets uint64, overhead int) uint64 {
	return less(octets, packets*uint64(overhead))
}

// overhead is what a state counts of a packet before it encrypts it, and after it decrypted it: GRE's
// header, without options, as we send and as peers do, and in tunnel mode the IP header before it.
func (d *device) overhead() int {
	switch {
	case d.mode == dataplane.GRE && d.ends.local.Is6():
		return 40 + 4
	case d.mode == dataplane.GRE && d.ends.real:
		return 20 + 4
	}
	if d.mode == dataplane.GRE {
		return 4
	}
	return 0
}

// counted is what the children that move have counted. d.mu is held.
func (d *device) counted(moves []relocation) (rows []dataplane.ChildCounters) {
	for _, m := range moves {
		rows = append(rows, d.childCounters(m.child))
	}
	return rows
}

// carry lets the counters of states that were moved or replaced go on: the kernel keeps some and
// begins others anew. d.mu is held.
func (d *device) carry(moves []relocation, rows []dataplane.ChildCounters) {
	for i, m := range moves {
		c := m.child
		c.before = dataplane.ChildCounters{}
		was, now := rows[i], d.childCounters(c)
		c.before.InPackets, c.before.InBytes = less(was.InPackets, now.InPackets), less(was.InBytes, now.InBytes)
		c.before.OutPackets, c.before.OutBytes = less(was.OutPackets, now.OutPackets), less(was.OutBytes, now.OutBytes)
		c.before.Replayed, c.before.BadIntegrity = less(was.Replayed, now.Replayed), less(was.BadIntegrity, now.BadIntegrity)
	}
}

func less(a, b uint64) uint64 { return a - min(a, b) }

// retire adds what a device carried to the totals before it goes.
func (p *Plane) retire(d *device) {
	l, err := linkAt(p.rtnl, d.index)
	if err != nil || l.name != d.name {
		return
	}
	p.totalsMu.Lock()
	defer p.totalsMu.Unlock()
	add(&p.gone, l)
}

func add(t *dataplane.Totals, l linkState) {
	t.InPackets += l.inPackets
	t.InBytes += l.inBytes
	t.OutPackets += l.outPackets
	t.OutBytes += l.outBytes
}

// totalsAge is how old the sum of all interfaces may be. The kernel has none: it takes a list of all
// links, which is made beside whoever asks, so that asking costs the same with ten thousand.
const totalsAge = time.Second

var began = time.Now()

// Totals are what all interfaces carried, as of at most a moment ago.
func (p *Plane) Totals() dataplane.Totals {
	p.totalsMu.Lock()
	defer p.totalsMu.Unlock()
	now := int64(time.Since(began))
	if !p.summing && (p.summed == 0 || now-p.summed > int64(totalsAge)) {
		p.summing = true
		if p.summed == 0 {
			p.totalsMu.Unlock()
			p.sumUp()
			p.totalsMu.Lock()
		} else {
			go p.sumUp() // one at a time; ends by itself
		}
	}
	return p.sum
}

func (p *Plane) sumUp() {
	all, err := links(p.rtnl)
	p.totalsMu.Lock()
	defer p.totalsMu.Unlock()
	p.summing, p.summed = false, max(1, int64(time.Since(began)))
	if err != nil {
		return // the plane is closed, or the next time is better
	}
	t := p.gone
	p.mu.Lock()
	for _, d := range p.byNumber {
		if l, ok := all[d.index]; ok {
			add(&t, l)
		}
	}
	p.mu.Unlock()
	p.sum = t
}

// dropReasons are the kernel's counters of a namespace (RFC 4301's audits) by our words.
var dropReasons = map[string]string{
	"XfrmInNoStates": "unknown_spi", "XfrmInStateProtoError": "integrity", "XfrmInStateSeqError": "replayed",
	"XfrmInHdrError": "malformed", "XfrmInBufferError": "malformed", "XfrmInStateModeError": "malformed",
	"XfrmInTmplMismatch": "selector", "XfrmInNoPols": "selector", "XfrmInStateMismatch": "selector",
	"XfrmInStateExpired": "expired", "XfrmOutStateExpired": "expired",
	"XfrmOutPolBlock": "no_outbound", "XfrmOutNoStates": "no_outbound",
	"XfrmInError": "other", "XfrmInStateInvalid": "other", "XfrmInPolBlock": "other", "XfrmInPolError": "other",
	"XfrmOutError": "other", "XfrmOutBundleGenError": "other", "XfrmOutBundleCheckError": "other",
	"XfrmOutStateProtoError": "other", "XfrmOutStateModeError": "other", "XfrmOutStateSeqError": "expired",
	"XfrmOutPolDead": "other", "XfrmOutPolError": "other", "XfrmFwdHdrError": "other", "XfrmOutStateInvalid": "other",
}

// Drops are the namespace's counters since the plane was made. Another key manager's drops are among
// them: the kernel does not tell whose they are.
func (p *Plane) Drops() map[string]uint64 {
	out := map[string]uint64{}
	for _, reason := range dropReasons {
		out[reason] = 0
	}
	for name, n := range p.readStats() {
		if reason, ok := dropReasons[name]; ok {
			out[reason] += n - min(n, p.zero[name])
		}
	}
	return out
}

func (p *Plane) readStats() map[string]uint64 {
	out := map[string]uint64{}
	if p.stats == nil {
		return out // a kernel without CONFIG_XFRM_STATISTICS
	}
	b := make([]byte, 8192)
	n, _ := p.stats.ReadAt(b, 0)
	for s := bufio.NewScanner(bytes.NewReader(b[:n])); s.Scan(); {
		var name string
		var v uint64
		if _, err := fmt.Sscan(s.Text(), &name, &v); err == nil {
			out[name] = v
		}
	}
	return out
}

// gone tells that a link or state is not there.
func isGone(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT)
}
