package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"flexvpn/config"
	"flexvpn/endpoint"
	"flexvpn/ikev2"
	"flexvpn/ikev2/eap"
	"flexvpn/ikev2/eap/eaptls"
	"flexvpn/ops/view"
	"flexvpn/profile"
	"flexvpn/secret"
)

// A login is what a client knows of its own EAP: what was typed, who is at a terminal to type more,
// and the question that waits for that. The client's goroutine owns it.
type login struct {
	username string       // typed
	password secret.Bytes // typed; kept for the next session until a hub refuses it or the profile goes down
	asker    *asker       // nil: nobody is there
	pending  *prompt
	number   uint64 // of the last prompt
}

// An asker is somebody at a terminal. What it is told fits into the channel or is dropped: a terminal
// that does not read gets no further question.
type asker struct{ events chan view.Login }

// A prompt is a question of a hub that waits for a person.
type prompt struct {
	number  uint64
	session *session
	conn    *endpoint.Conn
	q       ikev2.EAP
	need    eap.Need
	event   view.Login // as the person is asked
}

// tell passes an event to whoever is there.
func (a *asker) tell(e view.Login) {
	if a == nil {
		return
	}
	select {
	case a.events <- e:
	default:
	}
}

// methods are those that a profile lets this end use.
func methods(e config.EAP) []eap.Type {
	switch e.Method {
	case config.EAPMSCHAPv2:
		return []eap.Type{eap.TypeMSCHAPv2}
	case config.EAPGTC:
		return []eap.Type{eap.TypeGTC}
	case config.EAPMD5:
		return []eap.Type{eap.TypeMD5}
	case config.EAPTLS:
		return []eap.Type{eap.TypeTLS}
	}
	return []eap.Type{eap.TypeMSCHAPv2, eap.TypeGTC, eap.TypeMD5}
}

// newPeer begins a session's login with what is configured and what was typed before.
func (s *session) newPeer() *eap.Peer {
	c, p := s.client, s.client.cfg.Profile.Config
	l := eap.Login{Username: p.EAP.Username, Password: p.EAP.Password, Methods: methods(p.EAP), Fallback: s.ikeName()}
	if l.Username == "" {
		l.Username = c.login.username
	}
	if l.Password.IsEmpty() {
		l.Password = c.login.password
	}
	if p.EAP.Method == config.EAPTLS {
		l.TLS = eaptls.New(eaptls.Config{Chain: p.Certificate.Chain, Signer: p.Certificate.Key, Roots: p.Certificate.Roots, ServerName: p.EAP.ServerName})
		if l.Username == "" { // a certificate says who this is: nobody is asked
			l.Username = l.Fallback
		}
	}
	return eap.NewPeer(l)
}

// ikeName is the IKE identity as a user name: what a hub that does not query the EAP identity takes.
func (s *session) ikeName() string {
	id := s.client.cfg.Profile.Config.Identity
	if id != nil && id.Kind != config.IDAddress {
		return id.Value
	}
	return s.path.Local.Addr().String()
}

// converse answers a hub's EAP packet, or asks a person first.
func (s *session) converse(conn *endpoint.Conn, q ikev2.EAP) {
	if s.eap == nil {
		s.eap = s.newPeer()
	}
	step := s.eap.Receive(q.Packet)
	a := ikev2.EAPAnswer{ID: q.ID, Packet: step.Packet, Done: step.Done, MSK: step.MSK, Identity: s.eap.Username()}
	switch {
	case step.Need != eap.NeedNothing:
		s.ask(conn, q, step)
		return
	case step.Err != nil:
		a.Refusal = &ikev2.Refusal{Reason: step.Err.Error()}
	case step.Done:
		s.set(func() { s.eapMethod, s.eapName = s.eap.Method().String(), s.eap.Username() })
	}
	conn.Answer(a)
}

// needs is what a need is called.
var needs = map[eap.Need]string{eap.NeedUsername: view.NeedUsername, eap.NeedPassword: view.NeedPassword}

// ask puts a hub's question to the person at the terminal, or refuses it where there is none.
func (s *session) ask(conn *endpoint.Conn, q ikev2.EAP, step eap.Step) {
	l, name := &s.client.login, s.client.Name()
	if l.asker == nil {
		what, key := "a user name", "eap.username"
		if step.Need == eap.NeedPassword {
			what, key = "a password", "eap.password"
		}
		reason := fmt.Sprintf("the hub asks for %s, and nobody is here to type it: run flexvpn connect %s on a terminal, or set %s in profile %s", what, name, key, s.client.cfg.Profile.Config.Name)
		conn.Answer(ikev2.EAPAnswer{ID: q.ID, Refusal: &ikev2.Refusal{Reason: reason}})
		return
	}
	l.number++
	event := view.Login{
		Client: name, Need: needs[step.Need], Prompt: step.Prompt, Number: l.number,
		Hub: profile.IdentityText(q.Remote), User: s.eap.Username(),
	}
	l.pending = &prompt{number: l.number, session: s, conn: conn, q: q, need: step.Need, event: event}
	s.client.cfg.Log.Info("eap waits for a person", "client", name, "session", s.name(), "needs", event.Need)
	l.asker.tell(event)
}

