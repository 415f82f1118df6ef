package hub

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"flexvpn/authz"
	"flexvpn/authz/pool"
	"flexvpn/config"
	"flexvpn/ikev2"
	"flexvpn/ikev2/wire"
	"flexvpn/vtemplate"
)

type attributes = authz.Attributes

// authorize decides what a proven peer gets: attributes, addresses, mode and selectors. Its steps
// are jobs of the session; between them no worker waits, however long others take to answer.
func (s *session) authorize(q ikev2.Authorize) {
	s.claim(func() {
		s.resolve(func(attrs attributes, refusal *ikev2.Refusal) {
			var answer ikev2.AuthorizeAnswer
			if refusal == nil {
				answer, refusal = s.grantTo(q, attrs)
			}
			if refusal != nil {
				answer = ikev2.AuthorizeAnswer{Refusal: refusal}
			}
			answer.ID = q.ID
			s.conn.Answer(answer)
		})
	})
}

// later brings f from wherever it is called into the session's queue, unless the session has ended
// meanwhile: what arrives then is for nobody.
func (s *session) later(f func()) {
	s.hub.jobs.push(&s.queue, func() {
		s.mu.Lock()
		over := s.state == closing || s.state == gone
		s.mu.Unlock()
		if !over {
			f()
		}
	})
}

func (s *session) grantTo(q ikev2.Authorize, attrs attributes) (ikev2.AuthorizeAnswer, *ikev2.Refusal) {
	c := s.profile.Config
	if refusal := s.lease(&attrs, q); refusal != nil {
		return ikev2.AuthorizeAnswer{}, refusal
	}
	template, err := s.hub.cfg.Catalog.Customize(c.VirtualTemplate, &attrs)
	if err == nil && template.FrontVRF != "" && q.Path.VRF != template.FrontVRF {
		err = fmt.Errorf("the peer came in by %s, its front-vrf is %s", vrfText(q.Path.VRF), template.FrontVRF)
	}
	if err != nil {
		return ikev2.AuthorizeAnswer{}, &ikev2.Refusal{Notify: wire.AuthenticationFailed, Reason: err.Error()}
	}
	if own := ownAmong(assigned(attrs), template.Addresses, q.Path.Local.Addr()); own.IsValid() {
		return ikev2.AuthorizeAnswer{}, &ikev2.Refusal{Notify: wire.InternalAddressFailure, Reason: fmt.Sprintf("%s is this hub's own address: assign another one", own)}
	}
	decision, refusal := vtemplate.Decide(template, vtemplate.Proposal{
		TSi: q.TSi, TSr: q.TSr, Transport: q.Transport, FlexVPN: q.FlexVPN,
		Assigned: assigned(attrs), Outer: q.Path.Remote.Addr(),
	})
	if refusal != "" {
		return ikev2.AuthorizeAnswer{}, &ikev2.Refusal{Notify: wire.TSUnacceptable, Reason: refusal}
	}
	s.mu.Lock()
	s.hub.give(&s.granted, s.profile, &attrs)
	s.granted.decision, s.version = decision, q.Version
	s.granted.decision.TSi, s.granted.decision.TSr = nil, nil // the engine has them
	s.mu.Unlock()
	reply := authz.Reply(attrs, q.Config, template.Addresses, s.hub.cfg.Version)
	return ikev2.AuthorizeAnswer{Config: reply, TSi: decision.TSi, TSr: decision.TSr, Transport: decision.Transport}, nil
}

// local is what a local authorization policy gives; nothing when a names none.
func (h *Hub) local(a config.Authorization) *attributes {
	if given := h.policies[a.Policy]; a.List == "local" && given != nil {
		return given
	}
	return &nothing
}

var nothing attributes

// fromPolicies are the attributes of the local authorization policies, made once for all sessions.
func fromPolicies(policies map[string]*config.AuthorizationPolicy) map[string]*attributes {
	out := make(map[string]*attributes, len(policies))
	for name, p := range policies {
		a := authz.FromPolicy(p)
		out[name] = &a
	}
	return out
}

// lease takes the addresses the peer asked for: the one that a server assigned, else one from the
// policy's pools. A request without an address attribute costs no lease (an IOS spoke with a static
// tunnel address sends one).
func (s *session) lease(attrs *authz.Attributes, q ikev2.Authorize) *ikev2.Refusal {
	v4, v6 := authz.Wants(q.Config)
	err := s.leaseOne(v4, &attrs.Address, attrs.Pool)
	if err == nil {
		err = s.leaseOne(v6, &attrs.Address6, attrs.Pool6)
	}
	if err == nil {
		return nil
	}
	reason := err.Error()
	switch {
	case errors.Is(err, pool.ErrExhausted):
		reason = fmt.Sprintf("%v: widen its range or end sessions (show pools)", err)
	case errors.Is(err, pool.ErrTaken):
		reason = fmt.Sprintf("%v: the server assigned it twice (show pools, show sessions)", err)
	}
	return &ikev2.Refusal{Notify: wire.InternalAddressFailure, Reason: reason}
}

func (s *session) leaseOne(wanted bool, address *authz.Value[netip.Addr], from authz.Value[string]) (err error) {
	switch {
	case !wanted:
		*address = authz.Value[netip.Addr]{}
	case address.IsSet():
		return s.fix(*address, from)
	case from.IsSet():
		*address, err = s.leaseFrom(from)
	}
	return err
}

// fix takes the one address that a server assigned. As on IOS it need not be of any pool: a user's fixed
// address beside its group's pool is how a spoke gets one. One reply that names a pool and an address
// outside of it contradicts itself.
func (s *session) fix(address authz.Value[netip.Addr], from authz.Value[string]) error {
	if from.Origin == address.Origin && s.hub.cfg.Pools.Of(address.V) != from.V {
		return fmt.Errorf("%s assigns %s and pool %s, which does not have it", address.Origin, address.V, from.V)
	}
	if err := s.hub.cfg.Pools.Fix(address.V, s.identity()); err != nil {
		return err
	}
	s.mu.Lock()
	s.granted.lease = append(s.granted.lease, address.V)
	s.mu.Unlock()
	return nil
}

func (s *session) leaseFrom(name authz.Value[string]) (authz.Value[netip.Addr], error) {
	addr, err := s.hub.cfg.Pools.Lease(name.V, s.identity(), netip.Addr{})
	if err != nil {
		return authz.Value[netip.Addr]{}, err
	}
	s.mu.Lock()
	s.granted.lease = append(s.granted.lease, addr)
	s.mu.Unlock()
	return authz.Value[netip.Addr]{V: addr, Origin: authz.Origin("pool " + name.V)}, nil
}

// ownAmong is one of the addresses that this end has already, invalid without any. Pools do not contain
// them; a server may assign anything.
func ownAmong(addrs []netip.Addr, inside []netip.Prefix, outside netip.Addr) netip.Addr {
	for _, a := range addrs {
		if a == outside.Unmap() || slices.ContainsFunc(inside, func(p netip.Prefix) bool { return p.Addr() == a }) {
			return a
		}
	}
	return netip.Addr{}
}

// assigned are the overlay addresses a spoke was given.
func assigned(a authz.Attributes) []netip.Addr {
	var out []netip.Addr
	for _, v := range []authz.Value[netip.Addr]{a.Address, a.Address6} {
		if v.IsSet() {
			out = append(out, v.V)
		}
	}
	return out
}
