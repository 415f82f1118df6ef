package hub

import (
	"fmt"

	"flexvpn/config"
	"flexvpn/endpoint"
	"flexvpn/ikev2"
	"flexvpn/ikev2/wire"
	"flexvpn/profile"
)

// admit picks the profile and the key for a peer that claims an identity. Nothing is proven yet:
// no address, interface or index entry is spent on it. It runs on the shard and does not block; the
// answer leaves now, or later from the session's queue when somebody else has to be asked first.
func (h *Hub) admit(c *endpoint.Conn, q ikev2.Authenticate) {
	h.mu.Lock()
	full := h.cfg.MaxSessions > 0 && len(h.sessions) >= h.cfg.MaxSessions || h.stopping
	h.lastID++
	id := h.lastID
	h.mu.Unlock()
	s := &session{hub: h, id: id, conn: c, peer: q.Path.Remote.String(), remote: q.Remote, path: q.Path}
	if h.cfg.AAA != nil {
		s.auditID = auditIDOf(s)
	}
	c.Data = s
	if full {
		s.refuse(q.ID, fmt.Sprintf("the limit of %d sessions is reached: raise ikev2.max-sessions or add a hub", h.cfg.MaxSessions))
		return
	}
	s.profile = h.cfg.Profiles.Match(q.Remote, q.Wanted)
	if s.profile == nil {
		s.refuse(q.ID, fmt.Sprintf("no profile matches the identity %s: add it to a profile's match", profile.IdentityText(q.Remote)))
		return
	}
	if want := s.profile.Config.VirtualTemplate.FrontVRF; want != "" && q.Path.VRF != want {
		s.refuse(q.ID, fmt.Sprintf("the peer came in by %s, virtual-template %d has front-vrf %s", vrfText(q.Path.VRF), s.profile.Config.VirtualTemplate.Number, want))
		return
	}
	if q.Method == wire.AuthMethodNone && s.profile.Config.Remote == config.AuthEAP {
		if refusal := s.logsIn(q); refusal != nil {
			c.Answer(ikev2.AuthenticateAnswer{ID: q.ID, Refusal: refusal})
			return
		}
	}
	if keyring := s.profile.Config.Keyring; keyring != nil && keyring.AAA != nil {
		h.jobs.push(&s.queue, func() { s.keysFrom(keyring.AAA, q) })
		return
	}
	s.credentials(q)
}

func vrfText(vrf string) string {
	if vrf == "" {
		return "the default routing domain"
	}
	return "the VRF " + vrf
}

// credentials answers with the policy that has the keys for the peer.
func (s *session) credentials(q ikev2.Authenticate) {
	pol, err := s.profile.Policy(q.Remote, q.Path.Remote.Addr(), q.Path.Local.Addr())
	if err != nil {
		s.refuse(q.ID, fmt.Sprintf("profile %s: %v", s.profile.Config.Name, err))
		return
	}
	s.conn.Answer(ikev2.AuthenticateAnswer{ID: q.ID, Policy: pol})
}

// refuse answers Authenticate with no. The peer learns only that; the reason is for people.
func (s *session) refuse(id ikev2.QuestionID, reason string) {
	s.conn.Answer(ikev2.AuthenticateAnswer{ID: id, Refusal: &ikev2.Refusal{Notify: wire.AuthenticationFailed, Reason: reason}})
}
