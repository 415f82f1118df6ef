package hub

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"flexvpn/authz"
	"flexvpn/ikev2"
	"flexvpn/ikev2/wire"
	"flexvpn/ops/view"
	"flexvpn/profile"
)

// ErrNoProfile means that no profile answers an identity.
var ErrNoProfile = errors.New("no profile matches")

// Preview asks the lists of the profile that answers identity what a peer would get, and gives it
// nothing: no address, no session.
func (h *Hub) Preview(ctx context.Context, identity string) (view.AAAAttributes, error) {
	s := &session{hub: h, remote: identityOf(identity)}
	s.profile = h.cfg.Profiles.Match(s.remote, ikev2.Identity{})
	if s.profile == nil {
		return view.AAAAttributes{}, fmt.Errorf("%w the identity %s", ErrNoProfile, identity)
	}
	if s.profile.Config.EAP.List != "" {
		s.eap.identity.Store(&identity)
	}
	type outcome struct {
		attrs   authz.Attributes
		refusal *ikev2.Refusal
	}
	got := make(chan outcome, 1)
	h.jobs.push(&s.queue, func() {
		s.resolve(func(a attributes, refusal *ikev2.Refusal) { got <- outcome{a, refusal} })
	})
	select {
	case <-ctx.Done():
		return view.AAAAttributes{}, ctx.Err()
	case o := <-got:
		if o.refusal != nil {
			return view.AAAAttributes{}, errors.New(o.refusal.Reason)
		}
		return view.AAAAttributes{Identity: identity, Profile: s.profile.Config.Name, Attributes: o.attrs.List()}, nil
	}
}

// identityOf reads an identity as an operator writes it: an address, a mail address, else a name.
func identityOf(text string) ikev2.Identity {
	if a, err := netip.ParseAddr(text); err == nil {
		return profile.AddressIdentity(a)
	}
	if strings.Contains(text, "@") {
		return ikev2.Identity{Type: wire.IDEmail, Data: text}
	}
	return ikev2.Identity{Type: wire.IDFQDN, Data: text}
}
