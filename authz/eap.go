package authz

import "flexvpn/secret"

// An EAPConversation authenticates one peer by EAP (RFC 3748) for a hub: a local server, or RADIUS to
// which the packets are passed through. It is used by one session and not safe for concurrent use:
// Respond is not called again before the done of the last call was.
type EAPConversation interface {
	// Respond takes the peer's EAP packet, nil to begin, and calls done once, at once or later and on
	// any goroutine. It does not block. packet stays the caller's.
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
	// Identity is what the peer proved to be, for the session: the EAP identity.
	Identity string
	// Attributes came with the success (RADIUS user attributes); the zero value: none.
	Attributes Attributes
	// Err says why the conversation failed; it ends it.
	Err error
}
