package hub

import (
	"fmt"

	"flexvpn/endpoint"
	"flexvpn/ikev2"
	"flexvpn/ikev2/wire"
	"flexvpn/profile"
)

// admit picks the profile and the key for a peer that claims an identity. Nothing is proven yet:
// no address, interface or index entry is spent on it. It runs on the shard and does not block.
func (h *Hub) admit(c *endpoint.Conn, q ikev2.Authenticate) ikev2.AuthenticateAnswer {
	h.mu.Lock()
	full := h.cfg.MaxSessions > 0 && len(h.sessions) >= h.cfg.MaxSessions || h.stopping
	h.lastID++
	id := h.lastID
	h.mu.Unlock()
	s := &session{hub: h, id: id, conn: c, peer: q.Path.Remote.String(), remote: q.Remote, path: q.Path}
	c.Data = s
	if full {
		return refuse(q.ID, fmt.Sprintf("the limit of %d sessions is reached: raise ikev2.max-sessions or add a hub", h.cfg.MaxSessions))
	}
	p := h.cfg.Profiles.Match(q.Remote, q.Wanted)
	if p == nil {
		return refuse(q.ID, fmt.Sprintf("no profile matches the identity %s: add it to a profile's match", profile.IdentityText(q.Remote)))
	}
	pol, err := p.Policy(q.Remote, q.Path.Remote.Addr(), q.Path.Local.Addr())
	if err != nil {
		return refuse(q.ID, fmt.Sprintf("profile %s: %v", p.Config.Name, err))
	}
	s.profile = p
	return ikev2.AuthenticateAnswer{ID: q.ID, Policy: pol}
}

func refuse(id ikev2.QuestionID, reason string) ikev2.AuthenticateAnswer {
	return ikev2.AuthenticateAnswer{ID: id, Refusal: &ikev2.Refusal{Notify: wire.AuthenticationFailed, Reason: reason}}
}