// answered takes what a person typed for a prompt; false: nobody waits for it any more.
func (c *Client) answered(number uint64, value secret.Bytes) bool {
	p := c.login.pending
	if p == nil || p.number != number || p.session.over {
		return false
	}
	c.login.pending = nil
	switch p.need {
	case eap.NeedUsername:
		c.login.username = string(value.Reveal())
	case eap.NeedPassword:
		c.login.password = value
	case eap.NeedNothing:
	}
	p.session.eap.Supply(p.need, value)
	p.session.converse(p.conn, p.q)
	return true
}

// loginEnded tells the terminal how a session that began with EAP ended before it was up. What was
// typed for it is forgotten if the hub may have refused it; then nobody tries again until a person
// does.
func (s *session) loginEnded(e ikev2.Closed, detail string) {
	c := s.client
	if s.eap != nil {
		s.eap.Close()
	}
	if l := &c.login; l.pending != nil && l.pending.session == s {
		l.pending = nil
	}
	if s.up || c.cfg.Profile.Config.Local != config.AuthEAP {
		return
	}
	if e.Reason == ikev2.ReasonAuthentication && c.NeedsTerminal() && s.why == "" {
		c.forgetTyped()
		c.login.asker.tell(view.Login{Client: c.Name(), Failed: detail})
		c.enqueue(func() {
			c.step(func(now time.Time) {
				c.machine.disconnect(now, "the login failed: run flexvpn connect "+c.Name()+" again")
			})
		})
		return
	}
	c.login.asker.tell(view.Login{Client: c.Name(), Note: detail})
}

// Asks reports whether a login of this profile may need something that only a person knows;
// NeedsTerminal, whether it needs the password.
func (c *Client) Asks() bool {
	p := c.cfg.Profile.Config
	return p.Local == config.AuthEAP && p.EAP.Method != config.EAPTLS && (p.EAP.Password.IsEmpty() || p.EAP.Username == "")
}

// NeedsTerminal reports whether the profile cannot connect without somebody who types its password.
func (c *Client) NeedsTerminal() bool {
	return c.Asks() && c.cfg.Profile.Config.EAP.Password.IsEmpty()
}

func (c *Client) forgetTyped() {
	c.login.username = ""
	c.login.password.Wipe()
	c.login.password = secret.Bytes{}
}

// errTaken is what a terminal gets whose place another has taken.
var errTaken = errors.New("another terminal has taken the login over")

// Login connects the profile for somebody at a terminal and tells, until the session is up, the login
// has failed or ctx ends, what it needs: each event with a Need is answered by Answer. It returns when
// there is nothing more to tell.
func (c *Client) Login(ctx context.Context, tell func(view.Login) error) error {
	a := &asker{events: make(chan view.Login, 16)}
	ok := c.do(func() {
		c.login.asker.tell(view.Login{Client: c.Name(), Failed: errTaken.Error()})
		c.login.asker = a
		if p := c.login.pending; p != nil {
			a.tell(p.event)
		}
		c.step(c.machine.connect)
		if c.lead != nil && c.lead.up {
			a.tell(view.Login{Client: c.Name(), Up: true})
		}
	})
	if !ok {
		return errStopped
	}
	defer c.do(func() { c.askerLeft(a) })
	for {
		select {
		case e := <-a.events:
			if err := tell(e); err != nil || e.Up || e.Failed != "" {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-c.done:
			return errStopped
		}
	}
}

// askerLeft takes a terminal away. A prompt that waits for it is refused, and a profile that needs it
// goes down: else it would knock at its hubs for ever.
func (c *Client) askerLeft(a *asker) {
	if c.login.asker != a {
		return
	}
	c.login.asker = nil
	if p := c.login.pending; p != nil {
		c.login.pending = nil
		c.forgetTyped()
		p.conn.Answer(ikev2.EAPAnswer{ID: p.q.ID, Refusal: &ikev2.Refusal{Reason: "the person at the terminal went away"}})
		c.step(func(now time.Time) { c.machine.disconnect(now, "the person at the terminal went away") })
	}
}

// Answer gives what a person typed for an event of Login, which stays the caller's; false: it came too
// late.
func (c *Client) Answer(number uint64, typed []byte) (bool, error) {
	value := secret.New(bytes.Clone(typed))
	result := make(chan bool, 1)
	if !c.do(func() { result <- c.answered(number, value) }) {
		return false, errStopped
	}
	select {
	case ok := <-result:
		return ok, nil
	case <-c.done:
		return false, errStopped
	}
}
