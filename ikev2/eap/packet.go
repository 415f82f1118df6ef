package eap

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Code is what a packet is, RFC 3748 section 4.
type Code byte

// The codes.
const (
	Request  Code = 1
	Response Code = 2
	Success  Code = 3
	Failure  Code = 4
)

// Type is what a request or response is about, RFC 3748 section 5.
type Type byte

// The types that have a meaning here.
const (
	TypeIdentity     Type = 1
	TypeNotification Type = 2
	TypeNak          Type = 3
	TypeMD5          Type = 4
	TypeGTC          Type = 6
	TypeTLS          Type = 13
	TypeTTLS         Type = 21
	TypePEAP         Type = 25
	TypeMSCHAPv2     Type = 26
	TypeExpanded     Type = 254
)

const (
	headerLen   = 4
	typeLen     = 1
	maxIdentity = 253 // what a User-Name attribute can hold (RFC 2865 section 5)
)

// A Packet is an EAP packet. Type and Data are those of requests and responses only.
type Packet struct {
	Code Code
	ID   byte
	Type Type
	Data []byte // aliases the octets that were parsed
}

var errShort = errors.New("the EAP packet is cut short")

// Parse reads one packet, which fills b exactly.
func Parse(b []byte) (Packet, error) {
	if len(b) < headerLen {
		return Packet{}, errShort
	}
	p := Packet{Code: Code(b[0]), ID: b[1]}
	if n := int(binary.BigEndian.Uint16(b[2:])); n != len(b) {
		return Packet{}, fmt.Errorf("the EAP packet says it has %d octets, and has %d", n, len(b))
	}
	switch p.Code {
	case Success, Failure:
		if len(b) != headerLen {
			return Packet{}, errors.New("an EAP success or failure has a body")
		}
		return p, nil
	case Request, Response:
		if len(b) < headerLen+typeLen {
			return Packet{}, errShort
		}
		p.Type, p.Data = Type(b[headerLen]), b[headerLen+typeLen:]
		return p, nil
	}
	return Packet{}, fmt.Errorf("EAP has no code %d", p.Code)
}

// Bytes is the packet as it is sent.
func (p Packet) Bytes() []byte {
	n := headerLen
	if p.Code == Request || p.Code == Response {
		n += typeLen + len(p.Data)
	}
	b := append(make([]byte, 0, n), byte(p.Code), p.ID, byte(n>>8), byte(n))
	if n > headerLen {
		b = append(append(b, byte(p.Type)), p.Data...)
	}
	return b
}

// IdentityRequest asks a peer who it is.
func IdentityRequest(id byte) []byte {
	return Packet{Code: Request, ID: id, Type: TypeIdentity}.Bytes()
}

// IdentityResponse tells a server who the peer is.
func IdentityResponse(id byte, identity string) []byte {
	return Packet{Code: Response, ID: id, Type: TypeIdentity, Data: []byte(identity)}.Bytes()
}

// ParseIdentity is the identity that a peer's response tells.
func ParseIdentity(b []byte) (string, error) {
	p, err := Parse(b)
	if err != nil {
		return "", err
	}
	if p.Code != Response || p.Type != TypeIdentity {
		return "", fmt.Errorf("the peer answered the identity request with %s", p)
	}
	return CheckIdentity(string(p.Data))
}

// CheckIdentity refuses an identity that cannot be a user name.
func CheckIdentity(name string) (string, error) {
	switch {
	case name == "":
		return "", errors.New("the peer's EAP identity is empty: configure a user name there")
	case len(name) > maxIdentity:
		return "", fmt.Errorf("the peer's EAP identity has %d octets, at most %d are accepted", len(name), maxIdentity)
	}
	for i := range len(name) {
		if name[i] == 0 {
			return "", errors.New("the peer's EAP identity contains a zero octet")
		}
	}
	return name, nil
}

// String says what the packet is; what it carries may be a password.
func (p Packet) String() string {
	switch p.Code {
	case Success:
		return "EAP success"
	case Failure:
		return "EAP failure"
	case Request:
		return "an EAP request of type " + p.Type.String()
	case Response:
		return "an EAP response of type " + p.Type.String()
	}
	return fmt.Sprintf("EAP code %d", p.Code)
}

// names are the types as configuration and show name them.
var names = map[Type]string{
	TypeIdentity: "identity", TypeNotification: "notification", TypeNak: "nak", TypeMD5: "md5", TypeGTC: "gtc",
	TypeTLS: "tls", TypeTTLS: "ttls", TypePEAP: "peap", TypeMSCHAPv2: "mschapv2", TypeExpanded: "expanded",
}

// String names the type.
func (t Type) String() string {
	if n, ok := names[t]; ok {
		return n
	}
	return fmt.Sprintf("%d", byte(t))
}

// MethodName is the name of a method in a closed set: none (before any), the names of methods that
// are known here, or other.
func MethodName(t byte) string {
	switch n, ok := names[Type(t)]; {
	case t == 0:
		return "none"
	case ok && Type(t) != TypeExpanded:
		return n
	}
	return "other"
}

// VerdictIn is what a request says against the peer that gets it, where a method has words for that:
// MSCHAPv2. Nil: nothing.
func VerdictIn(request []byte) error {
	p, err := Parse(request)
	if err != nil || p.Code != Request || p.Type != TypeMSCHAPv2 {
		return nil
	}
	if op, _, body, err := parseMSCHAP(p.Data); err == nil && op == opFailure {
		return errors.New(explainMSCHAP(body))
	}
	return nil
}

// MethodOf is the type of the method that a peer's response is about; before is the one so far, for
// responses that are about none: an identity, a notification, a refusal of a method.
func MethodOf(response []byte, before uint32) byte {
	p, err := Parse(response)
	if err != nil || p.Type <= TypeNak {
		return byte(before)
	}
	return byte(p.Type)
}
