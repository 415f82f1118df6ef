package hub

import (
	"net/netip"
	"slices"

	"flexvpn/authz"
	"flexvpn/profile"
)

// An index finds sessions by what servers know of them, without walking all. Guarded by Hub.mu.
type index map[indexKey][]*session

// indexKey is one attribute that a server may name a session by.
type indexKey struct {
	kind  byte // one of those below
	value string
}

const (
	byUser    = 'u'
	byAcct    = 'a'
	byAudit   = 'd'
	byAddress = 'f'
	byStation = 'c'
)

func (s *session) indexKeys() []indexKey {
	s.mu.Lock()
	attrs, remote := s.granted.attributes(), s.path.Remote.Addr().Unmap()
	s.mu.Unlock()
	keys := []indexKey{{byUser, s.identity()}, {byAcct, s.acctID()}, {byAudit, s.auditID}, {byStation, remote.String()}}
	if attrs.UserName.IsSet() && attrs.UserName.V != s.identity() {
		keys = append(keys, indexKey{byUser, attrs.UserName.V})
	}
	if ike := profile.IdentityText(s.remote); ike != s.identity() && ike != attrs.UserName.V {
		keys = append(keys, indexKey{byUser, ike})
	}
	for _, a := range assigned(attrs) {
		keys = append(keys, indexKey{byAddress, a.String()})
	}
	return keys
}

// enter puts a session that is up into the index; leave takes it out. Without servers nobody looks there.
func (h *Hub) enter(s *session) {
	if h.cfg.AAA == nil {
		return
	}
	keys := s.indexKeys()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range keys {
		h.index[k] = append(h.index[k], s)
	}
	s.indexed = keys
}

func (h *Hub) leave(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range s.indexed {
		left := slices.DeleteFunc(h.index[k], func(o *session) bool { return o == s })
		if len(left) == 0 {
			delete(h.index, k)
			continue
		}
		h.index[k] = left
	}
	s.indexed = nil
}

// reindex follows a change of what s is known by.
func (h *Hub) reindex(s *session) {
	h.mu.Lock()
	entered := s.indexed != nil
	h.mu.Unlock()
	if entered {
		h.leave(s)
		h.enter(s)
	}
}

// sought are the sessions that all given keys name.
func (h *Hub) sought(k authz.SessionKeys) []*session {
	var keys []indexKey
	for _, one := range []struct {
		kind  byte
		value string
	}{{byUser, k.User}, {byAcct, k.ID}, {byAudit, k.AuditID}, {byStation, k.Station}} {
		if one.value != "" {
			keys = append(keys, indexKey{one.kind, one.value})
		}
	}
	for _, a := range []netip.Addr{k.Address, k.Address6} {
		if a.IsValid() {
			keys = append(keys, indexKey{byAddress, a.String()})
		}
	}
	if len(keys) == 0 {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	found := slices.Clone(h.index[keys[0]])
	for _, key := range keys[1:] {
		found = slices.DeleteFunc(found, func(s *session) bool { return !slices.Contains(h.index[key], s) })
	}
	return found
}
