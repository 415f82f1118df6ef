// Package eaplocal is a hub's own EAP server: a list of users and the methods of ikev2/eap behind
// authz.EAPAuthenticator.
package eaplocal

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"flexvpn/authz"
	"flexvpn/config"
	"flexvpn/ikev2/eap"
	"flexvpn/secret"
)

// A Server judges peers by a local list. It implements authz.EAPAuthenticator.
type Server struct {
	c     eap.ServerConfig
	users map[string]config.EAPUser
	decoy eap.Account
	// turns bounds the comparisons with bcrypt that run at once: each takes a processor for tens of
	// milliseconds, which a flood of logins must not take from the shards.
	turns chan struct{}
}

// New makes the server of one profile; node is the name it gives in challenges.
func New(e config.EAP, node string) (*Server, error) {
	s := &Server{users: e.Users, turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	s.c = eap.ServerConfig{Name: node, Find: s.find}
	for _, m := range e.Methods {
		s.c.Methods = append(s.c.Methods, types[m])
	}
	return s, s.makeDecoy()
}

var types = map[config.EAPMethod]eap.Type{
	config.EAPMSCHAPv2: eap.TypeMSCHAPv2, config.EAPGTC: eap.TypeGTC, config.EAPMD5: eap.TypeMD5,
}

// makeDecoy makes the account of those whom nobody knows: looking at their passwords takes the time
// that those of real users take, with the dearest hash of the list.
func (s *Server) makeDecoy() error {
	random := make([]byte, 32)
	_, _ = rand.Read(random)
	s.decoy.Password = secret.New(random)
	cost := 0
	for _, u := range s.users {
		if !u.Bcrypt.IsEmpty() {
			if c, err := bcrypt.Cost(u.Bcrypt.Reveal()); err == nil {
				cost = max(cost, c)
			}
		}
	}
	if cost == 0 {
		return nil
	}
	hash, err := bcrypt.GenerateFromPassword(random, cost)
	if err != nil {
		return fmt.Errorf("EAP server: %w", err)
	}
	s.decoy.Check = s.compare(secret.New(hash))
	return nil
}

// find is a user as the file names it, with its domain or without.
func (s *Server) find(name string) (eap.Account, bool) {
	u, ok := s.users[name]
	if !ok {
		if _, bare, cut := strings.Cut(name, `\`); cut {
			u, ok = s.users[bare]
		}
	}
	switch {
	case !ok:
		return s.decoy, false
	case !u.Bcrypt.IsEmpty():
		return eap.Account{Check: s.compare(u.Bcrypt)}, true
	}
	return eap.Account{Password: u.Password, NTHash: u.NTHash}, true
}

// compare waits for its turn: it runs on a goroutine of the conversation.
func (s *Server) compare(hash secret.Bytes) func(secret.Bytes) bool {
	return func(password secret.Bytes) bool {
		s.turns <- struct{}{}
		defer func() { <-s.turns }()
		return bcrypt.CompareHashAndPassword(hash.Reveal(), password.Reveal()) == nil
	}
}

// Begin implements authz.EAPAuthenticator.
func (s *Server) Begin(authz.EAPPeer) authz.EAPConversation {
	return &conversation{server: eap.NewServer(s.c)}
}

type conversation struct{ server *eap.Server }

// Respond implements authz.EAPConversation. The answer comes from a goroutine of its own: a password
// may have to be compared with a hash that takes its time.
func (c *conversation) Respond(packet []byte, done func(authz.EAPResult)) {
	packet = append([]byte(nil), packet...)
	go func() { done(c.result(packet)) }()
}

func (c *conversation) result(packet []byte) authz.EAPResult {
	step := c.server.Receive(packet)
	r := authz.EAPResult{Packet: step.Packet, Done: step.Done, MSK: step.MSK, Verdict: step.Verdict, Identity: c.server.Username()}
	if step.Err != nil {
		r.Err = fmt.Errorf("%w: %w", authz.ErrEAPRejected, step.Err)
	}
	return r
}

// Close implements authz.EAPConversation: there is nothing to give back.
func (c *conversation) Close() {}
