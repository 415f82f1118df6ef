package hub

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"flexvpn/authz"
	"flexvpn/config"
	"flexvpn/ikev2"
	"flexvpn/ikev2/wire"
	"flexvpn/profile"
)

// AAA is what a hub asks of servers. Its methods do not block; callbacks come on any goroutine.
type AAA interface {
	// Ask asks for attributes or keys; done is called once.
	Ask(q authz.Ask, done func(authz.Answer))
	// Account takes one record to deliver.
	Account(authz.Record)
}

// facts are what servers are told of s. It takes s.mu.
func (s *session) facts() authz.SessionFacts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return authz.SessionFacts{
		ID: s.acctID(), AuditID: s.auditID, Identity: profile.IdentityText(s.remote),
		Local: s.path.Local, Remote: s.path.Remote, Interface: s.spec.Name, Number: uint32(s.id),
	}
}

// acctID is the session's Acct-Session-Id: unique over restarts of the hub (RFC 2866 section 5.5).
func (s *session) acctID() string { return fmt.Sprintf("%08X%08X", uint32(s.hub.started.Unix()), s.id) }

// auditIDOf is Cisco's Audit-Session-Id in the form that IOS gives it for IPsec; it is opaque, and
// follows neither a move of the peer nor a change of the interface.
func auditIDOf(s *session) string {
	local, remote := s.path.Local.Addr().Unmap().AsSlice(), s.path.Remote.Addr().Unmap().AsSlice()
	return fmt.Sprintf("L2L4%XZO2L4%XZH1%s", local, remote, s.acctID())
}

// nameFor is the name that servers are asked for.
func (s *session) nameFor(fixed string, m *config.NameMangler) (string, error) {
	switch {
	case fixed != "":
		return fixed, nil
	case m != nil:
		named := authz.Named{Type: s.remote.Type, Data: s.remote.Data}
		if eap := s.eap.identity.Load(); eap != nil {
			named.EAP = *eap
		}
		return authz.Mangle(m, named)
	}
	return s.identity(), nil
}

// keysFrom asks servers for the pre-shared keys of a peer that claims an identity, and answers with
// the policy that has them. What else the reply says is the session's implied attributes.
func (s *session) keysFrom(from *config.AAAKeys, q ikev2.Authenticate) {
	name, err := s.nameFor("", from.Mangler)
	if err != nil {
		s.refuse(q.ID, err.Error())
		return
	}
	ask := authz.Ask{Group: from.Group.Name, User: name, Password: from.Password, Session: s.facts()}
	s.hub.cfg.AAA.Ask(ask, func(a authz.Answer) {
		s.later(func() { s.gotKeys(q, name, a) })
	})
}

func (s *session) gotKeys(q ikev2.Authenticate, name string, a authz.Answer) {
	if a.Err != nil {
		refusal := &ikev2.Refusal{
			Notify: wire.AuthenticationFailed,
			Reason: fmt.Sprintf("keyring %s: the key of %s: %v", s.profile.Config.Keyring.Name, name, explain(a.Err)),
		}
		if errors.Is(a.Err, authz.ErrUnreachable) { // nobody has judged the peer
			refusal.Notify = wire.TemporaryFailure
		}
		s.conn.Answer(ikev2.AuthenticateAnswer{ID: q.ID, Refusal: refusal})
		return
	}
	s.noteOnce(a.Server, a.Reply.Notes)
	r := a.Reply
	local, remote := r.PasswordLocal, r.PasswordRemote
	if local.IsEmpty() {
		local = r.Password
	}
	if remote.IsEmpty() {
		remote = r.Password
	}
	pol, err := s.profile.PolicyWithKeys(local, remote, q.Path.Local.Addr())
	if err == nil {
		var implied attributes
		implied, err = s.fromReply(a, "radius key "+name)
		s.implied = &implied
	}
	if err != nil {
		s.refuse(q.ID, fmt.Sprintf("keyring %s: server %s on %s: %v", s.profile.Config.Keyring.Name, a.Server, name, err))
		return
	}
	s.conn.Answer(ikev2.AuthenticateAnswer{ID: q.ID, Policy: pol})
}

func (s *session) fromReply(a authz.Answer, from string) (attributes, error) {
	return authz.FromRADIUS(a.Reply, authz.Origin(from), s.hub.cfg.Lists)
}

// explain adds what to do to the errors that need it.
func explain(err error) error {
	if errors.Is(err, authz.ErrUnreachable) {
		return fmt.Errorf("%w: look at show aaa servers", err)
	}
	return err
}

