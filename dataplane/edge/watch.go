package edge

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"flexvpn/config"
	"flexvpn/dataplane"
)

// watch follows what others do to our objects.
func (p *Plane) watch() error {
	deleted, err := p.opt.Link.WatchDeleted(p.done)
	if err != nil {
		return err
	}
	p.tasks.Go(func() {
		for l := range deleted {
			if l.Kind == "vrf" {
				p.vrfGone(l.Name)
			}
		}
	})
	return p.watchTable()
}

// vrfGone ends the interfaces of a VRF that somebody deleted: the kernel moves its ports into the
// default routing domain, where their packets must not go.
func (p *Plane) vrfGone(vrf string) {
	p.mu.Lock()
	var ports []string
	for name, a := range p.attached {
		if a.vrf == vrf {
			a.vrf = "" // so that it joins one, or fails, before it is used again
			p.attached[name] = a
			ports = append(ports, name)
		}
	}
	p.mu.Unlock()
	for _, name := range ports {
		if err := p.inner.Remove(name); err != nil {
			p.opt.Noticed("a VRF was deleted, and its port "+name+" could not be removed", err)
		}
		p.Tell(dataplane.Event{Kind: dataplane.InterfaceGone, Interface: name, Why: "its VRF " + vrf + " was deleted"})
	}
}

// watchTable follows the generations of the machine's ruleset: each transaction makes one and says
// which process did it. After somebody else's ours is looked at.
func (p *Plane) watchTable() error {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: p.table.NetNS(), Groups: 1 << (unix.NFNLGRP_NFTABLES - 1)})
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil // no nftables, no table
	}
	if err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	foreign := make(chan struct{}, 1)
	p.tasks.Go(func() { generations(c, foreign) })
	p.tasks.Go(func() {
		defer func() { _ = c.Close() }()
		for {
			select {
			case <-p.done:
				return
			case <-foreign:
				p.inspect()
			}
			select { // a firewall's reload is several transactions
			case <-p.done:
				return
			case <-time.After(settle):
			}
		}
	})
	return nil
}

// settle is the least time between two looks at the table.
const settle = 200 * time.Millisecond

// generations writes to foreign for each transaction of another program, until c is closed. News
// that the socket lost may have been foreign.
func generations(c *netlink.Conn, foreign chan<- struct{}) {
	comm, _ := os.ReadFile("/proc/self/comm")
	own := strings.TrimSpace(string(comm))
	for {
		all, err := c.Receive()
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
		theirs := err != nil
		for _, m := range all {
			theirs = theirs || m.Header.Type == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN && author(m.Data) != own
		}
		if !theirs {
			continue
		}
		select {
		case foreign <- struct{}{}:
		default:
		}
	}
}

// author is the program that made a generation.
func author(b []byte) string {
	const header, procName = 4, 3 // sizeof(struct nfgenmsg), NFTA_GEN_PROC_NAME
	if len(b) < header {
		return ""
	}
	d, err := netlink.NewAttributeDecoder(b[header:])
	if err != nil {
		return ""
	}
	for d.Next() {
		if d.Type() == procName {
			return d.String()
		}
	}
	return ""
}

// inspect holds the table against what it should be, and makes it anew when it is not that.
func (p *Plane) inspect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.repair()
}

// repair is inspect for those who hold mu.
func (p *Plane) repair() {
	if p.closed || !p.table.made {
		return
	}
	all := make(map[string]entry, len(p.attached))
	for name, a := range p.attached {
		all[name] = a.entry
	}
	wrong, err := p.table.differs(all)
	if err == nil && wrong == "" {
		return
	}
	if err == nil {
		err = p.table.rebuild(all)
	}
	p.opt.Noticed("somebody changed the nftables table "+tableName+", which was made again: "+wrong, err)
}

// differs says what of the table is not as it should be; "" when all is.
func (t *table) differs(all map[string]entry) (string, error) {
	there, err := t.Exists()
	if err != nil {
		return "", err
	}
	if !there {
		return "the table is gone", nil
	}
	want := map[string]int{}
	for name, e := range all {
		for _, u := range e.uses() {
			if (*u.of(&t.sets))[u.name] == nil {
				return "access list " + u.name + " is gone", nil
			}
		}
		for _, x := range e.elements(&t.sets, name) {
			want[x.set.Name]++
		}
	}
	c, err := t.Conn()
	if err != nil {
		return "", err
	}
	for _, s := range t.sets.list() {
		have, err := c.GetSetElements(s)
		if err != nil {
			t.Failed()
			return "set " + s.Name + " cannot be read: " + err.Error(), nil
		}
		if len(have) != want[s.Name] {
			return fmt.Sprintf("set %s has %d elements, not %d", s.Name, len(have), want[s.Name]), nil
		}
	}
	return t.chainsDiffer(all), nil
}

// chainsDiffer compares the number of rules in each chain.
func (t *table) chainsDiffer(all map[string]entry) string {
	want := map[string]int{"denied_in": 3, "denied_out": 3, "policed": 3, fromPeers: 2 + len(t.sets.in) + len(t.sets.police), toPeers: 2 + len(t.sets.out)}
	for _, l := range t.lists {
		want[aclIn+l.Name], want[aclOut+l.Name] = rulesOf(l), rulesOf(l)
	}
	for _, e := range all {
		for _, u := range e.uses() {
			if u.lines == "" || want[u.chain()] != 0 {
				continue
			}
			if l, err := config.ParseAccessList(u.lines); err == nil {
				want[u.chain()] = rulesOf(l)
			}
		}
	}
	for _, s := range t.sets.police {
		want[s.Name] = 1
	}
	for chain, n := range want {
		have, err := t.ruleCounters(chain)
		if err != nil {
			return err.Error()
		}
		if len(have) != n {
			return fmt.Sprintf("chain %s has %d rules, not %d", chain, len(have), n)
		}
	}
	return ""
}

// rulesOf is how many rules a list's chain has.
func rulesOf(l *config.AccessList) int {
	n := 1
	for i := range l.Entries {
		n += len(matches(&l.Entries[i]))
	}
	return n
}

// forward passes the inner plane's events on until they end.
func (p *Plane) forward() {
	for e := range p.inner.Events() {
		p.Tell(e)
	}
	p.End()
}
