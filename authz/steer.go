package authz

import (
	"net/netip"

	"flexvpn/radiusdict"
)

// SessionKeys name sessions as a server knows them; all that are given must match.
type SessionKeys struct {
	User, ID, AuditID string
	Station           string     // Calling-Station-Id: the peer's address
	Address, Address6 netip.Addr // overlay addresses
}

// ErrorCause is why an order of a server was not carried out, with the numbers of RFC 5176 section
// 3.5; 0: it was.
type ErrorCause uint32

// The causes that a hub gives.
const (
	ErrorUnsupportedAttribute ErrorCause = 401
	ErrorMissingAttribute     ErrorCause = 402
	ErrorNASMismatch          ErrorCause = 403
	ErrorInvalidRequest       ErrorCause = 404
	ErrorUnsupportedService   ErrorCause = 405
	ErrorInvalidValue         ErrorCause = 407
	ErrorSessionNotFound      ErrorCause = 503
	ErrorResources            ErrorCause = 506
)

// Steered is what servers may end and change sessions of. Its methods do not block; done is called
// once, on any goroutine.
type Steered interface {
	Disconnect(k SessionKeys, done func(ErrorCause))
	// Change lays what change says over the attributes of the sessions, as far as a live session can
	// change.
	Change(k SessionKeys, change *radiusdict.Reply, done func(ErrorCause))
}

// Changeable is the part of a that a live session can take; rest is true when there was more.
func Changeable(a Attributes) (part Attributes, rest bool) {
	part = Attributes{
		Routes: a.Routes, Delegated: a.Delegated, FilterIn: a.FilterIn, FilterOut: a.FilterOut, QoSIn: a.QoSIn, QoSOut: a.QoSOut,
		InterfaceConfig: a.InterfaceConfig, SessionTimeout: a.SessionTimeout, IdleTimeout: a.IdleTimeout, Interim: a.Interim, Class: a.Class,
	}
	return part, len(part.List()) != len(a.List())
}