// A gathering is the group's and the user's attributes on their way. Only jobs of the session touch it.
type gathering struct {
	session     *session
	group, user *attributes
	open        int
	refusal     *ikev2.Refusal
	next        func(attributes, *ikev2.Refusal)
}

// resolve finds what the session's lists give it and calls next in a job of the session: at once, or
// when those who had to be asked have answered. Both questions are asked at once.
func (s *session) resolve(next func(attributes, *ikev2.Refusal)) {
	c := s.profile.Config
	g := &gathering{session: s, open: 2, next: next}
	s.lookUp(c.Group, "group", func(a *attributes, err error) { g.group = a; g.got(err) })
	s.lookUp(c.User, "user", func(a *attributes, err error) { g.user = a; g.got(err) })
}

func (g *gathering) got(err error) {
	if err != nil {
		g.refuse(err)
	}
	if g.open--; g.open > 0 {
		return
	}
	if g.refusal != nil {
		g.next(attributes{}, g.refusal)
		return
	}
	s := g.session
	// What came with the authentication counts as a whole only with "list: cached", but for what
	// belongs to the session itself.
	base := authz.OfSession(s.authenticated())
	g.next(authz.Merge(base, authz.Merge(*g.group, *g.user, s.profile.Config.Group.Override), false), nil)
}

// refuse notes why the peer gets nothing. A server's no weighs more than the silence of another: only
// when nobody has judged the peer is it told to come back.
func (g *gathering) refuse(err error) {
	notify := wire.AuthenticationFailed
	if errors.Is(err, authz.ErrUnreachable) {
		notify = wire.TemporaryFailure
	}
	if g.refusal == nil || g.refusal.Notify == wire.TemporaryFailure {
		g.refusal = &ikev2.Refusal{Notify: notify, Reason: err.Error()}
	}
}

// authenticated is what came with the key or with EAP's success.
func (s *session) authenticated() (all attributes) {
	if s.implied != nil {
		all = *s.implied
	}
	if s.eap.granted != nil {
		all = authz.Merge(all, *s.eap.granted, false)
	}
	return all
}

// lookUp asks one list; got is called in a job of the session.
func (s *session) lookUp(a config.Authorization, role string, got func(*attributes, error)) {
	switch a.List {
	case "radius":
		s.askList(a, role, got)
	case "cached":
		all := s.authenticated()
		got(&all, nil)
	default:
		got(s.hub.local(a), nil)
	}
}

func (s *session) askList(a config.Authorization, role string, got func(*attributes, error)) {
	name, err := s.nameFor(a.Name, a.Mangler)
	if err != nil {
		got(&nothing, fmt.Errorf("authorization %s: %w", role, err))
		return
	}
	ask := authz.Ask{Group: a.Servers.Name, User: name, Password: a.Password, Session: s.facts()}
	s.hub.cfg.AAA.Ask(ask, func(answer authz.Answer) {
		s.later(func() { got(s.listed(a, role, name, answer)) })
	})
}

// listed is what a list's answer gives.
func (s *session) listed(a config.Authorization, role, name string, answer authz.Answer) (*attributes, error) {
	if errors.Is(answer.Err, authz.ErrUnreachable) && a.Local {
		s.log().Warn("no radius server answers: the local policy decides", "role", role, "policy", a.Policy)
		a.List = "local"
		return s.hub.local(a), nil
	}
	if answer.Err != nil {
		return &nothing, fmt.Errorf("authorization %s %s: %w", role, name, explain(answer.Err))
	}
	s.noteOnce(answer.Server, answer.Reply.Notes)
	got, err := s.fromReply(answer, "radius "+role+" "+name)
	if err != nil {
		return &nothing, fmt.Errorf("authorization %s %s: %w", role, name, err)
	}
	return &got, nil
}

// noted remembers what was logged, so that a note about an account is not repeated for each session.
type noted struct {
	mu   sync.Mutex
	seen map[string]bool
}

const maxNoted = 1024

func (n *noted) first(text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen == nil || len(n.seen) >= maxNoted {
		n.seen = map[string]bool{}
	}
	again := n.seen[text]
	n.seen[text] = true
	return !again
}

// noteOnce logs what of a server's words has no effect here, unless it was told of another session.
func (s *session) noteOnce(server string, notes []string) { s.hub.noteOnce(s.log(), server, notes) }

func (h *Hub) noteOnce(log *slog.Logger, server string, notes []string) {
	for _, text := range notes {
		if h.noted.first(server + " " + text) {
			log.Warn("radius attribute without effect; told once", "server", server, "note", text)
		}
	}
}
