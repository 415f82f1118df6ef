package kernel

import (
	"errors"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/nlmsg"
)

// removeAll removes devices, all links at once. What a GRE device sends would be in the clear without its
// policies: they go behind it. An XFRM interface without policies drops, and they go beside it.
func (p *Plane) removeAll(all []*device) error {
	var indices []uint32
	var beside, behind, routes []*nlmsg.Message
	for _, d := range all {
		d.mu.Lock()
		if !d.gone {
			d.gone = true
			indices = append(indices, d.index)
			if d.mode == dataplane.GRE {
				behind = append(behind, d.deletions()...)
			} else {
				beside = append(beside, d.deletions()...)
			}
			routes = append(routes, d.routes()...)
		}
		_ = p.forget(d, nil)
		d.mu.Unlock()
	}
	besides := make(chan error, 1)
	go func() { besides <- p.xfrm.Do(beside...) }() // ends below
	var err error
	if len(indices) > 0 {
		err = p.reaper.Do(deleteLinks(indices)...)
	}
	return errors.Join(err, p.rtnl.Do(routes...), <-besides, p.xfrm.Do(behind...), p.removeAnchor(), p.clearDoubts())
}

// unlink is a link whose deletion somebody waits for.
type unlink struct {
	index uint32
	done  chan error
}

// deleteLink deletes a link with all others that are to be deleted at the moment.
func (p *Plane) deleteLink(index uint32) error {
	u := unlink{index: index, done: make(chan error, 1)}
	p.unlinkMu.Lock()
	p.unlinks = append(p.unlinks, u)
	if !p.reaping {
		p.reaping = true
		go p.reap() // ends when nobody waits any more; who waits holds the plane open
	}
	p.unlinkMu.Unlock()
	return <-u.done
}

func (p *Plane) reap() {
	for {
		p.unlinkMu.Lock()
		all := p.unlinks
		p.unlinks = nil
		p.reaping = len(all) > 0
		p.unlinkMu.Unlock()
		if len(all) == 0 {
			return
		}
		var indices []uint32
		for _, u := range all {
			indices = append(indices, u.index)
		}
		err := p.reaper.Do(deleteLinks(indices)...)
		for _, u := range all {
			u.done <- err
		}
	}
}
