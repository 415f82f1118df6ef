package hub

import (
	"errors"
	"fmt"
	"sync/atomic"

	"flexvpn/authz"
	"flexvpn/ikev2"
	"flexvpn/ikev2/eap"
	"flexvpn/ikev2/wire"
	"flexvpn/profile"
)

// An eapPart is what a session has of EAP. Only the session's jobs touch it, but for identity and
// method, which show and the log read.
type eapPart struct {
	talk     authz.EAPConversation // nil before the peer's identity is known, and after the end
	claimed  string                // the identity that it, or its IKE identity, claims
	asked    bool                  // the authenticator has not answered yet
	verdict  error                 // why it will be refused, told to it already
	identity atomic.Pointer[string]
	method   atomic.Uint32 // type of the method last talked about; 0: none
	granted  *attributes   // what came with the success; nil: nothing
}

// converse makes the next move of an EAP conversation: to the authenticator with the peer's packet,
// or first for the peer's identity.
func (s *session) converse(q ikev2.EAP) {
	switch {
	case q.Packet == nil && s.profile.Config.EAP.QueryIdentity:
		s.conn.Answer(ikev2.EAPAnswer{ID: q.ID, Packet: eap.IdentityRequest(1)})
	case q.Packet == nil:
		s.beginEAP(q, s.ikeAsEAP, eap.IdentityResponse)
	case s.eap.talk == nil:
		s.beginEAP(q, func() (string, error) { return eap.ParseIdentity(q.Packet) }, nil)
	default:
		s.eap.method.Store(uint32(eap.MethodOf(q.Packet, s.eap.method.Load())))
		s.askAuthenticator(q, q.Packet)
	}
}

// beginEAP begins the conversation for the identity that the peer claims. response makes the packet
// that the peer would have sent, nil where it sent one.
func (s *session) beginEAP(q ikev2.EAP, identity func() (string, error), response func(id byte, identity string) []byte) {
	name, err := identity()
	if err != nil {
		s.endEAP(q.ID, authz.EAPResult{Err: fmt.Errorf("%w: %w", authz.ErrEAPRejected, err)})
		return
	}
	packet := q.Packet
	if response != nil {
		packet = response(0, name)
	}
	s.eap.claimed = name
	by := s.hub.cfg.EAP[s.profile.Config.Name]
	if by == nil {
		s.endEAP(q.ID, authz.EAPResult{Err: errors.New("BUG: hub: the profile has no EAP authenticator")})
		return
	}
	s.eap.talk = by.Begin(authz.EAPPeer{
		Identity: name, IKEIdentity: profile.IdentityText(s.remote),
		Local: q.Path.Local, Remote: q.Path.Remote, Session: sessionName(s.id), Facts: s.facts(),
	})
	s.askAuthenticator(q, packet)
}

// ikeAsEAP is the EAP identity of a peer that is not asked for one (IOS: authentication remote eap
// without query-identity). An address says nothing about who somebody is.
func (s *session) ikeAsEAP() (string, error) {
	switch s.remote.Type {
	case wire.IDFQDN, wire.IDEmail, wire.IDKeyID:
		return eap.CheckIdentity(s.remote.Data)
	case wire.IDDN:
		return eap.CheckIdentity(profile.IdentityText(s.remote))
	}
	return "", fmt.Errorf("the IKE identity %s cannot be an EAP identity: give the peer another, or set eap.query-identity in profile %s", profile.IdentityText(s.remote), s.profile.Config.Name)
}

func (s *session) askAuthenticator(q ikev2.EAP, packet []byte) {
	s.eap.asked = true
	s.eap.talk.Respond(packet, func(r authz.EAPResult) {
		s.later(func() { s.replied(q.ID, r) })
	})
}

// replied carries the authenticator's move to the peer.
func (s *session) replied(id ikev2.QuestionID, r authz.EAPResult) {
	s.eap.asked = false
	if r.Err != nil || r.Done {
		s.endEAP(id, r)
		return
	}
	if s.eap.verdict = r.Verdict; s.eap.verdict == nil {
		s.eap.verdict = eap.VerdictIn(r.Packet)
	}
	s.conn.Answer(ikev2.EAPAnswer{ID: id, Packet: r.Packet})
}

// endEAP ends the conversation, with success or without.
func (s *session) endEAP(id ikev2.QuestionID, r authz.EAPResult) {
	if s.eap.talk != nil {
		s.eap.talk.Close()
		s.eap.talk = nil
	}
	name := r.Identity
	if name == "" {
		name = s.eap.claimed
	}
	if name != "" {
		s.eap.identity.Store(&name)
	}
	s.hub.stats.eap(s.eapMethod(), outcomeOf(r))
	if r.Err != nil {
		refusal := &ikev2.Refusal{Reason: fmt.Sprintf("EAP %s of %s: %v", s.eapMethod(), s.identity(), r.Err)}
		if outcomeOf(r) == eapFailed { // nobody has judged the peer
			refusal.Notify = wire.TemporaryFailure
		}
		s.conn.Answer(ikev2.EAPAnswer{ID: id, Packet: r.Packet, Refusal: refusal, Identity: name})
		return
	}
	s.noteOnce(r.Server, r.Notes)
	if given := r.Attributes; !authz.Same(&given, &nothing) {
		s.eap.granted = &given
	}
	s.log().Info("eap succeeded", "method", s.eapMethod(), "ike_identity", profile.IdentityText(s.remote))
	s.conn.Answer(ikev2.EAPAnswer{ID: id, Packet: r.Packet, Done: true, MSK: r.MSK, Identity: name})
}

// abandonEAP ends a conversation whose peer is gone, with or without knowing that it is refused; then
// detail says why it went rather than how.
func (s *session) abandonEAP(detail string) string {
	if s.eap.talk == nil {
		return detail
	}
	s.eap.talk.Close()
	s.eap.talk = nil
	s.eap.identity.Store(&s.eap.claimed)
	switch {
	case s.eap.asked:
		s.hub.stats.eap(s.eapMethod(), eapFailed)
		return fmt.Sprintf("EAP of %s: the authenticator did not answer in time", s.identity())
	case s.eap.verdict != nil:
		s.hub.stats.eap(s.eapMethod(), eapRejected)
		return fmt.Sprintf("EAP %s of %s: %v", s.eapMethod(), s.identity(), s.eap.verdict)
	}
	s.hub.stats.eap(s.eapMethod(), eapAbandoned)
	return detail
}

func (s *session) eapMethod() string { return eap.MethodName(byte(s.eap.method.Load())) }

// The outcomes of EAP conversations: a closed set, fit for a metric's label.
const (
	eapAccepted  = "accepted"
	eapRejected  = "rejected"  // the peer's fault
	eapFailed    = "failed"    // the authenticator's
	eapAbandoned = "abandoned" // the peer went away
)

func outcomeOf(r authz.EAPResult) string {
	switch {
	case r.Err == nil:
		return eapAccepted
	case errors.Is(r.Err, authz.ErrEAPRejected):
		return eapRejected
	}
	return eapFailed
}

// identity is who the session is, for people: what EAP proved, else the IKE identity.
func (s *session) identity() string {
	if name := s.eap.identity.Load(); name != nil {
		return profile.Printable(*name)
	}
	return profile.IdentityText(s.remote)
}

// A sessionKey tells identities apart: one that EAP proved is none of the IKE identities.
type sessionKey struct {
	ike ikev2.Identity
	eap string
}

func (s *session) key() sessionKey {
	if name := s.eap.identity.Load(); name != nil {
		return sessionKey{eap: *name}
	}
	return sessionKey{ike: s.remote}
}
