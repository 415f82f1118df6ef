package eap

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"flexvpn/secret"
)

// An Account is what a server knows of a user. A method that needs what is not there is not offered.
type Account struct {
	Password secret.Bytes // in clear: every method
	NTHash   secret.Bytes // MSCHAPv2 and GTC; follows from Password
	// Check compares a password with a hash that cannot be undone, which may take its time: GTC.
	Check func(password secret.Bytes) bool
}

// serves reports whether the account has what a method needs.
func (a Account) serves(t Type) bool {
	switch t {
	case TypeMD5:
		return !a.Password.IsEmpty()
	case TypeMSCHAPv2:
		return !a.Password.IsEmpty() || !a.NTHash.IsEmpty()
	case TypeGTC:
		return !a.Password.IsEmpty() || !a.NTHash.IsEmpty() || a.Check != nil
	}
	return false
}

func (a Account) ntHash() secret.Bytes {
	if a.NTHash.IsEmpty() {
		return NTHash(a.Password)
	}
	return a.NTHash
}

// ServerConfig is what the logins of one server share.
type ServerConfig struct {
	Name    string // what the server calls itself in challenges
	Methods []Type // best first
	// Find looks a user up. For an unknown one it is false, and the account serves to do the same work
	// as for a known one.
	Find func(name string) (Account, bool)
}

// A ServerStep is a server's next move.
type ServerStep struct {
	Packet  []byte // to the peer; with Err the failure
	Done    bool
	MSK     secret.Bytes
	Verdict error // the peer will be refused, and is told so first
	Err     error // why the peer is refused
}

// A Server is one login, the side that asks. It is not safe for concurrent use.
type Server struct {
	c        ServerConfig
	name     string // of the user
	account  Account
	known    bool
	id       byte // of the last request
	kind     Type
	method   serverMethod
	tried    []Type
	answered bool // inside the method: too late for a Nak (RFC 3748 section 5.3.1)
}

type serverMethod interface {
	// begin is the data of the first request, answer that of the next one: nil when the peer has
	// proven itself.
	begin(s *Server) []byte
	answer(s *Server, data []byte) ([]byte, error)
	key() secret.Bytes
}

// NewServer begins a login; the first packet it gets is the response to an identity request.
func NewServer(c ServerConfig) *Server { return &Server{c: c} }

// Username is who logs in.
func (s *Server) Username() string { return s.name }

// errCredentials does not tell an unknown user from a wrong password; the log of the hub tells more.
var (
	errWrong   = errors.New("the password is wrong")
	errUnknown = errors.New("no such user")
)

// Receive takes a packet of the peer.
func (s *Server) Receive(packet []byte) ServerStep {
	q, err := Parse(packet)
	if err == nil && q.Code != Response {
		err = fmt.Errorf("the peer sent %s", q)
	}
	if err != nil {
		return s.refuse(q.ID, err)
	}
	if s.name == "" {
		return s.start(q, packet)
	}
	if q.ID != s.id {
		return s.refuse(q.ID, fmt.Errorf("the peer answered request %d when asked %d", q.ID, s.id))
	}
	switch q.Type {
	case TypeNak:
		return s.propose(q, s.common(q.Data))
	case s.kind:
		return s.judge(q)
	}
	return s.refuse(q.ID, fmt.Errorf("the peer answered EAP %s with %s", s.kind, q))
}

func (s *Server) start(q Packet, packet []byte) ServerStep {
	name, err := ParseIdentity(packet)
	if err != nil {
		return s.refuse(q.ID, err)
	}
	s.name, s.id = name, q.ID
	s.account, s.known = s.c.Find(name)
	return s.propose(q, s.c.Methods)
}

// propose asks by the first method of a list that the account serves and that was not tried yet.
func (s *Server) propose(q Packet, methods []Type) ServerStep {
	for _, t := range methods {
		if s.account.serves(t) && !slices.Contains(s.tried, t) && !s.answered {
			s.tried = append(s.tried, t)
			s.kind = t
			return s.request(serverMethods[t]().begin(s))
		}
	}
	return s.refuse(q.ID, fmt.Errorf("no method is left: this server offers %s, and the user's entry has to serve it", typeList(s.c.Methods)))
}

// serverMethods are the methods of this side.
var serverMethods = map[Type]func() serverMethod{
	TypeMD5:      func() serverMethod { return new(serverMD5) },
	TypeGTC:      func() serverMethod { return new(serverGTC) },
	TypeMSCHAPv2: func() serverMethod { return new(serverMSCHAP) },
}

// common are this server's methods that a Nak asks for.
func (s *Server) common(nak []byte) []Type {
	var out []Type
	for _, t := range s.c.Methods {
		if slices.Contains(nak, byte(t)) {
			out = append(out, t)
		}
	}
	return out
}

func (s *Server) request(data []byte) ServerStep {
	s.id++
	return ServerStep{Packet: Packet{Code: Request, ID: s.id, Type: s.kind, Data: data}.Bytes()}
}

// judge takes a response inside the method.
func (s *Server) judge(q Packet) ServerStep {
	s.answered = true
	data, err := s.method.answer(s, q.Data)
	switch {
	case err != nil:
		return s.refuse(q.ID, err)
	case data != nil:
		step := s.request(data)
		if m, ok := s.method.(*serverMSCHAP); ok {
			step.Verdict = m.refused
		}
		return step
	case !s.known: // no method can come here with a decoy; this line does not rely on it
		return s.refuse(q.ID, errUnknown)
	}
	return ServerStep{Packet: Packet{Code: Success, ID: q.ID}.Bytes(), Done: true, MSK: s.method.key()}
}

// wrong is why a proof failed.
func (s *Server) wrong() error {
	if !s.known {
		return errUnknown
	}
	return errWrong
}

func (s *Server) refuse(id byte, err error) ServerStep {
	return ServerStep{Packet: Packet{Code: Failure, ID: id}.Bytes(), Err: err}
}

func newChallenge() []byte {
	b := make([]byte, challengeLen)
	_, _ = rand.Read(b)
	return b
}
