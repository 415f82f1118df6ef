package authz

import (
	"errors"
	"net/netip"

	"flexvpn/secret"
)

// An EAPAuthenticator authenticates a hub's peers by EAP (RFC 3748): a local server, or RADIUS to
// which the packets are passed through. It is safe for concurrent use.
type EAPAuthenticator interface {
	// Begin makes the conversation with one peer; it does not block.
	Begin(EAPPeer) EAPConversation
}

// An EAPPeer is what an authenticator is told of a peer. Identity is what the peer says it is, not
// yet proven: the EAP identity where the hub queries it, else the IKE identity.
type EAPPeer struct {
	Identity      string
	IKEIdentity   string // as text
	Local, Remote netip.AddrPort
	Session       string // the session's id, as show and the log name it
	Facts         SessionFacts
}

// An EAPConversation is that with one peer. It is used by one session and not safe for concurrent
// use: Respond is not called again before the done of the last call was.
type EAPConversation interface {
	// Respond takes the peer's EAP packet and calls done once, at once or later and on any goroutine.
	// It does not block. packet stays the caller's. The first packet is always the response to an
	// identity request: the peer's, or where the hub does not query it, one made of the IKE identity.
	Respond(packet []byte, done func(EAPResult))
	// Close abandons the conversation; done of a Respond under way is still called.
	Close()
}

// EAPResult is the authenticator's next move.
type EAPResult struct {
	// Packet goes to the peer: a request, or with Done the EAP success. On failure it is the EAP
	// failure packet, or nil.
	Packet []byte
	// Done is true when the peer is authenticated; MSK is then the method's key (RFC 7296 section
	// 2.16), empty when the method makes none.
	Done bool
	MSK  secret.Bytes
	// Identity is what the peer proved to be, for the session; empty: the one of EAPPeer.
	Identity string
	// Attributes came with the success (RADIUS user attributes); the zero value: none.
	Attributes Attributes
	// Notes say what of the attributes was left out and why, and Server who gave them.
	Notes  []string
	Server string
	// Verdict is why the peer will be refused, where a method tells the peer before it ends: peers go
	// away then. Nil: unknown, or undecided.
	Verdict error
	// Err says why the conversation failed; it ends it. ErrEAPRejected is inside when the peer is to
	// blame, and not the authenticator.
	Err error
}

// ErrEAPRejected: the peer's credentials are wrong, or it broke the protocol.
var ErrEAPRejected = errors.New("EAP authentication rejected")
