package eap

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"flexvpn/secret"
)

// A Login is what a peer logs in with.
type Login struct {
	Username string // empty: asked for when a server wants to know it
	// Fallback is the user name where none is given and no server asks: the IKE identity.
	Fallback string
	Password secret.Bytes // empty: asked for when a method needs it
	Methods  []Type       // that may be used, best first
	TLS      Method       // for TypeTLS
}

// A Method is a machine for a peer's side of one method that lives in a room of its own.
type Method interface {
	// Receive takes the data of a request and gives that of the response.
	Receive(data []byte) ([]byte, error)
	// Key is the method's key, and whether the method has come to its end: only then a server's
	// success is believed.
	Key() (msk secret.Bytes, done bool)
	// Err is why the method has failed on this end; nil while it goes on.
	Err() error
	Close()
}

// Need is what a peer lacks to go on.
type Need uint8

// The needs.
const (
	NeedNothing Need = iota
	NeedUsername
	NeedPassword
)

// A Step is a peer's next move.
type Step struct {
	Packet []byte // to the server
	Need   Need   // give it with Supply, then Receive the same packet again
	Prompt string // what the server says to the person, printable; often empty
	Done   bool
	MSK    secret.Bytes
	Err    error
}

// A Peer is one login, the side that answers. It is not safe for concurrent use.
type Peer struct {
	login   Login
	method  peerMethod
	kind    Type
	refused []string // methods that the server proposed and this peer does not have
	notice  string   // what the server wanted a person to read
}

// peerMethod is a method of this room. The password is there when it needs it.
type peerMethod interface {
	answer(p *Peer, q Packet) ([]byte, error)
	key() (msk secret.Bytes, done bool)
}

// NewPeer begins a login.
func NewPeer(l Login) *Peer { return &Peer{login: l} }

// Supply gives what a Step needed.
func (p *Peer) Supply(n Need, value secret.Bytes) {
	switch n {
	case NeedUsername:
		p.login.Username = string(value.Reveal())
	case NeedPassword:
		p.login.Password = value
	case NeedNothing:
	}
}

// Username is the name this peer logs in with.
func (p *Peer) Username() string {
	if p.login.Username != "" {
		return p.login.Username
	}
	return p.login.Fallback
}

// Method is the type of the method in use; 0: none yet.
func (p *Peer) Method() Type { return p.kind }

// Close ends what a method has running.
func (p *Peer) Close() {
	if p.login.TLS != nil {
		p.login.TLS.Close()
	}
}

// Receive takes a packet of the server.
func (p *Peer) Receive(packet []byte) Step {
	q, err := Parse(packet)
	if err != nil {
		return Step{Err: err}
	}
	switch q.Code {
	case Request:
		return p.asked(q)
	case Success:
		return p.succeeded()
	case Failure:
		return Step{Err: p.rejected()}
	case Response:
	}
	return Step{Err: fmt.Errorf("the hub sent %s", q)}
}

func (p *Peer) asked(q Packet) Step {
	switch q.Type {
	case TypeIdentity:
		if p.login.Username == "" {
			return Step{Need: NeedUsername, Prompt: printable(q.Data)}
		}
		return p.reply(q, TypeIdentity, []byte(p.login.Username))
	case TypeNotification: // RFC 3748 section 5.2: to be shown, and acknowledged
		p.notice = printable(q.Data)
		return p.reply(q, TypeNotification, nil)
	case TypeNak:
		return Step{Err: errors.New("the hub sent a Nak, which only a peer may")}
	}
	if p.kind != 0 && q.Type != p.kind {
		return Step{Err: fmt.Errorf("the hub changed the EAP method from %s to %s", p.kind, q.Type)}
	}
	return p.askedMethod(q)
}

func (p *Peer) askedMethod(q Packet) Step {
	if p.kind == 0 && !slices.Contains(p.login.Methods, q.Type) {
		return p.nak(q)
	}
	if q.Type != TypeTLS && p.login.Password.IsEmpty() {
		prompt := ""
		if q.Type == TypeGTC {
			prompt = printable(q.Data)
		}
		return Step{Need: NeedPassword, Prompt: prompt}
	}
	if p.method == nil {
		p.method, p.kind = p.begin(q.Type), q.Type
	}
	data, err := p.method.answer(p, q)
	if err != nil {
		return Step{Err: fmt.Errorf("EAP %s: %w", p.kind, err)}
	}
	return p.reply(q, q.Type, data)
}

func (p *Peer) begin(t Type) peerMethod {
	switch t {
	case TypeMD5:
		return new(peerMD5)
	case TypeGTC:
		return new(peerGTC)
	case TypeMSCHAPv2:
		return new(peerMSCHAP)
	case TypeTLS:
		return peerOutside{p.login.TLS}
	}
	panic("BUG: eap: a login allows method " + t.String() + ", which does not exist")
}

// nak refuses a method and names those that this end has (RFC 3748 section 5.3.1).
func (p *Peer) nak(q Packet) Step {
	if p.refused = append(p.refused, q.Type.String()); len(p.refused) > 10 {
		return Step{Err: p.rejected()}
	}
	wanted := make([]byte, 0, len(p.login.Methods))
	for _, t := range p.login.Methods {
		wanted = append(wanted, byte(t))
	}
	if len(wanted) == 0 {
		wanted = []byte{0} // no alternative
	}
	return p.reply(q, TypeNak, wanted)
}

func (p *Peer) reply(q Packet, t Type, data []byte) Step {
	return Step{Packet: Packet{Code: Response, ID: q.ID, Type: t, Data: data}.Bytes()}
}

// succeeded believes a success only where the method has come to its end: a hub in the middle could
// else spare itself the proof (RFC 3748 section 4.2).
func (p *Peer) succeeded() Step {
	if p.method == nil {
		return Step{Err: errors.New("the hub says success before it used any EAP method")}
	}
	msk, done := p.method.key()
	if !done {
		return Step{Err: fmt.Errorf("the hub says success in the middle of EAP %s", p.kind)}
	}
	return Step{Done: true, MSK: msk}
}

// rejected says why a login failed, as far as this end knows.
func (p *Peer) rejected() error {
	text := "the hub refused the login of " + printable([]byte(p.Username()))
	if m, ok := p.method.(*peerMSCHAP); ok && m.failure != "" {
		text += ": " + m.failure
	} else if p.kind == TypeTLS && p.login.TLS.Err() != nil {
		text += ": EAP tls: " + p.login.TLS.Err().Error()
	} else if p.kind != 0 {
		text += " by EAP " + p.kind.String() + ": check user name and password"
	} else if len(p.refused) > 0 {
		text += ": it wants EAP " + strings.Join(p.refused, ", ") + ", this client has " + typeList(p.login.Methods)
	}
	if p.notice != "" {
		text += " (the hub says: " + p.notice + ")"
	}
	return errors.New(text)
}

func typeList(list []Type) string {
	texts := make([]string, len(list))
	for i, t := range list {
		texts[i] = t.String()
	}
	return strings.Join(texts, ", ")
}

// printable keeps a hub from drawing on a person's terminal.
func printable(b []byte) string {
	if len(b) > 200 {
		b = b[:200]
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '�' {
			return '?'
		}
		return r
	}, string(b))
}

// peerOutside is a method that lives in a room of its own.
type peerOutside struct{ m Method }

func (o peerOutside) answer(_ *Peer, q Packet) ([]byte, error) { return o.m.Receive(q.Data) }

func (o peerOutside) key() (secret.Bytes, bool) { return o.m.Key() }
