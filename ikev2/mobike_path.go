package ikev2

import (
	"net/netip"
	"slices"
	"time"
)

// Path testing and recovery, RFC 4555 sections 3.10 to 3.12: it is the initiator who finds out that a
// path is dead and which other one lives. With a window of one no further request can be sent while
// one is unanswered, so that one is repeated on all paths there are; the path of the first answer is
// the path to go.

const (
	// maxPaths bounds how many are tried at once.
	maxPaths = 8
	// patientTries is how often a request is sent on the path in use before others are tried.
	patientTries = 2
)

// candidates are the paths between the addresses of both ends, the one in use first. An initiator whose
// owner named no addresses has the one it uses.
func (sa *SA) candidates() []Path {
	own, peer := sa.ownAddresses(), []netip.Addr{sa.path.Remote.Addr()}
	if len(own) == 0 {
		own = []netip.Addr{sa.path.Local.Addr()}
	}
	if sa.mob != nil {
		peer = append(peer, sa.mob.peer...)
		if h := sa.mob.held.Remote; h.IsValid() { // where the peer was before it moved
			peer = append(peer, h.Addr())
		}
	}
	var out []Path
	if slices.Contains(own, sa.path.Local.Addr()) {
		out = append(out, sa.path)
	}
	for _, r := range peer {
		for _, l := range own {
			p := sa.pathBetween(l, r)
			if l.Unmap().Is4() == r.Is4() && (r == sa.path.Remote.Addr() || sa.mayMoveTo(r)) && !slices.Contains(out, p) && len(out) < maxPaths {
				out = append(out, p)
			}
		}
	}
	return out
}

// spread repeats a request that is not answered on the other paths.
func (sa *SA) spread(ex *exchange) {
	if !sa.initiator || !sa.mobile() || ex.tries < patientTries {
		return
	}
	for _, p := range sa.candidates() {
		if p != sa.path {
			ex.spread = true
			sa.sendAll(p, ex.datagrams)
		}
	}
}

// workingPath is the path that an answer came on, if it is one between known addresses: where a
// datagram comes from is not authentic, and must not lead astray.
func (sa *SA) workingPath(p Path) Path {
	if slices.Contains(sa.candidates(), p) {
		return p
	}
	return sa.path
}

// answeredOn leaves a dead path: a request that was repeated on several was answered on another one.
func (sa *SA) answeredOn(now time.Time, ex *exchange, p Path) {
	if !ex.spread || ex.task.kind == taskUpdate || !sa.mobile() {
		return
	}
	if works := sa.workingPath(p); works != sa.path {
		sa.migrate(now, works)
	}
}
